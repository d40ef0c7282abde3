"""Evidence about principals: honest bets, what is refused, what grows with what, and bounded memory."""

import math
import tracemalloc
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from detectors.errors import DetectorError
from detectors.principals.cluster import FEATURES
from detectors.principals.extraction import CLASS_MIN, Extraction, Moments
from detectors.principals.forest import Forest
from detectors.principals.monitor import EXTRACTION_MIN, Principal, Roster, Thresholds, Tier, Yardstick
from detectors.principals.population import ODDS_MAX, ROWS_MIN, Population, log_odds, odds_of
from tests.detectors.clients import (
    CLASSES,
    DIMENSION,
    Points,
    answers,
    forest_of,
    labels_of,
    probes,
    requests,
    told,
    yardstick,
)

SHARES = st.lists(st.sampled_from([0.0, 1e-30, 0.1, 0.25, 0.5, 1.0]), min_size=1, max_size=6)


def naive_odds(answer: list[float], of: int) -> float:
    others = [share for i, share in enumerate(answer) if i != of] or [1.0 - answer[of]]
    tiny = math.exp(-ODDS_MAX)
    odds = math.log(max(answer[of], tiny)) - math.log(max(*others, tiny))
    return min(max(odds, -ODDS_MAX), ODDS_MAX)


@given(answer=SHARES, data=st.data())
def test_log_odds_are_those_of_a_loop_and_the_same_for_one_row(answer: list[float], data: st.DataObject) -> None:
    of = data.draw(st.integers(0, len(answer) - 1))
    for kind in (np.float32, np.float64):
        rows: NDArray[np.floating] = np.array([answer, answer[::-1]], kind)
        found = log_odds(rows, np.array([of, of]))
        assert found.tolist() == [odds_of(rows[0], of), odds_of(rows[1], of)]
        wanted = naive_odds(rows[0].astype(np.float64).tolist(), of)
        assert found[0] == pytest.approx(wanted, rel=1e-12, abs=1e-12)
        assert rows.tolist() == np.array([answer, answer[::-1]], kind).tolist()


def test_log_odds_of_ties_are_zero_and_of_certainty_the_limit() -> None:
    assert log_odds(np.array([[0.5, 0.5], [1.0, 0.0], [0.0, 1.0], [0.0, 0.0]]), np.zeros(4, int)).tolist() == [
        0.0,
        ODDS_MAX,
        -ODDS_MAX,
        0.0,
    ]


def fitted(points: NDArray[np.floating], labels: NDArray[np.integer], classes: int = CLASSES) -> Population:
    return Population.fit(points, labels, np.ones(len(points)), classes)


def test_a_population_is_refused_that_says_nothing() -> None:
    points = requests(np.random.default_rng(1), ROWS_MIN)
    labels = labels_of(points)
    assert len(fitted(points, labels).places) == CLASSES
    with pytest.raises(DetectorError, match="at least"):
        fitted(points[1:], labels[1:])
    points[3, 1] = np.inf
    with pytest.raises(DetectorError, match="finite"):
        fitted(points, labels)
    with pytest.raises(DetectorError, match="finite"):
        Population.fit(np.ones((ROWS_MIN, 2)), np.zeros(ROWS_MIN, int), np.full(ROWS_MIN, np.nan), 1)


@pytest.mark.parametrize("known", [0, 1, 2])
def test_a_class_that_the_reference_hardly_knows_is_measured_against_everyone(known: int) -> None:
    points = requests(np.random.default_rng(2), 400)
    labels = np.zeros(400, np.int64)
    labels[50 : 50 + known] = 1
    population = fitted(points, labels, 2)
    assert np.array_equal(population.places[1], points[::2][:256])
    assert (population.typical > 0.0).all()
    assert population.steepness > 0.0


def test_a_class_of_one_constant_request_has_distances_above_zero() -> None:
    points = requests(np.random.default_rng(3), 400)
    labels = (np.arange(400) % 4 < 2).astype(np.int64)
    points[labels == 1] = 1.5
    population = fitted(points, labels, 2)
    assert (population.typical > 0.0).all()
    assert population.nearest(np.full(DIMENSION, 1.5, np.float32), 1)[1] > 0.0
    same = fitted(np.ones((ROWS_MIN, 2)), np.zeros(ROWS_MIN, int), 1)
    assert np.isfinite([same.near, same.low_odds, same.steepness, *same.typical, *same.densities]).all()


