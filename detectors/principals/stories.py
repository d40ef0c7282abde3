"""What the near-duplicates of one input come to, whoever sends them: a story summed up when it has been told.

The forest of intent is asked after each near-duplicate, and what it says at most is held against a threshold. A story
that is over says more: how everything that is known of it went from its beginning to its end.
"""

import math

import numpy as np
from numpy.typing import NDArray

from detectors.principals.cluster import FEATURES

TOLD_MAX = 64
"""Near-duplicates after which a story is over."""
IDLE = 8
"""Requests that tell nothing after which a story is over, if another one begins."""
ASPECTS = (*FEATURES, "intent")
"""What is known after each near-duplicate: of its cluster, and what the forest of intent makes of it."""
SUMMARY = (
    *ASPECTS,
    *(f"highest {name}" for name in ASPECTS),
    *(f"lowest {name}" for name in ASPECTS),
    *(f"mean {name}" for name in ASPECTS),
    "told",
)
"""What is known of a story that is over: each aspect at its end, at most, at least and on average, and the logarithm of
how many near-duplicates told it."""
PEAK = SUMMARY.index("highest intent")


class Story:
    """The near-duplicates around one input, summed up as they come.

    Attributes
    ----------
    told : int
        Near-duplicates so far.
    at : int
        Which of its client's requests the last one was, from 1 on.

    Notes
    -----
    A near-duplicate costs about 2 µs; a story takes 1.5 kB.
    """

    __slots__ = ("_highest", "_last", "_lowest", "_total", "at", "told")

    def __init__(self) -> None:
        self.told = self.at = 0
        self._last = np.zeros(len(ASPECTS))
        self._highest = np.full(len(ASPECTS), -np.inf)
        self._lowest = np.full(len(ASPECTS), np.inf)
        self._total = np.zeros(len(ASPECTS))

    @property
    def is_over(self) -> bool:
        """Whether nothing more is taken."""
        return self.told >= TOLD_MAX

    def take(self, features: NDArray[np.float64], intent: float, at: int) -> None:
        """Take one near-duplicate.

        Parameters
        ----------
        features : ndarray of float64, shape (len(cluster.FEATURES),)
            What is known of its cluster.
        intent : float
            What the forest of intent says of that, log-odds.
        at : int
            Which of its client's requests it is, from 1 on.
        """
        self.told += 1
        self.at = at
        self._last[:-1], self._last[-1] = features, intent
        np.maximum(self._highest, self._last, out=self._highest)
        np.minimum(self._lowest, self._last, out=self._lowest)
        self._total += self._last

    def summary(self) -> NDArray[np.float64]:
        """Return what it comes to.

        Returns
        -------
        ndarray of float64, shape (len(SUMMARY),)
            As ``SUMMARY`` names it; of a story without a near-duplicate there is none.
        """
        mean = self._total / self.told
        return np.concatenate((self._last, self._highest, self._lowest, mean, [math.log(self.told)]))
