"""Histograms of sizes over many orders of magnitude, that add up exactly and tell quantiles to an eighth."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

PARTS = 8
"""Bins of an octave, equally wide."""
ZERO = -(1 << 20)
"""The bin of zero."""


@dataclass(frozen=True, slots=True)
class Spread:
    """How many values lie in each bin.

    Parameters
    ----------
    bins : mapping of int to int, optional
        Values by bin; a bin holds ``[2**(e - 1) * (1 + j / 8), 2**(e - 1) * (1 + (j + 1) / 8))`` and has the number
        ``8 * e + j``.

    Notes
    -----
    The bin follows from the bits of a value, so that it is the same on every machine. There are at most 16,800 of
    them; values within four orders of magnitude have about a hundred.

    Examples
    --------
    >>> spread_of(np.array([1.0, 1.0, 3.0])).bins
    {8: 2, 20: 1}
    """

    bins: Mapping[int, int] = field(default_factory=dict)

    @property
    def total(self) -> int:
        """How many values there are."""
        return sum(self.bins.values())

    def merged(self, other: "Spread") -> "Spread":
        """Return both together.

        Parameters
        ----------
        other : Spread
            Of other values.

        Returns
        -------
        Spread
            The same in whatever order they are merged.
        """
        bins = dict(self.bins)
        for place, number in other.bins.items():
            bins[place] = bins.get(place, 0) + number
        return Spread(bins)

    def quantile(self, share: float) -> float | None:
        """Tell the value that a share of all values does not exceed.

        Parameters
        ----------
        share : float
            From 0 to 1.

        Returns
        -------
        float or None
            Within the bin, as if its values were spread evenly: off by at most an eighth. None without values.

        Examples
        --------
        >>> spread_of(np.array([1.0, 1.0, 3.0])).quantile(0.5)
        1.09375
        """
        wanted, before = share * self.total, 0
        for place, number in sorted(self.bins.items()):
            if before + number >= wanted:
                low, high = _ends(place)
                return low + (high - low) * (max(0.0, wanted - before) / number)
            before += number
        return None


def _ends(place: int) -> tuple[float, float]:
    if place == ZERO:
        return 0.0, 0.0
    exponent, part = divmod(place, PARTS)
    with np.errstate(over="ignore"):
        low, high = np.ldexp(0.5 * (1.0 + np.array([part, part + 1]) / PARTS), exponent).tolist()
    return low, min(high, float(np.finfo(np.float64).max))


def spread_of(values: NDArray[np.float64]) -> Spread:
    """Count values by bin.

    Parameters
    ----------
    values : ndarray of float64, shape (n,)
        Finite and not negative.

    Returns
    -------
    Spread
        Of all of them.

    Examples
    --------
    >>> spread_of(np.array([0.0])).quantile(0.9)
    0.0
    """
    mantissas, exponents = np.frexp(values)
    places = exponents.astype(np.int64) * PARTS + ((mantissas - 0.5) * (2 * PARTS)).astype(np.int64)
    places[values == 0.0] = ZERO
    known, numbers = np.unique(places, return_counts=True)
    return Spread(dict(zip(known.tolist(), numbers.tolist(), strict=True)))
