"""Which events a page compares with the baseline: the choice, what was chosen in words, and effect sizes over it."""

from collections.abc import Mapping
from dataclasses import dataclass

from service.console import words
from service.console.facts import SPAN, Current, Effects, Facts, Intervals
from service.detect.baselines import sized
from service.detect.windows import ROLLING

NAMES = {"1m": "1 minute", "5m": "5 minutes", "1h": "1 hour", "1d": "1 day"}
LAST = {"1m": "minute", "5m": "5 minutes", "1h": "hour", "1d": "day"}


@dataclass(frozen=True, slots=True)
class Choice:
    """A window to choose."""

    name: str | None
    """As in the address; ``None`` is what the page shows when nobody asks."""
    text: str
    chosen: bool


def choices_of(facts: Facts) -> tuple[Choice, ...]:
    """Return the windows to choose from; none while there is nothing to compare."""
    if facts.current is None and facts.asked is None:
        return ()
    shown = facts.asked if facts.alert is not None else facts.asked or SPAN
    since = [Choice(None, "since the change", shown is None)] if facts.alert is not None else []
    return (*since, *(Choice(name, NAMES[name], name == shown) for name in ROLLING))


def window_sentence(facts: Facts, current: Current) -> str:
    """Say which events are compared."""
    last_us = facts.status.last_us or current.since_us
    since, until = words.moment(current.since_us), words.moment(last_us)
    since = since[11:19] if since[:10] == until[:10] else since[:19]
    until = until[11:]
    if facts.asked is not None:
        return f"the {current.events:,} events of the last {LAST[facts.asked]}, {since} to {until}"
    if facts.alert is not None and current is facts.change:
        return f"the {current.events:,} events since the change began, {since} to {until}"
    if facts.alert is not None:
        return f"the {current.events:,} events from {since}, the minute in which the change began, to {until}"
    return f"the {current.events:,} events from {since} to {until}"


def listed_window(facts: Facts) -> str:
    """Name the window of the effect sizes in the list of all columns."""
    return LAST[facts.asked or SPAN]


def effects_listed(facts: Facts) -> Mapping[str, tuple[Effects, Intervals]]:
    """Return the effect sizes of all columns with their intervals, over the window asked for or the last hour."""
    if facts.asked in {None, SPAN}:
        return {c.name: (c.effects.get(SPAN, {}), c.intervals.get(SPAN, {})) for c in facts.status.columns}
    if facts.baseline is None or facts.current is None:
        return {}
    effects, intervals = sized(facts.baseline.baseline, facts.current.counts)
    rows = zip(effects, intervals, strict=True)
    return dict(zip((column.name for column in facts.baseline.columns), rows, strict=True))
