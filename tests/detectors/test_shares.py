"""The budget is divided exactly: whatever is asked for, all weights add up to one, so the promise stays."""

import math
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.baseline import Baseline
from detectors.binning import count
from detectors.columns import ColumnGroup
from detectors.errors import DetectorError
from detectors.evidence import ColumnOptions, EvidenceEngine, EvidenceOptions
from detectors.evidence.fusion import blamed
from detectors.evidence.layout import lay_out
from detectors.evidence.options import GROUPS, QUALITY
from tests.detectors.samples import baseline_of, mixed

ODDS = ("missing", "invalid", "below", "above", "between", "other", "unseen")


@cache
def grouped() -> Baseline:
    """Return a baseline of four columns, the last two of which are a prediction and a latency."""
    plain = baseline_of(mixed(np.random.default_rng(11), 3000))
    groups = dict(zip(plain.names[-2:], (ColumnGroup.PREDICTION, ColumnGroup.LATENCY), strict=True))
    columns = tuple(
        replace(column, spec=replace(column.spec, group=groups.get(column.spec.name, ColumnGroup.FEATURE)))
        for column in plain.columns
    )
    return Baseline(columns=columns, rows=plain.rows)


def weights_of(options: EvidenceOptions) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Return each bet's weight in the model's mean, its column, and its name; without padding."""
    layout = lay_out(grouped(), options, np.ones(len(grouped().columns)))
    real = layout.columns >= 0
    logs = layout.log_weights[real] + layout.log_shares[layout.columns[real]]
    return np.exp(logs), layout.columns[real], [name for name, is_bet in zip(layout.names, real, strict=True) if is_bet]


def engine_with(*shares: tuple[str, float], columns: tuple[ColumnOptions, ...] = ()) -> EvidenceEngine:
    return EvidenceEngine(grouped(), EvidenceOptions(shares=shares, columns=columns))


@settings(max_examples=25)
@given(
    shares=st.dictionaries(st.sampled_from(GROUPS), st.floats(1e-3, 1e3), max_size=len(GROUPS)),
    weights=st.lists(st.floats(1e-3, 1e3), min_size=4, max_size=4),
    ignored=st.sets(st.integers(0, 3), max_size=3),
)
def test_whatever_the_shares_all_weights_add_up_to_one(
    shares: dict[str, float], weights: list[float], ignored: set[int]
) -> None:
    columns = tuple(
        ColumnOptions(name=name, ignore=True) if i in ignored else ColumnOptions(name=name, weight=weight)
        for i, (name, weight) in enumerate(zip(grouped().names, weights, strict=True))
    )
    found, owners, _ = weights_of(EvidenceOptions(shares=tuple(shares.items()), columns=columns))
    assert (found >= 0).all()
    assert math.fsum(found.tolist()) == pytest.approx(1.0, abs=1e-12)
    assert not found[np.isin(owners, list(ignored))].any()


def test_without_shares_every_column_has_the_same() -> None:
    assert engine_with().shares == pytest.approx([0.25] * 4)


def test_groups_divide_the_budget_first_and_weights_then_divide_a_group() -> None:
    first = ColumnOptions(name=grouped().names[0], weight=3.0)
    engine = engine_with(("feature", 2.0), ("latency", 0.5), columns=(first,))
    assert engine.shares == pytest.approx(np.array([1.5, 0.5, 1.0, 0.5]) / 3.5)


def test_a_group_without_columns_leaves_its_share_to_the_others() -> None:
    assert engine_with(("score", 50.0), ("feature", 2.0)).shares == pytest.approx([0.25] * 4)


def test_quality_has_its_share_of_every_columns_odd_bins_and_no_other_bet_has_part_of_it() -> None:
    found, _, names = weights_of(EvidenceOptions(shares=((QUALITY, 6.0),)))
    odd = np.array([name.split()[0] in ODDS for name in names])
    assert found[odd].sum() == pytest.approx(6 / 9)
    assert found[~odd].sum() == pytest.approx(3 / 9)


def test_the_models_evidence_is_the_mean_of_all_sums_by_exactly_these_weights() -> None:
    """So it is a weighted mean of e-detectors, and a supermartingale less the ticks whatever depends on whatever."""
    shares = (("prediction", 5.0), ("quality", 0.7))
    engine = engine_with(*shares)
    state = engine.start()
    for tick in range(5):
        state = engine.step(state, tick, count(grouped(), mixed(np.random.default_rng(tick), 40)))
    layout = lay_out(grouped(), EvidenceOptions(shares=shares), np.ones(4))
    real = layout.columns >= 0
    found, owners, _ = weights_of(EvidenceOptions(shares=shares))
    sums = np.exp(state.sums[real])
    read = engine.read(state)
    assert math.exp(read.log_model) == pytest.approx(math.fsum((found * sums).tolist()), rel=1e-9)
    for i, share in enumerate(engine.shares):
        own = owners == i
        assert math.exp(read.log_columns[i]) == pytest.approx((found * sums)[own].sum() / share, rel=1e-9)


@given(
    logs=st.lists(st.floats(-5, 40), min_size=1, max_size=12),
    weights=st.lists(st.floats(0.01, 10), min_size=12, max_size=12),
    log_threshold=st.floats(0.1, 20),
)
def test_blame_is_e_bh_with_weights(logs: list[float], weights: list[float], log_threshold: float) -> None:
    """Of k columns named, each has evidence times share of at least A / k: Wang and Ramdas with weights K * share."""
    shares = np.array(weights[: len(logs)]) / sum(weights[: len(logs)])
    named = blamed(np.array(logs), log_threshold, np.log(shares))
    worth = np.sort(np.array(logs) + np.log(shares))[::-1]
    most = max((k for k in range(1, len(logs) + 1) if worth[k - 1] >= log_threshold - math.log(k)), default=1)
    assert len(named) == most
    assert np.allclose(np.sort((np.array(logs) + np.log(shares))[named])[::-1], worth[:most])


def test_a_column_with_a_larger_share_is_named_on_less_evidence() -> None:
    even, heavy = np.log([0.5, 0.5]), np.log([0.05, 0.95])
    logs = np.log([3e5, 1.2e5])
    assert blamed(logs, math.log(1e5), even).tolist() == [0, 1]
    assert blamed(logs, math.log(1e5), heavy).tolist() == [1]


@pytest.mark.parametrize(
    ("shares", "message"),
    [
        ((("weather", 1.0),), r"shares\['weather'\]: no such group; there are feature, "),
        ((("feature", 0.0),), r"shares\['feature'\] is 0.0; it must be above 0"),
        ((("feature", math.nan),), r"shares\['feature'\] is nan"),
        ((("feature", 1.0), ("feature", 2.0)), "shares speaks twice about 'feature'"),
    ],
)
def test_shares_that_make_no_sense_are_refused(shares: tuple[tuple[str, float], ...], message: str) -> None:
    with pytest.raises(DetectorError, match=message):
        EvidenceOptions(shares=shares)
