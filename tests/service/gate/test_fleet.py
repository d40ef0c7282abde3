"""The picture of the fleet, and how it is kept fresh."""

from collections.abc import Sequence

import pytest

from service.domain.errors import NotFound, Unavailable
from service.domain.ids import Micros, VersionId
from service.domain.principals import Containment, ContainmentState, PrincipalTier
from service.domain.records import Model, Version
from service.domain.states import State
from service.gate.fleet import EMPTY, FleetView
from service.gate.refresh import Fleet, Poller
from tests.fakes.clock import ManualClock
from tests.service.gate.fleets import a_fleet


class Store:
    """Answers from a fleet, or fails."""

    def __init__(self) -> None:
        self.fleet: FleetView = a_fleet(("fraud", "1", State.ACTIVE))
        self.now = 1
        self.away = False
        self.reads = 0
        self.held: Sequence[Containment] = ()
        self.asked: dict[str, object] = {}

    def revision(self) -> int:
        if self.away:
            raise Unavailable("the store is away")
        return self.now

    def models(self) -> Sequence[Model]:
        self.reads += 1
        return tuple(self.fleet.models.values())

    def versions(self, model: str | None = None) -> Sequence[Version]:
        assert model is None
        return tuple(self.fleet.versions.values())

    def containments(self, **asked: object) -> Sequence[Containment]:
        self.asked = asked
        return self.held


class Clock:
    def now_us(self) -> Micros:
        return Micros(7)


@pytest.fixture
def store() -> Store:
    return Store()


@pytest.fixture
def fleet(store: Store) -> Fleet:
    return Fleet(store, Clock())  # type: ignore[arg-type]  # the part of ReadStore that a fleet reads


def test_a_new_revision_brings_a_new_picture_and_tells_listeners(store: Store, fleet: Fleet) -> None:
    told: list[int] = []
    fleet.on_change(lambda: told.append(fleet.view.revision))
    fleet.refresh()
    store.fleet, store.now = a_fleet(("fraud", "1", State.QUARANTINED)), 2
    fleet.refresh()
    assert told == [1, 2]
    assert fleet.view.find("fraud", "1").state is State.QUARANTINED


def test_the_same_revision_reads_nothing_again(store: Store, fleet: Fleet) -> None:
    fleet.refresh()
    fleet.refresh()
    assert store.reads == 1


def test_when_the_store_is_away_the_last_picture_stays(store: Store, fleet: Fleet) -> None:
    fleet.refresh()
    store.away = True
    poller = Poller("test", 60.0, [fleet.refresh])
    poller.round()
    assert fleet.view.find("fraud", "1").state is State.ACTIVE
    store.away, store.now = False, 2
    store.fleet = a_fleet(("fraud", "1", State.SUSPECT))
    poller.round()
    assert fleet.view.find("fraud", "1").state is State.SUSPECT


def test_one_failing_task_does_not_keep_the_others_from_running() -> None:
    done: list[str] = []

    def fail() -> None:
        raise ZeroDivisionError

    Poller("test", 60.0, [fail, lambda: done.append("second")]).round()
    assert done == ["second"]


def test_an_unknown_name_is_answered_with_the_nearest_ones() -> None:
    view = a_fleet(("fraud-scorer", "2026-11-01", State.ACTIVE), ("churn", "1", State.ACTIVE))
    with pytest.raises(NotFound, match="nearest: 'fraud-scorer'"):
        view.find("fraud-scorr", "1")
    with pytest.raises(NotFound, match="2026-11-01"):
        view.find("fraud-scorer", "2026-11-02")
    with pytest.raises(NotFound, match="there is none yet"):
        EMPTY.find("x", "1")


def test_a_look_on_demand_is_due_a_moment_after_the_last_one_and_survives_an_outage() -> None:
    store, clock = Store(), ManualClock()
    fleet = Fleet(store, clock)  # type: ignore[arg-type]  # only what a fleet asks for
    fleet.refresh()
    late = [fleet.may_be_late]
    clock.advance(0.06)
    late.append(fleet.may_be_late)
    store.fleet, store.now = a_fleet(("fraud", "1", State.ACTIVE), ("fraud", "2", State.ACTIVE)), 2
    fleet.look_again()
    assert ("fraud", "2") in fleet.view.versions
    late.append(fleet.may_be_late)
    assert late == [False, True, False]
    clock.advance(1.0)
    store.away = True
    fleet.look_again()
    assert ("fraud", "2") in fleet.view.versions


def test_the_picture_holds_until_when_principals_are_contained(store: Store, fleet: Fleet) -> None:
    store.held = [
        Containment(
            version_id=VersionId(1),
            principal="a" * 32,
            state=ContainmentState.CONTAINED,
            tier=PrincipalTier.INTENT,
            reason="",
            since_us=Micros(1),
            renewed_us=Micros(1),
            until_us=Micros(9),
            incident_id=None,
        )
    ]
    fleet.refresh()
    assert store.asked["holding_us"] == 7
    assert fleet.view.held(VersionId(1), ["a" * 32], Micros(8))
    assert not fleet.view.held(VersionId(1), ["a" * 32], Micros(9))
    assert not fleet.view.held(VersionId(2), ["a" * 32], Micros(8))
