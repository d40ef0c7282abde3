"""Evidence and effect sizes over time, from the window rows that the worker keeps."""

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np

from service.api.views import EPOCH, View, iso
from service.api.watch import NO_EFFECTS, NO_INTERVALS, Effects, Intervals, e_value, log10
from service.detect.baselines import BaselineView, compared, effects_of
from service.domain.errors import Place, Unprocessable
from service.domain.ids import Micros
from service.domain.misfits import shown
from service.domain.records import Window

MINUTE_US = 60_000_000
HOUR_US = 60 * MINUTE_US
WIDTHS = {"1m": ("1m", MINUTE_US), "5m": ("1m", 5 * MINUTE_US), "1h": ("1h", HOUR_US), "1d": ("1h", 24 * HOUR_US)}
"""Of each window: the level of rows that it is merged from, and its width."""
LEVELS = {"1m": MINUTE_US, "1h": HOUR_US}
INTERVAL_ROWS_MAX = 1_500
"""Of a span of more rows the intervals of effects are left out."""
ROWS_MAX = 10_000
CELLS_MAX = 8_000_000
"""Counts that one answer may read: a version with thousands of columns gets fewer points, not a slow service."""
POINTS = 120
"""In an answer whose beginning the caller leaves open."""


class Point(View, frozen=True, kw_only=True):
    """One window with events."""

    start: str
    events: int
    evidence: float
    evidence_log10: float | None
    evidence_log10_max: float | None
    """The highest of the model within the window; of a column only its end is kept."""
    effects: Effects
    intervals: Intervals
    """Of a column, 95 %; of the model, whose effects are the largest of all columns, there are none."""


@dataclass(frozen=True, slots=True)
class Span:
    """What is asked for: windows that start within [first, last]."""

    window: str
    first_us: Micros
    last_us: Micros

    @property
    def level(self) -> str:
        """The level of rows to read."""
        return WIDTHS[self.window][0]

    @property
    def width_us(self) -> int:
        """The width of one point."""
        return WIDTHS[self.window][1]


def span_of(window: str, start: str | None, end: str | None, now_us: Micros, bins: int) -> Span:
    """Return the span of a request.

    Raises
    ------
    Unprocessable
        When a time cannot be read, the span is empty, or it needs more rows than one answer may read.
    """
    level, width = WIDTHS[window]
    rows_max = max(width // LEVELS[level], min(ROWS_MAX, CELLS_MAX // max(1, bins)))
    longest = rows_max * LEVELS[level]
    last = now_us if end is None else _moment(end, "to")
    first = last - min(POINTS * width, longest - LEVELS[level]) if start is None else _moment(start, "from")
    first = max(0, first) // width * width
    if start is None and (last - first) // LEVELS[level] >= rows_max:
        first += width  # nobody asked for the window that does not fit as a whole
    if first > last:
        raise Unprocessable("the span is empty", places=[Place("from", "must not be after 'to'")])
    if (last - first) // LEVELS[level] >= rows_max:
        reason = f"the span is too long: at most {longest // MINUTE_US} minutes with window={window}"
        raise Unprocessable("the span is too long", places=[Place("from", reason)])
    return Span(window, Micros(first), Micros(last))


def points_of(
    rows: Sequence[Window], span: Span, baseline_id: str | None, view: BaselineView | None, column: str | None
) -> Iterator[Point]:
    """Yield one point per window that has rows, oldest first.

    The effects of the model are the largest over its columns. Rows of another baseline than the one in force have
    other bins: they keep their evidence and lose their effects.
    """
    number = _number(view, column)
    # Half a millisecond each: of a very long span the intervals are left out, as many would keep others waiting.
    with_intervals = len(rows) <= INTERVAL_ROWS_MAX
    for start, group in itertools.groupby(rows, lambda row: row.start_us // span.width_us * span.width_us):
        members = list(group)
        last = members[-1]
        same = [row for row in members if row.baseline_id == baseline_id]
        column_log = _column_log(last, number) if last.baseline_id == baseline_id else None
        log = last.evidence_log if column is None else column_log
        highest = max(row.evidence_log_max for row in members)
        effects, intervals = _effects(view, same, column, exactly=with_intervals)
        yield Point(
            start=iso(Micros(start)),
            events=sum(row.events for row in members),
            evidence=e_value(log),
            evidence_log10=log10(log),
            evidence_log10_max=log10(highest) if column is None else None,
            effects=effects,
            intervals=intervals,
        )


def _number(view: BaselineView | None, column: str | None) -> int | None:
    if view is None or column is None:
        return None
    return next((number for number, known in enumerate(view.columns) if known.name == column), None)


def _column_log(row: Window, number: int | None) -> float | None:
    values = np.frombuffer(row.column_evidence, np.float32)
    return float(values[number]) if number is not None and number < len(values) else None


def _effects(
    view: BaselineView | None, rows: Sequence[Window], column: str | None, *, exactly: bool
) -> tuple[Effects, Intervals]:
    counts = [np.frombuffer(row.counts, np.int64) for row in rows]
    if view is None or not counts or any(len(one) != view.total for one in counts):
        return NO_EFFECTS, NO_INTERVALS
    merged = np.sum(counts, axis=0)
    if column is not None and exactly:
        return compared(view, merged, column) or (NO_EFFECTS, NO_INTERVALS)
    by_column = effects_of(view, merged)
    if column is not None:
        return by_column.get(column, NO_EFFECTS), NO_INTERVALS
    largest = {name: _largest(effects.get(name) for effects in by_column.values()) for name in NO_EFFECTS}
    return largest, NO_INTERVALS


def _largest(values: Iterator[float | None]) -> float | None:
    known = [value for value in values if value is not None and math.isfinite(value)]
    return max(known, default=None)


def _moment(text: str, at: str) -> Micros:
    try:
        moment = datetime.fromisoformat(text.strip().replace(" ", "+") if "T" in text else text)
    except ValueError:
        reason = f"must be ISO 8601, as 2026-11-23T10:00:00Z, not {shown(text)}"
        raise Unprocessable("a time cannot be read", places=[Place(at, reason)]) from None
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return Micros((aware - EPOCH) // timedelta(microseconds=1))


class History(View, frozen=True, kw_only=True):
    """Of ``GET .../history``."""

    model: str
    version: str
    column: str | None
    window: str
    points: list[Point]
