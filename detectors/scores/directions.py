"""Where an embedding lies along a few fixed directions."""

import numpy as np
from numpy.typing import NDArray

from detectors.exact import GRID_BITS, NARROW_BITS, Coordinates, Fitted, fitted_of
from detectors.numbers import signs_of

DIRECTIONS = 8
SEED = "directions 1"


def fit_directions(coordinates: Coordinates, like: Fitted | None = None) -> Fitted | None:
    """Choose directions.

    Parameters
    ----------
    coordinates : ndarray of float32, shape (n_coordinates, n_events)
        Reference events; only their number of coordinates matters.
    like : Fitted, optional
        A fit to more events, which is returned.

    Returns
    -------
    Fitted
        At most eight directions, of signs from a fixed seed.

    Notes
    -----
    They are not learned, so that the reference looks along them as later events do.

    Examples
    --------
    >>> fit_directions(np.zeros((4, 10), dtype=np.float32)).weights.shape
    (4, 4)
    """
    if like is not None:
        return like
    size = len(coordinates)
    number = min(DIRECTIONS, size)
    return fitted_of(signs_of(SEED, number, size) / np.sqrt(size), np.zeros(number), bits=NARROW_BITS)


def directions_in(fitted: Fitted) -> int:
    """Return the number of directions.

    Parameters
    ----------
    fitted : Fitted
        From ``fit_directions``.

    Returns
    -------
    int
        At least 1.
    """
    return len(fitted.weights)


def directions(fitted: Fitted, coordinates: Coordinates) -> NDArray[np.float64]:
    """Return where events lie along each direction.

    Parameters
    ----------
    fitted : Fitted
        From ``fit_directions``.
    coordinates : ndarray of float32, shape (n_coordinates, n_events)
        Events, in units of 2^-7 deviations.

    Returns
    -------
    ndarray of float64, shape (n_directions, n_events)
        In deviations.

    Examples
    --------
    >>> fitted = fit_directions(np.zeros((4, 10), dtype=np.float32))
    >>> directions(fitted, np.full((4, 1), 128.0, dtype=np.float32)).ravel()
    array([1., 0., 1., 1.])
    """
    return fitted.image(coordinates) * 2.0 ** -(fitted.exponent + GRID_BITS)
