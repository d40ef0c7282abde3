"""The trail of a principal and its clusters, against the same written the long way: everything kept."""

import math
from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from detectors.principals.cluster import FEATURES, MEMORY, Cluster, Near
from detectors.principals.heading import TOLD_MIN, Heading
from detectors.principals.population import Population, log_odds
from detectors.principals.trail import CLEAR, LAGS, MIRRORED, NOBODY, SAME, Step, Trail
from tests.detectors.clients import answers, labels_of, probes, requests, yardstick

CLASSES = 2
USUAL = Population(
    places=(np.array([[0, 0], [8, 0]], np.float32), np.array([[8, 8], [0, 8]], np.float32)),
    typical=np.array([2.0, 4.0]),
    ratios=np.full(10, 0.5),
    densities=np.ones(10),
    odds=np.linspace(0.0, 3.0, 50),
    steepness=0.7,
)
OWN, CHANCE = 0.88, 0.1


def naive_features(
    cluster: Cluster, nears: list[Near], population: Population, points: NDArray[np.floating]
) -> dict[str, float]:
    """Return what is known of a cluster, from its whole history and where it lay."""
    weights = (1.0 - 1.0 / MEMORY) ** np.arange(len(nears))[::-1]
    spread = float(np.median(population.odds))

    def mean(values: list[float]) -> float:
        return float(np.average(values, weights=weights))

    steeps = [
        float(np.clip((cluster.odds - n.own) / max(n.moved, 0.05) / population.steepness, -5.0, 20.0)) for n in nears
    ]
    logs = [math.log(max(n.ratio, 1e-4)) for n in nears]
    choices = [0.0]
    for near in nears:
        if near.chosen:
            chance = min(1.0 / max(near.siblings, 2) + CHANCE, OWN - CHANCE)
            odds = OWN / chance if near.chosen > 0 else (1.0 - OWN) / (1.0 - chance)
            choices.append(choices[-1] + math.log(odds))
    slopes = [((n.own - n.parent) / max(n.distance, 1e-9)) ** 2 for n in nears]
    return {
        "requests": math.log(len(nears)),
        "gain": max(0.0, *(n.gain for n in nears)),
        "choices": max(choices),
        "flips": mean([n.flip for n in nears]),
        "hugging": mean([abs(n.own) <= population.low_odds for n in nears]),
        "rank": sum(value < cluster.odds for value in population.odds) / len(population.odds),
        "steepness": steeps[-1],
        "mean steepness": mean(steeps),
        "nearness": mean(logs),
        "nearest": min(0.0, *logs),
        "mirrored": mean([n.mirrored for n in nears]),
        "fallen": min(max((cluster.odds - mean([n.own for n in nears])) / spread, -2.0), 4.0),
        "lowest": min(max((cluster.odds - min(cluster.odds, *(n.own for n in nears))) / spread, -1.0), 5.0),
        "moved": mean([n.moved for n in nears]),
        "slope": math.sqrt(sum(slopes) / len(slopes)) / population.steepness,
        "clear": mean([n.clear for n in nears]),
        "oddness": mean([math.log(n.density) for n in nears]),
        "step": math.log(max(nears[-1].distance, 1e-4)),
        **naive_heading(points.astype(np.float64) - cluster.root, [n.own - cluster.odds for n in nears]),
        **naive_order(cluster.odds, nears, spread, weights),
    }


def naive_heading(points: NDArray[np.float64], answers: list[float]) -> dict[str, float]:
    """Return what ``Heading`` says, from all points (n, dimension) but the first, and their answers."""
    points = np.concatenate([np.zeros((1, points.shape[1])), points])
    told = np.array([0.0, *answers])
    steps = np.diff(points, axis=0)
    cosines, momenta, evidence = [], [], np.zeros((1, 3))
    for i in range(1, len(points)):
        momenta.append(cosine(steps[i - 1], steps[i - 2]) if i > 1 else 0.0)
        found = [0.0, 0.0, 0.0]
        if i >= TOLD_MIN:
            weights = (1.0 - 1.0 / MEMORY) ** np.arange(i)[::-1]
            mean = np.average(points[:i], axis=0, weights=weights)
            level = np.average(told[:i], weights=weights)
            falls = -np.average((points[:i] - mean) * (told[:i] - level)[:, None], axis=0, weights=weights)
            way = points[i - 1] - mean
            across = [v - way * (v @ way) / (way @ way) if way @ way else 0.0 * v for v in (falls, steps[i - 1])]
            found = [cosine(falls, points[i] - mean), cosine(falls, steps[i - 1]), cosine(*across)]
        cosines.append(found)
        z = np.clip(np.array(found) * math.sqrt(points.shape[1]), -4.0, 4.5)
        evidence = np.vstack([evidence, np.maximum(evidence[-1], 0.0) + np.log(0.93 + 0.07 * np.exp(2.0 * z - 2.0))])
    weights = (1.0 - 1.0 / MEMORY) ** np.arange(len(cosines))[::-1]
    following, steering, _ = np.average(cosines, axis=0, weights=weights)
    return dict(
        zip(
            ("following", "steering", "turning", "mean following", "mean steering", "momentum"),
            (*evidence.max(axis=0), following, steering, np.average(momenta, weights=weights)),
            strict=True,
        )
    )


