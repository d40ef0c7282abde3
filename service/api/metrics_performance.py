"""The metrics of answers and their labels: of versions that have labels."""

from service.domain.performance import FiguresSeen, PerformanceSeen
from service.observability import Families

WINDOW = "1d"
"""The rolling window of the figures."""
SHARES = ("wrong", "mae", "bias")
"""Figures that have limits; the value is shown."""
PLAIN = ("balanced_accuracy", "log_loss", "calibration_error", "rmse")
FIGURES_MAX = 4
"""Of one version: of classes four, of numbers three."""
FATES = ("joined", "repeated", "late", "unknown", "unfit")


def add_performance(families: Families, seen: PerformanceSeen | None, labels: tuple[str, str]) -> None:
    """Add the families of one version; nothing while no label has come."""
    if seen is None or not any(getattr(seen, fate) for fate in FATES):
        return
    for fate in FATES:
        families.add("lazaretto_model_label_fates_total", getattr(seen, fate), *labels, fate)
    window = seen.windows.get(WINDOW)
    if window is None:
        return
    for figure, value in shown(window.figures):
        families.add("lazaretto_model_performance", value, *labels, figure)
    if seen.baseline is not None:
        for figure, value in shown(seen.baseline):
            families.add("lazaretto_model_performance_baseline", value, *labels, figure)
    for quantile, delay in (("0.5", window.delay_median_seconds), ("0.95", window.delay_p95_seconds)):
        if delay is not None:
            families.add("lazaretto_model_label_delay_seconds", delay, *labels, quantile)


def shown(figures: FiguresSeen) -> list[tuple[str, float]]:
    """Return the figures that there are, by name."""
    told = [(name, share[0]) for name in SHARES if (share := getattr(figures, name)) is not None]
    return told + [(name, value) for name in PLAIN if (value := getattr(figures, name)) is not None]
