"""Where an embedding lies along many fixed directions."""

import numpy as np
from numpy.typing import NDArray

from detectors.exact import GRID_BITS, NARROW_BITS, Coordinates, Fitted, fitted_of
from detectors.numbers import normals_of

DIRECTIONS = 256
SEED = "directions 2"


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
        256 directions from a fixed seed, as likely to point anywhere.

    Notes
    -----
    They are not learned, so that the reference looks along them as later events do.

    Examples
    --------
    >>> fit_directions(np.zeros((4, 10), dtype=np.float32)).weights.shape
    (256, 4)
    """
    if like is not None:
        return like
    drawn = normals_of(SEED, DIRECTIONS, len(coordinates))
    unit = drawn / np.sqrt((drawn**2).sum(axis=1, keepdims=True))
    return fitted_of(unit, np.zeros(DIRECTIONS), bits=NARROW_BITS)


def directions(fitted: Fitted, coordinates: Coordinates) -> NDArray[np.float64]:
    """Return where events lie along the first direction.

    Parameters
    ----------
    fitted : Fitted
        From ``fit_directions``.
    coordinates : ndarray of float32, shape (n_coordinates, n_events)
        Events, in units of 2^-7 deviations.

    Returns
    -------
    ndarray of float64, shape (n_events,)
        In deviations. The other directions are for the bets on sums, see ``detectors.spaces.tilts``.

    Examples
    --------
    >>> fitted = fit_directions(np.zeros((4, 10), dtype=np.float32))
    >>> directions(fitted, np.eye(4, dtype=np.float32) * 128.0).shape
    (4,)
    """
    first = fitted.weights[:1].astype(np.float64) @ coordinates.astype(np.float64)
    return np.asarray(first[0] * 2.0 ** -(fitted.exponent + GRID_BITS))
