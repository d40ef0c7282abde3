"""The last requests of one principal, and how each one follows from those before it."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from detectors.principals.cluster import Cluster, Near
from detectors.principals.population import WINDOW, Population, odds_of

CLEAR = 0.85
"""A parent is clear when no other request is nearly as near: at most this share of the second smallest distance."""
SAME = 1e-4
"""Share of the typical distance at which two requests are the same one: a retry."""
MIRRORED = 0.15
"""Share of a step's length by which the step back may differ from it."""
LAGS = 32
"""Earlier steps that are looked at for one that is undone."""
SIBLINGS_MAX = 32
ROOM = 16
"""Requests that there is room for at once; it doubles."""
NOBODY = -1


class Step(NamedTuple):
    """What one request says.

    Parameters
    ----------
    duplicate : bool
        Whether it is the same as an earlier one: a retry, which says nothing.
    ratio : float
        Distance to the nearest earlier request over that to the nearest place of its class; infinite for the first.
    density : float
        Distance to the nearest place of its class over what is typical.
    odds : float
        Log-odds of the predicted class.
    place : int
        The nearest place of its class.
    cluster : Cluster or None
        Of a near-duplicate.
    features : ndarray of shape (len(cluster.FEATURES),) or None
        Of a near-duplicate: what is known of its cluster.
    """

    duplicate: bool
    ratio: float
    density: float
    odds: float
    place: int
    cluster: Cluster | None = None
    features: NDArray[np.float64] | None = None


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
    A request costs about 15 µs, a near-duplicate 65 µs; 16 requests of 32 dimensions take about 5 kB, 256 about 50 kB,
    and each cluster among them 1 kB, from its third request on 3 kB.
    """

    def __init__(self, population: Population, dimension: int, window: int = WINDOW) -> None:
        self._population = population
        self._near = population.near
        self._window = window
        # Most principals send little: what is remembered takes room as requests come.
        self._points = np.zeros((min(window, ROOM), dimension), np.float32)
        self._steps = np.zeros((min(LAGS, ROOM), dimension), np.float32)
        self._last = np.zeros(dimension, np.float32)
        self._labels: list[int] = []
        self._odds: list[float] = []
        """Of the class of the root of each one's cluster."""
        self._parents: list[int] = []
        self._children: dict[int, list[int]] = {}
        """Of those that have any, in order."""
        self._clusters: list[Cluster | None] = []
        """Of those that have a near-duplicate or are one."""
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
        odds = odds_of(probabilities, label)
        density = reference / typical
        if not self._filled:
            self._keep(point, label, odds)
            return Step(False, np.inf, density, odds, place)  # noqa: FBT003 - no duplicate
        away = self._points[: self._filled] - point
        squared = np.einsum("ij,ij->i", away, away)
        parent = int(squared.argmin())
        distance = float(np.sqrt(squared[parent]))
        if distance <= SAME * typical:
            return Step(True, 0.0, density, odds, place)  # noqa: FBT003 - a duplicate
        ratio = distance / reference
        if ratio > self._near:
            self._keep(point, label, odds)
            return Step(False, ratio, density, odds, place)  # noqa: FBT003 - no duplicate
        squared[parent] = np.inf
        clear = self._filled > 1 and distance <= CLEAR * float(np.sqrt(squared[squared.argmin()]))
        cluster = self._cluster(parent)
        found = Step(False, ratio, density, odds, place, cluster)  # noqa: FBT003 - no duplicate
        near = self._derived(point, label, probabilities, (parent, distance, clear), found, cluster)
        self._keep(point, label, near.own, parent if clear else NOBODY, cluster)
        return found._replace(features=cluster.add(near, population, point))

    def _cluster(self, slot: int) -> Cluster:
        """Return the cluster of a request that is remembered: of its own when it had no near-duplicate so far."""
        cluster = self._clusters[slot]
        if cluster is None:
            cluster = Cluster(self._points[slot].copy(), self._labels[slot], self._odds[slot], self.requests)
            self._clusters[slot] = cluster
        return cluster

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
            own=found.odds if label == cluster.label else odds_of(probabilities, cluster.label),
            parent=self._odds[parent],
            distance=distance / typical,
            moved=_length(point - cluster.root) / typical,
            ratio=found.ratio,
            density=found.density,
            flip=label != self._labels[parent],
            clear=clear,
            chosen=chosen,
            siblings=siblings,
            gain=gain,
            mirrored=self._mirrored(point - self._last),
        )

    def _choice(self, parent: int, cluster: Cluster) -> tuple[int, int, float]:
        """Tell of a parent at its first child whether it is the lowest of its siblings, of how many, and its gain."""
        if parent in self._children:
            return 0, 0, 0.0
        away = _length(self._points[parent] - cluster.root) / float(self._population.typical[cluster.label])
        slope = cluster.slope
        gain = (cluster.odds - self._odds[parent]) / (away * slope) if away > 0.0 and slope > 0.0 else 0.0
        before = self._parents[parent]
        if before == NOBODY:
            return 0, 0, gain
        children = self._children.get(before, ())
        siblings = [self._odds[slot] for slot in children if slot != parent and self._clusters[slot] is cluster]
        if not siblings:
            return 0, 0, gain
        return (1 if self._odds[parent] < min(siblings) else -1), len(siblings) + 1, gain

    def _mirrored(self, step: NDArray[np.float32]) -> bool:
        """Tell whether a step undoes an earlier one, as finite differences around one point do."""
        known = min(self.requests - 1, LAGS)
        if known <= 0:
            return False
        back = self._steps[:known] + step
        squared = np.einsum("ij,ij->i", back, back)
        return float(squared[squared.argmin()]) <= MIRRORED**2 * float(step.dot(step))

    def _keep(
        self, point: NDArray[np.float32], label: int, odds: float, parent: int = NOBODY, cluster: Cluster | None = None
    ) -> None:
        slot = self.requests % self._window
        if self.requests >= self._window:
            self._forget(slot)
            # The oldest makes room for its own child.
            parent = NOBODY if parent == slot else parent
        self._put(slot, point, label, odds)
        self._parents[slot], self._clusters[slot] = parent, cluster
        self.requests += 1
        self._filled = min(self.requests, self._window)
        if parent != NOBODY:
            siblings = self._children.setdefault(parent, [])
            if len(siblings) < SIBLINGS_MAX:
                siblings.append(slot)

    def _put(self, slot: int, point: NDArray[np.float32], label: int, odds: float) -> None:
        """Remember a request in a place, which is the next one as long as there are new ones."""
        if self.requests:
            step = (self.requests - 1) % LAGS
            self._steps = _with_room(self._steps, step, LAGS)
            np.subtract(point, self._last, out=self._steps[step])
        self._last[:] = point
        self._points = _with_room(self._points, slot, self._window)
        self._points[slot] = point
        if slot < len(self._labels):
            self._labels[slot], self._odds[slot] = label, odds
            return
        self._labels.append(label)
        self._odds.append(odds)
        self._parents.append(NOBODY)
        self._clusters.append(None)

    def _forget(self, slot: int) -> None:
        parent = self._parents[slot]
        siblings = self._children.get(parent, [])
        if slot in siblings:
            siblings.remove(slot)
            if not siblings:
                del self._children[parent]
        for child in self._children.pop(slot, ()):
            self._parents[child] = NOBODY


def _with_room(rows: NDArray[np.float32], place: int, most: int) -> NDArray[np.float32]:
    """Return rows with one at a place: the same, or a copy with twice as many."""
    if place < len(rows):
        return rows
    larger = np.zeros((min(2 * len(rows), most), rows.shape[1]), np.float32)
    larger[: len(rows)] = rows
    return larger


def _length(vector: NDArray[np.float32]) -> float:
    return float(np.sqrt(vector.dot(vector)))
