"""Mean and covariance of the reference, for the scores that need them."""

import numpy as np
from numpy.typing import NDArray

from detectors.exact import GRID_BITS, Coordinates


def moments_of(coordinates: Coordinates) -> tuple[NDArray[np.float64], NDArray[np.float64], float]:
    """Return mean and covariance of events, and how far the covariance should be shrunk.

    Parameters
    ----------
    coordinates : ndarray of float32, shape (n_coordinates, n_events)
        Whole numbers, in units of 2^-7 deviations; at least one event.

    Returns
    -------
    mean : ndarray of float64, shape (n_coordinates,)
        In deviations.
    covariance : ndarray of float64, shape (n_coordinates, n_coordinates)
        Divided by the number of events.
    shrinkage : float
        From 0 to 1: the share of the identity, times the mean variance, that makes the covariance the least wrong on
        average (Ledoit and Wolf).

    References
    ----------
    .. [1] Ledoit, O., Wolf, M. (2004). A well-conditioned estimator for large-dimensional covariance matrices.
       Journal of Multivariate Analysis 88(2).

    Examples
    --------
    >>> mean, covariance, _ = moments_of(np.array([[128.0, -128.0], [0.0, 0.0]], dtype=np.float32))
    >>> mean, covariance[0]
    (array([0., 0.]), array([1., 0.]))
    """
    size, events = coordinates.shape
    values = coordinates.astype(np.float64) * 2.0**-GRID_BITS
    mean = values.mean(axis=1)
    values -= mean[:, None]
    covariance = values @ values.T / events
    squares = float((covariance**2).sum())
    level = float(np.trace(covariance)) / size
    off = (squares - size * level**2) / size
    noise = (float((np.einsum("ij,ij->j", values, values) ** 2).sum()) / events - squares) / (size * events)
    shrinkage = min(max(noise, 0.0), off) / off if off > 0.0 else 0.0
    return mean, covariance, shrinkage
