"""Intervals of effect sizes hold the true effect as often as they say, whatever the window, the bins and the change.

Intervals are meant to hold 95 of 100 times. If each of them holds at least 93 of 100 times, one of these tests fails in
fewer than one case in 10^6 (binomial, over all cases together); one that holds only 80 of 100 times passes in fewer
than one in 10^6. Seeds are fixed.
"""

import math
from dataclasses import dataclass

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from detectors.baseline import Baseline, NumericColumn
from detectors.binning import count
from detectors.columns import Codes, ColumnKind, ColumnSpec
from detectors.effects import Effects, effect_sizes
from detectors.errors import DetectorError
from detectors.evidence.dependence import inflations_of
from detectors.intervals import Intervals, effect_intervals, share_intervals
from tests.detectors.samples import baseline_of, mixed

Array = NDArray[np.float64]
NAMES = ("psi", "js", "ks", "wasserstein", "hellinger")
RUNS = 800
CASES = (3 * 3 * 5 * 2 + 2 * 3 * 3) * len(NAMES)
COVERED_MIN = int(stats.binom.ppf(1e-6 / CASES, RUNS, 0.93))
TILTS = {"none": 0.0, "slight": 0.1, "some": 0.4, "strong": 1.0, "extreme": 2.0}


@dataclass(frozen=True)
class Truth:
    """Two distributions over equally spaced values."""

    before: Array
    now: Array

    def effects(self) -> dict[str, float]:
        p, q = self.before, self.now
        middle, at = (p + q) / 2, np.arange(len(p))
        js = (p * np.log2(p / middle) + q * np.log2(q / middle)).sum() / 2
        std = math.sqrt((p * at**2).sum() - (p * at).sum() ** 2)
        away = np.abs(np.cumsum(q - p))
        return {
            "psi": float(((q - p) * np.log(q / p)).sum()),
            "js": math.sqrt(max(js, 0.0)),
            "ks": float(away.max()),
            "wasserstein": float(away[:-1].sum()) / std,
            "hellinger": math.sqrt(((np.sqrt(p) - np.sqrt(q)) ** 2).sum() / 2),
        }


def tilted(bins: int, tilt: float, *, falling: bool = False) -> Truth:
    before = 1.0 / np.arange(1, bins + 1) if falling else np.ones(bins)
    now = before * np.exp(tilt * np.linspace(-1, 1, bins))
    return Truth(before / before.sum(), now / now.sum())


def baseline_of_counts(counts: NDArray[np.int64]) -> Baseline:
    """Return a baseline with a column per row of counts; its regular bins are the values 0, 1, 2, ..."""
    columns, at = [], np.arange(counts.shape[1], dtype=np.float64)
    for i, own in enumerate(counts):
        mean = float((own * at).sum() / own.sum())
        all_bins = np.concatenate([[0], own, [0, 0, 0]])
        columns.append(
            NumericColumn(
                spec=ColumnSpec(name=f"x{i}", kind=ColumnKind.NUMERIC),
                edges=np.arange(len(at) + 1, dtype=np.float64),
                targets=np.arange(len(at), dtype=np.int32),
                counts=all_bins,
                blocks=all_bins[None].astype(np.uint32),
                inflation=np.ones((1, 0)),
                singles=0,
                bin_means=at,
                bin_stds=np.zeros(len(at)),
                mean=mean,
                std=math.sqrt((own * at**2).sum() / own.sum() - mean**2),
            )
        )
    return Baseline(columns=tuple(columns), rows=int(counts[0].sum()), ordered=False)


def simulated(truth: Truth, rows: int, events: int, seed: int, runs: int = RUNS) -> tuple[Baseline, Effects, Intervals]:
    rng = np.random.default_rng(seed)
    baseline = baseline_of_counts(rng.multinomial(rows, truth.before, size=runs))
    seen = np.pad(rng.multinomial(events, truth.now, size=runs), ((0, 0), (1, 3))).ravel()
    effects = effect_sizes(baseline, seen)
    return baseline, effects, effect_intervals(baseline, seen, effects)


def covered(found: Intervals, truth: Truth) -> dict[str, int]:
    true = truth.effects()
    return {
        name: int(((limits[:, 0] <= true[name] + 1e-9) & (true[name] <= limits[:, 1] + 1e-9)).sum())
        for name, limits in ((name, getattr(found, name)) for name in NAMES)
    }


