"""Run a file through the detectors, tick by tick."""

import math
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from detectors.baseline import Baseline
from detectors.binning import count
from detectors.effects import effect_sizes
from detectors.evidence import Blame, EvidenceEngine, EvidenceOptions, EvidenceState
from service.replay.counting import cut
from service.replay.reference import Choice, choose
from service.replay.sources import Format, ReplayError, Source, open_source
from service.replay.ticks import Cutting, Span, cut_ticks, read_spans

EFFECT_NAMES = ("psi", "js", "ks", "wasserstein")
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
        Watch exactly these columns; None watches all that both files share.
    ignore : tuple of str
        Columns not to watch.
    calibrate : bool
        Whether evidence heeds how much the reference's rows move together; False is for comparison.
    """

    tick_rows: int = 1
    budget: float = 100_000.0
    columns: tuple[str, ...] | None = None
    ignore: tuple[str, ...] = ()
    calibrate: bool = True

    def __post_init__(self) -> None:
        if not 1 <= self.tick_rows <= TICK_ROWS_MAX:
            raise ReplayError(f"--tick-rows is {self.tick_rows}; it must be from 1 to {TICK_ROWS_MAX}")
        if not 1.0 < self.budget <= BUDGET_MAX:
            raise ReplayError(f"--budget is {self.budget:g}; it must be above 1 and at most {BUDGET_MAX:g}")

    @property
    def cutting(self) -> Cutting:
        """How rows are cut into ticks."""
        return Cutting(rows=self.tick_rows)

    @property
    def evidence(self) -> EvidenceOptions:
        """What the engine is told."""
        return EvidenceOptions(tick_events=float(self.tick_rows), calibrate=self.calibrate)


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
    if source.format is Format.BASELINE:
        raise ReplayError(f"{path}: a saved baseline has no rows to replay; it belongs to --baseline")
    watched = choose(reference, source, Choice(columns=options.columns, ignore=options.ignore))
    spans = read_spans(source, watched.baseline, options.cutting)
    with closing(spans):
        found = _detect(spans, EvidenceEngine(watched.baseline, options.evidence), options.budget)
    return ReplayResult(
        rows=found.rows,
        ticks=found.ticks,
        budget=options.budget,
        columns=watched.baseline.names,
        alarms=tuple(_with_effects(source, watched.baseline, options.cutting, found.alarms)),
        warnings=watched.warnings,
    )


@dataclass(slots=True, kw_only=True)
class _Detected:
    """What one pass over the file saw; alarms without effects."""

    alarms: list[ReplayAlarm]
    rows: int = 0
    ticks: int = 0


class _Since:
    """The first row of each tick since the evidence last started anew."""

    def __init__(self) -> None:
        self._numbers: list[NDArray[np.int64]] = []
        self._starts: list[NDArray[np.int64]] = []

    def add(self, numbers: NDArray[np.int64], starts: NDArray[np.int64]) -> None:
        self._numbers.append(numbers)
        self._starts.append(starts)

    def first_row(self, tick: int) -> int:
        return int(np.concatenate(self._starts)[np.searchsorted(np.concatenate(self._numbers), tick)])


def _detect(spans: Iterator[Span], engine: EvidenceEngine, budget: float) -> _Detected:
    state, since, threshold = engine.start(), _Since(), math.log(budget)
    found = _Detected(alarms=[])
    for ticks in cut_ticks(spans, engine.baseline):
        starts = np.concatenate([[found.rows], ticks.ends[:-1]])
        at = 0
        while at < len(ticks.numbers):
            run = engine.run(state, ticks.numbers[at:], ticks.counts[at:], threshold)
            state, first = run.state, at
            at += len(run.log_model)
            since.add(ticks.numbers[first:at], starts[first:at])
            if run.alarm is not None:
                found.alarms.append(_alarm(engine, state, since, int(ticks.ends[at - 1]) - 1, threshold))
                state, since = engine.start(), _Since()
        found.rows = int(ticks.ends[-1])
        found.ticks += len(ticks.numbers)
    return found


def _alarm(engine: EvidenceEngine, state: EvidenceState, since: _Since, row: int, threshold: float) -> ReplayAlarm:
    blames = engine.blame(state, threshold)
    return ReplayAlarm(
        row=row,
        since_row=since.first_row(blames[0].since_tick),
        blames=blames,
        evidence_log10=engine.read(state).log_model / math.log(10.0),
        effects={},
    )


def _with_effects(
    source: Source, baseline: Baseline, cutting: Cutting, alarms: list[ReplayAlarm]
) -> Iterator[ReplayAlarm]:
    """Read the file once more and count the rows of each alarm. Their spans do not overlap and come in order."""
    if not alarms:
        return
    merged = np.zeros((len(alarms), baseline.total), dtype=np.int64)
    current = 0
    with closing(read_spans(source, baseline, cutting)) as spans:
        for span in spans:
            at, end = span.first_row, span.first_row + span.rows
            while current < len(alarms) and alarms[current].since_row < end:
                first, last = max(alarms[current].since_row, at), min(alarms[current].row + 1, end)
                merged[current] += count(baseline, cut(span.values, first - at, last - at))
                if alarms[current].row >= end:
                    break
                current += 1
    for alarm, counts in zip(alarms, merged, strict=True):
        effects = effect_sizes(baseline, counts)
        named: dict[str, dict[str, float | None]] = {}
        for blame in alarm.blames:
            place = baseline.index[blame.name]
            found = {name: float(getattr(effects, name)[place]) for name in EFFECT_NAMES}
            named[blame.name] = {name: value if math.isfinite(value) else None for name, value in found.items()}
        yield replace(alarm, effects=named)
