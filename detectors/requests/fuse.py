"""Ranks among requests that nothing was learnt from, put together into one that holds however they hang together."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from detectors.errors import DetectorError

HELD_MIN = 50
"""With fewer reference requests to compare with, a rank says little."""


@dataclass(frozen=True, eq=False)
class Fusion:
    """The scores of held-out reference requests, part by part.

    Parameters
    ----------
    held : ndarray of float64, shape (n_parts, n)
        High is odd. In the order of the requests.

    Raises
    ------
    DetectorError
        With fewer than 50 requests, or a score that is none.

    Notes
    -----
    A new request has, in part ``k``, the conformal rank ``p_k = (1 + number of held-out scores at least as high) /
    (n + 1)``. Each is turned into a bet, ``0.5 / sqrt(p_k)``; their mean ``e`` is a bet as well, whatever the
    dependence between the parts. Its own rank is taken among the held-out requests: ``p = (1 + number of them with a
    mean at least as high) / (n + 1)``, and the fused score is ``1 - p``.

    It is exact: where the new request and the held-out ones are exchangeable, ``P(p <= a) <= a`` for every ``a``. The
    ranks of a held-out request depend on the new one, which may or may not be as high; here each has the lower one of
    the two, which makes its mean at least as high as it could be, and so ``p`` at least as
    large, by a step of ``1 / (n + 1)`` or so.

    Memory is 8 bytes for each part and request, three times that in use; a request costs about 0.5 µs.

    References
    ----------
    .. [1] Vovk, V., Gammerman, A., Shafer, G. (2005). Algorithmic learning in a random world. Springer.
    .. [2] Vovk, V., Wang, R. (2021). E-values: calibration, combination and applications. Annals of Statistics 49(3).

    Examples
    --------
    >>> fusion = Fusion(np.arange(99.0)[None, :])
    >>> fusion.ranks(np.array([[98.5, 49.0, -1.0]]))[1].round(2)
    array([0.02, 0.52, 1.  ])
    """

    held: NDArray[np.float64]

    def __post_init__(self) -> None:
        if self.held.ndim != 2 or self.held.shape[0] < 1 or self.held.shape[1] < HELD_MIN:  # noqa: PLR2004 - a matrix
            raise DetectorError(f"held-out scores of shape {self.held.shape}; at least {HELD_MIN} requests are needed")
        if not (self.held < np.inf).all():  # -inf: a part that cannot tell
            raise DetectorError("a held-out score is no number below infinity")

    @property
    def size(self) -> int:
        """How many requests are held out."""
        return int(self.held.shape[1])

    @cached_property
    def _sorted(self) -> tuple[NDArray[np.float64], ...]:
        return tuple(np.sort(row) for row in self.held)

    @cached_property
    def means(self) -> NDArray[np.float64]:
        """The fused bets of the held-out requests, as high as they may be, in their order."""
        counts = [
            self.size - np.searchsorted(s, row, side="left") for s, row in zip(self._sorted, self.held, strict=True)
        ]
        return _mean([count / (self.size + 1.0) for count in counts])

    @cached_property
    def _means(self) -> NDArray[np.float64]:
        return np.sort(self.means)

    def ranks(
        self, scores: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """Rank requests.

        Parameters
        ----------
        scores : ndarray of float64, shape (n_parts, n)
            High is odd; -inf where a part cannot tell.

        Returns
        -------
        means, fused : ndarray of float64, shape (n,)
            The fused bets, and their conformal ranks: low is odd.
        parts : ndarray of float64, shape (n_parts, n)
            The conformal ranks of the parts.
        """
        parts = np.empty(scores.shape)
        for k, (own, row) in enumerate(zip(self._sorted, scores, strict=True)):
            parts[k] = (1.0 + self.size - np.searchsorted(own, row, side="left")) / (self.size + 1.0)
        means = _mean(list(parts))
        fused = (1.0 + self.size - np.searchsorted(self._means, means, side="left")) / (self.size + 1.0)
        return means, np.asarray(fused), parts


def _mean(ranks: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
    """Return the mean bet, added up in the order of the parts: the same bits in whatever batch."""
    total = np.zeros(len(ranks[0]))
    for rank in ranks:
        total += 0.5 / np.sqrt(rank)
    return total / len(ranks)