@pytest.mark.parametrize("tilt", TILTS)
@pytest.mark.parametrize("bins", [2, 10, 60])
@pytest.mark.parametrize("events", [50, 1_000, 100_000])
def test_an_interval_holds_the_true_effect_in_95_of_100_cases(events: int, bins: int, tilt: str) -> None:
    for rows in (1_000, 20_000):
        truth = tilted(bins, TILTS[tilt])
        _, _, found = simulated(truth, rows, events, seed=bins + events + rows)
        for name, times in covered(found, truth).items():
            assert times >= COVERED_MIN, (name, rows, times / RUNS)


@pytest.mark.parametrize("tilt", ["none", "some"])
@pytest.mark.parametrize("bins", [2, 10, 60])
def test_a_small_baseline_and_unequal_bins_are_allowed_for(bins: int, tilt: str) -> None:
    for events in (50, 1_000, 100_000):
        truth = tilted(bins, TILTS[tilt], falling=True)
        _, _, found = simulated(truth, 300, events, seed=7 * bins + events)
        for name, times in covered(found, truth).items():
            assert times >= COVERED_MIN, (name, events, times / RUNS)


def test_the_bias_of_few_events_is_taken_off() -> None:
    _, effects, found = simulated(tilted(32, 0.0), 20_000, 1_000, seed=1)
    assert np.median(effects.psi) > 0.03
    # One-sided: an interval lies above zero in at most 2.5 of 100 cases without a change; here in at most 5.
    for name in NAMES:
        assert (getattr(found, name)[:, 0] > 0).sum() <= stats.binom.ppf(1 - 1e-7, RUNS, 0.05), name
    _, effects, found = simulated(tilted(32, 0.4), 20_000, 1_000, seed=2)
    true = tilted(32, 0.4).effects()["psi"]
    middle = np.median(found.psi.mean(axis=1))
    assert abs(middle - true) < abs(np.median(effects.psi) - true) / 3


def test_more_events_make_intervals_narrower_and_with_many_they_close_in_on_the_effect() -> None:
    truth = tilted(10, 0.4)
    widths = []
    for rows, events in ((1_000, 100), (1_000, 1_000), (100_000, 1_000), (100_000, 100_000)):
        _, _, found = simulated(truth, rows, events, seed=3, runs=40)
        widths.append([float(np.median(np.diff(getattr(found, name), axis=1))) for name in NAMES])
    assert (np.diff(widths, axis=0) < 0).all()
    for name, width in zip(NAMES, widths[-1], strict=True):
        assert width < 0.3 * truth.effects()[name]


def test_of_few_events_in_many_bins_little_is_known() -> None:
    _, _, found = simulated(tilted(60, 1.0), 20_000, 20, seed=4, runs=50)
    assert (found.js[:, 0] == 0).all()
    assert (found.js[:, 1] > 0.5).all()


def test_rows_that_move_together_widen_the_interval() -> None:
    rng = np.random.default_rng(5)
    alone, together = rng.normal(size=8_000), np.repeat(rng.normal(size=800), 10)
    baseline = baseline_of({"alone": alone, "together": together})
    events = rng.normal(size=2_000) + 0.3
    counts = count(baseline, {"alone": events, "together": events})
    found = effect_intervals(baseline, counts, effect_sizes(baseline, counts))
    overall, largest, _ = inflations_of(baseline)
    assert overall[0] == pytest.approx(1.0, abs=0.3)
    assert 5 < overall[1] <= largest[1] < 40
    for name in NAMES:
        narrow, wide = np.diff(getattr(found, name), axis=1)[:, 0]
        assert wide > 2 * narrow, name


def test_sessions_are_covered_as_independent_events_are() -> None:
    rng = np.random.default_rng(6)
    names = [f"x{i}" for i in range(60)]
    baseline = baseline_of({name: np.repeat(rng.integers(0, 8, 1_000), 5).astype(np.float64) for name in names})
    counts = count(baseline, {name: np.repeat(rng.integers(0, 8, 400), 5).astype(np.float64) for name in names})
    effects = effect_sizes(baseline, counts)
    found = effect_intervals(baseline, counts, effects)
    at_least = stats.binom.ppf(1e-7, len(names), 0.93)
    for name in NAMES:
        assert (getattr(found, name)[:, 0] == 0).sum() >= at_least, name
    naive = effect_intervals(Baseline(columns=_unordered(baseline), rows=5_000, ordered=False), counts, effects)
    assert (naive.psi[:, 0] > 0).mean() > 0.5


def _unordered(baseline: Baseline) -> tuple[NumericColumn, ...]:
    numeric = [column for column in baseline.columns if isinstance(column, NumericColumn)]
    return tuple(
        NumericColumn(
            spec=c.spec, edges=c.edges, targets=c.targets, counts=c.counts, blocks=c.blocks,
            inflation=c.inflation[:, :0], singles=c.singles, bin_means=c.bin_means, bin_stds=c.bin_stds,
            mean=c.mean, std=c.std,
        )
        for c in numeric
    )  # fmt: skip


