"""How much all inputs move together, and which parts of an event tell it of each pair."""

import numpy as np
from numpy.typing import NDArray

from detectors.exact import GRID_BITS, Coordinates, Fitted

COORDINATES_MAX = 64
"""With more coordinates there would be more than 2,016 pairs to bet on at every tick."""
CLIP = 3.0
"""Deviations beyond this count as so many: one far event must not outweigh all others."""
COARSE_BITS = 6
"""Products of whole numbers up to 192, in units of 2^-6 deviations: float32 adds up 455 of them exactly."""
COARSE_MAX = int(CLIP * 2**COARSE_BITS)


def fit_pairs(coordinates: Coordinates, like: Fitted | None = None) -> Fitted | None:
    """Tell which coordinates vary.

    Parameters
    ----------
    coordinates : ndarray of float32, shape (n_coordinates, n_events)
        Reference events; only which coordinates vary matters.
    like : Fitted, optional
        A fit to more events, which is returned.

    Returns
    -------
    Fitted or None
        ``weights`` has one row, 1 for a coordinate that varies. None with fewer than two of those, or with more than
        64 coordinates.

    Examples
    --------
    >>> fit_pairs(np.array([[128.0, -128.0], [0.0, 0.0], [-64.0, 64.0]], dtype=np.float32)).weights
    array([[1, 0, 1]], dtype=int32)
    """
    if like is not None:
        return like
    varies = np.asarray(coordinates.any(axis=1))
    if len(coordinates) > COORDINATES_MAX or np.count_nonzero(varies) < 2:  # noqa: PLR2004 - a pair
        return None
    return Fitted(
        weights=varies.astype(np.int32)[None],
        offsets=np.zeros(1, dtype=np.int64),
        exponent=0,
        amplitudes=np.zeros(0, dtype=np.int32),
    )


def coarse(coordinates: Coordinates) -> Coordinates:
    """Return coordinates with fewer bits, so that many products of them can be added up exactly.

    Parameters
    ----------
    coordinates : ndarray of float32, shape (n_coordinates, n_events)
        In units of 2^-7 deviations; they are not changed.

    Returns
    -------
    ndarray of float32, shape (n_coordinates, n_events)
        Whole numbers from -192 to 192, in units of 2^-6 deviations.

    Examples
    --------
    >>> coarse(np.array([[64.0, -1024.0]], dtype=np.float32))
    array([[  32., -192.]], dtype=float32)
    """
    found = coordinates * np.float32(2.0 ** (COARSE_BITS - GRID_BITS))
    np.maximum(found, -COARSE_MAX, out=found)
    np.minimum(found, COARSE_MAX, out=found)
    np.rint(found, out=found)
    return found


def pairs(fitted: Fitted, coordinates: Coordinates) -> NDArray[np.float64]:
    """Return the mean of the products of all pairs of coordinates that vary.

    Parameters
    ----------
    fitted : Fitted
        From ``fit_pairs``.
    coordinates : ndarray of float32, shape (n_coordinates, n_events)
        Events, in units of 2^-7 deviations.

    Returns
    -------
    ndarray of float64, shape (n_events,)
        In squared deviations: large when all inputs lie on the same side.

    Notes
    -----
    Two passes over the coordinates: the products of all pairs add up to half of the square of the sum less the sum of
    the squares.

    Examples
    --------
    >>> fitted = fit_pairs(np.array([[128.0, -128.0], [0.0, 64.0]], dtype=np.float32))
    >>> pairs(fitted, np.array([[128.0, 1024.0], [-128.0, 64.0]], dtype=np.float32))
    array([-1. ,  1.5])
    """
    used = coarse(coordinates[fitted.weights[0] > 0])
    total = used.sum(axis=0, dtype=np.float64)
    squares = np.einsum("ij,ij->j", used, used, dtype=np.float64)
    number = len(used) * (len(used) - 1) / 2.0
    return np.asarray((total * total - squares) / 2.0 * (2.0 ** (-2 * COARSE_BITS) / number))
