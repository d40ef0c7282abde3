"""The last requests of one principal, and how each one follows from those before it."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from detectors.principals.cluster import Cluster, Near
from detectors.principals.population import WINDOW, Population, log_odds

CLEAR = 0.85
"""A parent is clear when no other request is nearly as near: at most this share of the second smallest distance."""
SAME = 1e-4
"""Share of the typical distance at which two requests are the same one: a retry."""
MIRRORED = 0.15
"""Share of a step's length by which the step back may differ from it."""
LAGS = 32
"""Earlier steps that are looked at for one that is undone."""
SIBLINGS_MAX = 32
NOBODY = -1


class Step(NamedTuple):
    """What one request says."""

    duplicate: bool
    """The same as an earlier one: a retry, which says nothing."""
    ratio: float
    """Distance to the nearest earlier request over that to the nearest place of its class; infinite for the first."""
    density: float
    """Distance to the nearest place of its class over what is typical."""
    odds: float
    """Log-odds of the predicted class."""
    place: int
    """The nearest place of its class."""
    cluster: Cluster | None = None
    """Of a near-duplicate."""
    features: NDArray[np.float64] | None = None
    """Of a near-duplicate: what is known of its cluster, as ``cluster.FEATURES`` names it."""


class Trail:
    """Remembers the last requests of a principal.

    Parameters
    ----------
    population : Population
        What is usual.
    dimension : int
        Of the points.
    window : int
        How many are remembered.

    Notes
    -----
    A request costs about 60 µs; 256 requests of 32 dimensions take about 45 kB.
    """

    def __init__(self, population: Population, dimension: int, window: int = WINDOW) -> None:
        self._population = population
        self._near = population.near
        self._points = np.zeros((window, dimension), np.float32)
        self._steps = np.zeros((LAGS, dimension), np.float32)
        self._last = np.zeros(dimension, np.float32)
        self._labels = np.zeros(window, np.int64)
        self._odds = np.zeros(window)
        """Of the class of the root of each one's cluster."""
        self._parents = np.full(window, NOBODY)
        self._children: list[list[int]] = [[] for _ in range(window)]
        self._clusters: list[Cluster | None] = [None] * window
        self._filled = 0
        self.requests = 0
        """Duplicates not counted."""

    def step(self, point: NDArray[np.float32], label: int, probabilities: NDArray[np.floating]) -> Step:
        """Take one request.

        Parameters
        ----------
        point : ndarray of shape (dimension,)
            Finite.
        label : int
            The predicted class.
        probabilities : ndarray of shape (classes,)
            The model's answer.

        Returns
        -------
        Step
            Its place among the requests before it.
        """
        population = self._population
        place, reference = population.nearest(point, label)
        typical = float(population.typical[label])
        odds = float(log_odds(probabilities[None], np.array([label]))[0])
        density = reference / typical
        if not self._filled:
            self._keep(point, label, odds, NOBODY, Cluster(point, label, odds))
            return Step(duplicate=False, ratio=np.inf, density=density, odds=odds, place=place)
        away = self._points[: self._filled] - point
        squared = np.einsum("ij,ij->i", away, away)
        parent = int(squared.argmin())
        distance = float(np.sqrt(squared[parent]))
        if distance <= SAME * typical:
            return Step(duplicate=True, ratio=0.0, density=density, odds=odds, place=place)
        found = Step(duplicate=False, ratio=distance / reference, density=density, odds=odds, place=place)
        cluster = self._clusters[parent]
        if found.ratio > self._near or cluster is None:
            self._keep(point, label, odds, NOBODY, Cluster(point, label, odds))
            return found
        squared[parent] = np.inf
        clear = self._filled > 1 and distance <= CLEAR * float(np.sqrt(squared.min()))
        near = self._derived(point, label, probabilities, (parent, distance, clear), found, cluster)
        slot = self._keep(point, label, near.own, parent if clear else NOBODY, cluster)
        if clear and len(self._children[parent]) < SIBLINGS_MAX:
            self._children[parent].append(slot)
        return found._replace(cluster=cluster, features=cluster.add(near, population))

    def _derived(
        self,
        point: NDArray[np.float32],
        label: int,
        probabilities: NDArray[np.floating],
        origin: tuple[int, float, bool],
        found: Step,
        cluster: Cluster,
    ) -> Near:
        parent, distance, clear = origin
        typical = float(self._population.typical[cluster.label])
        chosen, siblings, gain = self._choice(parent, cluster) if clear else (0, 0, 0.0)
        return Near(
            own=float(log_odds(probabilities[None], np.array([cluster.label]))[0]),
            parent=float(self._odds[parent]),
            distance=distance / typical,
            moved=float(np.linalg.norm(point - cluster.root)) / typical,
            ratio=found.ratio,
            density=found.density,
            flip=label != int(self._labels[parent]),
            clear=clear,
            chosen=chosen,
            siblings=siblings,
            gain=gain,
            mirrored=self._mirrored(point - self._last),
        )

    def _choice(self, parent: int, cluster: Cluster) -> tuple[int, int, float]:
        """Tell of a parent at its first child whether it is the lowest of its siblings, of how many, and its gain."""
        if self._children[parent]:
            return 0, 0, 0.0
        away = float(np.linalg.norm(self._points[parent] - cluster.root)) / float(
            self._population.typical[cluster.label]
        )
        slope = cluster.slope
        gain = (cluster.odds - float(self._odds[parent])) / (away * slope) if away > 0.0 and slope > 0.0 else 0.0
        before = int(self._parents[parent])
        if before == NOBODY:
            return 0, 0, gain
        siblings = [slot for slot in self._children[before] if slot != parent and self._clusters[slot] is cluster]
        if not siblings:
            return 0, 0, gain
        lowest = self._odds[parent] < self._odds[siblings].min()
        return (1 if lowest else -1), len(siblings) + 1, gain

    def _mirrored(self, step: NDArray[np.float32]) -> bool:
        """Tell whether a step undoes an earlier one, as finite differences around one point do."""
        back = self._steps + step
        squared = np.einsum("ij,ij->i", back, back)
        least: float = float(squared[: min(max(self.requests - 1, 0), LAGS)].min(initial=np.inf))
        return least <= MIRRORED**2 * float(step @ step)

    def _keep(self, point: NDArray[np.float32], label: int, odds: float, parent: int, cluster: Cluster) -> int:
        slot = self.requests % len(self._points)
        if self.requests >= len(self._points):
            self._forget(slot)
        if self.requests:
            self._steps[(self.requests - 1) % LAGS] = point - self._last
        self._last = point
        self._points[slot], self._labels[slot], self._odds[slot] = point, label, odds
        self._parents[slot], self._clusters[slot], self._children[slot] = parent, cluster, []
        self.requests += 1
        self._filled = min(self.requests, len(self._points))
        return slot

    def _forget(self, slot: int) -> None:
        parent = int(self._parents[slot])
        if parent != NOBODY and slot in self._children[parent]:
            self._children[parent].remove(slot)
        for child in self._children[slot]:
            self._parents[child] = NOBODY