def test_what_is_undefined_has_no_interval_and_the_rest_lies_in_its_range() -> None:
    rng = np.random.default_rng(8)
    reference = {**mixed(rng, 3_000), "same": np.ones(3_000), "empty": np.full(3_000, np.nan)}
    baseline = baseline_of(reference)
    events = {**mixed(rng, 500, shift=9.0), "same": np.full(500, 2.0), "empty": np.full(500, np.inf)}
    for counts in (count(baseline, events), count(baseline, reference), np.zeros(baseline.total, np.int64)):
        before = counts.copy()
        effects = effect_sizes(baseline, counts)
        found = effect_intervals(baseline, counts, effects)
        assert (counts == before).all()
        for name in NAMES:
            limits, value = getattr(found, name), getattr(effects, name)
            assert (np.isnan(limits).all(axis=1) == np.isnan(value)).all(), name
            known = limits[~np.isnan(value)]
            assert ((known >= 0) & (known[:, :1] <= known[:, 1:])).all()
            assert name in {"psi", "wasserstein"} or (known <= 1).all()
            assert np.isfinite(known).all()


def test_one_event_and_one_row_are_enough_to_say_nothing() -> None:
    baseline = baseline_of({"x": np.array([1.0]), "c": Codes(("a",), np.zeros(1, np.int32))})
    counts = count(baseline, {"x": np.array([5.0]), "c": Codes(("b",), np.zeros(1, np.int32))})
    found = effect_intervals(baseline, counts, effect_sizes(baseline, counts))
    assert found.js[:, 0] == pytest.approx([0, 0])
    assert found.ks[0] == pytest.approx([0, 1])


@pytest.mark.parametrize("rows", [50, 2_000])
@pytest.mark.parametrize("events", [5, 50, 3_840])
def test_what_is_always_the_same_has_no_effect_for_sure(rows: int, events: int) -> None:
    baseline = baseline_of({"c": Codes(("a", "b"), np.zeros(rows, np.int32))})
    counts = count(baseline, {"c": Codes(("a", "b"), np.zeros(events, np.int32))})
    found = effect_intervals(baseline, counts, effect_sizes(baseline, counts))
    assert [limits.tolist() for limits in (found.psi, found.js, found.hellinger)] == [[[0.0, 0.0]]] * 3


def test_a_higher_level_is_wider_and_nonsense_is_refused() -> None:
    baseline, effects, low = simulated(tilted(10, 0.4), 5_000, 500, seed=9, runs=5)
    counts = np.zeros(baseline.total, np.int64)
    with pytest.raises(DetectorError, match="counts have shape"):
        effect_intervals(baseline, counts[1:], effects)
    with pytest.raises(DetectorError, match=r"level is 0.2; it must be from 0.5 to 0.99999"):
        effect_intervals(baseline, counts, effects, level=0.2)
    rng = np.random.default_rng(9)
    baseline = baseline_of({"x": rng.normal(size=5_000)})
    counts = count(baseline, {"x": rng.normal(size=500) + 0.5})
    effects = effect_sizes(baseline, counts)
    low, high = (effect_intervals(baseline, counts, effects, level) for level in (0.8, 0.99))
    for name in NAMES:
        narrow, wide = getattr(low, name)[0], getattr(high, name)[0]
        assert wide[0] < narrow[0] < narrow[1] < wide[1], name


@pytest.mark.parametrize("share", [0.0, 0.003, 0.2, 0.9, 1.0])
@pytest.mark.parametrize("events", [1, 50, 1_000, 100_000])
def test_a_share_lies_in_its_interval_at_least_as_often_as_it_says(share: float, events: int) -> None:
    # Exact: the probability of every possible number of hits.
    step = max(1, events // 2_000)
    hits = np.arange(0, events + 1, step)
    limits = share_intervals(hits, events)
    assert (np.diff(limits, axis=1) > 0).all()
    holds = (limits[:, 0] <= share) & (share <= limits[:, 1])
    if step == 1:
        assert stats.binom.pmf(hits, events, share)[holds].sum() >= 0.95 - 1e-9
    assert (np.abs(hits[holds] / events - share) <= 3.2 * np.sqrt(share * (1 - share) / events) + 5 / events).all()


def test_shares_of_events_that_move_together_are_known_less_well() -> None:
    (alone,), (together,) = share_intervals(np.array([30]), 100), share_intervals(np.array([30]), 100, inflation=5.0)
    assert together[0] < alone[0] < 0.3 < alone[1] < together[1]
    assert share_intervals(np.array([0]), 0).tolist() == [[0, 1]]
