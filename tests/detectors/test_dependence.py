"""How much rows move together is measured, and bets are made honest by it."""

import math
import tracemalloc
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from detectors.baseline import Baseline, compile_baseline
from detectors.baseline.directions import directions_of
from detectors.baseline.inflation import inflation_of, scales_of
from detectors.evidence import EvidenceOptions
from detectors.evidence.bets import bets_of
from detectors.evidence.calibrate import null_of
from detectors.evidence.dependence import dependence_of, exponents
from tests.detectors.samples import baseline_of, mixed, spec_of


def autoregressive(rng: np.random.Generator, rows: int, rho: float) -> NDArray[np.float64]:
    values = np.empty(rows)
    last = float(rng.normal())
    for i, noise in enumerate(rng.normal(size=rows) * math.sqrt(1 - rho**2)):
        last = rho * last + noise
        values[i] = last
    return values


def inflations(baseline: Baseline, **options: Any) -> dict[str, float]:
    """Return the inflation that bets go by, by direction, of the first column."""
    column = baseline.columns[0]
    directions = directions_of(column)
    found = dependence_of(column, directions, **options)
    first: dict[str, float] = {}
    for direction, inflation in zip(directions, found.bets.tolist(), strict=True):
        first.setdefault(direction.name, inflation)
    return first


def test_the_inflation_equals_a_naive_variance_of_sums() -> None:
    rng = np.random.default_rng(0)
    bins, rows = rng.integers(0, 4, 300), 300
    directions = rng.normal(size=(3, 4))
    found = inflation_of(directions, bins, scales_of(rows))
    for i in range(3):
        values = directions[i][bins]
        off = values - values.mean()
        for j in range(scales_of(rows)):
            length = 2 ** (j + 1)
            stride = max(1, length // 4)
            sums = [off[k : k + length].sum() for k in range(0, rows - length + 1, stride)]
            naive = np.mean(np.square(sums)) / (length * values.var() * (1 - length / rows))
            assert found[i, j] == pytest.approx(naive, abs=2**-11)


def test_independent_rows_have_no_inflation_and_bets_keep_their_full_strength() -> None:
    """A column is taken for dependent with probability below 0.01; of 80 columns, nine or more with 3 * 10**-7."""
    rng = np.random.default_rng(1)
    lost = 0
    for rows in (200, 1000, 5000, 20_000):
        for column in (c for _ in range(5) for c in baseline_of(mixed(rng, rows)).columns):
            lost += bool((bets_of(null_of(column, EvidenceOptions())).etas < 1).any())
    assert lost < 9


@pytest.mark.parametrize(("rho", "rows"), [(0.5, 5000), (0.8, 20_000), (0.95, 50_000)])
def test_an_autoregression_has_the_inflation_of_the_textbook(rho: float, rows: int) -> None:
    rng = np.random.default_rng(2)
    found = inflations(baseline_of({"x": autoregressive(rng, rows, rho)}))
    truth = (1 + rho) / (1 - rho)
    assert 0.85 * truth <= found["mean"] <= 2 * truth
    truth = (1 + rho**2) / (1 - rho**2)
    assert 0.8 * truth <= found["spread"] <= 2.5 * truth


def test_a_short_reference_errs_on_the_safe_side() -> None:
    rng = np.random.default_rng(3)
    found = [inflations(baseline_of({"x": autoregressive(rng, 1000, 0.8)}))["mean"] for _ in range(20)]
    assert np.median(found) >= 9
    assert min(found) >= 4


def test_a_season_shorter_than_a_tick_does_not_count() -> None:
    rng = np.random.default_rng(4)
    baseline = baseline_of({"x": np.sin(np.arange(9600) * 2 * np.pi / 48) + rng.normal(size=9600)})
    assert inflations(baseline)["mean"] > 4
    assert inflations(baseline, tick_events=48.0)["mean"] < 3


def test_rows_without_an_order_of_time_tell_nothing() -> None:
    values = autoregressive(np.random.default_rng(5), 2000, 0.8)
    baseline = compile_baseline([(spec_of("x", values), values)], ordered=False).baseline
    assert not baseline.ordered
    assert set(inflations(baseline).values()) == {1.0}
    assert set(inflations(baseline_of({"x": values}), known=False).values()) == {1.0}


def test_a_direction_with_few_events_borrows_the_inflation_of_its_column() -> None:
    found = inflations(baseline_of({"x": autoregressive(np.random.default_rng(6), 5000, 0.8)}))
    assert found["missing"] == found["above range"] >= found["mean"] >= found["spread"]


def test_the_tolerance_counts_independent_rows_only() -> None:
    rng = np.random.default_rng(7)
    tolerances = []
    for values in (rng.normal(size=2000), autoregressive(rng, 2000, 0.8)):
        bets = bets_of(null_of(baseline_of({"x": values}).columns[0], EvidenceOptions(minimum_effect=0.0)))
        tolerances.append(bets.tolerances[bets.names.index("mean up")])
    assert 2.5 <= tolerances[1] / tolerances[0] <= 5  # the root of 9, and an upper limit of it


@given(
    size=st.floats(0.01, 0.99),
    largest=st.floats(0.01, 200.0),
    inflation=st.floats(1.0, 500.0),
    seed=st.integers(0, 2**32 - 1),
)
def test_repeated_events_win_nothing_under_any_distribution_on_which_the_bet_does_not_win(
    size: float, largest: float, inflation: float, seed: int
) -> None:
    """Events repeat a geometric number of times, with the variance inflation that the exponent was made for."""
    rng = np.random.default_rng(seed)
    bet = np.sort(np.concatenate([[1 - size, 1 + largest], rng.uniform(1 - size, 1 + largest, 6)]))
    eta = float(exponents(bet[None], np.array([inflation]))[0])
    assert 0 < eta <= max(1 / inflation, 2**-12)
    more = (inflation - 1) / (inflation + 1)
    powers = bet**eta
    if eta > 2**-12:
        assert more * powers.max() < 1
        pays = (1 - more) * powers / (1 - more * powers)
        for _ in range(20):
            shares = rng.dirichlet(np.full(len(bet), rng.choice([0.05, 1.0])))
            excess = shares @ bet - 1
            if excess > 0:  # mix with the worst bin until the bet is exactly fair
                shares = shares * size / (size + excess)
                shares[0] += 1 - shares.sum()
            assert shares @ bet <= 1 + 1e-9
            assert shares @ pays <= 1 + 1e-9


def test_the_exponent_is_one_over_the_inflation_for_small_bets_and_less_for_large_ones() -> None:
    small, large = np.array([[0.999, 1.001]]), np.array([[0.5, 30.0]])
    nine = np.array([9.0])
    assert exponents(small, nine)[0] == pytest.approx(1 / 9, abs=1e-3)
    assert exponents(large, nine)[0] < 0.08
    assert exponents(large, np.array([1.0]))[0] == 1.0


def test_many_bins_of_many_rows_are_looked_at_a_few_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    bins, rows = 60, 200_000
    bin_of_row = np.repeat(np.random.default_rng(8).integers(0, bins, rows // 2), 2)
    directions = np.eye(bins)[:1]
    scales = scales_of(rows)
    whole = inflation_of(directions, bin_of_row, scales)
    monkeypatch.setattr("detectors.baseline.inflation.COUNTS", 1_000_000)
    tracemalloc.start()
    try:
        parts = inflation_of(directions, bin_of_row, scales)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert np.array_equal(parts, whole)
    # Counts of all pairs of rows in all bins at once would take 72 MB, in 64 and 32 bits.
    assert peak < 40e6
