"""How far an event lies from the middle of the reference, in its own ellipsoid."""

import numpy as np
from numpy.typing import NDArray

from detectors.exact import Coordinates, Fitted, fitted_of, length_of
from detectors.scores.covariance import moments_of

FLOOR = 1e-4
"""A variance in any direction is at least this share of the mean one: inputs that copy each other stay usable."""


def fit_mahalanobis(coordinates: Coordinates, like: Fitted | None = None) -> Fitted:  # noqa: ARG001 - as all fits
    """Learn the map that makes the reference round: whitening by the shrunk covariance.

    Parameters
    ----------
    coordinates : ndarray of float32, shape (n_coordinates, n_events)
        Reference events, in units of 2^-7 deviations.
    like : Fitted, optional
        A fit to more events; nothing is taken from it.

    Returns
    -------
    Fitted
        One component per coordinate.

    Notes
    -----
    Time is that of one covariance and one eigenvalue problem.

    References
    ----------
    .. [1] Mahalanobis, P. C. (1936). On the generalised distance in statistics. Proceedings of the National Institute
       of Sciences of India 2.

    Examples
    --------
    >>> reference = np.array([[128.0, -128.0, 0.0, 0.0], [0.0, 0.0, 128.0, -128.0]], dtype=np.float32)
    >>> fit_mahalanobis(reference).weights.shape
    (2, 2)
    """
    mean, covariance, shrinkage = moments_of(coordinates)
    level = float(np.trace(covariance)) / len(covariance)
    shrunk = (1.0 - shrinkage) * covariance + shrinkage * level * np.eye(len(covariance))
    variances, axes = np.linalg.eigh(shrunk)
    usable = np.maximum(variances, FLOOR * level if level > 0.0 else 1.0)
    whitening = axes.T / np.sqrt(usable)[:, None]
    return fitted_of(whitening, whitening @ mean)


def mahalanobis(fitted: Fitted, coordinates: Coordinates) -> NDArray[np.float64]:
    """Return the Mahalanobis distance of each event from the reference.

    Parameters
    ----------
    fitted : Fitted
        From ``fit_mahalanobis``.
    coordinates : ndarray of float32, shape (n_coordinates, n_events)
        Events, in units of 2^-7 deviations.

    Returns
    -------
    ndarray of float64, shape (n_events,)
        At least 0; about the square root of the number of coordinates for events like the reference.

    Notes
    -----
    ``n_coordinates ** 2`` products per event.

    Examples
    --------
    >>> reference = np.array([[128.0, -128.0, 0.0, 0.0], [0.0, 0.0, 128.0, -128.0]], dtype=np.float32)
    >>> fitted = fit_mahalanobis(reference)
    >>> mahalanobis(fitted, np.array([[0.0, 256.0], [0.0, 0.0]], dtype=np.float32)).round(2)
    array([0.  , 2.83])
    """
    return length_of(fitted.image(coordinates), fitted.exponent)