def cosine(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    lengths = float(np.linalg.norm(one) * np.linalg.norm(other))
    return float(one @ other) / lengths if lengths > 0.0 else 0.0


def naive_order(odds: float, nears: list[Near], spread: float, weights: NDArray[np.floating]) -> dict[str, float]:
    own = [n.own for n in nears]
    lowest = min(odds, *own)
    moved = np.average([n.moved for n in nears], weights=weights)
    square = np.average([n.moved**2 for n in nears], weights=weights)
    whole = [odds, *own]
    lows = sum(value < min(whole[:i]) for i, value in enumerate(whole) if i)
    highs = sum(value > max(whole[:i]) for i, value in enumerate(whole) if i)
    usual = sum(1.0 / (i + 1) for i in range(1, len(whole)))
    return {
        "spent": min(max(1.0 - lowest / max(odds, 0.1 * spread), -1.0), 5.0),
        "evenness": math.sqrt(max(square - moved**2, 0.0)) / max(moved, 1e-6),
        "records": (lows - usual) / math.sqrt(max(usual, 0.5)),
        "falling": (lows - highs) / math.sqrt(lows + highs + 1.0),
    }


LOG = st.floats(-20.0, 20.0)
NEARS = st.lists(
    st.builds(
        Near,
        own=LOG,
        parent=LOG,
        distance=st.floats(1e-4, 9.0),
        moved=st.floats(0.0, 20.0),
        ratio=st.floats(0.0, 0.9),
        density=st.floats(1e-6, 50.0),
        flip=st.booleans(),
        clear=st.booleans(),
        chosen=st.sampled_from([-1, 0, 1]),
        siblings=st.integers(2, 32),
        gain=st.floats(0.0, 30.0),
        mirrored=st.booleans(),
    ),
    min_size=1,
    max_size=40,
)


@given(nears=NEARS, odds=st.floats(0.0, 20.0), seed=st.integers(0, 2**32 - 1))
@settings(max_examples=60, deadline=None)
def test_the_features_of_a_cluster_are_those_of_its_whole_history(nears: list[Near], odds: float, seed: int) -> None:
    cluster = Cluster(np.ones(5, np.float32), 0, odds)
    points = np.random.default_rng(seed).normal(size=(len(nears), 5)).astype(np.float32)
    for i, near in enumerate(nears):
        found = cluster.add(near, USUAL, points[i])
        wanted = naive_features(cluster, nears[: i + 1], USUAL, points[: i + 1])
        assert tuple(wanted) == FEATURES
        # The distances are drawn, not measured: their variance is a difference of large numbers. What lies across the
        # way is what is left of two vectors that may be nearly parallel, and answers may differ by a millionth.
        for name, value, own in zip(FEATURES, wanted.values(), found, strict=True):
            assert own == pytest.approx(value, rel=1e-6, abs=1e-3 if name == "turning" else 1e-6), name
    assert cluster.size == len(nears) + 1
    assert cluster.flips == sum(n.own < 0.0 for n in nears)
    assert cluster.lowest == min(odds, *(n.own for n in nears))


@dataclass(eq=False)
class Asked:
    """A request that the naive trail remembers."""

    number: int
    point: NDArray[np.float64]
    label: int
    odds: float
    parent: "Asked | None" = None
    cluster: Cluster | None = None
    nears: list[Near] = field(default_factory=list)
    """Of its cluster, shared by all in it."""
    points: list[NDArray[np.float64]] = field(default_factory=list)
    """Where these lay."""


class Naive:
    """A trail that keeps every request, and looks up parents and children whenever it needs them."""

    def __init__(self, window: int) -> None:
        self.window = window
        self.all: list[Asked] = []

    @property
    def known(self) -> list[Asked]:
        return self.all[-self.window :]

    def children(self, parent: Asked) -> list[Asked]:
        return [asked for asked in self.known if asked.parent is parent]

    def step(
        self, point: NDArray[np.float64], label: int, answer: NDArray[np.float64]
    ) -> tuple[bool, float, Near | None]:
        reference = min(float(np.linalg.norm(place - point)) for place in USUAL.places[label].astype(np.float64))
        reference = max(reference, 1e-6 * float(USUAL.typical[label]))
        asked = Asked(len(self.all), point, label, float(log_odds(answer[None], np.array([label]))[0]))
        order = sorted(self.known, key=lambda a: (float(np.square(a.point - point).sum()), a.number % self.window))
        if not order:
            self.all.append(asked)
            return False, math.inf, None
        parent, distance = order[0], float(np.linalg.norm(order[0].point - point))
        if distance <= SAME * USUAL.typical[label]:
            return True, 0.0, None
        if distance / reference > USUAL.near:
            self.all.append(asked)
            return False, distance / reference, None
        if parent.cluster is None:
            parent.cluster = Cluster(parent.point.astype(np.float32), parent.label, parent.odds)
        asked.cluster, asked.nears, asked.points = parent.cluster, parent.nears, parent.points
        near = self.near(asked, answer, order, distance, reference)
        asked.nears.append(near)
        asked.points.append(point)
        asked.odds = near.own
        asked.parent = parent if near.clear else None
        self.all.append(asked)
        return False, distance / reference, near

    def near(
        self, asked: Asked, answer: NDArray[np.float64], order: list[Asked], distance: float, reference: float
    ) -> Near:
        parent, cluster = order[0], asked.cluster
        assert cluster is not None
        typical = float(USUAL.typical[cluster.label])
        clear = len(order) > 1 and distance <= CLEAR * float(np.linalg.norm(order[1].point - asked.point))
        chosen, siblings, gain = 0, 0, 0.0
        if clear and not self.children(parent):
            away = float(np.linalg.norm(parent.point - cluster.root)) / typical
            slopes = [((n.own - n.parent) / n.distance) ** 2 for n in asked.nears]
            slope = math.sqrt(sum(slopes) / max(len(slopes), 1))
            gain = (cluster.odds - parent.odds) / (away * slope) if away > 0.0 and slope > 0.0 else 0.0
            before = parent.parent if parent.parent in self.known else None
            others = [a for a in self.children(before) if a is not parent and a.cluster is cluster] if before else []
            if others:
                chosen = 1 if parent.odds < min(a.odds for a in others) else -1
                siblings = len(others) + 1
        points = [a.point for a in self.all] + [asked.point]
        steps = np.diff(points, axis=0)
        back = [float(np.square(s + steps[-1]).sum()) for s in steps[:-1][-LAGS:]]
        return Near(
            own=float(log_odds(answer[None], np.array([cluster.label]))[0]),
            parent=parent.odds,
            distance=distance / typical,
            moved=float(np.linalg.norm(asked.point - cluster.root)) / typical,
            ratio=distance / reference,
            density=reference / float(USUAL.typical[asked.label]),
            flip=asked.label != parent.label,
            clear=clear,
            chosen=chosen,
            siblings=siblings,
            gain=gain,
            mirrored=bool(back) and min(back) <= MIRRORED**2 * float(np.square(steps[-1]).sum()),
        )


EIGHTHS = st.integers(-16, 80).map(lambda n: n / 8.0)
ASKED = st.tuples(st.tuples(EIGHTHS, EIGHTHS), st.floats(0.01, 0.99))
STEPS = st.tuples(st.tuples(*[st.integers(-3, 3).map(lambda n: n / 8.0)] * 2), st.floats(0.01, 0.99))


@given(first=ASKED, steps=st.lists(STEPS, min_size=1, max_size=60), window=st.sampled_from([1, 2, 3, 8, 24]))
@settings(max_examples=150, deadline=None)
def test_a_trail_tells_what_the_naive_one_does_while_its_window_is_overwritten(
    first: tuple[tuple[float, float], float], steps: list[tuple[tuple[float, float], float]], window: int
) -> None:
    trail, naive = Trail(USUAL, 2, window), Naive(window)
    point = np.array(first[0])
    for move, share in [((0.0, 0.0), first[1]), *steps]:
        point = point + np.array(move)
        answer = np.array([share, 1.0 - share])
        label = int(answer.argmax())
        duplicate, ratio, near = naive.step(point, label, answer)
        found = trail.step(point.astype(np.float32), label, answer)
        assert found.duplicate == duplicate
        assert found.ratio == pytest.approx(ratio, rel=1e-6)
        assert (found.cluster is None) == (found.features is None) == (near is None)
        if found.cluster is not None and found.features is not None:
            kept = naive.all[-1]
            wanted = naive_features(found.cluster, kept.nears, USUAL, np.array(kept.points))
            for name, value in wanted.items():
                # Steps on a grid can be along the way to the last bit: what is across it is then nothing but rounding.
                if name != "turning":
                    assert found.features[FEATURES.index(name)] == pytest.approx(value, rel=1e-4, abs=1e-4), name
        _same_books(trail, naive)


def _same_books(trail: Trail, naive: Naive) -> None:
    window, known = naive.window, naive.known
    assert trail.requests == len(naive.all)
    for asked in known:
        slot = asked.number % window
        assert tuple(trail._points[slot]) == tuple(asked.point)
        parent = asked.parent.number % window if asked.parent in known else NOBODY
        assert trail._parents[slot] == parent
        assert trail._children.get(slot, []) == [child.number % window for child in naive.children(asked)]
    assert set(trail._children) <= {asked.number % window for asked in known}


def steps_of(trail: Trail, points: NDArray[np.float32]) -> list[Step]:
    asked = zip(points, labels_of(points).tolist(), answers(points), strict=True)
    return [trail.step(point, label, answer) for point, label, answer in asked]


def test_exact_duplicates_say_nothing() -> None:
    points = probes(np.random.default_rng(1), 40)
    alone, retried = (Trail(yardstick().population, points.shape[1], 16) for _ in range(2))
    wanted = steps_of(alone, points)
    found = steps_of(retried, np.repeat(points, 3, axis=0))
    assert all(step.duplicate for i, step in enumerate(found) if i % 3)
    assert retried.requests == alone.requests == 40
    for first, second in zip(wanted, found[::3], strict=True):
        assert first[:5] == second[:5]
        assert (first.features is None) == (second.features is None)
        if first.features is not None and second.features is not None:
            assert first.features.tobytes() == second.features.tobytes()


def test_benign_requests_start_no_cluster_and_probes_one() -> None:
    rng = np.random.default_rng(2)
    trail = Trail(yardstick().population, 8)
    assert np.mean([step.cluster is not None for step in steps_of(trail, requests(rng, 400))]) < 0.1
    trail = Trail(yardstick().population, 8)
    clusters = [step.cluster for step in steps_of(trail, probes(rng, 50, 0.02))]
    assert clusters[0] is None
    assert clusters[1] is not None
    assert all(cluster is clusters[1] for cluster in clusters[1:])


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_who_goes_where_answers_fall_is_told_from_who_does_not_look(sign: float) -> None:
    """With 16 dimensions, 40 requests: a walker's largest bet passes 5 with a chance under 1e-3; fixed seeds."""
    rng = np.random.default_rng(3)
    slope = rng.normal(size=16)
    followed, steered = Heading(16, 0.9375), Heading(16, 0.9375)
    here, told = np.zeros(16), followed.add(np.zeros(16), 0.0)
    for _ in range(40):
        tried = here + 0.1 * rng.normal(size=16)
        told = followed.add(tried, float(tried @ slope))
        here = tried if sign * float((tried - here) @ slope) < 0.0 else here
    walk = np.cumsum(0.1 * rng.normal(size=(40, 16)), axis=0)
    strayed = [steered.add(point, float(point @ slope)) for point in walk][-1]
    assert (told[0] > 5.0) == (sign > 0.0)
    assert (told[3] > 0.2) if sign > 0.0 else (told[3] < -0.2)
    assert strayed[1] < 5.0


def test_a_sweep_in_one_direction_follows_its_answers_but_turns_nowhere() -> None:
    heading, way = Heading(16, 0.9375), np.random.default_rng(4).normal(size=16)
    told = [heading.add(0.1 * i * way, -0.2 * i) for i in range(1, 41)][-1]
    assert told[0] > 5.0
    assert told[2] == 0.0
    assert told[5] == pytest.approx(1.0, abs=0.2)
