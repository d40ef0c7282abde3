"""How badly an event fits what ties the coordinates of the reference together."""

import numpy as np
from numpy.typing import NDArray

from detectors.exact import Coordinates, Fitted, fitted_of, length_of
from detectors.scores.covariance import moments_of

KEPT_VARIANCE = 0.9
"""The leading components that hold so much of the variance are what ties coordinates together."""
KEPT_SHARE = 0.5


def fit_residual(coordinates: Coordinates, like: Fitted | None = None) -> Fitted | None:
    """Learn the directions in which the reference hardly varies.

    Parameters
    ----------
    coordinates : ndarray of float32, shape (n_coordinates, n_events)
        Reference events, in units of 2^-7 deviations; at least two coordinates.
    like : Fitted, optional
        A fit to more events; it has as many components.

    Returns
    -------
    Fitted or None
        One component per principal component beyond those that hold 90 % of the variance. None when these are more
        than half of all: then nothing ties the coordinates together, and the last components are the last by chance.

    Notes
    -----
    Time is that of one covariance and one eigenvalue problem.

    References
    ----------
    .. [1] Jackson, J. E., Mudholkar, G. S. (1979). Control procedures for residuals associated with principal
       component analysis. Technometrics 21(3).

    Examples
    --------
    >>> line = np.array([[-128.0, 0.0, 128.0], [-128.0, 0.0, 128.0]], dtype=np.float32)
    >>> fitted = fit_residual(line)
    >>> fitted is not None and fitted.weights.shape
    (1, 2)
    """
    mean, covariance, _ = moments_of(coordinates)
    variances, axes = np.linalg.eigh(covariance)
    if like is None:
        held = np.cumsum(variances[::-1])
        kept = int(np.searchsorted(held, KEPT_VARIANCE * held[-1])) + 1
        if kept > KEPT_SHARE * len(held):
            return None
        rest = axes.T[: len(held) - kept]
    else:
        rest = axes.T[: len(like.weights)]
    return fitted_of(rest, rest @ mean)


def residual(fitted: Fitted, coordinates: Coordinates) -> NDArray[np.float64]:
    """Return how far each event lies from its reconstruction by the leading principal components.

    Parameters
    ----------
    fitted : Fitted
        From ``fit_residual``.
    coordinates : ndarray of float32, shape (n_coordinates, n_events)
        Events, in units of 2^-7 deviations.

    Returns
    -------
    ndarray of float64, shape (n_events,)
        At least 0, in deviations.

    Notes
    -----
    ``n_components * n_coordinates`` products per event.

    Examples
    --------
    >>> line = np.array([[-128.0, 0.0, 128.0], [-128.0, 0.0, 128.0]], dtype=np.float32)
    >>> fitted = fit_residual(line)
    >>> residual(fitted, np.array([[128.0, 128.0], [128.0, -128.0]], dtype=np.float32)).round(2)
    array([0.  , 1.41])
    """
    return length_of(fitted.image(coordinates), fitted.exponent)
