"""LFC (Lee, Fang, Chang 2026): groups of requests with common windows, whose answers depend on the ones before."""

import numpy as np
from numpy.typing import NDArray
from scipy.stats import chi2

from bench.adversarial.peers.blacklight import mixed

STEP = 80
WINDOWS, WIDTH, OVERLAP = 45, 20, 15
SHARED = 33
"""A request joins the group with which it has more windows in common."""
MEMBERS_MIN = 15
LAGS = 10


class Lfc:
    """Score: minus the decimal logarithm of the p value of Ljung and Box; published: an alarm above 1.6.

    Parameters
    ----------
    low, high : float
        The range of a value.
    dimension : int
        Values of an input.
    rng : numpy.random.Generator
        Draws the windows.
    """

    name = "LFC"

    def __init__(self, low: float, high: float, dimension: int, rng: np.random.Generator) -> None:
        self._low, self._high = low, high
        self._width = min(WIDTH, dimension)
        self._starts = _starts(dimension - self._width + 1, rng)
        self._multipliers = rng.integers(0, 1 << 63, self._width, dtype=np.uint64) | np.uint64(1)
        self._shared = SHARED * len(self._starts) // WINDOWS

    def scores(self, inputs: NDArray[np.float64], probabilities: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the score of each request, shape (n,); minus infinity outside a group of at least 15."""
        levels = np.floor(255.0 * (inputs - self._low) / (self._high - self._low) / STEP).astype(np.uint64)
        columns = self._starts[:, None] + np.arange(self._width)
        words = mixed(levels[:, columns] @ self._multipliers + np.arange(len(self._starts), dtype=np.uint64))
        owners: dict[int, set[int]] = {}
        groups: list[list[int]] = []
        for i, row in enumerate(words.tolist()):
            found: dict[int, int] = {}
            for word in row:
                for group in owners.get(word, ()):
                    found[group] = found.get(group, 0) + 1
            best = max(found, key=lambda each: found[each], default=-1)
            if best < 0 or found[best] <= self._shared:
                best = len(groups)
                groups.append([])
            groups[best].append(i)
            for word in row:
                owners.setdefault(word, set()).add(best)
        scores = np.full(len(inputs), -np.inf)
        for members in groups:
            if len(members) >= MEMBERS_MIN:
                first = int(probabilities[members[0]].argmax())
                scores[members] = ljung_box(probabilities[members, first])
        return scores


def _starts(places: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Draw where windows start: no two of them overlap by more than the width allows, as far as there is room."""
    chosen: list[int] = []
    for start in rng.permutation(places).tolist():
        if all(abs(start - other) >= WIDTH - OVERLAP for other in chosen) and len(chosen) < WINDOWS:
            chosen.append(start)
    return np.array(chosen)


def ljung_box(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return minus the decimal logarithm of the p value after each value, shape (n,), from the 15th on."""
    count = np.arange(1, len(values) + 1)
    centred = values.astype(np.float64) - values.mean()
    sums = np.cumsum(centred)
    mean = sums / count
    variance = np.cumsum(centred**2) - count * mean**2
    lags = np.minimum(LAGS, count // 5)
    statistic = np.zeros(len(values))
    for lag in range(1, min(LAGS, len(values) // 5) + 1):
        n = count[lag:]
        products = np.cumsum(centred[lag:] * centred[:-lag])
        covariance = products - mean[lag:] * (sums[lag:] - sums[lag - 1] + sums[:-lag]) + (n - lag) * mean[lag:] ** 2
        share = np.divide(covariance, variance[lag:], out=np.zeros(len(n)), where=variance[lag:] > 1e-18)  # noqa: PLR2004
        statistic[lag:] += np.where(lags[lag:] >= lag, share**2 / (n - lag), 0.0)
    statistic *= count * (count + 2)
    found = np.full(len(values), -np.inf)
    late = count >= MEMBERS_MIN
    found[late] = -chi2.logsf(statistic[late], lags[late]) / np.log(10.0)
    return found
