"""The engine as the benchmark runs it: one row a tick, anew after every alarm."""

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bench.detection.joint import compile_table, with_scores
from bench.detection.streams import Table, Times
from detectors.baseline import Baseline, seasons_of
from detectors.binning import bin_rows
from detectors.evidence import EvidenceEngine, EvidenceOptions
from detectors.sums import tick_sums

CHUNK_CELLS = 2_000_000
CHUNK_TICKS = 1_000
SEASONS_BYTES = 256_000_000
HOUR_US = 3_600_000_000
MINIMUM_EFFECT = 0.02
"""Less than the 0.05 of a policy: peers have no such tolerance."""
WEEK_HOURS = 168
REBUILT = 10
"""Ticks."""


def engine_of(reference: Table, tick_rows: int = 1, times: Times | None = None) -> EvidenceEngine:
    """Compile a reference in time order; with times, also what follows the hours."""
    options = EvidenceOptions(minimum_effect=MINIMUM_EFFECT, tick_events=float(tick_rows))
    return EvidenceEngine(compile_table(reference, times), options, seasons_bytes=SEASONS_BYTES)


def seasons(times: Times, tick_rows: int) -> Times:
    """Return the seasons of ticks of so many rows."""
    first, last = times[::tick_rows], times[tick_rows - 1 :: tick_rows]
    first = first[: len(last)]
    further = np.minimum(last // HOUR_US - first // HOUR_US, WEEK_HOURS - 1)
    return np.asarray(seasons_of(first, 1) + WEEK_HOURS * further)


def ticks_of(baseline: Baseline, bins: NDArray[np.int32], tick_rows: int) -> NDArray[np.int64]:
    """Return the counts of ticks, without their sums."""
    ticks = len(bins) // tick_rows
    cells = np.repeat(np.arange(ticks), tick_rows)[:, None] * baseline.total + bins
    return np.bincount(cells.ravel(), minlength=ticks * baseline.total).reshape(ticks, baseline.total)


def _chunks(engine: EvidenceEngine, stream: Table, tick_rows: int = 1) -> Iterator[NDArray[np.int64]]:
    baseline = engine.baseline
    values = with_scores(baseline, stream)
    bins = bin_rows(baseline, values)
    bins = bins[: len(bins) // tick_rows * tick_rows]
    size = tick_rows * max(1, min(CHUNK_TICKS, CHUNK_CELLS // baseline.total))
    for at in range(0, len(bins), size):
        rows = bins[at : at + size]
        bounds = np.arange(at, at + len(rows) + 1, tick_rows)
        yield np.concatenate([ticks_of(baseline, rows, tick_rows), tick_sums(baseline, values, bounds)], axis=1)


def alarms(engine: EvidenceEngine, stream: Table, promise: float, times: Times | None = None) -> list[int]:
    """Return the rows of all alarms."""
    return [row for row, _ in blamed_alarms(engine, stream, promise, times=times)]


def blamed_alarms(
    engine: EvidenceEngine, stream: Table, promise: float, tick_rows: int = 1, times: Times | None = None
) -> list[tuple[int, tuple[str, ...]]]:
    """Return the last row of each tick that alarmed, and the columns blamed. Rows that fill no tick are left out."""
    return [(alarm.row, alarm.blamed) for alarm in all_alarms(engine, stream, promise, tick_rows, times)]


class Alarm(NamedTuple):
    """One alarm."""

    row: int
    """The last one of the tick that alarmed."""
    blamed: tuple[str, ...]
    again: bool
    """Whether the change began when the engine started anew after the alarm before: what had changed has stayed so."""


def all_alarms(
    engine: EvidenceEngine, stream: Table, promise: float, tick_rows: int = 1, times: Times | None = None
) -> list[Alarm]:
    """Return all alarms."""
    found: list[Alarm] = []
    began = 0
    state, tick = engine.start(), 0
    hours = seasons(times, tick_rows) if engine.seasonal and times is not None else None
    for chunk in _chunks(engine, stream, tick_rows):
        left = chunk
        while len(left):
            own = None if hours is None else hours[tick : tick + len(left)]
            run = engine.run(state, np.arange(tick, tick + len(left)), left, math.log(promise), own)
            taken = len(run.log_model)
            state, tick, left = run.state, tick + taken, left[taken:]
            if run.alarm is not None:
                blames = engine.blame(state, math.log(promise))
                again = bool(found) and blames[0].since_tick <= began + REBUILT
                found.append(Alarm(tick * tick_rows - 1, tuple(blame.name for blame in blames), again))
                state, began = engine.start(), tick
    return found


def first_alarms(
    engine: EvidenceEngine, stream: Table, promises: Sequence[float], times: Times | None = None
) -> list[int | None]:
    """Return the row of the first alarm for each promise; one pass serves all."""
    found: list[int | None] = [None] * len(promises)
    state, at = engine.start(), 0
    hours = seasons(times, 1) if engine.seasonal and times is not None else None
    for chunk in _chunks(engine, stream):
        own = None if hours is None else hours[at : at + len(chunk)]
        run = engine.run(state, np.arange(at, at + len(chunk)), chunk, math.log(max(promises)), own)
        for i, promise in enumerate(promises):
            reached = np.flatnonzero(run.log_model >= math.log(promise))
            if found[i] is None and len(reached):
                found[i] = at + int(reached[0])
        state, at = run.state, at + len(run.log_model)
        if run.alarm is not None:
            break
    return found