def test_the_yardstick_wants_as_many_answers_as_points() -> None:
    points = requests(np.random.default_rng(4), 100)
    with pytest.raises(DetectorError, match="answers"):
        Yardstick.fit(points, labels_of(points), answers(points)[1:], forest_of(0))
    with pytest.raises(DetectorError, match="no reference"):
        Moments.fit(points[:0], np.zeros(0, int), CLASSES)


def walked(forest: Forest, story: NDArray[np.float64]) -> float:
    total = forest.start
    for features, cuts, values in zip(forest.features, forest.cuts, forest.values, strict=True):
        node = 0
        while node < len(features):
            node = 2 * node + (2 if story[features[node]] > cuts[node] else 1)
        total += float(values[node - len(features)])
    return total


@given(seed=st.integers(0, 50), trees=st.integers(0, 30), grid=st.booleans())
@settings(deadline=None)
def test_a_forest_scores_what_a_walk_through_its_trees_finds(seed: int, trees: int, grid: bool) -> None:
    forest = forest_of(seed, trees)
    story = np.random.default_rng(seed + 1).normal(size=len(FEATURES))
    if grid:
        forest = Forest(forest.features, np.rint(forest.cuts), forest.values, forest.start)
        story = np.rint(story)
    assert forest.score(story) == pytest.approx(walked(forest, story), rel=1e-12, abs=1e-9)
    again = Forest.from_bytes(forest.to_bytes())
    assert again.to_bytes() == forest.to_bytes()
    assert again.digest == forest.digest
    assert again.score(story) == forest.score(story)


def test_forests_that_differ_have_another_digest() -> None:
    assert len({forest_of(seed).digest for seed in range(20)}) == 20


@pytest.mark.parametrize("content", [b"", b"x" * 15, np.array([np.nan, 0.0]).tobytes(), np.array([np.inf, 0]).tobytes(),
                                     np.array([-1.0, 0.0]).tobytes(), forest_of(0).to_bytes()[:-1],
                                     np.array([0.0, np.nan]).tobytes()])  # fmt: skip
def test_bytes_that_hold_no_forest_are_refused(content: bytes) -> None:
    with pytest.raises(DetectorError):
        Forest.from_bytes(content)


def test_a_forest_of_odd_shapes_features_or_numbers_is_refused() -> None:
    good = forest_of(0)
    for features, cuts, values in (
        (good.features[:-1], good.cuts, good.values),
        (good.features, good.cuts[:, 1:], good.values),
        (good.features + np.int8(len(FEATURES)), good.cuts, good.values),
        (good.features, np.full_like(good.cuts, np.nan), good.values),
        (good.features, good.cuts, np.full_like(good.values, np.inf)),
    ):
        with pytest.raises(DetectorError, match="forest"):
            Forest(features, cuts, values, 0.0)


def extraction_of(points: Points) -> Extraction:
    found = Extraction(yardstick().population, yardstick().moments)
    for point, label in zip(points, labels_of(points).tolist(), strict=True):
        found.add(point, label, yardstick().population.nearest(point, label)[0], np.inf)
    return found


def test_the_distance_is_near_zero_for_usual_requests_and_grows_with_the_shift() -> None:
    points = requests(np.random.default_rng(5), 500)
    own = yardstick().moments.mean[labels_of(points)]
    distances = [extraction_of((own + scale * (points - own)).astype(np.float32)).distance() for scale in (1, 2, 3, 4)]
    assert distances[0] < 0.1
    assert distances == sorted(distances)
    assert distances[1] > 3 * distances[0] + 0.1


