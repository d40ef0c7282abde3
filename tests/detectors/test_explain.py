"""Tolerances, exponents and insufficiency in words."""

import numpy as np
import pytest

from detectors.baseline import compile_baseline
from detectors.columns import Codes
from detectors.evidence import ColumnOptions, EvidenceEngine, EvidenceOptions, insufficiency
from detectors.evidence.calibrate import null_of
from tests.detectors.samples import Columns, baseline_of, mixed, spec_of
from tests.detectors.test_dependence import autoregressive


def test_every_column_and_direction_is_explained_in_a_sentence() -> None:
    baseline = baseline_of(mixed(np.random.default_rng(0), 2000))
    found = EvidenceEngine(baseline).explain()
    assert [column.name for column in found] == list(baseline.names)
    for column in found:
        assert column.eta == 1
        assert column.independent_rows == column.rows == 2000
        assert column.insufficient is None
        assert column.text == "exponent 1: the rows of the reference are independent as far as it tells"
        for direction in column.directions:
            assert direction.text.startswith(f"{direction.direction}: may move by {direction.by:.2g}")
            assert direction.by > 0


def test_the_cause_of_a_tolerance_is_named() -> None:
    rng = np.random.default_rng(1)
    wander = np.repeat(rng.normal(size=20) * 0.5, 500)
    columns: Columns = {"calm": rng.normal(size=10_000), "wanders": rng.normal(size=10_000) + wander}
    calm, wanders = EvidenceEngine(baseline_of(columns)).explain()
    assert calm.directions[0].text == "mean up: may move by 0.03 standard deviations: 3 standard errors of 10,000 rows"
    assert wanders.directions[0].cause == "natural_variation"
    assert "blocks of the reference moved by 0." in wanders.directions[0].text
    patient = EvidenceEngine(baseline_of(columns), EvidenceOptions(minimum_effect=0.1)).explain()[0]
    assert patient.directions[0].text == "mean up: may move by 0.1 standard deviations: the minimum effect"


@pytest.mark.parametrize("pairs", [64, 500, 1000, 2500])
def test_the_spread_of_two_values_that_are_equally_frequent_cannot_move(pairs: int) -> None:
    # Its direction is zero in every bin, or what rounding left of it.
    found = EvidenceEngine(baseline_of({"x": np.tile([0.0, 1.0], pairs)})).explain()[0]
    named = {direction.direction for direction in found.directions}
    assert {"mean up", "mean down", "missing up"} < named
    assert not {"spread up", "spread down", "tail weight up"} & named
    uneven = EvidenceEngine(baseline_of({"x": np.tile([0.0, 0.0, 1.0], pairs)})).explain()[0]
    assert {"spread up", "spread down"} < {direction.direction for direction in uneven.directions}


def test_what_the_learned_bet_tolerates_is_explained_too() -> None:
    rng = np.random.default_rng(1)
    trend = np.linspace(-2.0, 2.0, 10_000)
    columns: Columns = {"calm": rng.normal(size=10_000), "wanders": rng.normal(size=10_000) + trend}
    engine = EvidenceEngine(baseline_of(columns))
    calm, wanders = (column.directions[-1] for column in engine.explain())
    expected = null_of(engine.baseline.columns[0], engine.options).learned_effect
    assert (calm.direction, calm.by, calm.cause, calm.eta) == ("distribution", expected, "standard_errors", 1)
    assert calm.text.endswith("standard deviations, whichever way: 3 standard errors of the worst of all directions")
    assert wanders.text.endswith("and more in 1 way in which blocks of the reference differ")
    assert wanders.eta < 1
    pointed = EvidenceEngine(
        baseline_of(columns), EvidenceOptions(columns=(ColumnOptions(name="calm", direction="up"),))
    )
    assert "distribution" not in {tolerated.direction for tolerated in pointed.explain()[0].directions}


def test_rows_that_move_together_are_explained() -> None:
    values = autoregressive(np.random.default_rng(2), 5000, 0.8)
    found = EvidenceEngine(baseline_of({"x": values})).explain()[0]
    assert found.eta < 0.2
    assert 200 < found.independent_rows < 700
    assert "sums over neighbouring rows of the reference vary up to" in found.text
    assert found.text.endswith("; that is of its largest stakes, small ones have more")
    assert found.eta < max(tolerated.eta for tolerated in found.directions)
    assert "3 standard errors of 5,000 rows that are worth" in found.directions[0].text
    unordered = compile_baseline([(spec_of("x", values), values)], ordered=False).baseline
    assert "in no order of time" in EvidenceEngine(unordered).explain()[0].text
    off = EvidenceEngine(baseline_of({"x": values}), EvidenceOptions(calibrate=False)).explain()[0]
    assert off.text == "exponent 1: calibration is switched off"


@pytest.mark.parametrize(
    ("columns", "sentence"),
    [
        ({"x": np.arange(99.0)}, "the reference has 99 rows; a promise"),
        ({"x": np.full(500, 2.5)}, "column 'x' holds nothing but '2.5' in 500 rows"),
        ({"x": np.full(500, np.nan)}, "column 'x' holds nothing but 'missing' in 500 rows"),
        ({"c": Codes(("a",), np.zeros(500, dtype=np.int32))}, "column 'c' holds nothing but 'a' in 500 rows"),
        ({"x": np.ones(500), "y": np.ones(500)}, "none of 2 columns supports a promise; the first: column 'x' holds"),
        ({"x": np.repeat([1.0, 2.0, 3.0], 200)}, "column 'x': its 600 rows move together so much that they are worth"),
    ],
)
def test_a_baseline_that_cannot_support_a_promise_says_what_is_missing(columns: Columns, sentence: str) -> None:
    baseline = baseline_of(columns)
    found = insufficiency(baseline)
    assert found is not None
    assert found.startswith(sentence)
    assert EvidenceEngine(baseline).insufficient == found


def test_one_good_column_is_enough_for_a_promise() -> None:
    rng = np.random.default_rng(3)
    baseline = baseline_of({"constant": np.ones(500), "varies": rng.normal(size=500)})
    assert insufficiency(baseline) is None
    assert [column.insufficient is None for column in EvidenceEngine(baseline).explain()] == [False, True]
