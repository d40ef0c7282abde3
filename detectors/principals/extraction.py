"""How much of a model one client has asked for: how odd its requests are, and what a copy trained on them is worth.

References
----------
Juuti et al., *PRADA: Protecting against DNN Model Stealing Attacks*, EuroS&P 2019.
*ADD: Account-aware Distribution Discrepancy*, AAAI 2025: the class-conditional Fréchet distance.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from detectors.errors import DetectorError
from detectors.principals.population import Population

SPAN = 64
"""Requests over which the moments of a client's requests are averaged, exponentially."""
CLASS_MIN = 8
"""Requests of a class before its moments say anything."""
FIDELITY_SCALE, FIDELITY_POWER = 1.37, 0.495
"""A copy that was trained on n distinct, evenly spread requests disagrees on a share of ``SCALE * n ** -POWER``."""


@dataclass(frozen=True, slots=True, eq=False)
class Moments:
    """Means and spreads of the reference's requests by predicted class."""

    mean: NDArray[np.float64]
    """Shape (classes, dimension)."""
    spread: NDArray[np.float64]
    """Shape (classes, dimension): standard deviations."""
    scale: float
    """Mean squared spread of a request: what distances are divided by."""

    @classmethod
    def fit(cls, points: NDArray[np.floating], labels: NDArray[np.integer], classes: int) -> "Moments":
        """Describe reference requests, points of shape (n, dimension) with labels of shape (n,)."""
        if not len(points):
            raise DetectorError("no reference requests")
        points = np.asarray(points, np.float64)
        mean, spread = [], []
        for label in range(classes):
            own = points[labels == label]
            own = own if len(own) >= CLASS_MIN else points
            mean.append(own.mean(axis=0))
            spread.append(own.std(axis=0))
        scale = float(np.square(spread).sum(axis=1).mean())
        return cls(np.array(mean), np.array(spread), max(scale, 1e-12))


class Extraction:
    """What one client's distinct requests amount to.

    Notes
    -----
    A request costs about 10 µs; with 10 classes and 32 dimensions the state takes 6 kB.
    """

    def __init__(self, population: Population, moments: Moments) -> None:
        self._population, self._moments = population, moments
        classes, dimension = moments.mean.shape
        self._sums = np.zeros((classes, dimension))
        self._squares = np.zeros((classes, dimension))
        self._seen = np.zeros(classes, np.int64)
        self.distinct = 0
        self._covered: set[tuple[int, int]] = set()
        self._places = sum(map(len, population.places))

    def add(self, point: NDArray[np.float32], label: int, place: int) -> None:
        """Take a request that is no duplicate: its point, predicted class, and the nearest place of that class."""
        keep = 1.0 - 1.0 / SPAN
        away = point - self._moments.mean[label]
        self._sums[label] = keep * self._sums[label] + away
        self._squares[label] = keep * self._squares[label] + away * away
        self._seen[label] += 1
        self.distinct += 1
        self._covered.add((label, place))

    def distance(self) -> float:
        """Return the class-conditional Fréchet distance of recent requests to the reference; 0 before any can be told.

        In units of a reference request's mean squared spread, less what so few requests would show by chance.
        """
        enough = self._seen >= CLASS_MIN
        if not enough.any():
            return 0.0
        # A class that was not asked for lately keeps what it had: sums and their weight fade alike.
        weight = np.minimum(self._seen, SPAN)[enough].astype(np.float64)
        effective = self._effective(enough)
        mean = self._sums[enough] / effective[:, None]
        variance = np.maximum(self._squares[enough] / effective[:, None] - mean * mean, 0.0)
        spread = self._moments.spread[enough]
        apart = np.square(mean).sum(axis=1) + np.square(np.sqrt(variance) - spread).sum(axis=1)
        chance = 1.5 * np.square(spread).sum(axis=1) / np.minimum(effective, weight)
        found = np.maximum(apart - chance, 0.0)
        return float((found * weight).sum() / weight.sum()) / self._moments.scale

    def _effective(self, enough: NDArray[np.bool_]) -> NDArray[np.float64]:
        keep = 1.0 - 1.0 / SPAN
        weight: NDArray[np.float64] = (1.0 - keep ** self._seen[enough].astype(np.float64)) / (1.0 - keep)
        return weight

    def coverage(self) -> float:
        """Return which share of the reference's places has been asked about, 0 to 1."""
        return len(self._covered) / max(self._places, 1)

    def fidelity(self) -> float:
        """Return the share of inputs, 0 to 1, on which a copy trained on these requests would agree with the model.

        An estimate for requests such as clients send; those far from them teach less, so it is an upper one.
        """
        if not self.distinct:
            return 0.0
        return max(0.0, 1.0 - FIDELITY_SCALE * float(np.power(float(self.distinct), -FIDELITY_POWER)))
