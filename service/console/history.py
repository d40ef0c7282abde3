"""What happened to a version over a chosen span: read here, drawn by ``timeline.py``."""

from collections.abc import Sequence
from dataclasses import dataclass

from service.domain.ids import Micros
from service.domain.records import Incident, TransitionRecord, Version
from service.ports import ReadStore
from service.ports_console import BaselineMark, CoursePoint, Looking

HOUR_US = 3_600_000_000
TRANSITIONS_READ, BASELINES_READ, INCIDENTS_READ = 100, 20, 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """How much of the past the timeline shows."""

    name: str
    text: str
    length_us: int
    level: str
    """``1m`` or ``1h``: what evidence and traffic are read by."""


SPANS = {
    span.name: span
    for span in (
        Span(name="3h", text="3 hours", length_us=3 * HOUR_US, level="1m"),
        Span(name="1d", text="1 day", length_us=24 * HOUR_US, level="1m"),
        Span(name="7d", text="7 days", length_us=7 * 24 * HOUR_US, level="1h"),
        Span(name="30d", text="30 days", length_us=30 * 24 * HOUR_US, level="1h"),
    )
}
FIRST = SPANS["3h"]
"""What is shown unless the address says otherwise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """What was read, each oldest first."""

    span: Span = FIRST
    course: Sequence[CoursePoint] = ()
    """Of the baseline in force."""
    transitions: Sequence[TransitionRecord] = ()
    baselines: Sequence[BaselineMark] = ()
    incidents: Sequence[Incident] = ()
    deploys: Sequence[Version] = ()
    """The versions of the model: when each was registered."""


def history_of(
    read: ReadStore, looking: Looking, version: Version, last_us: int | None, now_us: Micros, span: Span
) -> History:
    """Read what happened in a span that ends with the last event."""
    end_us = now_us if last_us is None else last_us
    first_us = Micros(end_us - span.length_us)
    course = () if last_us is None else looking.course(version.id, span.level, first_us, Micros(last_us))
    return History(
        span=span,
        course=[point for point in course if point.baseline_id == version.baseline_id],
        transitions=list(reversed(read.transitions(version.id, TRANSITIONS_READ))),
        baselines=list(reversed(looking.baselines(version.id, BASELINES_READ))),
        incidents=list(reversed(looking.incidents_within(version.id, first_us, now_us, INCIDENTS_READ))),
        deploys=read.versions(version.model),
    )
