"""A change that lasts while its alert is open: the incident's timeline tells, exactly once, wherever passes are cut."""

from dataclasses import replace

import msgspec
import pytest

from service.domain.policy import Action, Actions
from service.domain.records import TimelineItem
from service.domain.states import Event
from service.pipeline import Memory, process_batches
from service.ports import SYSTEM, StaleControl
from tests.service.test_pipeline_work import Overtaken, reference
from tests.service.worker.world import ANA, SMALL_BUDGET, World

WATCHED = msgspec.structs.replace(SMALL_BUDGET, actions=Actions(data_drift=Action.SUSPECT, data_quality=Action.SUSPECT))
"""The version stays in service, so that the change goes on under the eyes of the monitor."""


def changed_for(seconds: int, entries_max: int = 2_048) -> World:
    """Return a world in which a version saw ten good seconds and then so many bad ones."""
    world = World()
    version = world.add_version(policy=WATCHED, reference=reference())
    world.send_for(10, version)
    world.send_for(seconds, version, shift=1.5)
    world.send(version, 50)
    while world.store.tables.position < world.log.head():
        # A new worker remembers nothing but what the store holds.
        world.worker(entries_max=entries_max).step()
    return world


def rebuilt(world: World) -> list[TimelineItem]:
    (incident_id,) = world.store.tables.incidents
    return [item for item in world.store.read.timeline(incident_id) if item.kind == "rebuilt"]


@pytest.mark.parametrize("entries_max", [1, 3, 2_048])
def test_a_change_that_lasts_is_told_once(entries_max: int) -> None:
    world = changed_for(12, entries_max)
    (item,) = rebuilt(world)
    (alert,) = world.store.tables.alerts.values()
    assert (item.actor, alert.status) == (SYSTEM, "open")
    assert item.at_us > alert.opened_us
    assert "age (mean up)" in item.body
    assert "10^4.9 too, so the change went on" in item.body
    assert item == rebuilt(changed_for(12))[0]


def test_a_change_that_only_raised_the_alarm_is_not() -> None:
    world = World()
    version = world.add_version(policy=WATCHED, reference=reference())
    world.send_for(10, version)
    world.send_for(1, version, shift=2.5)
    world.send_for(60, version)
    world.catch_up()
    assert len(world.store.tables.alerts) == 1
    assert rebuilt(world) == []


def test_a_pass_that_is_dropped_tells_nothing_and_the_next_one_does() -> None:
    world = World()
    version = world.add_version(policy=WATCHED, reference=reference())
    world.send_for(10, version)
    world.send_for(2, version, shift=1.5)
    world.catch_up()
    assert rebuilt(world) == []
    world.send_for(20, version, shift=1.5)
    overtaken = Overtaken(world.store.worker("w", 10.0, world.clock), lambda: world.ask(ANA, Event.QUARANTINE))
    stages = replace(world.stages(), store=overtaken)
    with pytest.raises(StaleControl):
        process_batches(stages, Memory(stages))
    assert rebuilt(world) == []
    world.catch_up()
    assert len(rebuilt(world)) == 1


def test_without_an_open_alert_nobody_is_told() -> None:
    world = World()
    version = world.add_version(policy=WATCHED, reference=reference())
    world.ask(ANA, Event.QUARANTINE)
    world.send_for(30, version, shift=2.0)
    world.catch_up()
    assert world.store.tables.incidents == {}
    assert world.store.tables.timeline == []
