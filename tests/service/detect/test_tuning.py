"""What a policy says about columns and groups: heeded in the fold, told where it has no effect, never in the way."""

from dataclasses import replace

import msgspec
import numpy as np

from service.detect.engines import Engines
from service.detect.plan import Era
from service.detect.reference import compile_reference
from service.domain.ids import Position
from service.domain.policy import ColumnChoice, Direction
from service.frames import Coded, Frame
from tests.service.detect.test_watch import folded, reference, status, steady, watched_control
from tests.service.worker.world import (
    KEY,
    SCHEMA,
    SMALL_BUDGET,
    baseline_record,
    batch_entry,
    make_control,
    make_frame,
    make_version,
)


def never_varied() -> Frame:
    frame = replace(make_frame(1, 500, extras=False), numeric=np.full((2, 500), 5.0), embeddings={})
    return replace(frame, categorical=(Coded(("DE",), np.zeros(500, np.int32)),))


def test_a_baseline_that_never_varied_is_insufficient_and_accuses_nobody() -> None:
    quiet = never_varied()
    control = make_control([make_version(1)], {1: [baseline_record(1, compile_reference(SCHEMA, quiet))]})
    moved = replace(quiet, numeric=np.full((2, 500), 7.0))
    disk = folded(control, [batch_entry(i + 1, i, 1, moved) for i in range(5)])
    assert status(disk)["monitoring"] == "insufficient"
    assert str(status(disk)["insufficient"]).startswith("none of 3 columns supports a promise; the first: column 'age'")
    assert disk.evaluations[-1].above
    assert not disk.evaluations[-1].sufficient


def test_a_policy_that_ignores_every_column_is_insufficient() -> None:
    record = baseline_record(1, reference())
    ignored = {name: ColumnChoice(ignore=True) for name in record.columns}
    policy = msgspec.structs.replace(SMALL_BUDGET, columns=ignored)
    disk = folded(make_control([make_version(1)], {1: [record]}, policy), steady(3))
    assert "ignores every column" in str(status(disk)["insufficient"])
    assert not any(e.sufficient for e in disk.evaluations)


def test_all_that_is_missing_for_a_promise_is_said_together() -> None:
    record = baseline_record(1, compile_reference(SCHEMA, never_varied()))
    policy = msgspec.structs.replace(SMALL_BUDGET, columns={n: ColumnChoice(ignore=True) for n in record.columns})
    said = str(status(folded(make_control([make_version(1)], {1: [record]}, policy), steady(1)))["insufficient"])
    assert "ignores every column" in said
    assert "; none of 3 columns supports a promise" in said


def test_a_share_for_a_group_without_a_watched_column_is_told() -> None:
    record = baseline_record(1, compile_reference(SCHEMA, make_frame(1, 500, extras=False)))
    policy = msgspec.structs.replace(
        SMALL_BUDGET, shares={"prediction": 1.0, "feature": 2.0, "quality": 1.0, "traffic": 1.0}
    )
    notes = status(folded(make_control([make_version(1)], {1: [record]}, policy), steady(1)))["notes"]
    assert isinstance(notes, list)
    assert [note["at"] for note in notes] == ["policy.shares.prediction"]
    assert [warning["column"] for warning in record.warnings if warning["code"] == "absent"] == ["prediction"]


def test_what_a_policy_says_in_vain_is_told_and_stops_nothing() -> None:
    columns = {"agee": ColumnChoice(weight=2.0), "country": ColumnChoice(direction=Direction.UP)}
    policy = msgspec.structs.replace(SMALL_BUDGET, columns=columns, shares={"weather": 1.0})
    disk = folded(make_control([make_version(1)], {1: [baseline_record(1, reference())]}, policy), steady(3))
    assert status(disk)["monitoring"] == "watching"
    notes = status(disk)["notes"]
    assert isinstance(notes, list)
    assert [note["at"] for note in notes] == [
        "policy.columns.agee",
        "policy.columns.country.direction",
        "policy.shares.weather",
    ]
    assert "the nearest is 'age'" in notes[0]["reason"]


def test_an_ignored_column_raises_nothing_and_the_others_go_on() -> None:
    changed = [batch_entry(i + 1, i, 1, make_frame(i, 200, missing=0.6)) for i in range(6)]
    policy = msgspec.structs.replace(SMALL_BUDGET, columns={"age": ColumnChoice(ignore=True)})
    disk = folded(make_control([make_version(1)], {1: [baseline_record(1, reference())]}, policy), changed)
    assert not [f for e in disk.evaluations for f in e.findings if f.name == "age"]
    again = folded(watched_control(), changed)
    assert [f for e in again.evaluations for f in e.findings if f.name == "age"]


def test_engines_of_tunings_that_nobody_has_any_more_are_dropped() -> None:
    """Each edit of a policy makes a new engine; without this they would pile up for as long as the baseline stands."""
    record = baseline_record(1, reference())
    engines = Engines(KEY)
    era = Era(baseline_id=record.id, restart_position=Position(0), tick_us=1, tuning=SMALL_BUDGET.tuning)
    for weight in (2.0, 3.0):
        policy = msgspec.structs.replace(SMALL_BUDGET, columns={"age": ColumnChoice(weight=weight)})
        engines.heed(make_control([make_version(1)], {1: [record]}, policy))
        first = engines.of(replace(era, tuning=policy.tuning))
        assert first is not None
        engines.heed(make_control([make_version(1)], {1: [record]}, policy))
        assert engines.of(replace(era, tuning=policy.tuning)) is first
        assert len(engines._engines) == 1