def test_distances_are_those_of_the_whole_history_whenever_they_are_asked_for() -> None:
    points = requests(np.random.default_rng(6), 300) * np.float32(1.5)
    every, last = Extraction(yardstick().population, yardstick().moments), extraction_of(points)
    for point, label in zip(points, labels_of(points).tolist(), strict=True):
        every.add(point, label, 0, np.inf)
        every.distance()
    assert every.distance() == last.distance() == pytest.approx(naive_distance(points), rel=1e-9)


def naive_distance(points: Points) -> float:
    """Return the distance by its definition: weighted means and variances of all requests of a class."""
    moments, labels, found, weights = yardstick().moments, labels_of(points), [], []
    for label in range(CLASSES):
        own = points[labels == label] - moments.mean[label]
        if len(own) < CLASS_MIN:
            continue
        fading = (1.0 - 1.0 / 64) ** np.arange(len(own))[::-1]
        mean = fading @ own / fading.sum()
        variance = fading @ np.square(own) / fading.sum() - mean**2
        spread = moments.spread[label]
        apart = np.square(mean).sum() + np.square(np.sqrt(variance) - spread).sum()
        weights.append(min(len(own), 64))
        found.append(max(apart - 1.5 * np.square(spread).sum() / min(fading.sum(), weights[-1]), 0.0))
    return float(np.average(found, weights=weights)) / moments.scale


def test_fidelity_and_coverage_grow_with_distinct_requests() -> None:
    found = Extraction(yardstick().population, yardstick().moments)
    assert (found.fidelity(), found.coverage(), found.distance()) == (0.0, 0.0, 0.0)
    before = (0.0, 0.0)
    for point, label in ((p, int(x)) for points in [requests(np.random.default_rng(7), 600)]
                         for p, x in zip(points, labels_of(points), strict=True)):  # fmt: skip
        found.add(point, label, yardstick().population.nearest(point, label)[0], np.inf)
        now = (found.fidelity(), found.coverage())
        assert before[0] <= now[0] <= 1.0
        assert before[1] <= now[1] <= 1.0
        before = now
    assert before[0] > 0.9
    assert before[1] > 0.3


@pytest.mark.parametrize("spoil", [
    lambda p, a: (p[:-1], 0, a), lambda p, a: (p * np.nan, 0, a), lambda p, a: (p + np.inf, 0, a),
    lambda p, a: (p * 0 + 1e30, 0, a), lambda p, a: (p[None], 0, a), lambda p, a: (p, 0, a * np.nan),
    lambda p, a: (p, 0, a[:-1]), lambda p, a: (p, 0, a - np.inf), lambda p, a: (p, -1, a), lambda p, a: (p, 3, a),
])  # fmt: skip
def test_what_is_not_a_request_is_refused_and_leaves_no_trace(spoil: Callable[..., tuple[Points, int, Points]]) -> None:
    points = requests(np.random.default_rng(8), 60)
    clean, spoilt = Principal(yardstick()), Principal(yardstick())
    told(clean, points[:40])
    told(spoilt, points[:40])
    with pytest.raises(DetectorError):
        spoilt.take(*spoil(points[50], answers(points[50:51])[0]))
    assert told(spoilt, points[40:]) == told(clean, points[40:])


def test_points_far_out_are_taken_without_a_warning() -> None:
    principal = Principal(yardstick())
    for far in (3e17, -3e17, 0.0, 1e-40):
        reading = principal.take(np.full(DIMENSION, far, np.float32), 0, np.array([1.0, 0.0, 0.0], np.float32))
        assert np.isfinite([reading.score, reading.evidence[Tier.PROBING]]).all()


@pytest.mark.parametrize("kind", [requests, probes])
def test_the_same_requests_give_the_same_readings_and_are_left_alone(kind: Callable[..., Points]) -> None:
    points = kind(np.random.default_rng(9), 400)
    shares, buffer = answers(points), np.empty(DIMENSION, np.float32)
    before = points.tobytes(), shares.tobytes()
    first, second = Principal(yardstick()), Principal(yardstick())
    readings = told(first, points)
    assert (points.tobytes(), answers(points).tobytes()) == before
    for point, label, answer, reading in zip(points, labels_of(points).tolist(), shares, readings, strict=True):
        # One buffer for all: nothing of what a caller passes is kept.
        buffer[:] = point
        assert second.take(buffer, label, answer) == reading
    assert before == (points.tobytes(), shares.tobytes())
    assert readings[-1].evidence == first.evidence
    assert (readings[0].evidence != first.evidence) == (kind is probes)
    assert len({reading.score for reading in readings}) > 10


