"""How many events of the reference are near an event, on average and smoothly."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from detectors.exact import GRID_BITS, NARROW_BITS, Coordinates, Fitted, fitted_of
from detectors.numbers import normals_of

FREQUENCIES = 64
"""A cosine and a sine each: 128 random Fourier features."""
SEED = "typicality 1"
TABLE_BITS = 12
COSINE_BITS = 15
AMPLITUDE_BITS = 20
_TABLE = np.rint(np.cos(2.0 * np.pi * np.arange(2**TABLE_BITS) / 2**TABLE_BITS) * 2.0**COSINE_BITS)
"""The cosine of a turn's 4096 parts, as whole numbers: looked up, it is the same on every machine."""


def fit_typicality(coordinates: Coordinates, like: Fitted | None = None) -> Fitted:
    """Learn the mean of the reference's random Fourier features.

    Parameters
    ----------
    coordinates : ndarray of float32, shape (n_coordinates, n_events)
        Reference events, in units of 2^-7 deviations; at least two events.
    like : Fitted, optional
        A fit to more events; it has the same frequencies.

    Returns
    -------
    Fitted
        64 frequencies; the amplitude and phase of each is the reference's mean.

    Notes
    -----
    The kernel is Gaussian; its width is the usual distance between two events (root mean square). The frequencies
    come from a fixed seed and are rounded to 7 bits, which only makes them other frequencies. No event can be read
    off the 128 means.

    References
    ----------
    .. [1] Rahimi, A., Recht, B. (2007). Random features for large-scale kernel machines. Advances in Neural
       Information Processing Systems 20.
    .. [2] Gretton, A., et al. (2012). A kernel two-sample test. Journal of Machine Learning Research 13.

    Examples
    --------
    >>> fit_typicality(np.array([[0.0, 128.0], [0.0, -128.0]], dtype=np.float32)).weights.shape
    (64, 2)
    """
    plain = _frequencies(coordinates) if like is None else replace(like, offsets=np.zeros_like(like.offsets))
    waves = _waves(plain, coordinates)
    return _around(plain, waves.sum(axis=2) / coordinates.shape[1])


def without_each(coordinates: Coordinates, cuts: NDArray[np.int64], like: Fitted) -> list[Fitted]:
    """Learn without each of some parts of the reference in turn.

    Parameters
    ----------
    coordinates : ndarray of float32, shape (n_coordinates, n_events)
        Reference events, in units of 2^-7 deviations.
    cuts : ndarray of int64, shape (n_parts + 1,)
        Where each part begins, and where the last one ends. A part may be empty, but none has all events.
    like : Fitted
        The fit to all of them.

    Returns
    -------
    list of Fitted
        For each part, what ``fit_typicality`` learns from the events of the others.

    Notes
    -----
    The cosines of all events are worked out once and added up by part: the time of one fit, however many parts.

    Examples
    --------
    >>> reference = np.array([[0.0, 128.0, 64.0], [0.0, -128.0, 32.0]], dtype=np.float32)
    >>> like = fit_typicality(reference)
    >>> without = without_each(reference, np.array([0, 2, 3]), like)
    >>> bool((without[1].amplitudes == fit_typicality(reference[:, :2], like).amplitudes).all())
    True
    """
    plain = replace(like, offsets=np.zeros_like(like.offsets))
    waves = _waves(plain, coordinates)
    sums = np.array([waves[:, :, low:high].sum(axis=2) for low, high in pairwise(cuts.tolist())])
    others = coordinates.shape[1] - np.diff(cuts)
    means = (sums.sum(axis=0) - sums) / others[:, None, None]
    return [_around(plain, mean) for mean in means]


def _waves(plain: Fitted, coordinates: Coordinates) -> NDArray[np.float64]:
    """Return the cosine and the sine of each frequency and event: shape (2, n_frequencies, n_events)."""
    angles = plain.image(coordinates)
    angles *= 2.0 * np.pi * 2.0 ** -(plain.exponent + GRID_BITS)
    waves = np.empty((2, *angles.shape))
    np.cos(angles, out=waves[0])
    np.sin(angles, out=waves[1])
    return waves


def _around(plain: Fitted, means: NDArray[np.float64]) -> Fitted:
    """Return a fit with the mean cosines and sines."""
    cosine, sine = means
    phases = np.rint(np.arctan2(sine, cosine) / (2.0 * np.pi) * 2.0 ** (plain.exponent + GRID_BITS))
    return Fitted(
        weights=plain.weights,
        offsets=phases.astype(np.int64),
        exponent=plain.exponent,
        amplitudes=np.rint(np.hypot(cosine, sine) * 2.0**AMPLITUDE_BITS).astype(np.int32),
    )


def typicality(fitted: Fitted, coordinates: Coordinates) -> NDArray[np.float64]:
    """Return the mean similarity of each event to the reference.

    Parameters
    ----------
    fitted : Fitted
        From ``fit_typicality``.
    coordinates : ndarray of float32, shape (n_coordinates, n_events)
        Events, in units of 2^-7 deviations.

    Returns
    -------
    ndarray of float64, shape (n_events,)
        From -1 to 1: the inner product of the event's random Fourier features with their mean over the reference, an
        estimate of the reference's density. High is typical.

    Notes
    -----
    A cosine and a sine, each times its mean, are one cosine with an amplitude and a phase; so 128 features cost 64
    cosines and ``64 * n_coordinates`` products per event.

    Examples
    --------
    >>> reference = np.zeros((2, 100), dtype=np.float32)
    >>> reference[:, ::2] = 128.0
    >>> typicality(fit_typicality(reference), np.array([[0.0, 1024.0], [0.0, 1024.0]], dtype=np.float32)).round(1)
    array([0.7, 0.1])
    """
    parts = fitted.image(coordinates)
    parts *= 2.0 ** (TABLE_BITS - GRID_BITS - fitted.exponent)
    np.floor(parts, out=parts)
    places = parts.astype(np.int64)
    places &= 2**TABLE_BITS - 1
    sums = fitted.amplitudes.astype(np.float64) @ _TABLE.take(places)
    return np.asarray(sums * (2.0 ** -(AMPLITUDE_BITS + COSINE_BITS) / len(fitted.weights)))


def _frequencies(coordinates: Coordinates) -> Fitted:
    turns = normals_of(SEED, FREQUENCIES, len(coordinates)) / (2.0 * np.pi * _width(coordinates))
    return fitted_of(turns, np.zeros(FREQUENCIES), bits=NARROW_BITS)


def _width(coordinates: Coordinates) -> float:
    """Return the root of the mean square distance between two events."""
    square = 2.0 * float(coordinates.var(axis=1, dtype=np.float64).sum())
    return float(np.sqrt(square or 1.0)) * 2.0**-GRID_BITS
