"""Thresholds of a baseline: what its own reference reaches lies below them, and they are never below the least ones."""

import dataclasses

import numpy as np
import pytest
from numpy.typing import NDArray

from detectors.principals import thresholds
from detectors.principals.cluster import FEATURES
from detectors.principals.forest import Forest
from detectors.principals.grown import INTENT, grown
from detectors.principals.monitor import Thresholds, Tier, Yardstick
from detectors.principals.thresholds import EXTRACTION_LEAST, MARGIN, PROBING_LEAST, at_most, calibrate
from tests.detectors.clients import answers, labels_of, requests


class Judge:
    """Stands in for the forest: says of each story what it is told to."""

    def __init__(self, says: float) -> None:
        self.says = says
        self.asked = 0

    def score(self, story: NDArray[np.float64]) -> float:
        self.asked += len(story) > 0
        return self.says


def of(forest: Forest | Judge, points: NDArray[np.float32]) -> Thresholds:
    labels, probabilities = labels_of(points), answers(points)
    yardstick = Yardstick.fit(points, labels, probabilities, forest)  # type: ignore[arg-type]  # it scores
    return calibrate(yardstick, points, labels, probabilities, INTENT).thresholds


def test_a_reference_without_stories_keeps_the_threshold_of_the_forest() -> None:
    found = of(grown(), requests(np.random.default_rng(1), 600))
    assert found.intent == INTENT
    assert (found.probing, found.extraction) == (PROBING_LEAST, EXTRACTION_LEAST)


@pytest.mark.parametrize(("says", "expected"), [(9.0, MARGIN * 9.0), (0.5 * INTENT, INTENT), (-3.0, INTENT)])
def test_what_a_models_own_ordinary_requests_reach_raises_the_threshold_and_nothing_lowers_it(
    says: float, expected: float
) -> None:
    judge = Judge(says)
    assert of(judge, requests(np.random.default_rng(2), 600)).intent == expected
    assert judge.asked > 20


def test_clients_that_work_around_single_requests_are_what_tells_stories(monkeypatch: pytest.MonkeyPatch) -> None:
    points = requests(np.random.default_rng(3), 600)
    monkeypatch.setattr(thresholds, "SESSIONS", 0)
    assert of(Judge(9.0), points).intent == MARGIN * 9.0
    monkeypatch.setattr(thresholds, "HARD", 0)
    assert of(Judge(9.0), points).intent == INTENT


def test_where_answers_are_labels_only_simulated_ones_are_labels() -> None:
    points = requests(np.random.default_rng(5), 600)
    labels = labels_of(points)
    probabilities = np.full((600, 3), 0.05)
    probabilities[np.arange(600), labels] = 0.9
    yardstick = Yardstick.fit(points, labels, probabilities, grown())
    seen = []

    class Watched(Judge):
        def score(self, story: NDArray[np.float64]) -> float:
            seen.append(story)
            return super().score(story)

    watched = dataclasses.replace(yardstick, forest=Watched(0.0))  # type: ignore[arg-type]  # it scores
    assert calibrate(watched, points, labels, probabilities, INTENT).thresholds.intent == INTENT
    lowest = np.array(seen)[:, FEATURES.index("lowest")]
    # An answer is that of the root, or says that another class is ahead: nothing lies between.
    assert len(np.unique(np.round(lowest, 6))) <= 2


def test_the_same_reference_gives_the_same_thresholds() -> None:
    points = requests(np.random.default_rng(4), 600)
    assert of(Judge(9.0), points) == of(Judge(9.0), points)


def test_what_was_played_through_is_told_with_how_far_it_came() -> None:
    points = requests(np.random.default_rng(2), 600)
    labels, probabilities = labels_of(points), answers(points)
    yardstick = Yardstick.fit(points, labels, probabilities, Judge(9.0))  # type: ignore[arg-type]  # it scores
    found = calibrate(yardstick, points, labels, probabilities, INTENT)
    assert found.reached.intent == 9.0
    assert 0.0 < found.reached.extraction < EXTRACTION_LEAST
    assert found.sessions == {Tier.PROBING: 48, Tier.EXTRACTION: 48, Tier.INTENT: 64}
    assert at_most(0) == 1.0
