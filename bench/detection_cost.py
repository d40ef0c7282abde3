"""What looking at all inputs together costs: microseconds per event and per tick, and seconds to fit.

Run ``python -m bench.detection_cost``; it prints the table of docs/detectors.md. Medians of repeats on one thread,
events 1,000 at a time; a tick that comes alone, and one of 100 that come together.
"""

import os
import sys
import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from bench.detection.joint import EMBEDDING
from bench.run import SINGLE_THREADED
from detectors.baseline import Baseline, add_spaces, compile_baseline
from detectors.binning import count
from detectors.columns import ColumnKind, ColumnSpec, Values
from detectors.evidence import EvidenceEngine
from detectors.sums import sums_of

EVENTS, TICKS, REPEATS = 1_000, 100, 15
REFERENCE = 20_000
CASES = (
    ("20 numeric", 20, 0, REFERENCE),
    ("64 numeric", 64, 0, REFERENCE),
    ("100 numeric (no pairs)", 100, 0, REFERENCE),
    ("embedding of 16 components, beside 4 numeric", 4, 16, REFERENCE),
    ("embedding of 128, likewise", 4, 128, REFERENCE),
    ("embedding of 4,096 (projected), likewise", 4, 4_096, 3_000),
)


def median(work: Callable[[], object]) -> float:
    """Return the median time of a piece of work in microseconds."""
    work()
    found = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        work()
        found.append(time.perf_counter() - start)
    return float(np.median(found)) * 1e6


def valued(baseline: Baseline, columns: dict[str, Values], vectors: NDArray[np.float32]) -> dict[str, Values]:
    """Return scores and parts of events."""
    found: dict[str, Values] = {}
    for space in baseline.spaces:
        found |= space.values_of_embedding(vectors) if space.name else space.values(columns)
    return found


def stepping(baseline: Baseline, counts: NDArray[np.int64]) -> tuple[float, float]:
    """Return the time of a tick that comes alone, and of one of many."""
    engine = EvidenceEngine(baseline)
    ticks = np.repeat(counts[None], TICKS, axis=0)
    state = engine.run(engine.start(), np.arange(TICKS), ticks, None).state
    alone = median(lambda: engine.step(state, TICKS, counts))
    return alone, median(lambda: engine.run(state, np.arange(TICKS, 2 * TICKS), ticks, None)) / TICKS


def row_of(name: str, numbers: int, size: int, rows: int) -> str:
    """Return a row of the table."""
    rng = np.random.default_rng([numbers, size])
    specs = [ColumnSpec(name=f"x{j}", kind=ColumnKind.NUMERIC) for j in range(numbers)]
    reference = [(spec, rng.normal(size=rows)) for spec in specs]
    embeddings = {EMBEDDING: rng.normal(size=(rows, size)).astype(np.float32)} if size else {}
    plain = compile_baseline(reference)
    start = time.perf_counter()
    baseline = add_spaces(plain, reference, embeddings).baseline
    fitting = time.perf_counter() - start
    columns: dict[str, Values] = {spec.name: rng.normal(size=EVENTS) for spec in specs}
    vectors = rng.normal(size=(EVENTS, size)).astype(np.float32)
    values = columns | valued(baseline, columns, vectors)
    whole = np.concatenate([count(baseline, values), sums_of(baseline, values)])
    straight = replace(baseline, spaces=tuple(replace(space, line=None) for space in baseline.spaces))
    lineless = columns | valued(straight, columns, vectors)
    without = np.concatenate([count(straight, lineless), sums_of(straight, lineless)])
    scoring = median(lambda: valued(baseline, columns, vectors)) / EVENTS
    counting = [
        median(lambda: count(plain.baseline, columns)) / EVENTS,
        median(lambda: (count(baseline, values), sums_of(baseline, values))) / EVENTS,
    ]
    bare, _ = stepping(plain.baseline, count(plain.baseline, columns))
    fixed, _ = stepping(straight, without)
    alone, many = stepping(baseline, whole)
    counted = ", ".join(f"{each:.2f}" for each in counting)
    ticks = f"{bare:.0f}, {fixed:.0f}, {alone:.0f} us ({many:.0f})"
    return f"| {name} | {scoring:.2g} | {counted} | {ticks} | {fitting:.1f} s |"


def main() -> None:
    """Print the table."""
    if any(os.environ.get(name) != value for name, value in SINGLE_THREADED.items()):
        os.execve(sys.executable, [sys.executable, "-m", "bench.detection_cost"], os.environ | SINGLE_THREADED)
    print("| inputs | values | counting without, with | a tick without, with tilts, and lines (one of 100) | fitting |")
    print("|---|---|---|---|---|")
    for case in CASES:
        print(row_of(*case), flush=True)


if __name__ == "__main__":
    main()
