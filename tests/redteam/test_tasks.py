"""Which inputs the sessions of a plan are about."""

import pytest

from redteam.problems import Stopped
from redteam.tasks import Task, dealt

ATTACK, OTHER, BENIGN = "hopskipjump-l2", "zoo", "iid"
COUNT = 40
FIT = [place for place in range(COUNT) if place % 4]
"""Three of four inputs are labelled rightly."""


def tasks(sessions: int, *workloads: str) -> list[Task]:
    return [Task(victim="v", workload=one, number=number) for number in range(sessions) for one in workloads]


def test_no_two_sessions_are_about_one_input_as_long_as_there_are_others() -> None:
    wanted = tasks(10, ATTACK, OTHER, BENIGN)
    found = dealt(wanted, COUNT, FIT, 5)
    assert len({place for place, _ in found.values()}) == len(wanted)
    assert {seed for _, seed in found.values()} == {5}
    assert all(place in FIT for key, (place, _) in found.items() if BENIGN not in key)


def test_whoever_comes_later_gets_another_seed() -> None:
    found = dealt(tasks(40, ATTACK), COUNT, FIT, 0)
    begun = list(found.values())
    assert len(set(begun)) == len(begun), "the same session twice"
    assert [seed for _, seed in begun] == [0] * len(FIT) + [1] * (40 - len(FIT))


def test_the_same_seed_deals_the_same_and_another_one_otherwise() -> None:
    wanted = tasks(6, ATTACK, BENIGN)
    assert dealt(wanted, COUNT, FIT, 1) == dealt(wanted, COUNT, FIT, 1)
    assert [place for place, _ in dealt(wanted, COUNT, FIT, 1).values()] != [
        place for place, _ in dealt(wanted, COUNT, FIT, 2).values()
    ]


def test_attacks_need_an_input_that_is_labelled_rightly_and_others_do_not() -> None:
    with pytest.raises(Stopped, match="nothing to attack"):
        dealt(tasks(1, BENIGN, ATTACK), COUNT, [], 0)
    assert len(dealt(tasks(3, BENIGN), COUNT, [], 0)) == 3
