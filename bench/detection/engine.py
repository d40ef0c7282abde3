"""The engine as the benchmark runs it: one row a tick, anew after every alarm."""

import math
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from bench.detection.joint import compile_table, with_scores
from bench.detection.streams import Table, Times
from detectors.baseline import Baseline, seasons_of
from detectors.binning import bin_rows
from detectors.evidence import EvidenceEngine, EvidenceOptions

CHUNK_CELLS = 2_000_000
CHUNK_TICKS = 1_000
SEASONS_BYTES = 256_000_000
HOUR_US = 3_600_000_000
WEEK_HOURS = 168


def engine_of(reference: Table, tick_rows: int = 1, times: Times | None = None) -> EvidenceEngine:
    """Compile a reference in time order; with times, also what follows the hours."""
    options = EvidenceOptions(tick_events=float(tick_rows))
    return EvidenceEngine(compile_table(reference, times), options, seasons_bytes=SEASONS_BYTES)


def seasons(times: Times, tick_rows: int) -> Times:
    """Return the seasons of ticks of so many rows."""
    first, last = times[::tick_rows], times[tick_rows - 1 :: tick_rows]
    first = first[: len(last)]
    further = np.minimum(last // HOUR_US - first // HOUR_US, WEEK_HOURS - 1)
    return np.asarray(seasons_of(first, 1) + WEEK_HOURS * further)


def ticks_of(baseline: Baseline, bins: NDArray[np.int32], tick_rows: int) -> NDArray[np.int64]:
    """Return the counts of ticks."""
    ticks = len(bins) // tick_rows
    cells = np.repeat(np.arange(ticks), tick_rows)[:, None] * baseline.total + bins
    return np.bincount(cells.ravel(), minlength=ticks * baseline.total).reshape(ticks, baseline.total)


def _chunks(engine: EvidenceEngine, bins: NDArray[np.int32], tick_rows: int = 1) -> Iterator[NDArray[np.int64]]:
    size = tick_rows * max(1, min(CHUNK_TICKS, CHUNK_CELLS // engine.baseline.total))
    for at in range(0, len(bins), size):
        yield ticks_of(engine.baseline, bins[at : at + size], tick_rows)


def alarms(engine: EvidenceEngine, stream: Table, promise: float, times: Times | None = None) -> list[int]:
    """Return the rows of all alarms."""
    return [row for row, _ in blamed_alarms(engine, stream, promise, times=times)]


def blamed_alarms(
    engine: EvidenceEngine, stream: Table, promise: float, tick_rows: int = 1, times: Times | None = None
) -> list[tuple[int, tuple[str, ...]]]:
    """Return the last row of each tick that alarmed, and the columns blamed. Rows that fill no tick are left out."""
    found: list[tuple[int, tuple[str, ...]]] = []
    bins = bin_rows(engine.baseline, with_scores(engine.baseline, stream))
    bins = bins[: len(bins) // tick_rows * tick_rows]
    state, tick = engine.start(), 0
    hours = seasons(times, tick_rows) if engine.seasonal and times is not None else None
    for chunk in _chunks(engine, bins, tick_rows):
        left = chunk
        while len(left):
            own = None if hours is None else hours[tick : tick + len(left)]
            run = engine.run(state, np.arange(tick, tick + len(left)), left, math.log(promise), own)
            taken = len(run.log_model)
            state, tick, left = run.state, tick + taken, left[taken:]
            if run.alarm is not None:
                names = tuple(blame.name for blame in engine.blame(state, math.log(promise)))
                found.append((tick * tick_rows - 1, names))
                state = engine.start()
    return found


def first_alarms(
    engine: EvidenceEngine, stream: Table, promises: Sequence[float], times: Times | None = None
) -> list[int | None]:
    """Return the row of the first alarm for each promise; one pass serves all."""
    found: list[int | None] = [None] * len(promises)
    state, at = engine.start(), 0
    hours = seasons(times, 1) if engine.seasonal and times is not None else None
    for chunk in _chunks(engine, bin_rows(engine.baseline, with_scores(engine.baseline, stream))):
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