def test_a_reading_is_of_its_request_and_duplicates_change_nothing() -> None:
    points = probes(np.random.default_rng(10), 80)
    principal, retrying = Principal(yardstick()), Principal(yardstick())
    assert told(principal, points) == told(retrying, np.repeat(points, 2, axis=0))[::2]
    assert (retrying.queries, retrying.duplicates) == (principal.queries, 80) == (80, 80)


def test_the_score_of_a_request_is_calibrated_on_exchangeable_ones() -> None:
    """A score of 1 - a comes to at most a share of a of fresh requests: Markov's inequality for the mean bet.

    800 requests against 400 references; five standard errors are exceeded in fewer than one in 10^6 runs.
    """
    scores = []
    for seed in range(400):
        points = requests(np.random.default_rng(1_000 + seed), 66 + seed // 2)
        made = Yardstick.fit(points[:-2], labels_of(points[:-2]), answers(points[:-2]), forest_of(0, 1))
        scores += [reading.score for reading in told(Principal(made), points[-2:])]
    found = np.array(scores)
    assert ((found >= 0.0) & (found <= 1.0)).all()
    for level in (0.05, 0.1, 0.25):
        error = math.sqrt(level * (1.0 - level) / len(found))
        assert float((found >= 1.0 - level).mean()) <= level + 5.0 * error


@given(size=st.integers(1, 400))
def test_a_bet_on_a_rank_is_at_most_one_on_average(size: int) -> None:
    ranks = np.arange(1, size + 2) / (size + 1)
    assert float((0.5 / np.sqrt(ranks)).mean()) <= 1.0


def test_extraction_is_told_from_enough_requests_on() -> None:
    points = requests(np.random.default_rng(11), EXTRACTION_MIN) * np.float32(4.0)
    principal = Principal(yardstick())
    readings = told(principal, points)
    assert principal.extraction.apart == EXTRACTION_MIN
    assert readings[-2].evidence[Tier.EXTRACTION] == 0.0
    assert readings[-1].evidence[Tier.EXTRACTION] > 0.5
    assert Thresholds(1.0, 2.0, 3.0).of(Tier.EXTRACTION) == 3.0
    assert [Thresholds(1.0, 2.0, 3.0).of(tier) for tier in Tier] == [1.0, 2.0, 3.0]


def test_a_roster_forgets_the_least_recently_seen_and_counts_them() -> None:
    roster: Roster[str] = Roster(yardstick(), 3)
    first = roster.of("a")
    for name in "bcadef":
        roster.of(name)
    assert (len(roster), roster.forgotten) == (3, 3)
    roster.of("a")
    assert roster.of("a") is not first
    with pytest.raises(DetectorError, match="at least 1"):
        Roster(yardstick(), 0)


def test_memory_stays_bounded_over_a_hundred_thousand_requests() -> None:
    """A flood of principals, each with few requests: what is held after half of it is held at its end."""
    roster: Roster[int] = Roster(yardstick(), 16)
    points = requests(np.random.default_rng(12), 1_000)
    asked = list(zip(points, labels_of(points).tolist(), answers(points), strict=True))
    held = []
    tracemalloc.start()
    try:
        for half in range(2):
            for i in range(2_500):
                point, label, answer = asked[i % 1_000]
                roster.of(10_000 * half + i // 2).take(point, label, answer)
            held.append(tracemalloc.get_traced_memory()[0])
    finally:
        tracemalloc.stop()
    assert held[1] < 1.1 * held[0]
    principal, sizes = Principal(yardstick()), []
    for i in range(95_000):
        point, label, answer = asked[(7 * i) % 1_000]
        principal.take(point, label, answer)
        if i % 10_000 == 5_000:
            sizes.append(principal._trail._points.nbytes + 8 * len(principal._trail._children))
    assert max(sizes) <= 1.1 * sizes[0]
