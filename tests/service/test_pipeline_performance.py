"""Labels from the log through the worker to an alert, an incident and the state of the version."""

import msgspec
import numpy as np
import pytest

from service.api.watch import watch_of
from service.domain.policy import Action, Actions, Cause
from service.domain.records import Version
from service.domain.states import State
from service.frames import encode_frame
from service.frames.labels import LabelRow, encode_labels
from service.ports import EntryKind, NewEntry
from tests.service.detect.labelling import labelled_reference, named, truth_of
from tests.service.worker.world import SMALL_BUDGET, World, make_frame

ROWS = 40
QUARANTINE = msgspec.structs.replace(SMALL_BUDGET, actions=Actions(performance=Action.QUARANTINE))
REPORTER = "ab" * 16


def answer(world: World, version: Version, second: int) -> None:
    frame = named(make_frame(second, ROWS), second * ROWS)
    put(world, version, EntryKind.BATCH, f"b{second}", encode_frame(frame))


def label(world: World, version: Version, second: int, wrong: float, reporter: str = "") -> None:
    truth = truth_of(make_frame(second, ROWS), wrong, second + 5_000)
    rows = [LabelRow(f"event-{second * ROWS + row}", told, -1, reporter) for row, told in enumerate(truth)]
    put(world, version, EntryKind.LABELS, f"l{second}", encode_labels(rows))


def put(world: World, version: Version, kind: EntryKind, name: str, body: bytes) -> None:
    world.log.append_now(NewEntry(kind=kind, version_id=version.id, batch_id=name, rows=ROWS, body=body))


def play(world: World, version: Version, seconds: int, wrong: float, reporter: str = "", delay: int = 5) -> None:
    """Answer for some seconds, and label what was answered a little before."""
    for second in range(seconds):
        answer(world, version, second)
        if second >= delay:
            label(world, version, second - delay, wrong, reporter)
        world.clock.advance(1)


def causes(world: World) -> set[Cause]:
    return {alert.cause for alert in world.store.tables.alerts.values()}


def test_wrong_answers_open_an_incident_of_that_cause_and_make_the_version_suspect() -> None:
    world = World()
    version = world.add_version(reference=labelled_reference())
    play(world, version, 60, 0.35)
    world.catch_up()
    assert causes(world) == {Cause.PERFORMANCE}
    (incident,) = world.store.tables.incidents.values()
    assert incident.cause is Cause.PERFORMANCE
    assert incident.title.startswith("Performance in m1 1: performance.")
    assert "where the baseline has 4." in incident.title
    assert world.state(version) is State.SUSPECT


def test_labels_as_usual_open_none() -> None:
    world = World()
    version = world.add_version(reference=labelled_reference())
    play(world, version, 200, 0.05)
    world.catch_up()
    assert causes(world) == set()
    assert world.state(version) is State.ACTIVE


@pytest.mark.parametrize(("reporter", "state"), [("", State.QUARANTINED), (REPORTER, State.SUSPECT)])
def test_a_policy_may_quarantine_but_not_on_the_word_of_one_reporter(reporter: str, state: State) -> None:
    world = World()
    version = world.add_version(reference=labelled_reference(), policy=QUARANTINE)
    play(world, version, 60, 0.35, reporter)
    world.catch_up()
    assert world.state(version) is state
    if reporter:
        told = [item.body for _, item in world.store.tables.timeline]
        assert any("who sent 100% of the labels since the change began" in body for body in told)


def test_a_worker_that_starts_anew_goes_on_bit_for_bit() -> None:
    worlds = []
    for restarts in (False, True):
        world = World()
        version = world.add_version(reference=labelled_reference())
        worker = world.worker()
        for second in range(30):
            answer(world, version, second)
            if second >= 5:
                label(world, version, second - 5, 0.2)
            world.clock.advance(1)
            if restarts and second % 7 == 0:
                worker = world.worker()
            world.catch_up(worker)
        worlds.append(world.store.tables.snapshots[version.id])
    one, other = worlds
    assert one.blob == other.blob
    assert one.answers == other.answers
    assert watch_of(one).performance == watch_of(other).performance
    assert np.isfinite(one.evidence_log)
