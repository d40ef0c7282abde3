"""All flags at once: worked out once for a picture, anew for what has changed, and closed when a glass is over."""

import json
from collections.abc import Sequence

import msgspec

from service.domain.ids import Actor, Micros, VersionId
from service.domain.policy import Policy
from service.domain.reviews import Glass
from service.domain.states import State
from service.gate.board import Board
from service.gate.flags import flags_of
from service.gate.fleet import FleetView
from service.gate.refresh import Fleet
from tests.fakes import InMemoryStore, ManualClock
from tests.service.gate.fleets import a_model, a_version

MODELS = ("ant", "bee", "cat")


class Bench:
    def __init__(self) -> None:
        self.clock = ManualClock()
        self.fleet = Fleet(InMemoryStore().read, self.clock)
        self.board = Board(self.fleet)
        self.picture(1)

    def picture(self, revision: int, bee: State = State.ACTIVE, glasses: Sequence[Glass] = ()) -> None:
        models = [a_model(name, number=n, policy=Policy(fallback="rules")) for n, name in enumerate(MODELS, 1)]
        states = dict.fromkeys(MODELS, State.ACTIVE) | {"bee": bee}
        versions = [a_version(name, "1", states[name], number=n) for n, name in enumerate(MODELS, 1)]
        self.fleet.view = FleetView.of(revision, models, versions, (), glasses, self.clock.now_us)


def a_glass(clock: ManualClock, seconds: float) -> Glass:
    now_us = clock.now_us()
    return Glass(
        id="g",
        version_id=VersionId(2),
        quarantine=0,
        opened_us=now_us,
        until_us=Micros(now_us + round(seconds * 1e6)),
        actor=Actor("ben"),
        reason="x",
    )


def test_it_says_what_each_flag_says_by_itself() -> None:
    bench = Bench()
    bench.picture(2, bee=State.QUARANTINED)
    flags = json.loads(bench.board.sheet().body(None))
    one_by_one = [flag for model in MODELS for flag in flags_of(bench.fleet.view, model)]
    assert flags == msgspec.to_builtins(one_by_one)
    assert [flag["key"] for flag in flags if flag["value"] is False] == ["model.bee.serving", "model.bee/1.serving"]


def test_nothing_is_worked_out_twice() -> None:
    bench = Bench()
    first = bench.board.sheet()
    assert bench.board.sheet() is first is bench.board.current()
    bench.picture(2)
    assert bench.board.current() is None
    second = bench.board.sheet()
    assert second.whole == first.whole, "a new picture with the same flags"
    bench.picture(3, bee=State.QUARANTINED)
    third = bench.board.sheet()
    assert third.whole != first.whole
    assert [third.leaves[name] is first.leaves[name] for name in MODELS] == [True, False, True]


def test_a_key_hears_of_its_own_models_alone() -> None:
    bench = Bench()
    before = bench.board.sheet()
    bench.picture(2, bee=State.QUARANTINED)
    after = bench.board.sheet()
    for own, changes in ((frozenset({"ant", "cat"}), False), (frozenset({"ant", "bee"}), True)):
        assert (before.etag(own) != after.etag(own)) is changes
    assert json.loads(after.body(frozenset({"nobody"}))) == []
    assert {flag["metadata"]["model"] for flag in json.loads(after.body(frozenset({"cat", "nobody"})))} == {"cat"}


def test_a_glass_that_is_over_closes_the_flags_without_a_newer_picture() -> None:
    bench = Bench()
    bench.picture(2, bee=State.QUARANTINED)
    held = bench.board.sheet().whole
    bench.picture(3, bee=State.QUARANTINED, glasses=[a_glass(bench.clock, 60)])
    broken = bench.board.sheet().whole
    assert broken != held
    bench.clock.advance(59)
    assert bench.board.current() is not None
    bench.clock.advance(1)
    assert bench.board.current() is None, "the clock alone has closed it"
    assert bench.board.sheet().whole == held
