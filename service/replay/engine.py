"""Run a file through the detectors, tick by tick."""

import math
from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from detectors.baseline import Baseline, CategoricalColumn
from detectors.binning import bin_rows, count
from detectors.columns import Codes, Values
from detectors.effects import effect_sizes
from detectors.evidence import Blame, EvidenceEngine, EvidenceOptions, EvidenceState
from service.replay.cells import codes, numbers
from service.replay.reference import BOOLEANS, Choice, choose
from service.replay.sources import Batch, Format, ReplayError, Source, open_source, read_batches

EFFECT_NAMES = ("psi", "js", "ks", "wasserstein")
CHUNK_TICKS = 1_024
CHUNK_CELLS = 4_000_000
"""Counts are held for so many ticks, or so many ticks times bins, at once."""
SINGLE_ROWS_MAX = 16
"""Up to so many rows a tick, binning single rows is faster than counting tick by tick."""
TICK_ROWS_MAX = 10_000_000
BUDGET_MAX = 1e15


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayOptions:
    """How to replay.

    Parameters
    ----------
    tick_rows : int
        Rows in a tick; at least 1.
    budget : float
        The promised mean number of ticks between false alarms; above 1.
    columns : tuple of str or None
        Watch exactly these columns, each by itself; None watches all that both files share.
    ignore : tuple of str
        Columns not to watch.
    together : bool
        Look at all shared columns together as well: for changes that no column shows by itself.
    """

    tick_rows: int = 1
    budget: float = 100_000.0
    columns: tuple[str, ...] | None = None
    ignore: tuple[str, ...] = ()
    together: bool = True

    def __post_init__(self) -> None:
        if not 1 <= self.tick_rows <= TICK_ROWS_MAX:
            raise ReplayError(f"--tick-rows is {self.tick_rows}; it must be from 1 to {TICK_ROWS_MAX}")
        if not 1.0 < self.budget <= BUDGET_MAX:
            raise ReplayError(f"--budget is {self.budget:g}; it must be above 1 and at most {BUDGET_MAX:g}")


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayAlarm:
    """One alarm. Rows count from 0."""

    row: int
    """The last row of the tick that alarmed."""
    since_row: int
    """The first row of the tick in which the change began, as far as can be told."""
    blames: tuple[Blame, ...]
    """The columns that changed, strongest first."""
    evidence_log10: float
    effects: dict[str, dict[str, float | None]]
    """By blamed column, over the rows from ``since_row`` to ``row``; None where undefined."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayResult:
    """What a replay saw."""

    rows: int
    ticks: int
    budget: float
    columns: tuple[str, ...]
    """What was watched."""
    alarms: tuple[ReplayAlarm, ...]
    warnings: tuple[str, ...]


def replay_file(path: Path, baseline_path: Path, options: ReplayOptions) -> ReplayResult:
    """Run a file through the detectors. After an alarm the engine starts anew.

    Parameters
    ----------
    path : Path
        CSV, NDJSON, Parquet or Arrow IPC (file or stream), plain or gzipped.
    baseline_path : Path
        Reference data in any of these formats, at most 5,000,000 rows; or a saved baseline.
    options : ReplayOptions
        Ticks, budget and columns.

    Returns
    -------
    ReplayResult
        Alarms and warnings.

    Raises
    ------
    ReplayError
        When something cannot be read or does not fit, in one line.
    """
    source, reference = open_source(path), open_source(baseline_path)
    together = options.together and options.columns is None
    if source.format is Format.BASELINE:
        raise ReplayError(f"{path}: a saved baseline has no rows to replay; it belongs to --baseline")
    watched = choose(reference, source, Choice(columns=options.columns, ignore=options.ignore, together=together))
    rows, alarms = _detect(source, watched.baseline, options)
    return ReplayResult(
        rows=rows,
        ticks=-(-rows // options.tick_rows),
        budget=options.budget,
        columns=watched.baseline.names,
        alarms=tuple(_with_effects(source, watched.baseline, alarms)),
        warnings=watched.warnings,
    )


def _detect(source: Source, baseline: Baseline, options: ReplayOptions) -> tuple[int, list[ReplayAlarm]]:
    engine = EvidenceEngine(baseline, EvidenceOptions(tick_events=float(options.tick_rows)))
    state = engine.start()
    alarms: list[ReplayAlarm] = []
    rows = tick = 0
    with closing(_read(source, baseline)) as batches:
        for counts, taken in _ticks(batches, baseline, options.tick_rows):
            rows += taken
            left = counts
            while len(left):
                numbered = np.arange(tick, tick + len(left))
                state, seen, alarm = _until_alarm(engine, state, (numbered, left), options)
                tick += seen
                left = left[seen:]
                if alarm is not None:
                    alarms.append(replace(alarm, row=min(tick * options.tick_rows, rows) - 1))
    return rows, alarms


def _until_alarm(
    engine: EvidenceEngine,
    state: EvidenceState,
    ticks: tuple[NDArray[np.int64], NDArray[np.int64]],
    options: ReplayOptions,
) -> tuple[EvidenceState, int, ReplayAlarm | None]:
    """Take ticks up to the first alarm; return the state to go on with, how many were taken, and the alarm."""
    threshold = math.log(options.budget)
    run = engine.run(state, *ticks, threshold)
    if run.alarm is None:
        return run.state, len(run.log_model), None
    blames = engine.blame(run.state, threshold)
    alarm = ReplayAlarm(
        row=-1,
        since_row=blames[0].since_tick * options.tick_rows,
        blames=blames,
        evidence_log10=float(run.log_model[-1]) / math.log(10.0),
        effects={},
    )
    return engine.start(), len(run.log_model), alarm


def _read(source: Source, baseline: Baseline) -> Generator[tuple[int, dict[str, Values]]]:
    """Read batches as the values of the watched columns."""
    with closing(read_batches(source, baseline.names)) as batches:
        for batch in batches:
            rows = max((len(array) for array in batch.values()), default=0)
            if rows:
                yield rows, _values(baseline, batch, rows)


def _values(baseline: Baseline, batch: Batch, rows: int) -> dict[str, Values]:
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
        values |= space.scores(values, baseline.index)
    return values


def _labels(column: CategoricalColumn, array: Any) -> Codes:
    found = codes(array)
    if set(column.labels) <= BOOLEANS:
        spelled = tuple(label.lower() if label.lower() in BOOLEANS else label for label in found.labels)
        return Codes(spelled, found.codes)
    return found


def _ticks(
    batches: Iterator[tuple[int, dict[str, Values]]], baseline: Baseline, tick_rows: int
) -> Iterator[tuple[NDArray[np.int64], int]]:
    """Cut rows into ticks: yield the counts of some whole ticks, and how many rows they hold; the rest comes last."""
    rest, held = np.zeros(baseline.total, dtype=np.int64), 0
    size = max(1, min(CHUNK_TICKS, CHUNK_CELLS // baseline.total))
    for rows, values in batches:
        start = 0
        if held:
            start = min(tick_rows - held, rows)
            rest = rest + count(baseline, _slice(values, 0, start))
            held += start
            if held == tick_rows:
                yield rest[None], held
                rest, held = np.zeros_like(rest), 0
        while rows - start >= tick_rows:
            ticks = min(size, (rows - start) // tick_rows)
            part = _slice(values, start, start + ticks * tick_rows)
            yield _count_ticks(baseline, part, ticks, tick_rows), ticks * tick_rows
            start += ticks * tick_rows
        if start < rows:
            rest = rest + count(baseline, _slice(values, start, rows))
            held += rows - start
    if held:
        yield rest[None], held


def _count_ticks(baseline: Baseline, values: dict[str, Values], ticks: int, tick_rows: int) -> NDArray[np.int64]:
    if tick_rows > SINGLE_ROWS_MAX:
        parts = (_slice(values, i * tick_rows, (i + 1) * tick_rows) for i in range(ticks))
        return np.array([count(baseline, part) for part in parts])
    bins = bin_rows(baseline, values).astype(np.int64)
    tick_of_row = np.repeat(np.arange(ticks), tick_rows)
    cells = (tick_of_row[:, None] * baseline.total + bins).ravel()
    return np.bincount(cells, minlength=ticks * baseline.total).reshape(ticks, baseline.total)


def _slice(values: dict[str, Values], start: int, stop: int) -> dict[str, Values]:
    return {
        name: Codes(v.labels, v.codes[start:stop]) if isinstance(v, Codes) else v[start:stop]
        for name, v in values.items()
    }


def _with_effects(source: Source, baseline: Baseline, alarms: list[ReplayAlarm]) -> Iterator[ReplayAlarm]:
    """Read the file once more and count the rows of each alarm. Their spans do not overlap and come in order."""
    if not alarms:
        return
    merged = np.zeros((len(alarms), baseline.total), dtype=np.int64)
    at = current = 0
    with closing(_read(source, baseline)) as batches:
        for rows, values in batches:
            while current < len(alarms) and alarms[current].since_row < at + rows:
                first, last = max(alarms[current].since_row, at), min(alarms[current].row + 1, at + rows)
                merged[current] += count(baseline, _slice(values, first - at, last - at))
                if alarms[current].row >= at + rows:
                    break
                current += 1
            at += rows
    for alarm, counts in zip(alarms, merged, strict=True):
        effects = effect_sizes(baseline, counts)
        named: dict[str, dict[str, float | None]] = {}
        for blame in alarm.blames:
            place = baseline.index[blame.name]
            found = {name: float(getattr(effects, name)[place]) for name in EFFECT_NAMES}
            named[blame.name] = {name: value if math.isfinite(value) else None for name, value in found.items()}
        yield replace(alarm, effects=named)
