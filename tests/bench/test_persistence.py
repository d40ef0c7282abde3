"""What bets on the stories of principals would win: by hand, under their null, and on real sessions."""

import math

import numpy as np
import pytest

from bench.adversarial.persistence import needed, stories, won, worst_rank
from bench.adversarial.sessions import CALIBRATE, of_attack, of_workload
from bench.adversarial.setting import Lenses
from redteam.attacks import ATTACKS
from redteam.benign import WORKLOADS
from redteam.victims import digits


def test_a_rank_is_the_worst_of_all_workloads() -> None:
    calibrated = [np.array([0.0, 1.0, 2.0]), np.array([5.0, 6.0, -math.inf])]
    assert worst_rank(9.0, calibrated) == 1 / 4
    assert worst_rank(5.0, calibrated) == 3 / 4
    assert worst_rank(-math.inf, calibrated) == 1.0


def test_what_is_won_and_how_many_stories_it_takes() -> None:
    calibrated = [np.arange(48.0)]
    best = won("best", np.array([50.0, 60.0]), calibrated)
    assert (best.stories, best.alone) == (2, 1.0)
    assert best.mean == pytest.approx(3.5)
    assert best.growth == pytest.approx(math.log10(3.5))
    assert needed(best.growth) == "7"
    assert won("none", np.array([-1.0]), calibrated).growth == pytest.approx(math.log10(0.5))
    assert needed(math.log10(0.5)) == "never"


def test_no_client_like_one_of_the_calibrated_wins_in_the_mean() -> None:
    # A rank among 48 wins 0.896 in the mean, a worse one less; 400 calibrations leave a standard error below 0.01.
    rng = np.random.default_rng(4)
    means = []
    for _ in range(400):
        calibrated = [rng.normal(0.0, 1.0, 48), rng.normal(1.0, 2.0, 48)]
        means.append(won("client", rng.normal(1.0, 2.0, 50), calibrated).mean)
    assert np.mean(means) < 1.0


def test_real_attacks_win_and_real_explainers_lose() -> None:
    victim = digits()
    lenses = Lenses(victim, CALIBRATE.name)
    calm = stories(of_workload(victim, WORKLOADS["lime"], CALIBRATE, 6), lenses)
    assert np.isfinite(calm).all()
    iid = stories(of_workload(victim, WORKLOADS["iid"], CALIBRATE, 2), lenses)
    hostile = stories(of_attack(victim, ATTACKS["hopskipjump-l2"], CALIBRATE, 3), lenses)
    assert (iid < calm.max()).all()
    assert (hostile > calm.max()).all()
