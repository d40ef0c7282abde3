"""How much of a model one client has asked for: how odd its requests are, and what a copy trained on them is worth.

References
----------
Juuti et al., *PRADA: Protecting against DNN Model Stealing Attacks*, EuroS&P 2019.
*ADD: Account-aware Distribution Discrepancy*, AAAI 2025: the class-conditional Fréchet distance.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from detectors.errors import DetectorError
from detectors.principals.population import Population

SPAN = 64
"""Requests over which the moments of a client's requests are averaged, exponentially."""
APART = 0.6
"""Share of the typical distance from all earlier requests below which a request shows nothing new: a sweep around one
input counts as one place."""
SHARE = 0.5
"""Share of the requests that are apart from all earlier ones, at least, of a client that asks about everything."""
SPREAD = 0.6
"""Spread of the requests, over the reference's, from which on they count in full: those of explainers lie around one
input, and the stranger the input, the further from the reference all of them."""
CLASS_MIN = 8
"""Requests of a class before its moments say anything."""
FIDELITY_SCALE, FIDELITY_POWER = 1.37, 0.495
"""A copy that was trained on n distinct, evenly spread requests disagrees on a share of ``SCALE * n ** -POWER``."""
_KEEP = 1.0 - 1.0 / SPAN
_WEIGHTS = (1.0 - _KEEP ** np.arange(4096.0)) / (1.0 - _KEEP)
"""What requests of a class weigh, by their number: from the last entry on, no more can be told in float64."""


@dataclass(frozen=True, eq=False)
class Moments:
    """Means and spreads of the reference's requests by predicted class.

    Parameters
    ----------
    mean : ndarray of shape (classes, dimension)
        Of the points.
    spread : ndarray of shape (classes, dimension)
        Their standard deviations.
    scale : float
        Mean squared spread of a request: what distances are divided by.
    """

    mean: NDArray[np.float64]
    spread: NDArray[np.float64]
    scale: float

    @classmethod
    def fit(cls, points: NDArray[np.floating], labels: NDArray[np.integer], classes: int) -> "Moments":
        """Describe reference requests.

        Parameters
        ----------
        points : ndarray of shape (n, dimension)
            The requests.
        labels : ndarray of shape (n,)
            The predicted classes, ``0 .. classes - 1``.
        classes : int
            How many there are. One with fewer than ``CLASS_MIN`` requests gets the moments of all.

        Returns
        -------
        Moments
            Of each class.

        Raises
        ------
        DetectorError
            Without requests.
        """
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

    @cached_property
    def centre(self) -> NDArray[np.float64]:
        """Mean of the classes' means, shape (dimension,)."""
        centre: NDArray[np.float64] = self.mean.mean(axis=0)
        return centre

    @cached_property
    def total(self) -> float:
        """Mean squared distance of requests from the centre, when all classes are asked for alike."""
        between = float(np.square(self.mean - self.centre).sum(axis=1).mean())
        return max(between + float(np.square(self.spread).sum(axis=1).mean()), 1e-12)


