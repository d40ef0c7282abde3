"""What the requests of a whole population look like: the yardstick for those of one principal."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from detectors.errors import DetectorError

PLACES_MAX = 256
"""Reference places kept per class."""
ROWS_MIN = 64
"""Fewer reference requests say nothing about their neighbourhoods."""
WINDOW = 256
"""Requests of a principal that are remembered."""
ODDS_MAX = 20.0
"""Natural logarithm beyond which odds are as good as certain: what float32 makes of a probability near 1 is noise."""
LOW_MARGIN = 0.05
"""Share of the population's requests whose margin counts as low."""
NEAR = 0.005
"""Share of a benign client's requests that come as near to an earlier one as a near-duplicate does."""
_TINY = float(np.exp(-ODDS_MAX))


def log_odds(probabilities: NDArray[np.floating], of: NDArray[np.integer]) -> NDArray[np.float64]:
    """Return the log-odds of a class against the strongest other one.

    Parameters
    ----------
    probabilities : ndarray of shape (n, classes)
        The model's answers; rows need not sum to one.
    of : ndarray of shape (n,)
        The class, for each row.

    Returns
    -------
    ndarray of shape (n,)
        ``log p[of] - log max p[others]``, within ``-ODDS_MAX .. ODDS_MAX``; negative where another class is ahead.
    """
    rows = np.arange(len(probabilities))
    own = probabilities[rows, of].astype(np.float64)
    others = probabilities.astype(np.float64)
    others[rows, of] = -np.inf
    best = others.max(axis=1) if others.shape[1] > 1 else 1.0 - own
    odds: NDArray[np.float64] = np.log(np.maximum(own, _TINY)) - np.log(np.maximum(best, _TINY))
    return np.clip(odds, -ODDS_MAX, ODDS_MAX)


def odds_of(answer: NDArray[np.floating], of: int) -> float:
    """Return what ``log_odds`` says of one request, to the same bits: faster than a batch of one.

    Parameters
    ----------
    answer : ndarray of shape (classes,)
        The model's probabilities.
    of : int
        The class.

    Returns
    -------
    float
        Within ``-ODDS_MAX .. ODDS_MAX``.

    Notes
    -----
    Costs about 3 µs.

    Examples
    --------
    >>> odds_of(np.array([0.5, 0.25, 0.25]), 0) == float(np.log(2.0))
    True
    """
    own = float(answer[of])
    best = 1.0 - own
    if len(answer) > 1:
        others = answer.astype(np.float64)
        others[of] = -np.inf
        best = float(others[others.argmax()])
    odds = float(np.log(max(own, _TINY)) - np.log(max(best, _TINY)))
    return min(max(odds, -ODDS_MAX), ODDS_MAX)


