"""Blacklight (Li et al., USENIX Security 2022): how many hashed windows a request shares with an earlier one."""

import numpy as np
from numpy.typing import NDArray

STEP = 50
KEPT = 50
"""Hashes that are kept of a request; published: an alarm when more than 25 are shared."""
LARGE = 256
BASE = np.uint64(0x9E3779B97F4A7C15)


def rolling(levels: NDArray[np.uint64], window: int) -> NDArray[np.uint64]:
    """Return a hash of every window of neighbours, shape (n, dimension - window + 1), modulo 2 ** 64."""
    powers = np.cumprod(np.concatenate([[np.uint64(1)], np.full(levels.shape[1], BASE)]), dtype=np.uint64)
    inverse = np.uint64(pow(int(BASE), -1, 1 << 64))
    backwards = np.cumprod(np.concatenate([[np.uint64(1)], np.full(levels.shape[1], inverse)]), dtype=np.uint64)
    sums = np.cumsum((levels + np.uint64(1)) * powers[:-1], axis=1, dtype=np.uint64)
    sums = np.concatenate([np.zeros((len(levels), 1), np.uint64), sums], axis=1)
    places = levels.shape[1] - window + 1
    found = (sums[:, window:] - sums[:, :places]) * backwards[:places]
    return mixed(found)


def mixed(words: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Spread every bit over all (the finaliser of SplitMix64)."""
    words = (words ^ (words >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    words = (words ^ (words >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return words ^ (words >> np.uint64(31))


class Blacklight:
    """Score: the largest number of hashes shared with one earlier request, 0 to 50.

    Parameters
    ----------
    low, high : float
        The range of a value.
    dimension : int
        Values of an input; the window is 20, and 50 for large images, as published.
    rng : numpy.random.Generator
        Draws the salt.
    """

    name = "Blacklight"

    def __init__(self, low: float, high: float, dimension: int, rng: np.random.Generator) -> None:
        self._low, self._high = low, high
        self._window = 20 if dimension < LARGE else 50
        self._salt = rng.integers(0, 255, dimension)

    def scores(self, inputs: NDArray[np.float64], _: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the score of each request, shape (n,); inputs (n, dimension) without repetitions."""
        share = (inputs - self._low) / (self._high - self._low)
        levels = np.floor((255.0 * share + self._salt) % 255.0 / STEP).astype(np.uint64)
        hashes = rolling(levels, min(self._window, inputs.shape[1]))
        holders: dict[int, list[int]] = {}
        scores = np.zeros(len(inputs))
        for i, row in enumerate(hashes):
            kept = np.unique(row)[-KEPT:].tolist()
            shared = [holders.setdefault(word, []) for word in kept]
            together = [each for each in shared if each]
            if together:
                scores[i] = np.bincount(np.concatenate(together)).max()
            for each in shared:
                each.append(i)
        return scores
