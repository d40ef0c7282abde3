"""Evidence and effect sizes over time, from the window rows that the worker keeps."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from service.api.views import EPOCH, View, iso
from service.api.watch import NO_EFFECTS, NO_INTERVALS, Effects, Intervals, e_value, log10
from service.detect.baselines import BaselineView, effect_rows, largest, sized
from service.detect.rolling import Sliding
from service.domain.errors import Place, Unprocessable
from service.domain.ids import Micros
from service.domain.misfits import shown
from service.domain.records import Window

MINUTE_US = 60_000_000
HOUR_US = 60 * MINUTE_US
WIDTHS = {"1m": MINUTE_US, "5m": 5 * MINUTE_US, "1h": HOUR_US, "1d": 24 * HOUR_US}
"""Of windows and of steps; each is a multiple of those before it."""
LEVELS = {"1m": MINUTE_US, "1h": HOUR_US}
"""Of the rows that the worker keeps."""
INTERVALS_MAX, COLUMNS_AT_ONCE = 1_500, 25
"""With more points than this the intervals of effects are left out; of all columns with fewer, if there are many."""
ROWS_MAX = 10_000
CELLS_MAX = 8_000_000
"""Counts that one answer may read: a version with thousands of columns gets fewer points, not a slow service."""
POINTS = 120
"""In an answer whose beginning the caller leaves open."""


class Point(View, frozen=True, kw_only=True):
    """One window with events."""

    start: str
    end: str
    """The newest window may end in the future: it is not over yet."""
    events: int
    evidence: float
    evidence_log10: float | None
    evidence_log10_max: float | None
    """The highest of the model within the window; of a column only its end is kept."""
    effects: Effects
    intervals: Intervals
    """95 %: of a column, or of the largest effect of all columns."""


@dataclass(frozen=True, slots=True)
class Span:
    """What is asked for: one window for each step that begins within [first, last]; the window ends with the step."""

    window: str
    step: str
    first_us: Micros
    last_us: Micros

    @property
    def level(self) -> str:
        """The level of rows to read: the coarsest that has the step."""
        return _level(self.step)

    @property
    def width_us(self) -> int:
        """The width of one window."""
        return WIDTHS[self.window]

    @property
    def step_us(self) -> int:
        """From one point to the next."""
        return WIDTHS[self.step]

    @property
    def rows_from_us(self) -> Micros:
        """Where the first window begins."""
        return Micros(self.first_us + self.step_us - self.width_us)

    @property
    def steps(self) -> int:
        """How many points there can be."""
        return (self.last_us - self.first_us) // self.step_us + 1


def span_of(
    window: str, start: str | None, end: str | None, now_us: Micros, bins: int, step: str | None = None
) -> Span:
    """Return the span of a request; without a step of their own, windows stand side by side.

    Raises
    ------
    Unprocessable
        When a time cannot be read, the span is empty, the step is longer than the window, or it needs more rows than
        one answer may read.
    """
    step = window if step is None else step
    width, pace, row = WIDTHS[window], WIDTHS[step], LEVELS[_level(step)]
    if pace > width:
        reason = f"must not be longer than the window, which is {window}"
        back = Place("window", f"is {window}, shorter than the step, which is {step}")
        raise Unprocessable("windows would leave gaps", places=[Place("step", reason), back])
    allowed = min(ROWS_MAX, CELLS_MAX // max(1, bins))
    if step == window:
        allowed = max(pace // row, allowed)  # one window of any version fits
    rows_max = allowed - (width - pace) // row
    if rows_max < pace // row:
        reason = f"must be longer: with steps of {step} a window of {window} is merged from too many rows"
        raise Unprocessable("the windows need too many rows", places=[Place("step", reason)])
    longest = rows_max * row
    last = now_us if end is None else _moment(end, "to")
    first = last - min(POINTS * pace, longest - row) if start is None else _moment(start, "from")
    first = max(0, first) // pace * pace
    if start is None and (last - first) // row >= rows_max:
        first += pace  # nobody asked for the window that does not fit as a whole
    if first > last:
        places = [Place("from", "must not be after now, where 'to' is left out")]
        if end is not None:
            places = [Place("from", "must not be after 'to'"), Place("to", "must not be before 'from'")]
        raise Unprocessable("the span is empty", places=places)
    if (last - first) // row >= rows_max:
        steps = "" if step == window else f" and step={step}"
        reason = f"the span is too long: at most {longest // MINUTE_US} minutes with window={window}{steps}"
        raise Unprocessable("the span is too long", places=[Place("from", reason)])
    return Span(window, step, Micros(first), Micros(last))


def _level(step: str) -> str:
    return "1m" if WIDTHS[step] < HOUR_US else "1h"


def points_of(
    rows: Sequence[Window], span: Span, baseline_id: str | None, view: BaselineView | None, column: str | None
) -> Iterator[Point]:
    """Yield one point per step whose window has rows, oldest first.

    The effects of the model are the largest over its columns. Rows of another baseline than the one in force have
    other bins: they keep their evidence and lose their effects.
    """
    number = _number(view, column)
    view = None if number is None and column is not None else view
    place = view.columns[number].place if view is not None and number is not None else None
    sliding = Sliding(baseline_id, view.total if view else 0, place)
    with_intervals = _affordable(rows, span, 1 if view is None or column is not None else len(view.columns))
    effects, intervals = NO_EFFECTS, NO_INTERVALS
    for start, entering in _moved(rows, span):
        moved = sliding.drop_before(start)
        for row in entering:
            sliding.push(row)
        last = sliding.last
        if last is None:
            continue
        if moved or entering:
            counts = sliding.counts if sliding.fits else None
            effects, intervals = _effects(view, counts, column, exactly=with_intervals)
        column_log = _column_log(last, number) if last.baseline_id == baseline_id else None
        log = last.evidence_log if column is None else column_log
        yield Point(
            start=iso(Micros(start)),
            end=iso(Micros(start + span.width_us)),
            events=sliding.events,
            evidence=e_value(log),
            evidence_log10=log10(log),
            evidence_log10_max=log10(sliding.highest_log) if column is None else None,
            effects=effects,
            intervals=intervals,
        )


def _affordable(rows: Sequence[Window], span: Span, columns: int) -> bool:
    """Tell whether the intervals of all points are worked out: very many would keep others waiting.

    A millisecond is what those of one column cost, or of 25 at once.
    """
    points = min(span.steps, len(rows) * (1 if span.step == span.window else 2))
    return points * max(1.0, columns / COLUMNS_AT_ONCE) <= INTERVALS_MAX


def _moved(rows: Sequence[Window], span: Span) -> Iterator[tuple[int, Sequence[Window]]]:
    """Yield where the window of each step begins, and the rows that enter it with this step."""
    at = 0
    for begin in range(span.first_us, span.last_us + 1, span.step_us):
        end, since = begin + span.step_us, at
        while at < len(rows) and rows[at].start_us < end:
            at += 1
        yield end - span.width_us, rows[since:at]


def _number(view: BaselineView | None, column: str | None) -> int | None:
    if view is None or column is None:
        return None
    return next((number for number, known in enumerate(view.columns) if known.name == column), None)


def _column_log(row: Window, number: int | None) -> float | None:
    values = np.frombuffer(row.column_evidence, np.float32)
    return float(values[number]) if number is not None and number < len(values) else None


def _effects(
    view: BaselineView | None, counts: NDArray[np.int64] | None, column: str | None, *, exactly: bool
) -> tuple[Effects, Intervals]:
    """Compare counts of all columns, or of one."""
    if view is None or counts is None:
        return NO_EFFECTS, NO_INTERVALS
    if column is not None:
        alone = view.alone(column)
        if not exactly:
            return effect_rows(alone, counts)[0], NO_INTERVALS
        (effects,), (intervals,) = sized(alone, counts)
        return effects, intervals
    return largest(view, counts, exactly=exactly)


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
    step: str
    """From the end of one window to the next; as wide as the window when they stand side by side."""
    points: list[Point]
