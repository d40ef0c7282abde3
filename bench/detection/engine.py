"""The engine as the benchmark runs it: one row a tick, anew after every alarm."""

import math
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from bench.detection.streams import Table, specs
from detectors.baseline import Baseline, compile_baseline
from detectors.binning import bin_rows
from detectors.evidence import EvidenceEngine

CHUNK_CELLS = 2_000_000
CHUNK_ROWS = 1_000


def engine_of(reference: Table) -> EvidenceEngine:
    """Compile a reference in time order."""
    return EvidenceEngine(compile_baseline(specs(reference)).baseline)


def one_row_ticks(baseline: Baseline, bins: NDArray[np.int32]) -> NDArray[np.int64]:
    """Return the counts of ticks with one row each."""
    counts = np.zeros((len(bins), baseline.total), dtype=np.int64)
    counts[np.arange(len(bins))[:, None], bins] = 1
    return counts


def _chunks(engine: EvidenceEngine, bins: NDArray[np.int32], start: int) -> Iterator[NDArray[np.int64]]:
    size = max(1, min(CHUNK_ROWS, CHUNK_CELLS // engine.baseline.total))
    for at in range(start, len(bins), size):
        yield one_row_ticks(engine.baseline, bins[at : at + size])


def alarms(engine: EvidenceEngine, stream: Table, promise: float) -> list[int]:
    """Return the rows of all alarms."""
    found: list[int] = []
    state, at = engine.start(), 0
    for chunk in _chunks(engine, bin_rows(engine.baseline, stream), 0):
        left = chunk
        while len(left):
            run = engine.run(state, np.arange(at, at + len(left)), left, math.log(promise))
            taken = len(run.log_model)
            state, at, left = run.state, at + taken, left[taken:]
            if run.alarm is not None:
                found.append(at - 1)
                state = engine.start()
    return found


def first_alarms(engine: EvidenceEngine, stream: Table, promises: Sequence[float]) -> list[int | None]:
    """Return the row of the first alarm for each promise; one pass serves all."""
    found: list[int | None] = [None] * len(promises)
    state, at = engine.start(), 0
    for chunk in _chunks(engine, bin_rows(engine.baseline, stream), 0):
        run = engine.run(state, np.arange(at, at + len(chunk)), chunk, math.log(max(promises)))
        for i, promise in enumerate(promises):
            reached = np.flatnonzero(run.log_model >= math.log(promise))
            if found[i] is None and len(reached):
                found[i] = at + int(reached[0])
        state, at = run.state, at + len(run.log_model)
        if run.alarm is not None:
            break
    return found
