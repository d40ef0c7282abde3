"""The timeline of a version: evidence, deploys, baselines, states, incidents and traffic, decided from facts."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from service.console import words
from service.console.addresses import incident_url
from service.console.charts import EvidenceChart, Mark, Point, evidence_chart
from service.console.facts import MINUTE_US, Facts
from service.console.history import HOUR_US, SPANS, TRANSITIONS_READ, History
from service.console.lanes import Beside, Count, Stretch
from service.console.overview import TONES
from service.console.scale import NARROW, WIDE
from service.detect.trail import TICKS_MAX
from service.domain.records import Incident, IncidentStatus, Severity, Window
from service.domain.states import State
from service.ports_console import CoursePoint

ROUNDED = 1e-4
INCIDENT_TONES = {Severity.HIGH: "bad", Severity.MEDIUM: "warn", Severity.LOW: "off"}
WIDTHS = {"1m": MINUTE_US, "1h": HOUR_US}


@dataclass(frozen=True, slots=True)
class SpanChoice:
    """A span to choose."""

    name: str | None
    """As in the address; ``None`` is what the page shows when nobody asks."""
    text: str
    chosen: bool


def spans_of(facts: Facts) -> tuple[SpanChoice, ...]:
    """Return the spans to choose from; none before the first event."""
    if facts.status.last_us is None:
        return ()
    shown = facts.history.span.name
    return tuple(SpanChoice(None if name == "3h" else name, span.text, name == shown) for name, span in SPANS.items())


def charts_of(facts: Facts) -> tuple[EvidenceChart, ...]:
    """Draw the timeline, once for wide screens and once for narrow ones; nothing before the first evidence."""
    points, threshold = evidence_points(facts, facts.history.course), facts.log_threshold
    marks, beside = marks_of(facts), _beside(facts)
    drawn = (evidence_chart(points, threshold, marks, size, beside) for size in (WIDE, NARROW))
    return tuple(chart for chart in drawn if chart is not None)


def marks_of(facts: Facts) -> list[Mark]:
    """Return everything that has one moment, oldest first."""
    history = facts.history
    marks = [Mark(t.at_us, words.STATE_NAMES[t.after].lower(), TONES[t.after]) for t in history.transitions]
    marks += [Mark(one.created_us, "baseline", "plain") for one in history.baselines]
    marks += [
        Mark(one.created_us, "deployed" if one.id == facts.version.id else f"{one.version[:20]} deployed", "plain")
        for one in history.deploys
    ]
    if facts.alert:
        marks.append(Mark(facts.alert.since_us, "change began", "plain"))
    return sorted(marks, key=lambda mark: mark.at_us)


def _beside(facts: Facts) -> Beside:
    history = facts.history
    width = WIDTHS[history.span.level]
    last_us = facts.status.last_us or facts.now_us
    return Beside(
        states=_states(facts),
        incidents=[_incident(one, facts.now_us) for one in history.incidents],
        counts=[
            Count(point.start_us, max(min(point.start_us + width, last_us), point.start_us + 1), point.events)
            for point in history.course
        ],
    )


def _states(facts: Facts) -> list[Stretch]:
    """Return the states one after the other; the first one began when the version was registered.

    Where only the latest changes were read, it begins with the oldest of them: what was before is not known here.
    """
    version, transitions = facts.version, facts.history.transitions
    if not transitions:
        return [_state(version.state, version.since_us, facts.now_us, version.reason)]
    first = transitions[0]
    known = len(transitions) < TRANSITIONS_READ
    found = [_state(first.before, min(version.created_us, first.at_us), first.at_us, "")] if known else []
    found += [_state(a.after, a.at_us, b.at_us, f"{a.actor}: {a.reason}") for a, b in pairwise(transitions)]
    last = transitions[-1]
    return [*found, _state(last.after, last.at_us, facts.now_us, f"{last.actor}: {last.reason}")]


def _state(state: State, first_us: int, last_us: int, why: str) -> Stretch:
    name = words.STATE_NAMES[state]
    text = f"{name} {_from_to(first_us, last_us)}{f', {why}' if why else ''}"
    return Stretch(first_us, last_us, name, text, TONES[state])


def _incident(one: Incident, now_us: int) -> Stretch:
    until = one.resolved_us or now_us
    standing = "" if one.status is IncidentStatus.RESOLVED else f", {one.status}"
    said = f", {one.verdict}" if one.verdict else ""
    text = f"{one.title}, {one.severity} severity{standing}{said} {_from_to(one.opened_us, until)}"
    tone = "off" if one.status is IncidentStatus.RESOLVED else INCIDENT_TONES[one.severity]
    return Stretch(one.opened_us, until, words.CAUSE_NAMES[one.cause], text, tone, incident_url(one.id))


def _from_to(first_us: int, last_us: int) -> str:
    return f"{words.moment(first_us)[:19]} to {words.moment(last_us)}"


def evidence_points(facts: Facts, course: Sequence[CoursePoint | Window]) -> list[Point]:
    """Return evidence over time: by minute or hour, and by the tick where the worker still holds the ticks."""
    width = WIDTHS[facts.history.span.level]
    trail = facts.status.trail if width == MINUTE_US else ()
    first_us = trail[0][0] if trail else math.inf
    last_us = facts.status.last_us or 0
    points = []
    for window in course:
        until_us = max(min(window.start_us + width, last_us), window.start_us + 1)
        since_us: int = window.start_us
        # In the minute of the change the highest evidence came after it; what it was before is not known.
        if facts.alert is not None and since_us < facts.alert.since_us < until_us:
            since_us = facts.alert.since_us
        # A trail that is not full begins with the first ticks of all: the minute's highest is one of them.
        if since_us < first_us < until_us and window.evidence_log_max <= _highest(trail, until_us):
            continue
        if since_us < first_us:
            points.append(Point(since_us, int(min(until_us, first_us)), window.evidence_log_max))
    return points + _ticks(trail, last_us)


def _ticks(trail: Sequence[tuple[int, float | None]], last_us: int) -> list[Point]:
    ends = [since_us for since_us, _ in trail[1:]] + [last_us]
    points = []
    for (since_us, value), end_us in zip(trail, ends, strict=False):
        # In a pause nothing was measured: the line ends, and goes on with the next tick.
        until_us = min(end_us, since_us + MINUTE_US)
        points.append(Point(since_us, max(until_us, since_us + 1), -math.inf if value is None else value))
    return points


def _highest(trail: Sequence[tuple[int, float | None]], until_us: int) -> float:
    """Return the highest evidence of a trail that is not full before a time; its values are rounded."""
    known = trail if len(trail) < TICKS_MAX else ()
    return max((value + ROUNDED for at_us, value in known if at_us < until_us and value is not None), default=-math.inf)


def note_of(facts: Facts) -> str:
    """Say what a step of the line stands for."""
    history: History = facts.history
    if history.span.level == "1h":
        return "the highest of each hour"
    trail, course = facts.status.trail, history.course
    if not trail:
        return "the highest of each minute"
    if not course or course[0].start_us >= trail[0][0] - MINUTE_US:
        return "tick by tick"
    return f"the highest of each minute, tick by tick from {words.moment(trail[0][0])[11:19]}"
