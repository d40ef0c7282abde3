"""Silence over the fakes: told once, over by itself, and nobody's fault while traffic stops on purpose."""

from dataclasses import replace
from functools import cache
from typing import Any
from unittest.mock import patch

import msgspec
import pytest

from service.detect.reference import CompiledReference
from service.detect.silence import Silences
from service.domain.evaluation import Silence
from service.domain.policy import Action, Actions, Cause, Policy, Traffic
from service.domain.records import IncidentStatus, Verdict, Version
from service.domain.states import Event, State
from service.ports import SYSTEM, LogEntry
from service.worker.loop import Worker
from tests.service.worker.world import ANA, SMALL_BUDGET, World, compiled

MINUTE = Policy(budget=SMALL_BUDGET.budget, traffic=Traffic(stale_after_seconds=60.0))


@cache
def reference() -> CompiledReference:
    return compiled()


class Quiet(World):
    """A world with one worker, in which time may pass with nothing but the log's marks."""

    def __init__(self) -> None:
        super().__init__()
        self._own = self.worker()

    def catch_up(self, worker: Worker | None = None) -> None:
        super().catch_up(worker or self._own)

    def pause(self, seconds: int, every: int = 20) -> None:
        for _ in range(seconds // every):
            self.clock.advance(every)
            self.log.mark()
            self.catch_up()


def sending(policy: Policy = MINUTE, *, with_baseline: bool = False) -> tuple[Quiet, Version]:
    world = Quiet()
    version = world.add_version(policy=policy, reference=reference() if with_baseline else None)
    world.send_for(5, version)
    world.catch_up()
    return world, version


def monitoring(world: World, version: Version) -> str:
    said: str = msgspec.json.decode(world.store.tables.snapshots[version.id].status)["monitoring"]
    return said


def causes(world: World, status: str = "open") -> list[Cause]:
    return [alert.cause for alert in world.store.tables.alerts.values() if alert.status == status]


@pytest.mark.parametrize("with_baseline", [True, False])
def test_silence_is_told_once_and_is_over_by_itself(*, with_baseline: bool) -> None:
    world, version = sending(with_baseline=with_baseline)
    world.pause(40)
    assert causes(world) == []
    world.pause(200)
    assert causes(world) == [Cause.STALE]
    (alert,) = world.store.tables.alerts.values()
    (incident,) = world.store.tables.incidents.values()
    assert alert.incident_id == incident.id
    assert alert.reason == "no event for 61 seconds: longer than what the policy allows"
    assert incident.title == "Silence in m1 1: no event for 61 seconds"
    assert world.kinds() == ["alert_opened"]
    assert world.state(version) is State.ACTIVE
    assert monitoring(world, version) == "stale"

    world.send(version, 5)
    world.catch_up()
    assert causes(world) == []
    (after,) = world.store.tables.incidents.values()
    assert (after.status, after.verdict) == (IncidentStatus.RESOLVED, None)
    assert after.note == "events come again after 4 minutes without any"
    assert monitoring(world, version) != "stale"
    assert world.kinds() == ["alert_opened", "alert_opened"]
    said = [(item.actor, item.kind) for _, item in world.store.tables.timeline]
    assert said == [(SYSTEM, "opened"), (SYSTEM, "ended")]

    world.pause(100)
    assert causes(world) == [Cause.STALE]


def test_other_versions_show_that_one_is_silent() -> None:
    world, _ = sending()
    other = world.add_version("2", policy=MINUTE, reference=None)
    for _ in range(8):
        world.clock.advance(10)
        world.send(other, 3)
    world.catch_up()
    (alert,) = world.store.tables.alerts.values()
    assert alert.cause is Cause.STALE
    assert alert.opened_us - alert.since_us == 61_000_000


def test_a_version_that_gets_no_traffic_on_purpose_is_not_silent_until_it_is_asked_to_serve_again() -> None:
    world, version = sending()
    world.ask(ANA, Event.QUARANTINE)
    world.pause(300)
    assert causes(world) == []
    world.store.tables.versions[version.id] = replace(
        world.store.tables.versions[version.id], state=State.ACTIVE, since_us=world.clock.now_us()
    )
    world.store.tables.revision += 1
    world.pause(40)
    assert causes(world) == []
    world.pause(40)
    assert causes(world) == [Cause.STALE]


def test_a_version_that_never_sent_is_not_silent() -> None:
    world = Quiet()
    world.add_version(policy=MINUTE, reference=None)
    world.pause(300)
    assert causes(world) == []


def test_while_the_log_was_not_written_nobody_could_be_heard() -> None:
    world, version = sending()
    world.clock.advance(3_600)
    world.log.mark()
    world.catch_up()
    assert causes(world) == []
    world.pause(40)
    assert causes(world) == []
    world.pause(40)
    assert causes(world) == [Cause.STALE]
    (alert,) = world.store.tables.alerts.values()
    assert alert.opened_us - alert.since_us <= 80_000_000
    assert version.id == alert.version_id


def test_what_people_settled_stays_settled_until_events_come_and_stop_again() -> None:
    world, version = sending()
    world.pause(100)
    (incident,) = world.store.tables.incidents.values()
    with world.store.change() as tables:
        tables.incidents[incident.id] = replace(
            incident, status=IncidentStatus.RESOLVED, verdict=Verdict.BENIGN, resolved_us=world.clock.now_us()
        )
        tables.alerts = {
            key: replace(alert, status="closed", closed_us=world.clock.now_us()) for key, alert in tables.alerts.items()
        }
        tables.revision += 1
    world.pause(200)
    assert causes(world) == []
    world.send_for(3, version)
    world.catch_up()
    (settled,) = world.store.tables.incidents.values()
    assert settled.verdict is Verdict.BENIGN
    world.pause(100)
    assert causes(world) == [Cause.STALE]


def test_a_policy_may_only_record_it() -> None:
    world, _ = sending(replace_actions(Action.RECORD))
    world.pause(100)
    assert causes(world) == [Cause.STALE]
    assert world.kinds() == []


def replace_actions(stale: Action) -> Policy:
    return Policy(budget=SMALL_BUDGET.budget, traffic=MINUTE.traffic, actions=Actions(stale=stale))


def test_without_a_word_from_the_policy_a_version_tells_by_its_own_pauses_once_it_has_learnt() -> None:
    policy = Policy(budget=SMALL_BUDGET.budget, traffic=Traffic(learn_days=120 / 86_400))
    world, version = sending(policy, with_baseline=True)
    world.pause(600)
    assert causes(world) == []
    world.send_for(130, version, 5)
    world.catch_up()
    world.pause(280)
    assert causes(world) == []
    world.pause(40)
    assert causes(world) == [Cause.STALE]
    (alert,) = world.store.tables.alerts.values()
    assert alert.reason.endswith("longer than twice its longest pause while learning")


@pytest.mark.parametrize("entries_max", [1, 3, 1_000])
def test_however_the_log_is_cut_and_whoever_dies_the_same_is_told(entries_max: int) -> None:
    """Each pass is done by a worker that remembers nothing, against one that reads all at once."""
    outcomes = []
    for forgetful in (False, True):
        world = Quiet()
        first = world.add_version(policy=MINUTE, reference=None)
        second = world.add_version("2", policy=MINUTE, reference=None)
        world.send_for(3, first)
        for step, gap in enumerate([30, 45, 70, 500, 20, 20, 20, 20, 70]):
            world.clock.advance(gap)
            if step % 3 == 2:
                world.send(second, 4)
            else:
                world.log.mark()
        world.send_for(2, first)
        for _ in range(8):
            world.clock.advance(40)
            world.log.mark()
        if forgetful:
            for _ in range(40):
                world.worker(entries_max).step()
        else:
            world.catch_up()
        tables = world.store.tables
        outcomes.append((tables.alerts, tables.incidents, tables.snapshots, tables.position))
    assert outcomes[0] == outcomes[1]
    assert len(outcomes[0][0]) >= 3


def test_versions_are_looked_at_only_when_one_may_have_fallen_silent() -> None:
    """Each look costs time for every version there is: a busy log must not look at each entry."""
    world, version = sending(Policy(budget=SMALL_BUDGET.budget))
    other = world.add_version("2", policy=MINUTE, reference=None)
    looks = []
    find = Silences.find

    def counted(self: Silences, entry: LogEntry, *rest: Any) -> list[Silence]:
        looks.append(self.due(entry))
        return find(self, entry, *rest)

    with patch.object(Silences, "find", counted):
        for _ in range(400):
            world.clock.advance(1)
            world.send(other, 1)
        world.catch_up()
    assert len(looks) == 400
    assert sum(looks) < 20
    assert version.id != other.id
