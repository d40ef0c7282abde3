"""False alarms on streams in which nothing changes: measured mean time between them, against the promise.

Run ``python -m bench.detection_null``; ``--help`` lists what can be chosen. Every stream is made from a fixed seed.
Reference and stream come from one run of the same process, so the reference may happen to be unlike what follows,
as in life.
"""

import argparse
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaincinv

from detectors.baseline import Baseline, add_spaces, compile_baseline
from detectors.binning import bin_rows
from detectors.columns import Codes, ColumnKind, ColumnSpec, Values
from detectors.evidence import EvidenceEngine
from detectors.sums import tick_sums

Floats = NDArray[np.float64]
CHUNK = 2_000
CONFIDENCE = 0.95
SESSION_MEAN = 20.0
DAY_ROWS = 288


@dataclass(frozen=True, kw_only=True)
class Case:
    """One kind of stream, a size of reference and a promise."""

    kind: str
    columns: int
    reference: int
    ticks: int
    budget: float
    embedding: int | None = None
    """Scores of all inputs together, and of an embedding of so many components, if any; None has no such scores."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a case gave, over all seeds."""

    case: Case
    ticks: int
    alarms: int
    seconds: float

    @property
    def allowed(self) -> float:
        """Alarms that the promise allows."""
        return self.ticks / self.case.budget

    @property
    def upper_rate(self) -> float:
        """Upper limit of the mean number of alarms (Poisson, one-sided 95 %)."""
        return float(gammaincinv(self.alarms + 1, CONFIDENCE))

    @property
    def lower_rate(self) -> float:
        """Lower limit of the mean number of alarms (Poisson, one-sided 95 %)."""
        return float(gammaincinv(self.alarms, 1 - CONFIDENCE)) if self.alarms else 0.0

    def line(self) -> str:
        """Return one row of the table in the documentation."""
        mean = f"{self.ticks / self.alarms:,.0f}" if self.alarms else f"none in {self.ticks:,}"
        high = f"{self.ticks / self.lower_rate:,.0f}" if self.alarms else "-"
        case = self.case
        return (
            f"| {case.kind} | {case.columns} | {case.reference:,} | {case.budget:,.0f} | {self.alarms} "
            f"| {self.allowed:.0f} | {mean} ({self.ticks / self.upper_rate:,.0f} to {high}) |"
        )


HEADER = """| stream | columns | reference rows | A | false alarms | allowed | ticks between them (95 % limits) |
|---|---|---|---|---|---|---|"""


def autoregressive(rng: np.random.Generator, rows: int, rho: float) -> Floats:
    """Return a stationary Gaussian AR(1) series with unit variance."""
    noise = rng.normal(size=rows) * math.sqrt(1.0 - rho**2)
    values = np.empty(rows)
    last = float(rng.normal())
    for i, step in enumerate(noise.tolist()):
        last = rho * last + step
        values[i] = last
    return values


def sessions(rng: np.random.Generator, rows: int, mean: float = SESSION_MEAN) -> NDArray[np.int64]:
    """Return the session that each row belongs to; sizes are geometric, sessions do not overlap."""
    sizes = rng.geometric(1.0 / mean, size=int(4 * rows / mean) + 10)
    return np.repeat(np.arange(len(sizes)), sizes)[:rows].astype(np.int64)


def _tied(kind: str, rng: np.random.Generator, rows: int) -> Floats:
    """Return a column whose rows are tied together for long: by seasons, a level that wanders, very long sessions."""
    if kind == "heavy":
        sizes = np.minimum(1 + (4 * rng.pareto(1.6, size=rows)).astype(np.int64), 1000)
        user = np.repeat(np.arange(rows), sizes)[:rows]
        return math.sqrt(0.5) * rng.normal(size=rows)[user] + math.sqrt(0.5) * rng.normal(size=rows)
    noise = rng.normal(size=rows)
    if kind.startswith("wander"):
        level = autoregressive(rng, rows, math.exp(-1.0 / float(kind.removeprefix("wander"))))
        return math.sqrt(0.5) * level + math.sqrt(0.5) * noise
    if kind.startswith("wave"):
        return np.asarray(
            np.sin(2 * np.pi * (np.arange(rows) / float(kind.removeprefix("wave")) + rng.random())) + noise
        )
    return np.asarray(np.sin(2 * np.pi * np.arange(rows) / DAY_ROWS) + noise)


def numeric(kind: str, rng: np.random.Generator, rows: int) -> Floats:
    """Return one numeric column."""
    if kind.startswith("AR"):
        return autoregressive(rng, rows, float(kind[2:]))
    if kind == "sessions":
        user = sessions(rng, rows)
        effect = rng.normal(size=int(user[-1]) + 1)
        return math.sqrt(0.5) * effect[user] + math.sqrt(0.5) * rng.normal(size=rows)
    if kind == "repeats":
        return rng.normal(size=rows)[sessions(rng, rows, 5.0)]
    if kind in {"heavy", "day"} or kind.startswith(("wander", "wave")):
        return _tied(kind, rng, rows)
    return rng.normal(size=rows)


