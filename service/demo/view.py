"""The story on the terminal, drawn with rich."""

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from service.demo.gateway import ALLOWED
from service.demo.scene import Scene

_BLOCKS = " ▁▂▃▄▅▆▇█"
_METER, _SPARK = 40, 60
_STATE_STYLES = {"active": "green", "suspect": "yellow", "quarantined": "bold red", "under_review": "yellow"}


def draw(scene: Scene) -> RenderableType:
    """Draw the scene as it is now."""
    told = Text("\n".join(scene.log), style="default")
    body = [_figures(scene), Text(), _evidence(scene), Text(), told]
    if scene.console is not None:
        body += [Text(), Text.assemble(("the model's page: ", "dim"), (scene.console, f"cyan link {scene.console}"))]
    return Panel(Group(*body), title=f"Lazaretto demo: {scene.chapter}", title_align="left", padding=(1, 2))


def _figures(scene: Scene) -> Table:
    table = Table.grid(padding=(0, 3))
    gate = "-" if scene.gate is None else str(scene.gate)
    accuracy = "-" if scene.accuracy is None else f"{scene.accuracy:.0%}"
    table.add_row(
        _pair("state", scene.state.replace("_", " "), _STATE_STYLES.get(scene.state, "default")),
        _pair("gate", gate, "green" if scene.gate == ALLOWED else "bold red"),
        _pair("pictures answered", f"{scene.sent:,}"),
        _pair("counted by the monitor", f"{scene.events:,}"),
        _pair("right answers", accuracy),
        _pair("wear of the camera", f"{scene.wear:.0%}"),
    )
    return table


def _pair(name: str, value: str, style: str = "bold") -> Text:
    return Text.assemble((f"{name}\n", "dim"), (value, style))


def _evidence(scene: Scene) -> RenderableType:
    if scene.threshold is None:
        return Text("no evidence yet", style="dim")
    power = scene.evidence
    over = power is not None and power >= scene.threshold
    style = "bold red" if over else "cyan"
    share = min(1.0, max(0.0, (power or 0.0) / scene.threshold))
    filled = round(share * _METER)
    shown = "none yet" if power is None else f"10^{power:.1f}"
    line = Text.assemble(
        ("evidence ", "dim"), ("█" * filled, style), ("░" * (_METER - filled), "dim"), (f" {shown}", style),
        (f" of 10^{scene.threshold:.1f}: one false alarm in 30 days", "dim"),
    )  # fmt: skip
    columns = ", ".join(f"{name} 10^{value:.1f}" for name, value in scene.columns if value > 0)
    return Group(line, Text(f"         {sparkline(list(scene.history)[-_SPARK:], scene.threshold)}", style=style),
                 Text(f"strongest: {columns or 'none'}", style="dim"))  # fmt: skip


def sparkline(values: Sequence[float], full: float) -> str:
    """Draw values as blocks; ``full`` and more fill a whole one."""
    steps = len(_BLOCKS) - 1
    return "".join(_BLOCKS[round(steps * min(1.0, max(0.0, value / full)))] for value in values)
