"""Drift that one principal brings about: people are told, and the model goes on serving; drift of several is drift."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray

from service.detect.reference import CompiledReference
from service.detect.witness import OFTEN_TICKS, SELDOM_TICKS, is_due
from service.domain.adversarial import Adversarial, DriftOfOne
from service.domain.policy import Policy
from service.domain.records import Version
from service.domain.states import Event, State
from service.frames import Coded, encode_frame
from service.ports import EntryKind, NewEntry
from tests.service.worker.world import ANA, BOB, SMALL_BUDGET, World, compiled, make_frame

EVE = "e" * 32
ANSWERS = ("probabilities.ok", "probabilities.fraud")
CROWD = tuple(f"{number:032x}" for number in range(10))


@cache
def _reference() -> CompiledReference:
    return compiled()


def _world(policy: Policy = SMALL_BUDGET) -> tuple[World, Version]:
    world = World()
    return world, world.add_version(policy=policy, reference=_reference())


def _send(world: World, version: Version, principal: str | None, rows: int, *, shift: float = 0.0) -> None:
    world._seed += 1
    frame = make_frame(world._seed, rows, shift=shift)
    if principal is not None:
        frame = replace(frame, principals=Coded((principal,), np.zeros(rows, np.int32)))
    body = encode_frame(frame)
    new = NewEntry(kind=EntryKind.BATCH, version_id=version.id, batch_id=str(world._seed), rows=rows, body=body)
    world.log.append_now(new)


def _seconds(
    world: World,
    version: Version,
    number: int,
    traffic: Mapping[str | None, int],
    shifted: frozenset[str | None],
    by: float = 1.5,
) -> None:
    """Send so many events of each client in every second; those of some of them have moved by so many deviations."""
    for _ in range(number):
        for principal, rows in traffic.items():
            _send(world, version, principal, rows, shift=by if principal in shifted else 0.0)
        world.clock.advance(1)


CROWD_TRAFFIC: Mapping[str | None, int] = dict.fromkeys(CROWD, 6)
FLOOD: Mapping[str | None, int] = {**CROWD_TRAFFIC, EVE: 100}
OF_EVE: frozenset[str | None] = frozenset({EVE})


def _told(world: World) -> list[str]:
    return [item.kind for _, item in world.store.tables.timeline]


def test_one_client_that_is_the_drift_takes_the_model_from_nobody() -> None:
    world, version = _world()
    _seconds(world, version, 20, FLOOD, OF_EVE)
    world.catch_up()
    assert world.state(version) is State.SUSPECT
    assert len(world.store.tables.alerts) == 1
    assert world.kinds().count("capped") == 1
    assert _told(world).count("spared") == 1
    [text] = [item.body for _, item in world.store.tables.timeline if item.kind == "spared"]
    assert EVE[:12] in text


def test_the_same_drift_of_everybody_quarantines_at_once() -> None:
    world, version = _world()
    _seconds(world, version, 20, FLOOD, frozenset(FLOOD))
    world.catch_up()
    assert world.state(version) is State.QUARANTINED


@pytest.mark.parametrize("principal", [EVE, None])
def test_where_there_is_one_client_or_none_is_named_drift_quarantines_as_before(principal: str | None) -> None:
    world, version = _world()
    _seconds(world, version, 3, {principal: 100}, frozenset())
    _seconds(world, version, 12, {principal: 100}, frozenset({principal}))
    world.catch_up()
    assert world.state(version) is State.QUARANTINED


def test_whoever_waits_until_all_others_sleep_gains_nothing() -> None:
    world, version = _world()
    _seconds(world, version, 10, CROWD_TRAFFIC, frozenset())
    _seconds(world, version, 15, {EVE: 100}, OF_EVE)
    world.catch_up()
    assert world.state(version) is State.SUSPECT


def test_those_that_name_nobody_are_others_too() -> None:
    world, version = _world()
    _seconds(world, version, 15, {None: 60, EVE: 100}, OF_EVE)
    world.catch_up()
    assert world.state(version) is State.SUSPECT


def test_once_the_others_drift_as_well_the_model_is_quarantined() -> None:
    world, version = _world()
    worker = world.worker()
    _seconds(world, version, 12, FLOOD, OF_EVE)
    world.catch_up(worker)
    assert world.state(version) is State.SUSPECT
    _seconds(world, version, 60, FLOOD, frozenset(FLOOD))
    world.catch_up(worker)
    assert world.state(version) is State.QUARANTINED


def test_a_policy_may_let_one_principal_do_it() -> None:
    adversarial = Adversarial(drift_of_one=DriftOfOne.QUARANTINE)
    world, version = _world(msgspec.structs.replace(SMALL_BUDGET, adversarial=adversarial))
    _seconds(world, version, 20, FLOOD, OF_EVE)
    world.catch_up()
    assert world.state(version) is State.QUARANTINED


@pytest.mark.parametrize(
    ("names", "change"),
    [(("age",), lambda values: np.full_like(values, np.nan)), (ANSWERS, lambda values: values / 2)],
    ids=["missing", "odd answers"],
)
def test_a_small_client_among_many_is_found_by_how_strange_its_events_are(
    names: tuple[str, ...], change: Callable[[NDArray[np.float64]], NDArray[np.float64]]
) -> None:
    many = tuple(f"{number:032x}" for number in range(100, 300))
    world, version = _world()
    for _ in range(40):
        frame = make_frame(world._seed, 402)
        world._seed += 1
        whose = np.repeat(np.arange(201), 2).astype(np.int32)
        numeric = frame.numeric.copy()
        for place in map(frame.numeric_names.index, names):
            numeric[place, whose == 200] = change(numeric[place, whose == 200])
        frame = replace(frame, numeric=numeric, principals=Coded((*many, EVE), whose))
        body = encode_frame(frame)
        new = NewEntry(kind=EntryKind.BATCH, version_id=version.id, batch_id=str(world._seed), rows=402, body=body)
        world.log.append_now(new)
        world.clock.advance(1)
    world.catch_up()
    assert len(world.store.tables.alerts) == 1, "half a percent of missing or invalid values is an alarm"
    assert world.state(version) is State.SUSPECT
    assert any(EVE[:12] in item.body for _, item in world.store.tables.timeline)


def test_how_the_log_is_cut_into_passes_and_workers_changes_nothing() -> None:
    outcomes = []
    for restarts in (False, True):
        world, version = _world()
        worker = world.worker()
        for second in range(20):
            drifted: frozenset[str | None] = frozenset(FLOOD) if second >= 12 else OF_EVE
            _seconds(world, version, 1, FLOOD, drifted)
            if restarts and second % 4 == 1:
                world.catch_up(world.worker(entries_max=3))
        world.catch_up(worker if not restarts else world.worker())
        outcomes.append([(t.before, t.after, t.at_us, t.reason) for t in world.store.tables.transitions])
    assert outcomes[0] == outcomes[1]
    assert outcomes[0]


def test_after_a_release_the_next_alarm_is_judged_anew() -> None:
    world, version = _world()
    worker = world.worker()
    _seconds(world, version, 15, FLOOD, OF_EVE)
    world.catch_up(worker)
    assert world.state(version) is State.SUSPECT
    world.ask(ANA, Event.CLEAR)
    _seconds(world, version, 15, FLOOD, frozenset(FLOOD))
    world.catch_up(worker)
    assert world.state(version) is State.QUARANTINED
    assert BOB not in {record.actor for record in world.store.tables.transitions}


def test_of_a_change_too_long_to_read_the_newest_part_tells_or_whoever_sent_most_of_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("service.detect.witness.TICKS_MAX", 0)
    even: Mapping[str | None, int] = dict.fromkeys((*CROWD, EVE), 15)
    for traffic, shifted, state in (
        (FLOOD, OF_EVE, State.SUSPECT),
        (even, frozenset(even), State.QUARANTINED),
    ):
        world, version = _world()
        _seconds(world, version, 60, traffic, shifted, by=0.5)
        world.catch_up()
        assert world.state(version) is state


def test_it_is_asked_often_at_first_and_never_given_up() -> None:
    assert all(is_due(ticks, waited) for ticks in range(100) for waited in range(OFTEN_TICKS))
    for waited, within in ((OFTEN_TICKS, 8), (SELDOM_TICKS, 64), (10**9, 64)):
        assert sum(is_due(ticks, waited) for ticks in range(640)) == 640 // within
