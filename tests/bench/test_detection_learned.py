"""The learned bets that decision 35 compares with are honest, and learn."""

import numpy as np
import pytest

from bench.detection_learned import Learner, bound, bounded_logs, delays, moved, tolerance, variance_error


@pytest.mark.parametrize("dimensions", [4, 64])
@pytest.mark.parametrize("clip", [2.0, 3.0])
def test_no_distribution_within_the_tolerance_makes_odds_larger_than_their_bound(dimensions: int, clip: float) -> None:
    """Random distributions of a few points, moved and stretched to the edge of what is tolerated."""
    rng = np.random.default_rng(1)
    largest = 0.0
    for spread in (0.05, 0.3, 1.0, 2.0):
        off, deviation = spread * tolerance(dimensions), spread * variance_error(dimensions) ** 0.5
        most = float(np.exp(bound(np.array([spread]), clip * spread, dimensions))[0])
        for _ in range(500):
            points, shares = rng.standard_t(2, size=5), rng.dirichlet(np.full(5, 0.3))
            mean = shares @ points
            around = (points - mean) / max(float(np.sqrt(shares @ (points - mean) ** 2)), 1e-9) * deviation
            found = float(shares @ np.exp(np.minimum(around + off, clip * spread)))
            assert found <= most * (1.0 + 1e-9)
            largest = max(largest, found / most)
        room = clip * spread - off
        upper = deviation**2 / (deviation**2 + room**2)
        worst = upper * np.exp(clip * spread) + (1 - upper) * np.exp(off - deviation**2 / room)
        assert worst == pytest.approx(most)
    assert largest > 0.8


def test_a_learned_bet_stakes_nothing_on_what_it_has_not_learned() -> None:
    assert not bounded_logs(np.zeros((3, 8)), np.zeros(3), 8).any()


def test_both_learn_a_move_along_a_line_that_nobody_told_them() -> None:
    rows = moved(np.random.default_rng(2), (900, 5, 16), 1.0)
    learner = Learner(prior=30.0, kept=100.0)
    told, bounded = (np.median(delays(rows, learner, 1e5, told=told)) - 300 for told in (True, False))
    assert 20 < told < bounded < 200
