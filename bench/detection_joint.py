"""Delay until changes are found that no column shows by itself, and false alarms of the scores that look for them.

Run ``python -m bench.detection_joint``. One event a tick. The limit is Lorden's ``log(A) / KL`` of a detector that
knows the change beforehand.
"""

import argparse
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bench.detection_null import alarms_on
from detectors.baseline import Baseline, add_spaces, compile_baseline
from detectors.binning import bin_rows
from detectors.columns import ColumnKind, ColumnSpec, Values
from detectors.evidence import EvidenceEngine

Floats = NDArray[np.float64]
REFERENCE = 20_000
EMBEDDING = "vector"


@dataclass(frozen=True, kw_only=True)
class Change:
    """What happens to the rows."""

    name: str
    columns: int
    after: Callable[[np.random.Generator, int], Floats]
    """Rows after the change, shape (rows, columns); before, they are independent and standard normal."""
    kl: float
    embedded: bool = False


def correlated(columns: int, together: int, rho: float) -> Change:
    """Return a change of the correlation of some of the columns."""
    matrix = np.eye(columns)
    matrix[:together, :together] = rho
    np.fill_diagonal(matrix, 1.0)
    root = np.linalg.cholesky(matrix)
    kl = -0.5 * float(np.linalg.slogdet(matrix)[1])
    name = f"correlation 0 to {rho:g} of {together} in {columns} columns"
    return Change(name=name, columns=columns, after=lambda rng, rows: rng.normal(size=(rows, columns)) @ root.T, kl=kl)


def shifted(dimension: int, by: float) -> Change:
    """Return a shift of every component of an embedding."""
    kl = dimension * by**2 / 2
    name = f"embedding of {dimension} components, each + {by:g}"
    return Change(
        name=name,
        columns=dimension,
        after=lambda rng, rows: rng.normal(size=(rows, dimension)) + by,
        kl=kl,
        embedded=True,
    )


def changes() -> Iterator[Change]:
    """Yield the changes of the table."""
    for columns, together in ((2, 2), (20, 2), (20, 5), (20, 20)):
        yield correlated(columns, together, 0.6)
    for by in (0.25, 0.5):
        yield shifted(16, by)


def columns_of(rows: Floats) -> list[tuple[ColumnSpec, Values]]:
    """Return rows as columns."""
    spec = [ColumnSpec(name=f"x{j}", kind=ColumnKind.NUMERIC) for j in range(rows.shape[1])]
    return [(each, np.ascontiguousarray(rows[:, j])) for j, each in enumerate(spec)]


def compiled(change: Change, reference: int, seed: int) -> Baseline:
    """Compile a reference; beside an embedding stand four columns that never change."""
    rng = np.random.default_rng([seed, reference])
    rows = rng.normal(size=(reference, change.columns))
    if not change.embedded:
        columns = columns_of(rows)
        return add_spaces(compile_baseline(columns), columns, {}).baseline
    columns = columns_of(rng.normal(size=(reference, 4)))
    return add_spaces(compile_baseline(columns), columns, {EMBEDDING: rows.astype(np.float32)}).baseline


def binned(baseline: Baseline, change: Change, rows: Floats, rng: np.random.Generator) -> NDArray[np.int32]:
    """Return the bins of rows."""
    beside = rng.normal(size=(len(rows), 4)) if change.embedded else rows
    values: dict[str, Values] = {spec.name: column for spec, column in columns_of(beside)}
    for space in baseline.spaces:
        if space.name:
            values |= space.scores_of_embedding(rows.astype(np.float32))
        else:
            values |= space.scores(values)
    return bin_rows(baseline, values)


def main() -> None:
    """Print a table of delays, and one of false alarms."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--runs", type=int, default=9)
    parser.add_argument("--budget", type=float, default=1e4)
    parser.add_argument("--rows", type=int, default=12_000)
    parser.add_argument("--null", type=int, default=100_000)
    parser.add_argument("--references", default="1000,20000")
    given = parser.parse_args()
    for change in changes():
        engine = EvidenceEngine(compiled(change, REFERENCE, 0))
        delays, blamed = [], dict[str, int]()
        for seed in range(given.runs):
            rng = np.random.default_rng(seed)
            before = 300
            rows = np.concatenate([rng.normal(size=(before, change.columns)), change.after(rng, given.rows)])
            bins = binned(engine.baseline, change, rows, rng)
            delay, name = _first(engine, bins, given.budget, before)
            delays.append(delay)
            blamed[name] = blamed.get(name, 0) + 1
        limit = math.log(given.budget) / change.kl
        print(f"| {change.name} | {limit:.0f} | {np.median(delays):.0f} | {blamed} |", flush=True)
    for change in (correlated(5, 2, 0.0), correlated(20, 2, 0.0), correlated(100, 2, 0.0), shifted(16, 0.0)):
        for reference in map(int, given.references.split(",")):
            alarms = 0
            for seed in range(3):
                engine = EvidenceEngine(compiled(change, reference, seed))
                rng = np.random.default_rng([seed, 7])
                rows = rng.normal(size=(given.null // 3, change.columns))
                alarms += len(alarms_on(engine, binned(engine.baseline, change, rows, rng), given.budget))
            print(
                f"| {change.columns} columns, {reference} | {alarms} of {given.null / given.budget:.0f} |", flush=True
            )


def _first(engine: EvidenceEngine, bins: NDArray[np.int32], budget: float, before: int) -> tuple[int, str]:
    state, at = engine.start(), 0
    threshold = math.log(budget)
    while at < len(bins):
        chunk = bins[at : at + 500]
        counts = np.zeros((len(chunk), engine.baseline.total), dtype=np.int64)
        counts[np.arange(len(chunk))[:, None], chunk] = 1
        run = engine.run(state, np.arange(at, at + len(chunk)), counts, threshold)
        state, at = run.state, at + len(run.log_model)
        if run.alarm is not None:
            return at - before, engine.blame(state, threshold)[0].name
    return len(bins) - before, "-"


if __name__ == "__main__":
    main()
