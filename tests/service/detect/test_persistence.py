"""Whom bets on input after input tell of among the principals of a version, and what the finding says."""

import math

import numpy as np
import pytest

from detectors.principals.cluster import FEATURES, Cluster
from detectors.principals.monitor import Principal
from detectors.principals.persistence import WRONG
from detectors.principals.stories import Story
from service.detect.persistence import Persistent
from service.domain.ids import Micros
from service.domain.principals import PrincipalFinding, PrincipalTier
from tests.detectors.clients import yardstick

NOW = Micros(1_795_428_000_000_000)


class Always:
    """Every story wins the same."""

    def __init__(self, won: float) -> None:
        self.won = won

    def log_bet(self, story: Story) -> float:
        assert story.told == 1
        return self.won


class World:
    """Principals whose stories win what a test says."""

    def __init__(self, *, calibrated: bool = True) -> None:
        self.persistent = Persistent(calibrated=calibrated)
        self.known: dict[str, Principal] = {}

    def find(self, name: str) -> tuple[Principal, Micros] | None:
        principal = self.known.get(name)
        return None if principal is None else (principal, NOW)

    def story(self, name: str, won: float) -> list[PrincipalFinding]:
        own = self.known.setdefault(name, Principal(yardstick())).persistence
        own.take(Cluster(np.zeros(8, np.float32), 0, 1.0), np.zeros(len(FEATURES)), 0.0, 0, Always(won))
        own.close(Always(won))
        return self.persistent.take(name, self.find, NOW)


def test_whoever_wins_enough_among_all_on_whom_there_was_a_bet_is_told_of_once() -> None:
    world = World()
    for number in range(9):
        assert world.story(f"{number:032x}", math.log(0.25)) == []
    # Ten principals, one in twenty: 200 is needed. The first story is one of all beginnings, and counts half.
    assert world.story("e" * 32, math.log(300.0)) == []
    (found,) = world.story("e" * 32, math.log(300.0))
    assert (found.tier, found.principal, found.calibrated) == (PrincipalTier.PERSISTENCE, "e" * 32, True)
    assert found.log_threshold == pytest.approx(math.log(10 / WRONG))
    assert found.log_evidence > found.log_threshold
    assert (found.since_us, found.until_us, found.flips, found.reused) == (NOW, NOW, 0, False)
    assert "2 inputs" in found.reasons[0]
    assert "among 10 principals" in found.reasons[1]
    assert world.story("e" * 32, math.log(300.0)) == []


def test_one_more_lets_another_be_told_of_who_alone_had_too_little() -> None:
    world = World()
    for number in range(98):
        world.story(f"{number:032x}", math.log(0.25))
    assert world.story("a" * 32, math.log(2_500.0)) == []
    # 100 principals: one alone needs 2,000, each of two 1,000. Each has half of what one story won.
    found = world.story("b" * 32, math.log(2_600.0))
    assert [one.principal for one in found] == ["b" * 32, "a" * 32]
    assert [one.log_threshold for one in found] == pytest.approx([math.log(1_000.0)] * 2)


def test_who_has_lost_everything_is_told_of_anew_when_it_begins_again() -> None:
    world = World()
    assert len(world.story("a" * 32, math.log(100.0))) == 1
    for _ in range(8):
        assert world.story("a" * 32, math.log(0.25)) == []
    assert world.known["a" * 32].persistence.log_evidence < 0.0
    assert world.story("a" * 32, math.log(10_000.0)) != []


def test_who_is_forgotten_counts_among_those_who_may_be_wronged() -> None:
    world = World()
    world.story("a" * 32, math.log(30.0))
    world.persistent.forget("a" * 32)
    del world.known["a" * 32]
    assert world.persistent.take("a" * 32, world.find, NOW) == []
    world.story("b" * 32, math.log(0.25))
    assert world.persistent.status() == {
        "wrong_of_told": WRONG,
        "betting": 2,
        "log_threshold": pytest.approx(math.log(2 / WRONG)),
        "log_highest": 0.0,
    }


def test_what_was_kept_goes_on_where_it_was() -> None:
    world = World(calibrated=False)
    assert world.story("a" * 32, math.log(60.0))[0].calibrated is False
    again = Persistent(calibrated=False)
    again.adopt(world.persistent.betting, list(world.known.items()))
    assert again.status() == world.persistent.status()
    assert again.status()["log_highest"] > math.log(30.0)
