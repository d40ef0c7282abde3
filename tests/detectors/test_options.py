"""What an operator says about single columns is heeded, or refused with both places named."""

import math
from typing import Any

import numpy as np
import pytest

from detectors.binning import count
from detectors.errors import DetectorError
from detectors.evidence import ColumnOptions, EvidenceEngine, EvidenceOptions
from detectors.evidence.bets import bets_of
from detectors.evidence.calibrate import null_of
from tests.detectors.samples import Columns, baseline_of, mixed

BASELINE = baseline_of(mixed(np.random.default_rng(11), 3000))


def engine_with(*columns: ColumnOptions, **options: Any) -> EvidenceEngine:
    return EvidenceEngine(BASELINE, EvidenceOptions(columns=columns, **options))


def evidence_on(engine: EvidenceEngine, columns: Columns) -> dict[str, float]:
    state = engine.step(engine.start(), 0, count(BASELINE, columns))
    found = engine.read(state)
    return dict(zip(BASELINE.names, found.log_columns.tolist(), strict=True)) | {"model": found.log_model}


@pytest.mark.parametrize(
    ("direction", "heard"), [("both", (True, True)), ("up", (True, False)), ("down", (False, True))]
)
def test_a_column_with_a_direction_hears_only_that(direction: str, heard: tuple[bool, bool]) -> None:
    engine = engine_with(ColumnOptions(name="normal", direction=direction))
    for shift, expected in zip((1.0, -1.0), heard, strict=True):
        found = evidence_on(engine, mixed(np.random.default_rng(1), 400, shift=shift))
        assert (found["normal"] > math.log(1e5)) == expected


def test_missing_values_are_news_whatever_the_direction() -> None:
    columns = mixed(np.random.default_rng(1), 400)
    columns["normal"] = np.full(400, np.nan)
    assert evidence_on(engine_with(ColumnOptions(name="normal", direction="up")), columns)["normal"] > math.log(1e5)


def test_an_ignored_column_raises_nothing_and_is_never_blamed() -> None:
    engine = engine_with(ColumnOptions(name="normal", ignore=True))
    columns = mixed(np.random.default_rng(1), 400, shift=1.0)
    found = evidence_on(engine, columns)
    assert found["normal"] == -math.inf
    assert found["model"] < math.log(100)
    state = engine.step(engine.start(), 0, count(BASELINE, columns))
    assert "normal" not in {blame.name for blame in engine.blame(state, math.log(1e5))}


def test_a_weight_moves_the_budget_between_columns() -> None:
    columns = mixed(np.random.default_rng(1), 400, shift=1.0)
    plain, heavy = (
        evidence_on(e, columns) for e in (engine_with(), engine_with(ColumnOptions(name="normal", weight=5)))
    )
    assert heavy["normal"] == plain["normal"]
    assert heavy["model"] - plain["model"] == pytest.approx(math.log(5 / 8 / (1 / 4)), abs=1e-6)


def test_a_minimum_effect_of_its_own_makes_a_column_patient() -> None:
    columns = mixed(np.random.default_rng(1), 400, shift=0.4)
    found = evidence_on(engine_with(ColumnOptions(name="normal", minimum_effect=0.5)), columns)
    assert found["normal"] < math.log(10) < evidence_on(engine_with(), columns)["normal"]


def test_options_are_part_of_the_engines_identity_whatever_their_order() -> None:
    up, heavy = ColumnOptions(name="normal", direction="up"), ColumnOptions(name="gaps", weight=2.0)
    assert engine_with(up, heavy).digest == engine_with(heavy, up).digest != engine_with(up).digest


@pytest.mark.parametrize("direction", ["both", "up", "down"])
def test_weights_of_one_sided_bets_add_up_to_one(direction: str) -> None:
    for column in BASELINE.columns:
        bets = bets_of(null_of(column, EvidenceOptions()), direction)
        assert bets.weights.sum() + bets.learned == pytest.approx(1)
        assert (bets.learned > 0) == (direction == "both")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"direction": "sideways"}, r"columns\['x'\].direction is 'sideways'"),
        ({"weight": 0.0}, r"columns\['x'\].weight is 0.0"),
        ({"weight": float("nan")}, r"columns\['x'\].weight is nan"),
        ({"minimum_effect": -1.0}, r"columns\['x'\].minimum_effect is -1.0"),
        ({"ignore": True, "weight": 2.0}, r"columns\['x'\].ignore is true, but columns\['x'\].weight is 2.0"),
        ({"ignore": True, "direction": "up"}, r"columns\['x'\].ignore is true, but columns\['x'\].direction is 'up'"),
        ({"ignore": True, "minimum_effect": 0.1}, r"ignore is true, but columns\['x'\].minimum_effect is 0.1"),
    ],
)
def test_contradictions_are_refused_with_both_places(options: dict[str, Any], message: str) -> None:
    with pytest.raises(DetectorError, match=message):
        ColumnOptions(name="x", **options)


def test_two_entries_about_one_column_are_refused() -> None:
    with pytest.raises(DetectorError, match=r"columns\[0\] and columns\[2\] both speak about 'a'"):
        EvidenceOptions(columns=(ColumnOptions(name="a"), ColumnOptions(name="b"), ColumnOptions(name="a")))


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ((ColumnOptions(name="nowhere"),), r"columns\['nowhere'\]: the baseline has no such column"),
        ((ColumnOptions(name="letter", direction="up"),), r"columns\['letter'\].direction is 'up', but .* categorical"),
        (tuple(ColumnOptions(name=n, ignore=True) for n in BASELINE.names), "all columns of the baseline are ignored"),
    ],
)
def test_options_that_do_not_fit_the_baseline_are_refused(columns: tuple[ColumnOptions, ...], message: str) -> None:
    with pytest.raises(DetectorError, match=message):
        engine_with(*columns)
