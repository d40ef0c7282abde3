"""The reference replayed against itself."""

import math

import numpy as np
import pytest

from detectors.columns import Codes
from detectors.errors import DetectorError
from detectors.evidence import EvidenceEngine, EvidenceOptions
from detectors.evidence.selfreplay import _over_limit, strengths_of
from tests.detectors.samples import Columns, baseline_of, mixed


def test_a_steady_reference_raises_nothing_against_itself() -> None:
    """A column loses strength with probability below 0.005; four or more of twelve do with 4 * 10**-7.

    The budget allows 4 * 10**-8 alarms in all.
    """
    lost = 0
    for rows in (300, 3000, 30_000):
        engine = EvidenceEngine(baseline_of(mixed(np.random.default_rng(1), rows)))
        lost += int((engine.strengths < 1).sum())
        found = engine.self_test(1e10)
        assert found.alarms == ()
        assert found.ticks == min(160, rows // 16)
        assert found.allowed == pytest.approx(found.ticks / 1e10)
        assert str(found).startswith("0 false alarms in")
    assert lost < 4


def stepped(rng: np.random.Generator, rows: int, step: float) -> Columns:
    """Return one steady column, and one that is another from the last fifth on."""
    later = np.arange(rows) >= rows * 0.8
    return {"steady": rng.normal(size=rows), "steps": rng.normal(size=rows) + step * later}


def test_a_reference_that_is_of_two_minds_is_told_where() -> None:
    baseline = baseline_of(stepped(np.random.default_rng(2), 4000, 3.0))
    engine = EvidenceEngine(baseline, EvidenceOptions(calibrate=False))
    alarms = engine.self_test(1e4).alarms
    assert alarms
    assert {alarm.columns for alarm in alarms} == {("steps",)}
    assert any(alarm.first_row >= 3200 for alarm in alarms)


def test_a_column_that_alarms_on_its_own_reference_bets_less() -> None:
    baseline = baseline_of(stepped(np.random.default_rng(2), 4000, 3.0))
    strengths = strengths_of(baseline, EvidenceOptions(standard_errors=0.0))
    assert strengths[0] == 1
    engine = EvidenceEngine(baseline)
    assert engine.strengths[0] == 1
    assert engine.self_test(1e4).alarms == ()


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(("rows", "halvings"), [(150, 1), (250, 2)])
def test_exponents_are_halved_until_the_reference_stays_below_the_limit_and_no_further(
    seed: int, rows: int, halvings: int
) -> None:
    """Values that are missing once, for many rows on end: the fifths without them know nothing of it.

    Their number is fixed, so the seed decides of nothing but the values around them.
    """
    rng = np.random.default_rng(seed)
    outage = rng.normal(size=2000)
    outage[1700 : 1700 + rows] = np.nan
    baseline, options = baseline_of({"steady": rng.normal(size=2000), "outage": outage}), EvidenceOptions()
    engine = EvidenceEngine(baseline)
    assert engine.strengths.tolist() == strengths_of(baseline, options).tolist() == [1.0, 0.5**halvings]
    assert _over_limit(baseline, options, np.array([1.0, 2 * 0.5**halvings])).tolist() == [False, True]
    assert _over_limit(baseline, options, engine.strengths).tolist() == [False, False]
    exponents = [explanation.eta for explanation in engine.explain()]
    assert exponents[1] <= 0.5**halvings < exponents[0]
    assert f"halved {halvings} times, because the reference raised alarms against itself" in engine.explain()[1].text


def test_columns_whose_fifths_have_nothing_in_common_are_replayed_too() -> None:
    rng = np.random.default_rng(5)
    seasons = np.repeat([1.0, 2.0, 3.0, 4.0, 5.0], 400)
    zeros = np.where(np.arange(2000) < 1200, 0.0, rng.exponential(size=2000))
    labels = Codes(("a", "b", "c", "d", "e"), (seasons - 1).astype(np.int32))
    engine = EvidenceEngine(baseline_of({"seasons": seasons, "zeros": zeros, "labels": labels}))
    assert engine.self_test(1e4).ticks == 125
    assert len(engine.explain()) == 3


def test_a_short_or_unordered_reference_is_not_replayed() -> None:
    short = EvidenceEngine(baseline_of(mixed(np.random.default_rng(3), 100)))
    assert (short.strengths == 1).all()
    assert str(short.self_test(1e4)) == "the reference is too short to be replayed against itself"


def test_the_self_test_needs_a_budget() -> None:
    engine = EvidenceEngine(baseline_of(mixed(np.random.default_rng(3), 100)))
    for budget in (1.0, math.nan):
        with pytest.raises(DetectorError, match="budget is"):
            engine.self_test(budget)


def test_the_replay_leaves_the_baseline_as_it_was() -> None:
    baseline = baseline_of(mixed(np.random.default_rng(4), 1000))
    before = baseline.to_bytes()
    EvidenceEngine(baseline).self_test(100.0)
    assert baseline.to_bytes() == before
