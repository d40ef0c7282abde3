"""Clients who go on, input after input: bets on their stories tell of real attackers, and of no real explainer."""

import pytest

from bench.adversarial.persistence import Eyes, Life, lives, row
from bench.adversarial.sessions import CONFIRM, of_attack, of_workload
from bench.adversarial.stories import kept, ladders, peaks
from detectors.principals.ranked import ranked
from detectors.principals.stories import PEAK
from redteam.attacks import ATTACKS
from redteam.benign import WORKLOADS
from redteam.victims import digits

INPUTS = 8


def test_a_row_says_how_many_were_told_of_and_after_how_many_inputs() -> None:
    found = [Life(10, 10, 4, None, 11.5), Life(10, 8, 6, 2, 9.2), Life(10, 6, None, None, -2.3)]
    assert row("digits", "nes", found) == ["digits", "nes", "2 of 3", "5 / 6", "1 of 3", "2 / 2", "0.8", "+4.0"]
    assert row("digits", "lime", found[2:])[2:6] == ["0 of 1", "-", "0 of 1", "-"]


def test_an_attacker_who_gives_inputs_up_is_told_of_by_bets_and_an_explainer_never() -> None:
    eyes = [Eyes(digits()).of(0)]
    (hostile,) = lives(eyes, of_attack(digits(), ATTACKS["nes-l2"], CONFIRM, INPUTS, 64), INPUTS, 64)
    assert hostile.told_after is not None
    assert hostile.inputs == INPUTS
    for name in ("lime", "random_walk"):
        (calm,) = lives(eyes, of_workload(digits(), WORKLOADS[name], CONFIRM, INPUTS), INPUTS, 100)
        assert calm.told_after is None
        assert calm.log_evidence < 0.0
        assert calm.stories >= INPUTS


def test_a_session_counts_with_its_strongest_story_and_steps_fall_from_the_worst_workload_on() -> None:
    workloads = [WORKLOADS["lime"], WORKLOADS["noise"]]
    sessions = [session for one in workloads for session in of_workload(digits(), one, CONFIRM, 2)]
    found = kept(digits(), sessions, CONFIRM)
    most = peaks(ranked().forest, found)
    assert most.shape == (2, 4)
    assert most[1, 0] == pytest.approx(found.features[found.session == 0][:, PEAK].max())
    steps = ladders(ranked().forest, found)
    # Two of a hundred sessions are there of each: those that are missing may have been anything.
    assert steps.shape == (2, 100)
    assert (steps[:, :98] == float("inf")).all()
    lime, noise = sorted(most[0, :2].tolist()), sorted(most[0, 2:].tolist())
    assert steps[0, 98:].tolist() == [max(lime[1], noise[1]), max(lime[0], noise[0])]
