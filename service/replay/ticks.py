"""Rows to ticks: so many rows each, or all rows of a stretch of time."""

from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from detectors.baseline import Baseline, CategoricalColumn, seasons_of
from detectors.columns import Codes, Values
from service.replay.cells import codes, numbers
from service.replay.divided import Divided
from service.replay.reference import BOOLEANS, load
from service.replay.sources import BATCH_ROWS, Batch, Source, read_batches
from service.replay.times import SPAN_US_MAX, times_of

CHUNK_TICKS = 1_024
CHUNK_CELLS = 4_000_000
"""Counts are held for so many ticks, or so many ticks times bins, at once."""

Progress = Callable[[int], None]
"""Called with the number of rows that have been read since the last call."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cutting:
    """How rows are cut into ticks."""

    rows: int = 1
    """In a tick; without ``time``."""
    time: str | None = None
    """A column of times."""
    us: int = 1_000_000
    """Length of a tick in time."""
    sort: bool = False
    """Whether rows must be put into the order of their times first."""

    @property
    def origin(self) -> int:
        """The number of the tick that 1970 begins with: no tick has a number below 0."""
        return SPAN_US_MAX // self.us + 1

    def start_us(self, number: int) -> int:
        """Return when a tick begins."""
        return (number - self.origin) * self.us

    def seasons(self, numbers: NDArray[np.int64]) -> NDArray[np.int64] | None:
        """Return the seasons of ticks; ``None`` for ticks of rows."""
        return None if self.time is None else seasons_of((numbers - self.origin) * self.us, self.us)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Ticks:
    """Some ticks, one after the other."""

    numbers: NDArray[np.int64]
    """Increasing, from 0."""
    counts: NDArray[np.int64]
    """Of each bin, and behind them the sums of the spaces."""
    ends: NDArray[np.int64]
    """The row after the last one of each."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Span:
    """Rows that were read together, and the ticks that they fall into; the first and the last one may go on outside."""

    first_row: int
    rows: int
    values: dict[str, Values]
    numbers: NDArray[np.int64]
    bounds: NDArray[np.int64]
    """Where each tick begins within these rows, and where the last one ends."""
    labels: dict[str, Codes]
    """Of the columns that tell segments."""


class OutOfOrder(Exception):
    """Rows are not in the order of their times."""


def read_spans(
    source: Source,
    baseline: Baseline,
    cutting: Cutting,
    progress: Progress | None = None,
    tell: tuple[str, ...] = (),
) -> Generator[Span]:
    """Read the values of the watched columns, and the labels of those that ``tell`` segments.

    Raises
    ------
    OutOfOrder
        When a row was before the one above it, unless they are to be sorted.
    ReplayError
        When the content is broken, or a row has no time.
    """
    at, latest = 0, None
    with closing(_batches(source, baseline, cutting, tell)) as batches:
        for batch in batches:
            rows = max((len(array) for array in batch.values()), default=0)
            if not rows:
                continue
            if cutting.time is None:
                found = np.arange(at // cutting.rows, (at + rows - 1) // cutting.rows + 1)
                bounds = np.append(np.maximum(found * cutting.rows - at, 0), rows)
            else:
                array = batch.get(cutting.time, pa.nulls(rows))
                times = times_of(f"{source.path}: column {cutting.time!r}", array, at)
                if (latest is not None and times[0] < latest) or (times[1:] < times[:-1]).any():
                    raise OutOfOrder
                latest = times[-1]
                ticks = times // cutting.us + cutting.origin
                bounds = np.concatenate([[0], np.flatnonzero(ticks[1:] != ticks[:-1]) + 1, [rows]])
                found = ticks[bounds[:-1]]
            values = values_of(baseline, batch, rows)
            labels = {name: labels_of(batch.get(name, pa.nulls(rows, pa.string()))) for name in tell}
            yield Span(first_row=at, rows=rows, values=values, numbers=found, bounds=bounds, labels=labels)
            at += rows
            if progress is not None:
                progress(rows)


def cut_ticks(spans: Iterator[Span], divided: Divided) -> Generator[Ticks]:
    """Count ticks; those that reach over several spans are put together."""
    size = max(1, min(CHUNK_TICKS, CHUNK_CELLS // divided.total))
    held: Ticks | None = None
    for span in spans:
        start = 0
        if held is not None and span.numbers[0] == held.numbers[0]:
            more = _one(span, divided, 0)
            held, start = Ticks(numbers=held.numbers, counts=held.counts + more.counts, ends=more.ends), 1
        last = len(span.numbers) - 1
        if start > last:
            continue
        if held is not None:
            yield held
        for first in range(start, last, size):
            end = min(first + size, last)
            bounds = span.bounds[first : end + 1]
            yield Ticks(
                numbers=span.numbers[first:end],
                counts=divided.count_ticks(span.values, span.labels.get(divided.column), bounds),
                ends=span.first_row + bounds[1:],
            )
        held = _one(span, divided, last)
    if held is not None:
        yield held


def _one(span: Span, divided: Divided, place: int) -> Ticks:
    bounds = span.bounds[place : place + 2]
    return Ticks(
        numbers=span.numbers[place : place + 1],
        counts=divided.count_ticks(span.values, span.labels.get(divided.column), bounds),
        ends=span.first_row + bounds[1:],
    )


def _batches(source: Source, baseline: Baseline, cutting: Cutting, tell: tuple[str, ...]) -> Generator[Batch]:
    made = {name for space in baseline.spaces for name in space.columns}
    names = [name for name in baseline.names if name not in made]
    names += [name for name in dict.fromkeys([cutting.time, *tell]) if name is not None and name not in names]
    if not (cutting.sort and cutting.time is not None):
        yield from read_batches(source, names)
        return
    arrays = load(source, names, "rows, and they are not in the order of their times: sort the file first")
    times = times_of(f"{source.path}: column {cutting.time!r}", arrays[cutting.time], 0)
    order = np.argsort(times, kind="stable")
    for start in range(0, len(order), BATCH_ROWS):
        places = pa.array(order[start : start + BATCH_ROWS])
        yield {name: array.take(places) for name, array in arrays.items()}


def values_of(baseline: Baseline, batch: Batch, rows: int) -> dict[str, Values]:
    """Return what the detectors count of a batch: the columns of a baseline, and the scores of its spaces."""
    values: dict[str, Values] = {}
    made = {name for space in baseline.spaces for name in space.columns}
    for column in baseline.columns:
        if column.spec.name in made:
            continue
        array = batch.get(column.spec.name)
        if array is None:
            # NDJSON leaves a field out instead of writing null: here in every row of this batch.
            array = pa.nulls(rows, pa.string())
        values[column.spec.name] = _labels(column, array) if isinstance(column, CategoricalColumn) else numbers(array)
    for space in baseline.spaces:
        values |= space.values(values, baseline.index)
    return values


def labels_of(array: Any) -> Codes:
    """Read a column that tells segments."""
    found = codes(array)
    if {label.lower() for label in found.labels} <= BOOLEANS:
        return Codes(tuple(label.lower() for label in found.labels), found.codes)
    return found


def _labels(column: CategoricalColumn, array: Any) -> Codes:
    found = codes(array)
    if set(column.labels) <= BOOLEANS:
        spelled = tuple(label.lower() if label.lower() in BOOLEANS else label for label in found.labels)
        return Codes(spelled, found.codes)
    return found
