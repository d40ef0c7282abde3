"""Effect sizes against scipy, peers' published values, and sums done by hand."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from numpy.typing import NDArray
from scipy import stats
from scipy.spatial.distance import jensenshannon

from detectors.baseline import Baseline, NumericColumn
from detectors.binning import count
from detectors.columns import Codes
from detectors.effects import Effects, effect_sizes
from detectors.errors import DetectorError
from tests.detectors.samples import Columns, baseline_of, mixed, tables


def effects_between(reference: Columns, events: Columns, *, bins: int = 32) -> tuple[Baseline, Effects]:
    baseline = baseline_of(reference, bins=bins)
    return baseline, effect_sizes(baseline, count(baseline, events))


def codes(labels: str) -> Codes:
    kinds = tuple(sorted(set(labels)))
    return Codes(kinds, np.array([kinds.index(label) for label in labels], dtype=np.int32))


@pytest.mark.parametrize("seed", range(4))
def test_every_bin_statistic_equals_scipys_on_the_same_histograms(seed: int) -> None:
    rng = np.random.default_rng(seed)
    baseline, found = effects_between(mixed(rng, 3000), mixed(rng, 700, shift=0.4, more_c=0.1))
    counts = count(baseline, mixed(np.random.default_rng(seed + 50), 900, shift=0.2))
    found = effect_sizes(baseline, counts)
    for i, column in enumerate(baseline.columns):
        a, b = column.counts.astype(np.float64), counts[baseline.slices[i]].astype(np.float64)
        p, q = a / a.sum(), b / b.sum()
        used = (a + b) > 0
        assert found.js[i] == pytest.approx(jensenshannon(p, q, base=2))
        assert found.hellinger[i] == pytest.approx(np.sqrt(((np.sqrt(p) - np.sqrt(q)) ** 2).sum() / 2))
        table = stats.chi2_contingency(np.array([a[used], b[used]]), correction=False)
        assert found.chi2[i] == pytest.approx(table.statistic)
        assert found.chi2_p[i] == pytest.approx(table.pvalue)
        if isinstance(column, NumericColumn):
            positions = np.concatenate([[column.edges[0]], column.bin_means, [column.edges[-1]]])
            ordered = slice(0, column.ordered)
            exact = stats.wasserstein_distance(positions, positions, a[ordered], b[ordered])
            assert found.wasserstein[i] == pytest.approx(exact / column.std, rel=1e-6)
        else:
            assert math.isnan(found.ks[i])
            assert math.isnan(found.wasserstein[i])


def test_ks_equals_scipys_when_every_value_has_a_bin_and_never_exceeds_it_otherwise() -> None:
    rng = np.random.default_rng(5)
    few = (rng.integers(0, 9, 2000).astype(np.float64), rng.binomial(8, 0.6, 500).astype(np.float64))
    many = (rng.normal(size=2000), rng.normal(size=500) + 0.5)
    _, found = effects_between({"few": few[0], "many": many[0]}, {"few": few[1], "many": many[1]})
    assert found.ks[0] == pytest.approx(stats.ks_2samp(*few).statistic)
    exact = stats.ks_2samp(*many).statistic
    assert exact - 1 / 32 <= found.ks[1] <= exact + 1e-12


def test_wasserstein_is_close_to_the_exact_distance_inside_the_range() -> None:
    rng = np.random.default_rng(6)
    reference, events = rng.normal(size=20_000) * 3 + 7, rng.normal(size=5000) * 3 + 8
    _, found = effects_between({"x": reference}, {"x": events})
    assert found.wasserstein[0] == pytest.approx(
        stats.wasserstein_distance(reference, events) / reference.std(), rel=0.02
    )


def test_psi_is_the_plain_formula_when_no_bin_is_empty() -> None:
    _, found = effects_between({"x": codes("a" * 60 + "b" * 40)}, {"x": codes("a" * 30 + "b" * 70)})
    by_hand = (0.3 - 0.6) * math.log(0.3 / 0.6) + (0.7 - 0.4) * math.log(0.7 / 0.4)
    assert found.psi[0] == pytest.approx(by_hand)


def test_psi_counts_half_an_event_in_a_bin_that_is_empty_on_one_side_only() -> None:
    _, found = effects_between({"x": codes("a" * 60 + "b" * 40)}, {"x": codes("a" * 100)})
    p, q = np.array([0.6, 0.4]), np.array([100, 0.5]) / 100.5
    assert found.psi[0] == pytest.approx(((q - p) * np.log(q / p)).sum())


def test_nothing_moved_gives_zero_and_everything_moved_gives_one() -> None:
    reference: Columns = {"x": np.tile([1.0, 2.0], 500), "c": codes("ab" * 500)}
    _, same = effects_between(reference, reference)
    _, other = effects_between(reference, {"x": np.full(100, 99.0), "c": codes("z" * 100)})
    for name in ("psi", "js", "hellinger", "chi2"):
        assert getattr(same, name) == pytest.approx([0, 0], abs=1e-7)
    assert [same.ks[0], same.wasserstein[0]] == [0, 0]
    assert other.js == pytest.approx([1, 1])
    assert other.hellinger == pytest.approx([1, 1])
    assert other.ks[0] == pytest.approx(1)


def test_missing_values_show_in_psi_and_leave_ks_alone() -> None:
    values = np.random.default_rng(0).normal(size=4000)
    _, found = effects_between({"x": values}, {"x": np.where(np.arange(4000) % 4 == 0, np.nan, values)})
    assert found.psi[0] > 1
    assert found.ks[0] < 0.05


def test_what_is_undefined_is_nan() -> None:
    reference: Columns = {"same": np.ones(100), "empty": np.full(100, np.nan), "x": np.sin(np.arange(100.0))}
    baseline, found = effects_between(reference, reference)
    assert np.isnan(found.wasserstein[:2]).all()
    assert np.isnan(found.chi2[:2]).all()
    assert math.isnan(found.ks[1])
    nothing = effect_sizes(baseline, np.zeros(baseline.total, dtype=np.int64))
    for values in (nothing.psi, nothing.js, nothing.ks, nothing.wasserstein, nothing.hellinger, nothing.chi2_p):
        assert np.isnan(values).all()
    with pytest.raises(DetectorError, match="counts have shape"):
        effect_sizes(baseline, np.zeros(3, dtype=np.int64))


@given(reference=tables(), events=tables())
def test_every_effect_is_in_its_range_whatever_the_values(reference: Columns, events: Columns) -> None:
    _, found = effects_between(reference, events, bins=4)
    ranges = {"psi": np.inf, "js": 1, "ks": 1, "wasserstein": np.inf, "hellinger": 1, "chi2": np.inf, "chi2_p": 1}
    for name, highest in ranges.items():
        values: NDArray[np.float64] = getattr(found, name)
        defined = values[~np.isnan(values)]
        assert ((defined >= 0) & (defined <= highest)).all(), name


def test_published_values_of_a_peer_are_met_where_definitions_agree(shared_data: Path) -> None:
    published = json.loads((shared_data / "fixtures" / "nannyml_expected.json").read_text(encoding="utf-8"))
    expected = {case["id"]: case["expected"] for case in published["univariate"]}
    rng = np.random.default_rng(1)
    six, three = rng.choice(np.linspace(0, 2, 6), 10_000), rng.choice(np.linspace(0, 2, 3), 1000)
    letters = (rng.choice(4, 10_000).astype(np.int32), rng.choice(4, 1000).astype(np.int32))
    reference: Columns = {"few": six, "letter": Codes(("a", "b", "c", "d"), letters[0])}
    baseline = baseline_of(reference)
    events: Columns = {"few": three, "letter": Codes(("a", "b", "c", "e"), letters[1])}
    found = effect_sizes(baseline, count(baseline, events))
    assert found.js == pytest.approx([expected["js_quasi"], expected["js_cat"]], abs=0.015)
    assert found.hellinger == pytest.approx([expected["hellinger_quasi"], expected["hellinger_cat"]], abs=0.015)
    moved = (rng.normal(size=10_000), rng.normal(size=1000) + 1)
    _, shifted = effects_between({"x": moved[0]}, {"x": moved[1]})
    assert shifted.wasserstein[0] == pytest.approx(expected["wasserstein_shift1"], abs=0.06)


def test_category_shares_of_another_peer_give_its_hellinger_distance(shared_data: Path) -> None:
    published = json.loads((shared_data / "fixtures" / "evidently_expected.json").read_text(encoding="utf-8"))
    cases = [case for case in published["cases"] if case["id"].startswith("hellinger_cat")]
    assert len(cases) == 2
    for case in cases:
        reference, current = (codes("".join(map(str, case[side]))) for side in ("reference", "current"))
        _, found = effects_between({"x": reference}, {"x": current})
        assert found.hellinger[0] == pytest.approx(case["expected"], abs=case["abs_tol"])
