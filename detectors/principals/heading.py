"""Whether the requests around one input go where earlier answers pointed: that is what optimisers do, and nobody else.

Answers say in which direction they fall: against the covariance of points and answers. A client that does not look at
them moves in a direction that has nothing to do with it; in ``d`` dimensions the cosine of both then has mean 0 and
variance ``1 / d``. One that makes answers fall moves along it, and one that makes them rise against it.
"""

import math

import numpy as np
from numpy.typing import NDArray

TOLD_MIN = 3
"""Requests before there is a direction."""
SHARE, SHIFT = 0.07, 2.0
"""Of an attack's requests, how many follow at least, and how far, in standard deviations of one that does not."""
_Z_MIN, _Z_MAX = -4.0, 4.5
"""A cosine of few dimensions in fact, such as of points on a line, says no more than this."""


class Heading:
    """Where the answers of a cluster fall, and whether requests go there.

    Parameters
    ----------
    dimension : int
        Of the points.
    keep : float
        How much of what is known stays with every request: averages run over ``1 / (1 - keep)`` of them.

    Notes
    -----
    A request costs about 11 µs with 32 dimensions, and memory is 32 bytes for each and 1 kB.
    """

    __slots__ = ("_best", "_count", "_keep", "_last", "_level", "_means", "_now", "_root", "_step", "_sums", "_weight")

    def __init__(self, dimension: int, keep: float) -> None:
        self._keep = keep
        self._root = math.sqrt(dimension)
        self._sums = np.zeros((2, dimension))
        """Of the points, and of the points times their answers."""
        self._level, self._weight = 0.0, 1.0
        self._last, self._step = np.zeros(dimension), np.zeros(dimension)
        self._count = 1
        self._now = [0.0, 0.0, 0.0]
        self._best = [0.0, 0.0, 0.0]
        self._means = [0.0, 0.0, 0.0]

    def add(self, point: NDArray[np.float64], answer: float) -> tuple[float, ...]:
        """Take a request; the first one, at the origin with the answer 0, is known.

        Parameters
        ----------
        point : ndarray of shape (dimension,)
            From the first one.
        answer : float
            From the first one's.

        Returns
        -------
        following, steering, turning : float
            Largest evidence so far that requests go where answers fall, natural logarithm: counted from the mean of the
            last ones (following), from the last one (steering), and of the latter what is across the way that the
            requests went anyway (turning), which a sweep in one direction has nothing of.
        mean following, mean steering : float
            Mean of the cosines, -1 to 1.
        momentum : float
            Mean of the cosines of steps that follow each other.
        """
        mean = self._sums[0] / self._weight
        covariance = self._sums[1] / self._weight - mean * (self._level / self._weight)
        step = point - self._last
        # All inner products at once: falling, drift, step, step before.
        rows = np.array((-covariance, point - mean, step, self._step))
        inner = (rows @ rows.T).tolist()
        cosines = [0.0, 0.0, 0.0]
        if self._count >= TOLD_MIN:
            cosines = [_cosine(inner, 0, 1), _cosine(inner, 0, 2), _across(inner)]
        for i, cosine in enumerate(cosines):
            self._now[i] = max(self._now[i], 0.0) + _bet(cosine * self._root)
            self._best[i] = max(self._best[i], self._now[i])
        seen = (cosines[0], cosines[1], _cosine(inner, 2, 3) if self._count > 1 else 0.0)
        # The first request is in the weight of the averages of points, but has no cosine.
        told = [self._keep * mean + value for mean, value in zip(self._means, seen, strict=True)]
        self._means = told
        self._sums *= self._keep
        self._sums[0] += point
        self._sums[1] += answer * point
        self._level = self._keep * self._level + answer
        shares = [value / ((1.0 - self._keep**self._count) / (1.0 - self._keep)) for value in told]
        self._weight = self._keep * self._weight + 1.0
        self._last, self._step = point, step
        self._count += 1
        return (*self._best, *shares)


def _bet(z: float) -> float:
    """Return the logarithm of a bet that is 1 on average of a standard normal number, and large where one is."""
    z = min(max(z, _Z_MIN), _Z_MAX)
    return math.log(1.0 - SHARE + SHARE * math.exp(SHIFT * z - SHIFT * SHIFT / 2.0))


def _cosine(inner: list[list[float]], one: int, other: int) -> float:
    lengths = inner[one][one] * inner[other][other]
    return inner[one][other] / math.sqrt(lengths) if lengths > 0.0 else 0.0


def _across(inner: list[list[float]]) -> float:
    """Return the cosine of the falling and the step, after the way from the mean to the last request is taken out."""
    # The way is the drift without the step.
    along_falling = inner[0][1] - inner[0][2]
    along_step = inner[1][2] - inner[2][2]
    way = inner[1][1] - 2.0 * inner[1][2] + inner[2][2]
    if way <= 0.0:
        return 0.0
    falling = inner[0][0] - along_falling * along_falling / way
    step = inner[2][2] - along_step * along_step / way
    if falling <= 1e-12 * inner[0][0] or step <= 1e-12 * inner[2][2]:
        return 0.0
    return (inner[0][2] - along_falling * along_step / way) / math.sqrt(falling * step)
