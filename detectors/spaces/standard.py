"""From raw values to comparable coordinates."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detectors.errors import DetectorError
from detectors.exact import CLIP, GRID_BITS, Coordinates

INVERSE_MAX = 1e30
"""A deviation below 1e-30 counts as none."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Standard:
    """How raw values become comparable.

    Parameters
    ----------
    centre : ndarray of float64, shape (n,)
        Their medians.
    inverse : ndarray of float64, shape (n,)
        One divided by their robust standard deviations; 0 for a value that never varied, which then says nothing.

    Examples
    --------
    >>> standard = Standard(centre=np.array([5.0]), inverse=np.array([0.5]))
    >>> standard.place(np.array([[5.0, 6.0, 1e300, np.nan]]))
    array([[   0.,   64., 1024.,    0.]], dtype=float32)
    """

    centre: NDArray[np.float64]
    inverse: NDArray[np.float64]

    def __post_init__(self) -> None:
        if self.centre.shape != self.inverse.shape or not np.isfinite(self.centre).all():
            raise DetectorError("a centre and a deviation are needed for every raw value")
        if not ((self.inverse >= 0.0) & (self.inverse <= INVERSE_MAX)).all():
            raise DetectorError(f"a deviation is below {1 / INVERSE_MAX:g}")

    def place(self, values: NDArray[Any]) -> Coordinates:
        """Return coordinates: deviations from the centre as whole numbers of 2^-7, at most 8 deviations.

        Parameters
        ----------
        values : ndarray of float32 or float64, shape (n, n_events)
            Raw values; what is not finite goes to the centre. They are not changed.

        Returns
        -------
        ndarray of float32, shape (n, n_events)
            Whole numbers.
        """
        dtype = values.dtype.type
        with np.errstate(over="ignore", invalid="ignore"):
            placed = values - self.centre.astype(dtype)[:, None]
            placed *= (self.inverse * 2.0**GRID_BITS).astype(dtype)[:, None]
        limit = CLIP * 2.0**GRID_BITS
        np.maximum(placed, -limit, out=placed)
        np.minimum(placed, limit, out=placed)
        np.rint(placed, out=placed)
        usable = np.isfinite(values)
        if not usable.all():
            placed[~usable] = 0.0
        if np.isnan(placed.sum()):
            # A difference that overflows, of a value that never varied in the reference.
            placed[np.isnan(placed)] = 0.0
        return np.asarray(placed, dtype=np.float32)
