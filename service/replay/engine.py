"""Run a file through the detectors, tick by tick."""

import math
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from detectors.baseline import Baseline
from detectors.evidence import Blame, EvidenceEngine, EvidenceOptions, Together
from service.detect.tuning import all_lacking, fit
from service.domain.policy import MINIMUM_EFFECT
from service.replay.ahead import ahead
from service.replay.deeds import Lane, WhatIf
from service.replay.divided import Divided
from service.replay.measure import Limits, Measure, Sizes
from service.replay.policies import Given
from service.replay.reference import Choice, Watched, choose
from service.replay.segments import Division, Segmenter, of_policy
from service.replay.sources import Format, ReplayError, Source, open_source
from service.replay.ticks import Cutting, OutOfOrder, Span, Ticks, cut_ticks, read_spans
from service.replay.times import SECOND_US

TICK_ROWS_MAX = 10_000_000
BUDGET_MAX = 1e15

Report = Callable[[str, int], None]
"""Called with a part of the work and how many more rows it has read."""


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
    calibrate : bool
        Whether evidence heeds how much the reference's rows move together; False is for comparison.
    time : str or None
        A column of times: ticks are stretches of time, instead of rows.
    tick_us : int
        Microseconds in such a tick.
    minimum_effect : float
        The smallest change worth an alarm, in standard deviations; by default that of a policy.
    policies : pair of Given or None
        Two policies to compare, the current one first.
    segments : Division or None
        Parts of the rows that have evidence of their own.
    """

    tick_rows: int = 1
    budget: float = 100_000.0
    columns: tuple[str, ...] | None = None
    ignore: tuple[str, ...] = ()
    together: bool = True
    calibrate: bool = True
    time: str | None = None
    tick_us: int = SECOND_US
    minimum_effect: float = MINIMUM_EFFECT
    policies: tuple[Given, Given] | None = None
    segments: Division | None = None

    def __post_init__(self) -> None:
        if not 1 <= self.tick_rows <= TICK_ROWS_MAX:
            raise ReplayError(f"--tick-rows is {self.tick_rows}; it must be from 1 to {TICK_ROWS_MAX}")
        if not 1.0 < self.budget <= BUDGET_MAX:
            raise ReplayError(f"--budget is {self.budget:g}; it must be above 1 and at most {BUDGET_MAX:g}")

    @property
    def cutting(self) -> Cutting:
        """How rows are cut into ticks."""
        return Cutting(rows=self.tick_rows, time=self.time, us=self.tick_us)

    @property
    def evidence(self) -> EvidenceOptions:
        """What the engine is told."""
        events = 1.0 if self.time is not None else float(self.tick_rows)
        return EvidenceOptions(minimum_effect=self.minimum_effect, tick_events=events, calibrate=self.calibrate)

    def lane_of(self, given: Given, baseline: Baseline) -> Lane:
        """Return what a policy asks of cutting and of the engine."""
        us = round(given.policy.tick_seconds * SECOND_US)
        fitted = fit(given.policy.tuning, baseline)
        return Lane(
            cutting=replace(self.cutting, us=us),
            evidence=replace(fitted.options, tick_events=self.evidence.tick_events, calibrate=self.calibrate),
            insufficient=fitted.insufficient,
            notes=tuple(f"{given.name}: {note.at.removeprefix('policy.')}: {note.reason}" for note in fitted.notes),
            division=of_policy(given.policy.segments),
            tuning=given.policy.tuning,
        )

    def lanes(self, baseline: Baseline) -> list[Lane]:
        """Return what the current and the new policy ask for; what the command line alone asks for without policies."""
        if self.policies is None:
            return [Lane(cutting=self.cutting, evidence=self.evidence, division=self.segments)]
        return [self.lane_of(given, baseline) for given in self.policies]


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
    effects: dict[str, Sizes]
    """By name of what is blamed, over its rows from ``since_row`` to ``row``; None where undefined."""
    intervals: dict[str, Limits] = field(default_factory=dict)
    """The same with the ends of 95 % intervals; empty for alarms after the first thousand."""
    at_us: int | None = None
    """When the tick that alarmed began; None without times."""
    since_us: int | None = None
    inside: tuple[str | None, ...] = ()
    """The segment that each blame speaks of, such as ``region=eu``; None for all rows. Empty without segments."""

    @property
    def names(self) -> tuple[str, ...]:
        """What is blamed, as people read it: ``age``, or ``age in region=eu``."""
        inside = self.inside or (None,) * len(self.blames)
        told = zip(self.blames, inside, strict=True)
        return tuple(blame.name if segment is None else f"{blame.name} in {segment}" for blame, segment in told)


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
    what_if: WhatIf | None = None
    segments: tuple[str, ...] = ()
    """Those with evidence of their own."""


def replay_file(path: Path, baseline_path: Path, options: ReplayOptions, report: Report | None = None) -> ReplayResult:
    """Run a file through the detectors. After an alarm the engine starts anew.

    Parameters
    ----------
    path : Path
        CSV, NDJSON, Parquet or Arrow IPC (file or stream), plain or gzipped.
    baseline_path : Path
        Reference data in any of these formats, at most 5,000,000 rows; or a saved baseline.
    options : ReplayOptions
        Ticks, budget and columns.
    report : callable, optional
        Called with each part of the work and the number of rows it has read.

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
    choice = Choice(columns=options.columns, ignore=options.ignore, together=together, time=options.time)
    watched = choose(reference, source, choice)
    segmenter = Segmenter(reference, source, watched.baseline, options.time)
    reader = _Reader(source, watched.baseline, report, segmenter)
    try:
        return _replay(reader, watched, options, options.cutting)
    except OutOfOrder:
        warning = f"{path.name}: rows are not in the order of {options.time!r}; they were sorted in memory"
        sorted_ = replace(watched, warnings=(*watched.warnings, warning))
        cutting = replace(options.cutting, sort=True)
        return _replay(reader, sorted_, options, cutting)