@dataclass(frozen=True, eq=False)
class Population:
    """Where requests of each class lie, and how far apart, among clients that mean no harm.

    Made by ``fit`` from reference requests, of which at most ``PLACES_MAX`` per class are kept, as points of the space
    in which requests are compared.

    Parameters
    ----------
    places : tuple of ndarray of float32, shape (at most PLACES_MAX, dimension)
        Per class.
    typical : ndarray of shape (classes,)
        Median distance of a reference request to the nearest place of its class.
    ratios : ndarray
        Sorted: of reference requests in a row, the distance to the nearest of the last ``WINDOW`` over that to the
        nearest place.
    densities : ndarray
        Sorted: the distance to the nearest place over what is typical of the class.
    odds : ndarray
        Sorted: log-odds of the predicted class.
    steepness : float
        Median change of the log-odds between a reference request and the nearest place of its class, over that distance
        in units of the typical one.

    Notes
    -----
    Memory is 4 bytes for each value of a place, and 12 for each reference request: 330 kB with 10 classes and 32
    dimensions.
    """

    places: tuple[NDArray[np.float32], ...]
    typical: NDArray[np.float64]
    ratios: NDArray[np.float64]
    densities: NDArray[np.float64]
    odds: NDArray[np.float64]
    steepness: float

    @classmethod
    def fit(
        cls, points: NDArray[np.floating], labels: NDArray[np.integer], odds: NDArray[np.floating], classes: int
    ) -> "Population":
        """Describe the reference.

        Parameters
        ----------
        points : ndarray of shape (n, dimension)
            Reference requests in the order in which they came.
        labels : ndarray of shape (n,)
            The predicted classes, ``0 .. classes - 1``.
        odds : ndarray of shape (n,)
            As ``log_odds`` says of them.
        classes : int
            How many there are.

        Returns
        -------
        Population
            Every other request became a place, the others were measured against these.

        Raises
        ------
        DetectorError
            With fewer than ``ROWS_MIN`` requests, or values that are not finite.

        Notes
        -----
        Costs O(n * PLACES_MAX * dimension).
        """
        if len(points) < ROWS_MIN:
            raise DetectorError(f"{len(points)} reference requests with an answer; at least {ROWS_MIN} are needed")
        if not (np.isfinite(points).all() and np.isfinite(odds).all()):
            raise DetectorError("reference requests must be finite")
        points = np.asarray(points, np.float32)
        place, measured = slice(0, None, 2), slice(1, None, 2)
        everyone = points[place]
        places = []
        for label in range(classes):
            own = everyone[labels[place] == label][:PLACES_MAX]
            # A class that the reference hardly knows is measured against everyone.
            places.append(own if len(own) > 1 else everyone[:PLACES_MAX])
        kept = points[measured]
        near = [_nearest(kept[i], places[label]) for i, label in enumerate(labels[measured].tolist())]
        away = np.array([distance for _, distance in near])
        typical = np.array([_median(away[labels[measured] == label], away) for label in range(classes)])
        kept_odds = [odds[place][labels[place] == label][:PLACES_MAX] for label in range(classes)]
        # A class that the reference hardly knows has the places of everyone, and no odds of its own beside them.
        beside = [
            kept_odds[label][i] if len(kept_odds[label]) > 1 else np.nan
            for (i, _), label in zip(near, labels[measured].tolist(), strict=True)
        ]
        slopes = np.abs(odds[measured] - np.array(beside)) * typical[labels[measured]] / np.maximum(away, 1e-12)
        told = slopes[np.isfinite(slopes)]
        return cls(
            places=tuple(places),
            typical=typical,
            ratios=np.sort(_ratios(points[measured], away)),
            densities=np.sort(away / typical[labels[measured]]),
            odds=np.sort(np.asarray(odds[measured], np.float64)),
            steepness=max(float(np.median(told)), 1e-6) if len(told) else 1.0,
        )

    @cached_property
    def near(self) -> float:
        """The ratio at or below which a request counts as a near-duplicate."""
        return float(np.quantile(self.ratios, NEAR))

    @cached_property
    def low_odds(self) -> float:
        """The log-odds at or below which a request lies near a boundary."""
        return float(np.quantile(self.odds, LOW_MARGIN))

    @cached_property
    def spread(self) -> float:
        """The median log-odds: what is large for this model; at least a thousandth."""
        return max(float(np.median(self.odds)), 1e-3)

    def nearest(self, point: NDArray[np.float32], label: int) -> tuple[int, float]:
        """Return which place of a class is nearest to a point, and how far it is.

        Parameters
        ----------
        point : ndarray of float32, shape (dimension,)
            A request.
        label : int
            The class.

        Returns
        -------
        place : int
            Among the places of the class.
        distance : float
            Never zero: at least a millionth of what is typical.
        """
        place, distance = _nearest(point, self.places[label])
        return place, max(distance, 1e-6 * float(self.typical[label]))


def _nearest(point: NDArray[np.float32], places: NDArray[np.float32]) -> tuple[int, float]:
    away = places - point
    squared = np.einsum("ij,ij->i", away, away)
    place = int(squared.argmin())
    return place, float(np.sqrt(squared[place]))


def _median(values: NDArray[np.float64], otherwise: NDArray[np.float64]) -> float:
    found = float(np.median(values if len(values) else otherwise))
    return found if found > 0.0 else max(float(otherwise.mean()), 1e-12)


def _ratios(points: NDArray[np.float32], away: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return, for requests in a row, how near the nearest earlier one is, against the nearest place."""
    ratios = np.empty(len(points))
    for i in range(len(points)):
        earlier = points[max(0, i - WINDOW) : i]
        ratios[i] = _nearest(points[i], earlier)[1] / max(away[i], 1e-12) if i else np.inf
    # The first few have hardly anyone to be near to.
    return ratios[min(32, len(points) // 2) :]
