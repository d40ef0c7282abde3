"""Delay until a change is found, against Lorden's limit ``log(A) / KL``.

Run ``python -m bench.detection_delay``. One of several columns changes; the detector knows neither which, nor when,
nor how. One event a tick; the median over runs from fixed seeds. The limit is that of a detector that knows the change.
"""

import argparse
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import gamma, ndtri

from bench.detection_null import autoregressive, one_row_ticks
from detectors.baseline import Baseline, compile_baseline
from detectors.binning import bin_rows
from detectors.columns import Codes, ColumnKind, ColumnSpec, Values
from detectors.evidence import EvidenceEngine

Floats = NDArray[np.float64]
REFERENCE = 20_000
CHUNK = 500
SHARES = np.array([0.4, 0.3, 0.15, 0.1, 0.05])
LABELS = tuple("abcdef")
GRID = np.linspace(-12, 12, 48_001)


@dataclass(frozen=True, kw_only=True)
class Change:
    """What happens to the changed column."""

    name: str
    kind: str
    make: Callable[[np.random.Generator, int], Values]
    kl: float


def _normal(x: Floats) -> Floats:
    return np.asarray(np.exp(-(x**2) / 2) / math.sqrt(2 * math.pi))


def _student(x: Floats, freedom: float = 3.0) -> Floats:
    """Density of Student's t, scaled to unit variance."""
    scale = math.sqrt((freedom - 2) / freedom)
    z = x / scale
    constant = gamma((freedom + 1) / 2) / (math.sqrt(freedom * math.pi) * gamma(freedom / 2))
    return np.asarray(constant * (1 + z**2 / freedom) ** (-(freedom + 1) / 2) / scale)


def _kl(density: Floats) -> float:
    before = _normal(GRID)
    # Beyond 8 deviations the normal density says nothing that 20,000 rows could have told.
    floor = np.maximum(before, _normal(np.array([4.5]))[0] / 10)
    return float((density * np.log(density / floor)).sum() * (GRID[1] - GRID[0]))


def _shares_kl(after: Floats, before: Floats) -> float:
    used = after > 0
    return float((after[used] * np.log(after[used] / before[used])).sum())


def _labels(shares: Floats) -> Callable[[np.random.Generator, int], Values]:
    return lambda rng, rows: Codes(LABELS[: len(shares)], rng.choice(len(shares), rows, p=shares).astype(np.int32))


def _missing(share: float) -> Callable[[np.random.Generator, int], Values]:
    return lambda rng, rows: np.where(rng.random(rows) < share, np.nan, rng.normal(size=rows))


def changes() -> Iterator[Change]:
    """Yield the changes of the table."""
    for shift in (0.25, 0.5, 1.0):
        yield Change(
            name=f"mean + {shift:g}",
            kind="numeric",
            make=lambda rng, rows, shift=shift: rng.normal(size=rows) + shift,  # type: ignore[misc]
            kl=shift**2 / 2,
        )
    for scale in (1.5, 0.7):
        yield Change(
            name=f"deviation x {scale:g}",
            kind="numeric",
            make=lambda rng, rows, scale=scale: rng.normal(size=rows) * scale,  # type: ignore[misc]
            kl=(scale**2 - 1) / 2 - math.log(scale),
        )
    yield Change(
        name="Student t3",
        kind="numeric",
        make=lambda rng, rows: rng.standard_t(3, size=rows) / math.sqrt(3),
        kl=_kl(_student(GRID)),
    )
    more = np.array([0.34, 0.3, 0.15, 0.1, 0.11])
    yield Change(name="label 5 % to 11 %", kind="label", make=_labels(more), kl=_shares_kl(more, SHARES))
    fewer = np.array([0.5, 0.3, 0.05, 0.1, 0.05])
    yield Change(name="label 15 % to 5 %", kind="label", make=_labels(fewer), kl=_shares_kl(fewer, SHARES))
    missing = _shares_kl(np.array([0.03, 0.97]), np.array([0.01, 0.99]))
    yield Change(name="missing 1 % to 3 %", kind="missing", make=_missing(0.03), kl=missing)
    unseen = np.append(0.99 * SHARES, 0.01)
    before = np.append(SHARES, 0.5 / REFERENCE)
    yield Change(name="unseen label 1 %", kind="label", make=_labels(unseen), kl=_shares_kl(unseen, before))