@dataclass(frozen=True, slots=True)
class _Reader:
    """Reads the watched columns, as often as needed."""

    source: Source
    baseline: Baseline
    report: Report | None
    segmenter: Segmenter

    def spans(self, cutting: Cutting, what: str) -> Generator[Span]:
        progress = self.report and partial(self.report, what)
        return read_spans(self.source, self.baseline, cutting, progress, self.segmenter.columns)


def _replay(reader: _Reader, watched: Watched, options: ReplayOptions, cutting: Cutting) -> ReplayResult:
    lanes = options.lanes(watched.baseline)
    divided = reader.segmenter.divided(lanes[-1].division)
    budget = options.budget if lanes[-1].insufficient is None else math.inf
    with closing(reader.spans(cutting, "evidence")) as spans, ahead(cut_ticks(spans, divided)) as ticks:
        engine = divided.engine(lanes[-1].evidence, lanes[-1].tuning)
        found = _detect(ticks, divided, engine, budget, cutting)
    what_if = None
    if options.policies is not None:
        from service.replay.what_if import compare  # with all of the service's decisions, which take a while to import

        what_if = compare(
            reader.segmenter,
            options.policies,
            lanes,
            lambda own: reader.spans(replace(own, sort=cutting.sort), "what if"),
        )
    return ReplayResult(
        rows=found.rows,
        ticks=found.ticks,
        budget=options.budget,
        columns=watched.baseline.names,
        alarms=tuple(_with_effects(reader, divided, cutting, found.alarms)),
        warnings=(
            *watched.warnings,
            *reader.source.notes,
            *_said(lanes, engine.engines[0]),
            *dict.fromkeys(reader.segmenter.warnings),
        ),
        what_if=what_if,
        segments=tuple(name for name in divided.names if name is not None),
    )


def _said(lanes: list[Lane], engine: EvidenceEngine) -> Iterator[str]:
    """Yield why the service would raise no alarm, if it would not, and what policies say without effect."""
    insufficient = all_lacking(lanes[-1].insufficient, engine.insufficient)
    if insufficient is not None:
        yield f"no promise can be kept, and in the service nothing would alarm: {insufficient}"
    yield from dict.fromkeys(note for lane in lanes for note in lane.notes)


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


def _detect(parts: Iterator[Ticks], divided: Divided, engine: Together, budget: float, cutting: Cutting) -> _Detected:
    states, since, threshold = engine.start(), _Since(), math.log(budget)
    found = _Detected(alarms=[])
    for ticks in parts:
        starts = np.concatenate([[found.rows], ticks.ends[:-1]])
        at = 0
        while at < len(ticks.numbers):
            seasons = cutting.seasons(ticks.numbers[at:])
            run = engine.run(states, ticks.numbers[at:], ticks.counts[at:], threshold, seasons)
            states, first = run.states, at
            at += len(run.log_model)
            since.add(ticks.numbers[first:at], starts[first:at])
            if run.alarm is not None:
                row = int(ticks.ends[at - 1]) - 1
                blames = engine.blame(states, threshold)
                alarm = _alarm(blames, divided, since, row, engine.read(states))
                found.alarms.append(alarm if cutting.time is None else _timed(alarm, states[0].last_tick, cutting))
                states, since = engine.start(), _Since()
        found.rows = int(ticks.ends[-1])
        found.ticks += len(ticks.numbers)
    return found


def _alarm(
    blames: Sequence[tuple[int, Blame]], divided: Divided, since: _Since, row: int, log_evidence: float
) -> ReplayAlarm:
    return ReplayAlarm(
        row=row,
        since_row=since.first_row(blames[0][1].since_tick),
        blames=tuple(blame for _, blame in blames),
        evidence_log10=log_evidence / math.log(10.0),
        effects={},
        inside=tuple(divided.names[part] for part, _ in blames) if divided.parts else (),
    )


def _timed(alarm: ReplayAlarm, tick: int, cutting: Cutting) -> ReplayAlarm:
    since = alarm.blames[0].since_tick
    return replace(alarm, at_us=cutting.start_us(tick), since_us=cutting.start_us(since))


def _with_effects(
    reader: _Reader, divided: Divided, cutting: Cutting, alarms: list[ReplayAlarm]
) -> Iterator[ReplayAlarm]:
    """Read the file once more and count the rows of each alarm. Their spans do not overlap and come in order."""
    if not alarms:
        return
    merged = np.zeros((len(alarms), divided.total), dtype=np.int64)
    current = 0
    with ahead(reader.spans(cutting, "effects")) as spans:
        for span in spans:
            at, end = span.first_row, span.first_row + span.rows
            labels = span.labels.get(divided.column)
            while current < len(alarms) and alarms[current].since_row < end:
                first, last = max(alarms[current].since_row, at), min(alarms[current].row + 1, end)
                merged[current] += divided.count_ticks(span.values, labels, np.array([first - at, last - at]))[0]
                if alarms[current].row >= end:
                    break
                current += 1
    measure = Measure(divided)
    for alarm, counts in zip(alarms, merged, strict=True):
        inside = alarm.inside or (None,) * len(alarm.blames)
        effects, intervals = measure.of(counts, list(zip(alarm.names, alarm.blames, inside, strict=True)))
        yield replace(alarm, effects=effects, intervals=intervals)
