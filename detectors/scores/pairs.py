"""How much inputs move together, a few pairs at a time."""

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detectors.exact import GRID_BITS, Coordinates, Fitted

COLUMNS_MAX = 32
"""So many columns at most; more pairs than that share columns."""
COORDINATES_MAX = 32
"""With more coordinates a column would hold so many pairs that a single one is not seen among them."""
CLIP = 3.0
"""Deviations beyond this count as so many: one far event must not outweigh all others."""
COARSE_BITS = 6
"""Products of whole numbers up to 192, in units of 2^-6 deviations: float32 adds up 455 of them exactly."""


def fit_pairs(coordinates: Coordinates, like: Fitted | None = None) -> Fitted | None:
    """Deal all pairs of coordinates to columns.

    Parameters
    ----------
    coordinates : ndarray of float32, shape (n_coordinates, n_events)
        Reference events; only their shape and which of them vary matter.
    like : Fitted, optional
        A fit to more events, which is returned.

    Returns
    -------
    Fitted or None
        ``weights[i, j]`` is the column of the pair, from 1; 0 where ``i >= j``. None with more than 32 coordinates.

    Examples
    --------
    >>> fit_pairs(np.array([[128.0, -128.0], [0.0, 64.0], [-64.0, 64.0]], dtype=np.float32)).weights
    array([[0, 1, 2],
           [0, 0, 3],
           [0, 0, 0]], dtype=int32)
    """
    if like is not None:
        return like
    size = len(coordinates)
    varies = np.flatnonzero(coordinates.any(axis=1))
    if size > COORDINATES_MAX or len(varies) < 2:  # noqa: PLR2004 - a pair
        return None
    first, second = np.triu_indices(len(varies), 1)
    # Neighbours in this order share no input, so that what moves together falls into different columns.
    order = np.lexsort((first, second - first))
    dealt = np.zeros((size, size), dtype=np.int32)
    number = len(order)
    columns = min(number, COLUMNS_MAX)
    place = np.arange(number) if number == columns else np.empty(number, dtype=np.int64)
    if number > columns:
        place[order] = np.arange(number) % columns
    dealt[varies[first], varies[second]] = place + 1
    return Fitted(
        weights=dealt,
        offsets=np.zeros(size, dtype=np.int64),
        exponent=0,
        amplitudes=np.zeros(0, dtype=np.int32),
    )


def pairs_in(fitted: Fitted) -> int:
    """Return the number of columns.

    Parameters
    ----------
    fitted : Fitted
        From ``fit_pairs``.

    Returns
    -------
    int
        At least 1.
    """
    return len(_dealt(fitted))


def pairs(fitted: Fitted, coordinates: Coordinates) -> NDArray[np.float64]:
    """Return the sums of the products of each column's pairs.

    Parameters
    ----------
    fitted : Fitted
        From ``fit_pairs``.
    coordinates : ndarray of float32, shape (n_coordinates, n_events)
        Events, in units of 2^-7 deviations.

    Returns
    -------
    ndarray of float64, shape (n_columns, n_events)
        In squared deviations: of a single pair, the mean is about their correlation.

    Notes
    -----
    ``n_coordinates ** 2 / 2`` products per event.

    Examples
    --------
    >>> fitted = fit_pairs(np.array([[128.0, -128.0], [0.0, 64.0]], dtype=np.float32))
    >>> pairs(fitted, np.array([[128.0, 1024.0], [-128.0, 64.0]], dtype=np.float32))
    array([[-1. ,  1.5]])
    """
    limit = CLIP * 2.0**COARSE_BITS
    coarse = coordinates * np.float32(2.0 ** (COARSE_BITS - GRID_BITS))
    np.maximum(coarse, -limit, out=coarse)
    np.minimum(coarse, limit, out=coarse)
    np.rint(coarse, out=coarse)
    dealt = _dealt(fitted)
    found = np.empty((len(dealt), coordinates.shape[1]))
    for row, (first, second) in zip(found, dealt, strict=True):
        row[:] = np.einsum("ij,ij->j", coarse[first], coarse[second])
    found *= 2.0 ** (-2 * COARSE_BITS)
    return found


@lru_cache(maxsize=1024)
def _dealt(fitted: Fitted) -> tuple[tuple[NDArray[Any], NDArray[Any]], ...]:
    columns = min(int(fitted.weights.max()), COLUMNS_MAX)
    return tuple(
        (first, second)
        for first, second in (np.nonzero(fitted.weights == column) for column in range(1, columns + 1))
        if len(first)
    )
