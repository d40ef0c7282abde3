"""How well answers agree with their labels, in the lines of ``lazaretto status``."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from service.api.performance import PerformanceStatus
    from service.domain.performance import FiguresSeen, Share

WINDOW = "1d"


def performance_lines(performance: "PerformanceStatus") -> list[str]:
    """Say what labels tell, against the reference; before the first one, that they are awaited where it has some."""
    lines = []
    window = performance.windows.get(WINDOW)
    if window is not None:
        usual = "" if performance.baseline is None else f"; baseline: {_figures(performance.baseline)}"
        number = window.figures.answers
        lines.append(f"performance, {number:,} labels of the last day: {_figures(window.figures)}{usual}")
    lost = {name: getattr(performance, name) for name in ("repeated", "late", "unknown", "unfit", "waiting")}
    if any(lost.values()):
        told = ", ".join(f"{number:,} {name}" for name, number in lost.items() if number)
        lines.append(f"labels without an answer of their own: {told}")
    if performance.lacking is not None and (lines or performance.joined):
        lines.append(f"wrong answers raise nothing: {performance.lacking}")
    if not lines and performance.baseline is not None:
        lines.append(f"performance: no label has come yet; baseline: {_figures(performance.baseline)}")
    return lines


def _figures(figures: "FiguresSeen") -> str:
    if figures.wrong is not None:
        told = [f"wrong {_percent(figures.wrong)}"]
        told += [f"log loss {figures.log_loss:.3f}"] if figures.log_loss is not None else []
        return ", ".join(told)
    if figures.mae is None:
        return "nothing yet"
    value, low, high = figures.mae
    return f"mean absolute error {value:.4g} ({low:.4g} to {high:.4g})"


def _percent(share: "Share") -> str:
    return f"{share[0]:.1%} ({share[1]:.1%} to {share[2]:.1%})"
