"""Delay until a change in one of several segments is found, with and without evidence of their own; false alarms.

Run ``python -m bench.detection_segments``. Columns are normal with deviation 1, and every segment has its own means.
The limit is Lorden's ``log(A) / KL`` of a detector that knows the change beforehand, in events of all segments.
"""

import argparse
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from detectors.baseline import Baseline, compile_baseline
from detectors.binning import bin_rows
from detectors.columns import ColumnKind, ColumnSpec
from detectors.evidence import EvidenceEngine, Together

Floats = NDArray[np.float64]
SHARE = 0.5
"""Of the budget for all segments together, as the service has it by default."""
CHUNK = 500


@dataclass(frozen=True, kw_only=True)
class Setting:
    """A stream of independent events of several segments, all equally frequent."""

    segments: int
    columns: int
    reference: int
    """Rows of all segments together."""
    tick_rows: int

    def rows(self, rng: np.random.Generator, number: int) -> tuple[Floats, NDArray[np.int64]]:
        """Return events and the segment of each."""
        places = rng.integers(0, self.segments, number)
        means = np.linspace(-1.0, 1.0, self.segments)[places]
        return rng.normal(size=(number, self.columns)) + means[:, None], places

    def engines(self, seed: int) -> Together:
        """Compile a reference, and one of each segment."""
        rows, places = self.rows(np.random.default_rng([seed, self.reference]), self.reference)
        whole = EvidenceEngine(_compiled(rows))
        parts = [EvidenceEngine(_compiled(rows[places == place])) for place in range(self.segments)]
        return Together(whole, [(part, SHARE / self.segments) for part in parts])

    def counts(self, together: Together, rows: Floats, places: NDArray[np.int64]) -> NDArray[np.int64]:
        """Count ticks, for all engines side by side."""
        found = []
        for number, engine in enumerate(together.engines):
            mine = np.arange(len(rows)) if number == 0 else np.flatnonzero(places == number - 1)
            found.append(_ticks(engine.baseline, rows[mine], mine // self.tick_rows, len(rows) // self.tick_rows))
        return np.concatenate(found, axis=1)


def _compiled(rows: Floats) -> Baseline:
    return compile_baseline(list(zip(_specs(rows), np.ascontiguousarray(rows.T), strict=True))).baseline


def _specs(rows: Floats) -> list[ColumnSpec]:
    return [ColumnSpec(name=f"x{j}", kind=ColumnKind.NUMERIC) for j in range(rows.shape[1])]


def _ticks(baseline: Baseline, rows: Floats, ticks: NDArray[np.int64], number: int) -> NDArray[np.int64]:
    values = {spec.name: np.ascontiguousarray(rows[:, j]) for j, spec in enumerate(_specs(rows))}
    flat = bin_rows(baseline, values).astype(np.int64) + baseline.total * ticks[:, None]
    return np.bincount(flat.ravel(), minlength=number * baseline.total).reshape(number, baseline.total)


def alarms_on(together: Together, counts: NDArray[np.int64], budget: float, most: int | None = None) -> list[int]:
    """Return the ticks of the alarms, at most so many; the engines start anew after each."""
    alarms: list[int] = []
    states, at = together.start(), 0
    while at < len(counts) and (most is None or len(alarms) < most):
        chunk = counts[at : at + CHUNK]
        run = together.run(states, np.arange(at, at + len(chunk)), chunk, math.log(budget))
        states, at = run.states, at + len(run.log_model)
        if run.alarm is not None:
            alarms.append(at - 1)
            states = together.start()
    return alarms


def false_alarms(setting: Setting, seed: int, ticks: int, budget: float) -> int:
    """Return how often nothing was taken for something."""
    together, rng = setting.engines(seed), np.random.default_rng([seed, 1])
    rows, places = setting.rows(rng, ticks * setting.tick_rows)
    return len(alarms_on(together, setting.counts(together, rows, places), budget))


def delays(setting: Setting, seed: int, by: float, budget: float, ticks: int) -> tuple[int, int]:
    """Return after how many ticks a shift of one column of one segment is found: with segments, and without."""
    together, rng = setting.engines(0), np.random.default_rng([seed, 2])
    before = 100
    rows, places = setting.rows(rng, (before + ticks) * setting.tick_rows)
    moved = (places == 0) & (np.arange(len(rows)) >= before * setting.tick_rows)
    rows[moved, 0] += by
    counts = setting.counts(together, rows, places)
    whole = together.engines[0]
    found = []
    for engines, own in ((together, counts), (Together(whole), counts[:, : whole.baseline.total])):
        first = [tick for tick in alarms_on(engines, own, budget, most=1) if tick >= before]
        found.append(first[0] - before + 1 if first else ticks)
    return found[0], found[1]


def main() -> None:
    """Print a table of delays, and one of false alarms."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--runs", type=int, default=11)
    parser.add_argument("--budget", type=float, default=1e5)
    parser.add_argument("--null", type=int, default=60_000)
    given = parser.parse_args()
    for by in (0.5, 1.0):
        for segments in (1, 4, 16):
            setting = Setting(segments=segments, columns=10, reference=20_000, tick_rows=20)
            runs = [delays(setting, seed, by, given.budget, 3_000) for seed in range(given.runs)]
            own, whole = np.median(np.array(runs), axis=0)
            limit = math.log(given.budget) / (by**2 / 2) * segments / setting.tick_rows
            print(f"| {segments} segments, + {by:g} in one | {limit:.0f} | {own:.0f} | {whole:.0f} |", flush=True)
    for reference in (2_000, 20_000):
        setting = Setting(segments=8, columns=5, reference=reference, tick_rows=8)
        alarms = sum(false_alarms(setting, seed, given.null // 3, 1e4) for seed in range(3))
        print(f"| 8 segments, {reference} rows | {alarms} of {given.null / 1e4:.0f} |", flush=True)


if __name__ == "__main__":
    main()
