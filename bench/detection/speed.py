"""Speed: rows per second of columns -> histograms -> evidence on one core, and of the peers on the same windows."""

import gc
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bench.detection.peers import ENGINE
from bench.detection.results import SpeedCell
from bench.detection.statistics import EvidentlyReference, frame, quiet
from bench.detection.streams import Table, specs
from detectors.baseline import compile_baseline
from detectors.binning import count
from detectors.evidence import EvidenceEngine

WINDOW = 10_000
REFERENCE = 10_000
EVIDENTLY, NANNYML = "evidently DataDriftPreset", "NannyML univariate"


@dataclass(frozen=True, kw_only=True)
class SpeedPlan:
    """What is affordable. Each repeat alternates the tools."""

    columns: tuple[int, ...] = (10, 100, 1_000)
    repeats: int = 3
    rows: int = 1_000_000
    """For the memory; at 1,000 columns a tenth."""
    peer_columns: int = 100
    """Peers run on at most so many columns: at 1,000 one window takes minutes."""


FULL = SpeedPlan()
QUICK = SpeedPlan(columns=(10,), repeats=1, rows=200_000, peer_columns=10)


def numbers(columns: int, rows: int, seed: int) -> Table:
    """Return normal columns in the type that telemetry has."""
    rng = np.random.default_rng(seed)
    return {f"x{j}": rng.normal(size=rows).astype(np.float32) for j in range(columns)}


def resident_mb() -> float:
    """Return the resident memory of this process."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def _engine_run(reference: Table, window: Table) -> Callable[[], object]:
    engine = EvidenceEngine(compile_baseline(specs(reference)).baseline)
    state, tick = engine.start(), 0

    def run() -> object:
        nonlocal state, tick
        state = engine.step(state, tick, count(engine.baseline, window))
        tick += 1
        return engine.read(state)

    return run


def _nannyml_run(reference: Table, window: Table) -> Callable[[], object]:
    import nannyml

    with quiet():
        calculator = nannyml.UnivariateDriftCalculator(column_names=list(reference), chunk_size=WINDOW)
        calculator.fit(frame(reference))
    data = frame(window)

    def run() -> object:
        with quiet():
            return calculator.calculate(data)

    return run


def _evidently_run(reference: Table, window: Table) -> Callable[[], object]:
    wrapped = EvidentlyReference(reference)
    return lambda: wrapped.run(window)


def _memory(columns: int, rows: int) -> list[float]:
    """Return the resident memory after a tenth of the rows, and after all."""
    run = _engine_run(numbers(columns, REFERENCE, 1), numbers(columns, WINDOW, 2))
    seen, ticks = [], max(10, rows // WINDOW)
    for tick in range(1, ticks + 1):
        run()
        if tick in {ticks // 10, ticks}:
            gc.collect()
            seen.append(resident_mb())
    return seen


def measure(plan: SpeedPlan, versions: dict[str, str], say: Callable[[str], None]) -> list[SpeedCell]:
    """Measure each number of columns: all tools in turn, again and again."""
    makers = {ENGINE: _engine_run}
    if "evidently" in versions:
        makers[EVIDENTLY] = _evidently_run
    if "nannyml" in versions:
        makers[NANNYML] = _nannyml_run
    found: list[SpeedCell] = []
    for columns in plan.columns:
        reference, window = numbers(columns, REFERENCE, 1), numbers(columns, WINDOW, 2)
        used = {tool: make for tool, make in makers.items() if tool == ENGINE or columns <= plan.peer_columns}
        runs = {tool: make(reference, window) for tool, make in used.items()}
        cells = {tool: SpeedCell(tool=tool, columns=columns, window=WINDOW, rates=[]) for tool in runs}
        for run in runs.values():
            run()
        for _ in range(plan.repeats):
            for tool, run in runs.items():
                times, start = (20 if columns <= 100 else 3) if tool == ENGINE else 1, time.process_time()
                for _ in range(times):
                    run()
                cells[tool].rates.append(times * WINDOW / (time.process_time() - start))
        rows = plan.rows if columns < 1_000 else plan.rows // 10
        cells[ENGINE].memory_mb, cells[ENGINE].rows = _memory(columns, rows), rows
        say(f"{columns} columns: " + ", ".join(f"{tool} {max(cell.rates):,.0f}/s" for tool, cell in cells.items()))
        found += cells.values()
    return found
