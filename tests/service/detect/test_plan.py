"""Which entries belong together."""

import math
from dataclasses import replace
from typing import Any

import msgspec
import pytest

from service.detect.plan import Era, Plan
from service.domain.ids import Position
from service.domain.policy import Budget, ColumnChoice, Direction, Policy, Tuning
from service.domain.states import State
from tests.service.detect.test_watch import Disk, folded, reference, status, steady
from tests.service.worker.world import SMALL_BUDGET, baseline_record, make_control, make_version

BEFORE = Era(baseline_id="b1", restart_position=Position(3), tick_us=1_000_000, tuning=Tuning())


def plan(restart: int = 0, *baselines: tuple[int, str]) -> Plan:
    records = [baseline_record(1, reference(), from_position=position, name=name) for position, name in baselines]
    return Plan.of(make_version(1, restart=restart), SMALL_BUDGET, records)


@pytest.mark.parametrize(
    ("position", "baseline_id", "restart"),
    [
        pytest.param(5, None, 3, id="at its own position the first baseline does not apply yet"),
        pytest.param(6, "b1", 3, id="after it, it does"),
        pytest.param(10, "b1", 3, id="the restart's own position is before it"),
        pytest.param(11, "b1", 10, id="the next one after it"),
        pytest.param(20, "b1", 10, id="the second baseline's position"),
        pytest.param(21, "b2", 10, id="and after it, for ever"),
        pytest.param(10**9, "b2", 10, id="however far"),
    ],
)
def test_the_era_of_an_entry_follows_from_its_position(position: int, baseline_id: str | None, restart: int) -> None:
    era = plan(10, (5, "b1"), (20, "b2")).era_at(Position(position), BEFORE)
    assert (era.baseline_id, era.restart_position) == (baseline_id, restart)


def test_a_version_without_a_past_begins_at_zero() -> None:
    assert plan(10).era_at(Position(4), None).restart_position == 0


def test_the_threshold_is_the_promised_number_of_ticks() -> None:
    policy = Policy(budget=Budget(false_alarms=2, per_days=1), tick_seconds=0.5)
    assert Plan.of(make_version(1), policy, ()).threshold_log == pytest.approx(math.log(86_400))


@pytest.mark.parametrize(
    "changed",
    [
        {"tick_seconds": 2.0},
        {"tick_seconds": 3600.0},
        {"tick_seconds": 0.25},
        {"minimum_effect": 0.2},
        {"columns": {"age": ColumnChoice(direction=Direction.UP)}},
        {"shares": {"prediction": 3.0}},
    ],
)
def test_another_tick_or_tuning_starts_evidence_from_zero_and_keeps_the_windows(changed: dict[str, Any]) -> None:
    versions, records = [make_version(1)], {1: [baseline_record(1, reference())]}
    disk = folded(make_control(versions, records), steady(10))
    policy = msgspec.structs.replace(SMALL_BUDGET, **changed)
    disk.control = make_control(versions, records, policy)
    disk.fold(disk.watch(), steady(10, start=10))
    assert status(disk)["events_total"] == 1_000
    ticks = status(disk)["ticks"]
    assert isinstance(ticks, int)
    assert ticks < 10
    hour = [w for w in disk.windows.values() if w.level == "1h"]
    open_events = {2.0: 2, 3600.0: 10, 0.25: 1}.get(changed.get("tick_seconds", 0.0), 1)
    assert sum(w.events for w in hour) == (20 - open_events) * 50


def test_another_budget_alone_moves_the_threshold_and_keeps_the_evidence() -> None:
    versions, records = [make_version(1)], {1: [baseline_record(1, reference())]}
    disk = folded(make_control(versions, records), steady(10))
    before = disk.snapshots[versions[0].id]
    disk.control = make_control(versions, records, Policy(budget=Budget(false_alarms=1, per_days=100)))
    watch = Disk.watch(disk)
    watch.settle(Position(10))
    (after,) = watch.take_snapshots()
    assert after.threshold_log > before.threshold_log
    assert replace(after, threshold_log=before.threshold_log) == before


def test_a_policy_that_says_the_same_in_other_words_keeps_the_evidence() -> None:
    weighted = {"b": ColumnChoice(weight=2.0), "a": ColumnChoice(weight=3.0)}
    one = Policy(columns=weighted, shares={"score": 1.0, "feature": 2.0})
    other = Policy(
        columns={**dict(reversed(weighted.items())), "c": ColumnChoice()}, shares={"feature": 2.0, "score": 1.0}
    )
    assert one.tuning == other.tuning
    assert one.tuning != Policy().tuning


def test_a_retired_version_has_no_baseline_after_that_and_is_judged_as_before_up_to_it() -> None:
    records = [baseline_record(1, reference(), from_position=p, name=n) for p, n in ((5, "b1"), (20, "b2"), (30, "b3"))]
    own = Plan.of(make_version(1, state=State.RETIRED, restart=25), SMALL_BUDGET, records)
    assert [own.era_at(Position(at), BEFORE).baseline_id for at in (5, 6, 21, 25, 26, 31, 10**9)] == [
        None, "b1", "b2", "b2", None, None, None,
    ]  # fmt: skip
    # Once all before was folded the store reads no baseline any more: the plan is the same.
    assert Plan.of(make_version(1, state=State.RETIRED, restart=25), SMALL_BUDGET, ()).settled == own.settled


def test_what_comes_to_a_retired_version_is_counted_and_judged_by_nothing() -> None:
    versions, records = [make_version(1)], {1: [baseline_record(1, reference())]}
    disk = folded(make_control(versions, records), steady(10))
    told = disk.snapshots[versions[0].id]
    assert told.baseline_id == "b1"
    disk.control = make_control([make_version(1, state=State.RETIRED, restart=10)], records)
    watch = disk.watch()
    watch.settle(Position(10))
    (left,) = watch.take_snapshots()
    assert left.baseline_id is None
    assert left.events_total == told.events_total
    assert len(left.blob) < len(told.blob) / 4
    disk.fold(watch, steady(10, start=10), serving=False)
    after = disk.snapshots[versions[0].id]
    assert (after.events_total, after.leaks_total) == (2 * told.events_total, told.events_total)
    assert after.evidence_log == -math.inf
