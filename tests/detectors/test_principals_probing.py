"""Probing and theft: closeness is bounded, stories add up and are forgotten, and a sweep is no theft."""

from dataclasses import replace
from typing import cast

import numpy as np
import pytest
from numpy.typing import NDArray

from detectors.principals.forest import Forest
from detectors.principals.monitor import Principal, Tier
from detectors.principals.probing import CLOSENESS_MAX, FADING, LIKELY, STORIES_MAX, STORY_LEAST, STORY_MOST
from detectors.principals.thresholds import EXTRACTION_LEAST, PROBING_LEAST, calibrate
from tests.detectors.clients import CLASSES, answers, labels_of, probes, requests, told, yardstick


class Told:
    """Stands where the forest does, and says the same of every story."""

    def __init__(self, odds: float) -> None:
        self._odds = odds

    def score(self, story: NDArray[np.float64]) -> float:
        del story
        return self._odds


def saying(odds: float) -> Forest:
    return cast(Forest, Told(odds))


def test_benign_clients_stay_low_and_probes_rise() -> None:
    """No ordinary client of 100 sends requests that are close; 40 small steps reach the bound of closeness."""
    silent = replace(yardstick(), forest=saying(LIKELY))
    benign = [told(Principal(silent), requests(np.random.default_rng(s), 100)) for s in range(100)]
    assert max(reading.evidence[Tier.PROBING] for readings in benign for reading in readings) < CLOSENESS_MAX / 2
    for seed in range(10):
        principal = Principal(silent)
        readings = told(principal, probes(np.random.default_rng(seed), 40, 0.02))
        assert readings[-1].evidence[Tier.PROBING] == CLOSENESS_MAX
        assert max(reading.evidence[Tier.PROBING] for reading in readings) <= CLOSENESS_MAX
        assert principal.worst is not None


@pytest.mark.parametrize("odds", [-20.0, 0.0, LIKELY + 0.5, LIKELY + 20.0])
def test_stories_alone_take_probing_beyond_the_bound_of_closeness(odds: float) -> None:
    """An explainer whose requests are close for ever stays at the bound; stories add, and are bounded."""
    principal = Principal(replace(yardstick(), forest=saying(odds)))
    readings = told(principal, probes(np.random.default_rng(1), 150, 0.02))
    found = readings[-1].evidence[Tier.PROBING]
    stories = 0.0
    for reading in readings:
        # No story of so few near-duplicates; each one's share is bounded either way.
        stories += reading.evidence[Tier.INTENT] > -np.inf and min(max(odds - LIKELY, STORY_LEAST), STORY_MOST)
    stories = min(max(stories, 0.0), STORIES_MAX)
    assert found == pytest.approx(CLOSENESS_MAX + stories)
    after = told(principal, requests(np.random.default_rng(2), 60))
    assert after[-1].evidence[Tier.PROBING] == pytest.approx(max(stories - 60 * FADING, 0.0), abs=CLOSENESS_MAX / 2)


def test_whoever_stops_is_forgotten() -> None:
    principal = Principal(replace(yardstick(), forest=saying(LIKELY + 20.0)))
    assert told(principal, probes(np.random.default_rng(1), 100, 0.02))[-1].evidence[Tier.PROBING] > STORIES_MAX
    principal._yardstick = replace(yardstick(), forest=saying(LIKELY))
    after = told(principal, requests(np.random.default_rng(2), round(STORIES_MAX / FADING) + 100))
    assert after[-1].evidence[Tier.PROBING] < CLOSENESS_MAX / 2


def test_thresholds_are_above_what_close_requests_and_ordinary_clients_come_to() -> None:
    """Five times as many clients as were played, of everything and of one class alone, stay below."""
    points = requests(np.random.default_rng(15), 2_000)
    labels, shares = labels_of(points), answers(points)
    own = replace(yardstick(), forest=saying(-1.0))
    limits = calibrate(own, points, labels, shares, 3.0).thresholds
    assert limits.probing >= PROBING_LEAST > 2.0 * CLOSENESS_MAX
    assert (limits.intent, limits.extraction >= EXTRACTION_LEAST) == (3.0, True)
    for seed in range(60):
        asked = requests(np.random.default_rng(5_000 + seed), 300)
        asked = asked[labels_of(asked) == seed % CLASSES] if seed % 2 else asked
        evidence = [reading.evidence for reading in told(Principal(own), asked)]
        assert all(found[tier] < limits.of(tier) for found in evidence for tier in (Tier.PROBING, Tier.EXTRACTION))


def test_a_sweep_around_one_input_is_no_theft_and_the_same_inputs_apart_are() -> None:
    points = requests(np.random.default_rng(13), 400)
    root = points[0] + 6.0
    around = (root + 0.2 * np.random.default_rng(14).normal(size=points.shape)).astype(np.float32)
    strange = (points + 6.0).astype(np.float32)
    swept = told(Principal(yardstick()), around)
    stolen = told(Principal(yardstick()), strange)
    assert max(reading.evidence[Tier.EXTRACTION] for reading in swept) < EXTRACTION_LEAST
    assert stolen[63].evidence[Tier.EXTRACTION] > EXTRACTION_LEAST
