"""How well answers agree with their labels, in the status of a version."""

import msgspec

from service.api.views import View, iso
from service.domain.ids import Micros
from service.domain.performance import FiguresSeen, PerformanceSeen, WindowSeen


class PerformanceWindow(View, frozen=True, kw_only=True):
    """The labels that came within a window and met their answer."""

    start: str
    end: str
    """Just after the newest label: where labels stop, the window stands still."""
    figures: FiguresSeen
    """Shares and means are ``[value, lower, upper]``, 95 %."""
    delay_median_seconds: float | None
    """From an answer to its label."""
    delay_p95_seconds: float | None


class PerformanceStatus(View, frozen=True, kw_only=True):
    """Answers and their labels."""

    kind: str
    """``class`` or ``number``."""
    capacity: int
    """How many answers may be remembered."""
    remembered: int
    labelled: int
    """Of those remembered, how many have a label."""
    joined: int
    """Labels that met their answer."""
    bet: int
    """Of those, how many were evidence: their answer came under this baseline, and after the last release."""
    repeated: int
    """Labels for answers that had one already; the first one counts."""
    late: int
    """Labels whose answer is forgotten."""
    unknown: int
    """Labels for events that nobody knows."""
    waiting: int
    """Labels that came before their event, if there is one."""
    unfit: int
    """Labels that are no numbers, where the model answers with numbers."""
    windows: dict[str, PerformanceWindow]
    """``1h``, ``1d``, ``7d``, and ``total`` since there are labels."""
    baseline: FiguresSeen | None
    """Of the reference, where it had labels."""
    lacking: str | None
    """Why wrong answers are no evidence, in a sentence."""


def performance_of(seen: PerformanceSeen) -> PerformanceStatus:
    """Return it with its times as the API writes them."""
    told = {name: getattr(seen, name) for name in PerformanceStatus.__struct_fields__ if name != "windows"}
    return PerformanceStatus(windows={name: _window(window) for name, window in seen.windows.items()}, **told)


def _window(window: WindowSeen) -> PerformanceWindow:
    told = msgspec.structs.asdict(window)
    start, end = Micros(told.pop("start_us")), Micros(told.pop("end_us"))
    return PerformanceWindow(start=iso(start), end=iso(end), **told)
