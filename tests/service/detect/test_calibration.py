"""What a baseline tolerates is told in words, column by column, with what is missing for a promise."""

from dataclasses import replace

import msgspec
import numpy as np
import pytest

from detectors.evidence import EvidenceEngine, SelfTest, SelfTestAlarm
from service.detect.baselines import RefusedBaseline
from service.detect.calibration import TOLERANCES_MIN, calibrate
from service.detect.reference import compile_reference
from service.domain.calibration import Calibration
from service.domain.policy import ColumnChoice, Direction, Policy, Tuning
from service.store.audit import canonical
from tests.service.detect.test_watch import reference
from tests.service.worker.world import SCHEMA, make_frame

BUDGET = 86_400.0


def calibrated(tuning: Tuning | None = None, rows: int = 4_000) -> Calibration:
    return calibrate(reference(rows).artefact, tuning or Tuning(), BUDGET)


def test_every_column_says_how_far_it_may_move_and_why() -> None:
    found = calibrated()
    assert [column.name for column in found.columns] == list(reference().columns)
    assert sum(column.share for column in found.columns) == pytest.approx(1.0)
    for column in found.columns:
        assert column.why.startswith("exponent ")
        assert all(": may move by " in tolerance.text for tolerance in column.tolerances)
        assert column.left_out == 0
    age = {tolerance.direction: tolerance for tolerance in found.columns[0].tolerances}
    assert age["mean up"].text.endswith("standard deviations: the minimum effect")
    assert age["mean up"].by == pytest.approx(0.05)


def test_the_self_test_is_told_in_a_sentence() -> None:
    text = calibrated().self_test.text
    assert text.startswith("replaying the reference against itself would have raised 0 false alarms where fewer than")
    assert calibrated(rows=40).self_test.text == "the reference is too short to be replayed against itself"


def test_rows_that_move_together_lower_the_exponent_and_it_says_so() -> None:
    frame = make_frame(1, 4_000)
    drifting = replace(frame, numeric=frame.numeric + np.linspace(0, 5, 4_000, dtype=frame.numeric.dtype))
    age = calibrate(compile_reference(SCHEMA, drifting).artefact, Tuning(), BUDGET).columns[0]
    assert age.exponent < 0.5
    assert age.independent_rows < 1_000
    assert "sums over neighbouring rows of the reference vary up to" in age.why


def test_alarms_of_the_self_test_are_told_with_their_rows_and_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    alarm = SelfTestAlarm(first_row=10, last_row=19, columns=("age",))
    seen = SelfTest(ticks=40, tick_rows=10.0, allowed=0.5, alarms=(alarm,))
    monkeypatch.setattr(EvidenceEngine, "self_test", lambda *_: seen)
    found = calibrated().self_test
    assert found.text.startswith(
        "replaying the reference against itself would have raised 1 false alarm where 0.5 were allowed (40 ticks"
    )
    assert [(told.first_row, told.last_row, told.columns) for told in found.alarms] == [(10, 19, ("age",))]


@pytest.mark.parametrize("rows", [1, 40])
def test_a_short_reference_says_what_is_missing(rows: int) -> None:
    found = calibrated(rows=rows)
    assert f"the reference has {rows} row" in str(found.insufficient)
    assert calibrated().insufficient is None


def test_the_operators_words_show_in_the_tolerances() -> None:
    choices = (
        ("age", ColumnChoice(direction=Direction.UP, minimum_effect=0.5, weight=3.0)),
        ("income", ColumnChoice(ignore=True)),
        ("nowhere", ColumnChoice(ignore=True)),
    )
    found = calibrated(Tuning(columns=choices, shares=(("latency", 9.0),)))
    by_name = {column.name: column for column in found.columns}
    assert by_name["age"].tolerances[0].by == pytest.approx(0.5)
    assert "mean down" not in {tolerance.direction for tolerance in by_name["age"].tolerances}
    assert (by_name["income"].share, by_name["income"].why) == (0.0, "ignored by the policy: it raises no evidence")
    assert by_name["latency_ms"].share > 0.5
    assert [note.at for note in found.notes] == ["policy.columns.nowhere", "policy.columns.income.ignore"]


def test_it_holds_until_the_policy_says_other_things_about_evidence() -> None:
    found = calibrated()
    policy = Policy(budget=Policy().budget.__class__(false_alarms=1, per_days=1))
    assert found.holds_under(policy)
    assert found.holds_under(msgspec.structs.replace(policy, dry_run=True))
    assert not found.holds_under(msgspec.structs.replace(policy, minimum_effect=0.1))
    assert not found.holds_under(Policy())


def test_of_very_many_directions_the_widest_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.detect.calibration.TOLERANCES_MAX", 1)
    for column, whole in zip(calibrated().columns, CALIBRATED.columns, strict=True):
        kept = min(TOLERANCES_MIN, len(whole.tolerances))
        assert (len(column.tolerances), column.left_out) == (kept, len(whole.tolerances) - kept)
        assert max(t.by for t in column.tolerances) == max(t.by for t in whole.tolerances)


def test_it_is_stored_and_read_without_loss() -> None:
    assert msgspec.json.decode(canonical(CALIBRATED), type=Calibration) == CALIBRATED


def test_bytes_that_are_no_baseline_are_refused() -> None:
    with pytest.raises(RefusedBaseline):
        calibrate(b"nothing", Tuning(), BUDGET)


CALIBRATED = calibrated()
