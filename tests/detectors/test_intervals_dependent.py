"""Intervals hold the true effect as often as they say where neighbouring rows are alike, in the reference and now.

Streams are autoregressions of a standard normal: one column is one run. If each interval holds at least 93 of 100
times, one of these tests fails in fewer than one case in 10^6 (binomial, over all cases together). Seeds are fixed.
"""

import math
from functools import cache

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats
from scipy.signal import lfilter

from detectors.baseline import Baseline, NumericColumn, compile_baseline
from detectors.binning import count
from detectors.columns import ColumnKind, ColumnSpec
from detectors.effects import effect_sizes, tables_of
from detectors.evidence.dependence import dependence_from, inflations_of
from detectors.intervals import Intervals, effect_intervals

Array = NDArray[np.float64]
NAMES = ("psi", "js", "ks", "wasserstein", "hellinger")
RUNS = 400
SIZES = [(500, 60), (2_000, 300), (2_000, 3_000), (10_000, 3_000)]
"""Rows of the reference, events of the window."""
CASES = [
    *((alike, rows, events, 0.5) for alike in (0.5, 0.8) for rows, events in SIZES),
    *((alike, 2_000, 3_000, 0.0) for alike in (0.5, 0.8)),
    (0.0, 10_000, 3_000, 0.5),
]
"""Correlation of neighbours, rows, events, and by how many deviations the events lie higher."""
COVERED_MIN = int(stats.binom.ppf(1e-6 / (len(CASES) * len(NAMES)), RUNS, 0.93))


def streams(alike: float, rows: int, seed: int) -> Array:
    """Return autoregressions with deviation 1, a column each."""
    news = np.random.default_rng(seed).normal(size=(rows, RUNS)) * math.sqrt(1.0 - alike**2)
    news[0] /= math.sqrt(1.0 - alike**2)
    return np.asarray(lfilter([1.0], [1.0, -alike], news, axis=0))


def true_effects(column: NumericColumn, gaps: Array, shift: float) -> dict[str, float]:
    """Return the effects of all events there could be, in the bins that this reference happened to get."""

    def shares(mean: float) -> Array:
        below = stats.norm.cdf(column.edges.astype(np.float64) - mean)
        inside = np.bincount(column.targets, weights=np.diff(below), minlength=column.regular)
        return np.concatenate([below[:1], inside, 1.0 - below[-1:]])

    p, q = shares(0.0), shares(shift)
    middle, away = (p + q) / 2.0, np.abs(np.cumsum(q - p))
    js = (p * np.log2(p / middle) + q * np.log2(q / middle)).sum() / 2.0
    return {
        "psi": float(((q - p) * np.log(q / p)).sum()),
        "js": math.sqrt(max(js, 0.0)),
        "ks": float(away.max()),
        "wasserstein": float((away * gaps[: len(away)]).sum()),
        "hellinger": math.sqrt(((np.sqrt(p) - np.sqrt(q)) ** 2).sum() / 2.0),
    }


@cache
def intervals(alike: float, rows: int, events: int, shift: float) -> tuple[Baseline, Intervals]:
    """Return what is said of the events that follow upon the reference and lie higher by ``shift`` deviations."""
    values = streams(alike, rows + events, seed=rows + events)
    names = [f"x{i}" for i in range(RUNS)]
    specs = [ColumnSpec(name=name, kind=ColumnKind.NUMERIC) for name in names]
    baseline = compile_baseline(list(zip(specs, values[:rows].T, strict=True))).baseline
    counts = count(baseline, dict(zip(names, values[rows:].T + shift, strict=True)))
    return baseline, effect_intervals(baseline, counts, effect_sizes(baseline, counts))


def covered(alike: float, rows: int, events: int, shift: float) -> dict[str, int]:
    """Return in how many runs each interval holds the true effect."""
    baseline, found = intervals(alike, rows, events, shift)
    tables, held = tables_of(baseline), dict.fromkeys(NAMES, 0)
    for i, column in enumerate(baseline.columns):
        assert isinstance(column, NumericColumn)
        true = true_effects(column, tables.gaps[baseline.slices[i]][: column.ordered], shift)
        for name in NAMES:
            low, high = getattr(found, name)[i]
            held[name] += low - 1e-9 <= true[name] <= high + 1e-9
    return held


@pytest.mark.parametrize(("alike", "rows", "events", "shift"), CASES)
def test_an_interval_holds_the_true_effect_however_alike_neighbours_are(
    alike: float, rows: int, events: int, shift: float
) -> None:
    for name, times in covered(alike, rows, events, shift).items():
        assert times >= COVERED_MIN, (name, times / RUNS)


def test_few_independent_events_are_no_excuse_for_saying_nothing() -> None:
    for alike, widest in ((0.0, 0.2), (0.5, 0.3), (0.8, 0.5)):
        _, found = intervals(alike, 10_000, 3_000, 0.5)
        low, high = np.median(found.psi, axis=0)
        assert low > 0
        assert high - low < widest


def test_how_alike_rows_are_is_known_within_limits() -> None:
    baseline, _ = intervals(0.8, 10_000, 3_000, 0.5)
    overall, largest, least = inflations_of(baseline)
    # The inflation of the k-th Hermite polynomial is (1 + 0.8^k) / (1 - 0.8^k); of 35 directions the mean is 1.86.
    powers = 0.8 ** np.arange(1, 36)
    mean = float(((1 + powers) / (1 - powers)).mean())
    assert (least <= overall).all()
    assert (overall <= largest).all()
    assert stats.binom.cdf((least <= 1.2 * mean).sum(), RUNS, 0.999) > 1e-9
    assert np.median(least) > 1.2
    assert np.median(overall) > mean


def test_rows_without_order_are_worth_their_number() -> None:
    found = dependence_from(np.ones((3, 0)), 100, np.ones(2), blocks=1)
    assert (found.overall, found.least) == (1.0, 1.0)