class Extraction:
    """What one client's distinct requests amount to.

    Parameters
    ----------
    population : Population
        Whose places may be asked about.
    moments : Moments
        Of the reference's requests.

    Attributes
    ----------
    distinct : int
        Requests, exact duplicates not counted.
    apart : int
        Those of them that are no near-duplicates of earlier ones.

    Notes
    -----
    A request costs about 15 µs; with 10 classes and 32 dimensions the state takes 9 kB.
    """

    def __init__(self, population: Population, moments: Moments) -> None:
        self._moments = moments
        classes, dimension = moments.mean.shape
        self._sums = np.zeros((classes, dimension))
        self._squares = np.zeros((classes, dimension))
        self._seen = [0] * classes
        self._apart = np.zeros(classes)
        """Of each class, from ``CLASS_MIN`` requests on: the distance less what shows by chance."""
        self._weights = np.zeros(classes)
        self._told = np.zeros(0, np.int64)
        """Classes with enough requests, in order."""
        self._stale: set[int] = set()
        """Classes whose distance is not up to date."""
        self._sum, self._square = np.zeros(dimension), 0.0
        """Of the requests that are apart, from the centre of the reference."""
        self._new = self._all = 0.0
        """Requests that are apart, and all of them, fading."""
        self.distinct = self.apart = 0
        sizes = [len(places) for places in population.places]
        self._covered = [np.zeros(size, np.bool_) for size in sizes]
        self._places, self._asked = sum(sizes), 0

    def add(self, point: NDArray[np.float32], label: int, place: int, away: float) -> None:
        """Take a request that is no duplicate.

        Parameters
        ----------
        point : ndarray of shape (dimension,)
            Finite.
        label : int
            The predicted class.
        place : int
            The nearest place of that class.
        away : float
            Distance to the nearest earlier request, over what is typical of the class; infinite for the first.
        """
        self.distinct += 1
        covered = self._covered[label]
        self._asked += not covered[place]
        covered[place] = True
        apart = away >= APART
        self._new, self._all = _KEEP * self._new + apart, _KEEP * self._all + 1.0
        if apart:
            self._take(point, label)

    def _take(self, point: NDArray[np.float32], label: int) -> None:
        moments = self._moments
        from_centre = point - moments.centre
        self._sum *= _KEEP
        self._sum += from_centre
        self._square = _KEEP * self._square + float(from_centre.dot(from_centre))
        away = point - moments.mean[label]
        sums, squares = self._sums[label], self._squares[label]
        sums *= _KEEP
        sums += away
        squares *= _KEEP
        away *= away
        squares += away
        self._seen[label] += 1
        self.apart += 1
        self._stale.add(label)

    def distance(self) -> float:
        """Return the class-conditional Fréchet distance of recent requests that are apart to the reference.

        Returns
        -------
        float
            In units of a reference request's mean squared spread, less what so few requests would show by chance; 0
            before any can be told. Less where few requests are apart, or all lie around one input, as those of
            explainers do.
        """
        for label in self._stale:
            self._update(label)
        self._stale.clear()
        if not len(self._told):
            return 0.0
        found, weight = self._apart[self._told], self._weights[self._told]
        return self._scattered() * float((found * weight).sum() / weight.sum()) / self._moments.scale

    def _scattered(self) -> float:
        """Return 1 for requests all over the place, 0 for requests around one input."""
        weight = float(_WEIGHTS[min(self.apart, len(_WEIGHTS) - 1)])
        mean = self._sum / weight
        spread = (self._square / weight - float(mean.dot(mean))) / self._moments.total
        wide = min(max(spread / SPREAD, 0.0), 1.0)
        return wide * min(self._new / self._all / SHARE, 1.0)

    def _update(self, label: int) -> None:
        seen = self._seen[label]
        if seen < CLASS_MIN:
            return
        # A class that was not asked for lately keeps what it had: sums and their weight fade alike.
        weight, effective = float(min(seen, SPAN)), float(_WEIGHTS[min(seen, len(_WEIGHTS) - 1)])
        if not self._weights[label]:
            self._told = np.sort(np.append(self._told, label))
        mean = self._sums[label] / effective
        squares = mean * mean
        variance = np.maximum(self._squares[label] / effective - squares, 0.0)
        spread = self._moments.spread[label]
        apart = float(squares.sum()) + float(np.square(np.sqrt(variance) - spread).sum())
        chance = 1.5 * float(np.square(spread).sum()) / min(effective, weight)
        self._apart[label], self._weights[label] = max(apart - chance, 0.0), weight

    def coverage(self) -> float:
        """Return which share of the reference's places has been asked about.

        Returns
        -------
        float
            0 to 1.
        """
        return self._asked / max(self._places, 1)

    def fidelity(self) -> float:
        """Return the share of inputs on which a copy trained on these requests would agree with the model.

        Returns
        -------
        float
            0 to 1. An estimate for requests such as clients send; those far from them teach less, so it is an upper
            one.
        """
        if not self.distinct:
            return 0.0
        return max(0.0, 1.0 - FIDELITY_SCALE * float(np.power(float(self.distinct), -FIDELITY_POWER)))