def normal_of(kind: str, rng: np.random.Generator, rows: int, rho: float) -> Values:
    """Return an unchanged column."""
    if kind == "label":
        return _labels(SHARES)(rng, rows)
    if kind == "missing":
        return _missing(0.01)(rng, rows)
    return autoregressive(rng, rows, rho) if rho else rng.normal(size=rows)


def kinds_of(kind: str, columns: int) -> list[str]:
    """Return the kinds of all columns; the changed one comes first."""
    return [kind, *("label" if j % 5 == 4 else "numeric" for j in range(1, columns))]


def compiled(kinds: list[str], rho: float) -> Baseline:
    """Compile a reference of independent rows."""
    rng = np.random.default_rng(len(kinds))
    table = []
    for j, kind in enumerate(kinds):
        values = normal_of(kind, rng, REFERENCE, rho)
        told = ColumnKind.CATEGORICAL if isinstance(values, Codes) else ColumnKind.NUMERIC
        table.append((ColumnSpec(name=f"x{j}", kind=told), values))
    return compile_baseline(table).baseline


def joined(before: Values, after: Values) -> Values:
    """Return one column after the other."""
    if isinstance(before, Codes) and isinstance(after, Codes):
        return Codes(LABELS, np.concatenate([before.codes, after.codes]))
    if isinstance(before, Codes) or isinstance(after, Codes):
        raise TypeError("columns of two kinds")
    return np.concatenate([before, after])


def delays(
    engine: EvidenceEngine, kinds: list[str], change: Change, budgets: tuple[float, ...], seeds: range, rho: float = 0.0
) -> dict[float, list[int]]:
    """Return the delays of all runs by budget; an alarm before the change is left out."""
    found: dict[float, list[int]] = {budget: [] for budget in budgets}
    for seed in seeds:
        rng = np.random.default_rng(seed)
        before = 200 + int(rng.integers(0, 200))
        rows = before + int(40 * math.log(max(budgets)) / change.kl)
        columns: dict[str, Values] = {}
        for j, kind in enumerate(kinds):
            columns[f"x{j}"] = normal_of(kind, rng, rows, rho)
        first = columns["x0"]
        if rho and not isinstance(first, Codes):
            shifted = float(ndtri(0.5)) + math.sqrt(2 * change.kl)
            columns["x0"] = np.where(np.arange(rows) >= before, first + shifted, first)
        else:
            kept = normal_of(kinds[0], rng, before, rho)
            columns["x0"] = joined(kept, change.make(rng, rows - before))
        log_model = _trace(engine, bin_rows(engine.baseline, columns), math.log(max(budgets)))
        for budget in budgets:
            reached = np.flatnonzero(log_model >= math.log(budget))
            if not len(reached):
                found[budget].append(rows - before)
            elif reached[0] >= before:
                found[budget].append(int(reached[0]) - before + 1)
    return found


def _trace(engine: EvidenceEngine, bins: NDArray[np.int32], stop: float) -> Floats:
    parts, state, at = [], engine.start(), 0
    while at < len(bins):
        counts = one_row_ticks(engine.baseline, bins[at : at + CHUNK])
        run = engine.run(state, np.arange(at, at + len(counts)), counts, stop)
        parts.append(run.log_model)
        state, at = run.state, at + len(run.log_model)
        if run.alarm is not None:
            break
    return np.concatenate(parts)


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--columns", default="1,20")
    parser.add_argument("--runs", type=int, default=15)
    parser.add_argument("--rho", type=float, default=0.0)
    given = parser.parse_args()
    budgets = (1e4, 1e5)
    for columns in map(int, given.columns.split(",")):
        ratios: list[float] = []
        engines: dict[str, EvidenceEngine] = {}
        for change in changes():
            if given.rho and not change.name.startswith("mean"):
                continue
            kinds = kinds_of(change.kind, columns)
            if change.kind not in engines:
                engines[change.kind] = EvidenceEngine(compiled(kinds, given.rho))
            found = delays(engines[change.kind], kinds, change, budgets, range(given.runs), given.rho)
            cells = []
            for budget in budgets:
                median = float(np.median(found[budget]))
                limit = math.log(budget) / change.kl * (1 + given.rho) / (1 - given.rho)
                ratios.append(median / limit)
                cells.append(f"{median:.0f} of {limit:.0f}, ratio {ratios[-1]:.2f}")
            print(f"| {change.name} | {columns} | {' | '.join(cells)} |", flush=True)
        mean = math.exp(float(np.mean(np.log(ratios))))
        print(f"{columns} columns: geometric mean {mean:.2f}, worst {max(ratios):.2f}", flush=True)


if __name__ == "__main__":
    main()
