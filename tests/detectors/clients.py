"""A model of three classes, clients that mean no harm, and some that do."""

from functools import cache

import numpy as np
from numpy.typing import NDArray

from detectors.principals.cluster import FEATURES
from detectors.principals.forest import Forest
from detectors.principals.monitor import Principal, Reading, Yardstick

DIMENSION, CLASSES = 8, 3
CENTRES = 2.0 * np.random.default_rng(99).normal(size=(CLASSES, DIMENSION))
Points = NDArray[np.float32]


def answers(points: NDArray[np.floating]) -> NDArray[np.float32]:
    """Return the model's probabilities."""
    odds = points.astype(np.float64) @ CENTRES.T - 0.5 * np.square(CENTRES).sum(axis=1)
    shares = np.exp(odds - odds.max(axis=1, keepdims=True))
    return np.asarray((shares / shares.sum(axis=1, keepdims=True)).astype(np.float32))


def labels_of(points: NDArray[np.floating]) -> NDArray[np.int64]:
    return np.asarray(answers(points).argmax(axis=1))


def requests(rng: np.random.Generator, rows: int) -> Points:
    """Return requests as every client sends them."""
    found = CENTRES[rng.integers(0, CLASSES, rows)] + rng.normal(size=(rows, DIMENSION))
    return np.asarray(found.astype(np.float32))


def probes(rng: np.random.Generator, rows: int, step: float = 0.05) -> Points:
    """Return a request, and a walk away from it in small steps."""
    first = requests(rng, 1)
    away = np.cumsum(step * rng.normal(size=(rows - 1, DIMENSION)), axis=0)
    return np.concatenate([first, first + away]).astype(np.float32)


def forest_of(seed: int, trees: int = 20) -> Forest:
    rng = np.random.default_rng(seed)
    return Forest(
        rng.integers(0, len(FEATURES), (trees, 15)).astype(np.int8),
        rng.normal(size=(trees, 15)).astype(np.float32),
        rng.normal(size=(trees, 16)).astype(np.float32),
        -1.0,
    )


@cache
def yardstick() -> Yardstick:
    points = requests(np.random.default_rng(0), 2_000)
    return Yardstick.fit(points, labels_of(points), answers(points), forest_of(0))


def told(principal: Principal, points: Points) -> list[Reading]:
    """Let a principal ask, and return what each request said."""
    shares = answers(points)
    asked = zip(points, shares.argmax(axis=1).tolist(), shares, strict=True)
    return [principal.take(point, label, answer) for point, label, answer in asked]