def table_of(case: Case, rng: np.random.Generator) -> list[tuple[ColumnSpec, Values]]:
    """Return reference and stream in one table; every fifth column is categorical when there are several."""
    rows = case.reference + case.ticks
    table: list[tuple[ColumnSpec, Values]] = []
    for j in range(case.columns):
        values = numeric(case.kind, rng, rows)
        if j % 5 == 4:
            cuts = np.quantile(values[: case.reference], [0.4, 0.7, 0.9, 0.97])
            codes = Codes(tuple("abcde"), np.searchsorted(cuts, values).astype(np.int32))
            table.append((ColumnSpec(name=f"c{j}", kind=ColumnKind.CATEGORICAL), codes))
        else:
            table.append((ColumnSpec(name=f"x{j}", kind=ColumnKind.NUMERIC), values))
    return table


def cut(values: Values, rows: slice) -> Values:
    """Return some rows of a column."""
    return Codes(values.labels, values.codes[rows]) if isinstance(values, Codes) else values[rows]


def one_row_ticks(baseline: Baseline, bins: NDArray[np.int32]) -> NDArray[np.int64]:
    """Return the counts of ticks with one row each."""
    counts = np.zeros((len(bins), baseline.total), dtype=np.int64)
    counts[np.arange(len(bins))[:, None], bins] = 1
    return counts


def joint_alarms(case: Case, rng: np.random.Generator, make: Callable[[Baseline], EvidenceEngine]) -> int:
    """Count alarms of an engine that looks at all inputs together as well, and at an embedding."""
    table, size = table_of(case, rng), case.embedding or 0
    vectors = np.column_stack([numeric(case.kind, rng, case.reference + case.ticks) for _ in range(max(size, 1))])
    known = {"embedding": vectors[: case.reference].astype(np.float32)} if size else {}
    reference = [(spec, cut(values, slice(0, case.reference))) for spec, values in table]
    engine = make(add_spaces(compile_baseline(reference), reference, known).baseline)
    state, alarms = engine.start(), 0
    for start in range(case.reference, case.reference + case.ticks, CHUNK):
        part = slice(start, min(start + CHUNK, case.reference + case.ticks))
        later = {spec.name: cut(values, part) for spec, values in table}
        for space in engine.baseline.spaces:
            events = vectors[part].astype(np.float32)
            later |= space.values_of_embedding(events) if space.name else space.values(later)
        ticks = np.arange(part.start, part.stop)
        counts = one_row_ticks(engine.baseline, bin_rows(engine.baseline, later))
        counts = np.concatenate([counts, tick_sums(engine.baseline, later, np.arange(len(ticks) + 1))], axis=1)
        while len(ticks):
            run = engine.run(state, ticks, counts, math.log(case.budget))
            state, taken = run.state, len(run.log_model)
            ticks, counts = ticks[taken:], counts[taken:]
            if run.alarm is not None:
                alarms, state = alarms + 1, engine.start()
    return alarms


def alarms_on(engine: EvidenceEngine, bins: NDArray[np.int32], budget: float) -> list[int]:
    """Return the ticks of all alarms; the engine starts anew after each."""
    alarms: list[int] = []
    state, at = engine.start(), 0
    while at < len(bins):
        counts = one_row_ticks(engine.baseline, bins[at : at + CHUNK])
        run = engine.run(state, np.arange(at, at + len(counts)), counts, math.log(budget))
        state, at = run.state, at + len(run.log_model)
        if run.alarm is not None:
            alarms.append(at - 1)
            state = engine.start()
    return alarms


def measure(case: Case, seeds: Sequence[int], make: Callable[[Baseline], EvidenceEngine] = EvidenceEngine) -> Outcome:
    """Run a case with several seeds."""
    start, alarms = time.perf_counter(), 0
    for seed in seeds:
        if case.embedding is not None:
            alarms += joint_alarms(case, np.random.default_rng([seed, case.reference]), make)
            continue
        table = table_of(case, np.random.default_rng([seed, case.reference]))
        reference = [(spec, cut(values, slice(0, case.reference))) for spec, values in table]
        engine = make(compile_baseline(reference).baseline)
        later = {spec.name: cut(values, slice(case.reference, None)) for spec, values in table}
        alarms += len(alarms_on(engine, bin_rows(engine.baseline, later), case.budget))
    seconds = time.perf_counter() - start
    return Outcome(case=case, ticks=case.ticks * len(seeds), alarms=alarms, seconds=seconds)


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    kinds = "also repeats, heavy, day, wanderN and waveN with N rows"
    parser.add_argument("--kinds", default="independent,AR0.5,AR0.8,AR0.95,sessions", help=kinds)
    parser.add_argument("--columns", default="5")
    parser.add_argument("--reference", default="1000,2000,10000")
    parser.add_argument("--ticks", type=int, default=60_000)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--budget", type=float, default=1e4)
    parser.add_argument("--embedding", type=int, help="all inputs together too, and with more than 0 an embedding")
    given = parser.parse_args()
    print(HEADER)
    for kind in given.kinds.split(","):
        for columns in map(int, given.columns.split(",")):
            for reference in map(int, given.reference.split(",")):
                case = Case(
                    kind=kind,
                    columns=columns,
                    reference=reference,
                    ticks=given.ticks,
                    budget=given.budget,
                    embedding=given.embedding,
                )
                outcome = measure(case, range(given.seeds))
                print(f"{outcome.line()}  {outcome.seconds:.0f} s", flush=True)


if __name__ == "__main__":
    main()
