"""What moves slowly in a reference: a smooth course over the whole of it, such as the seasons of one year.

A year of rows holds one summer. Sums over an eighth of them then vary a hundred times as much as those of independent
rows would, and a reference that has one such wave is worth three rows. But such a wave is smooth, and a smooth course
can be known from its rows, unlike a level that wanders at random: so it need not be paid for by the exponent as though
each of its turns came as a surprise. It is tolerated as far as it went, and the exponent pays for what moves *around*
it.

The course is a sum of five half waves of cosines over the rows of the reference. A column is taken to have one only if
the course leaves no more than a tenth of how much more sums over many rows vary than those of independent rows. A level
that wanders at random (an autoregression with whatever relaxation, a random walk) is too rough for that in all but a
few cases of a hundred; so its exponents pay for all of it, as before.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detectors import stretches
from detectors.errors import BaselineError
from detectors.stretches import GRID

WAVES = 5
"""Half waves over the reference: two and a half cycles."""
FROM = 10.0
"""No course is looked for where sums over many rows vary less than so many times as those of independent rows would."""
LEFT_MAX = 0.1
"""The course must leave no more than this of it."""
COARSE = 4096
"""What a course takes from independent rows is worked out on so many rows at most."""
KEPT_MIN = 0.15
"""No stretch is presumed to have kept less of its variance."""
CELLS = 2_000_000
"""At most so many numbers are held at once, but for the rows of one direction."""
CURVE_GRID = 2.0**-24
CURVE_MAX = 4.0
"""No coefficient of a share is larger."""
PLACES = 64
"""A course is looked at in so many places."""
SMALLEST = 1e-12

Take = Callable[[np.dtype[Any], int, str], NDArray[Any]]


@dataclass(frozen=True, kw_only=True, eq=False)
class Slow:
    """The course of a column over its reference.

    Parameters
    ----------
    curve : ndarray of float64, shape (6, n_bins)
        Of the shares of the bins: coefficients of ``cos(pi k t)`` for ``k`` from 0 to 5, where ``t`` goes from 0 at the
        first row to 1 at the last one.
    inflation : ndarray of float64, shape (n_directions + 1, n_scales)
        How much more the rows move together than independent ones would, measured around their course.
    """

    curve: NDArray[np.float64]
    inflation: NDArray[np.float64]

    def shares(self) -> NDArray[np.float64]:
        """Return the shares of the bins along the course.

        Returns
        -------
        ndarray of float64, shape (64, n_bins)
            At places that are spread evenly; they may be a little below 0 or above 1.
        """
        return np.asarray(_waves(PLACES) @ self.curve)


def spread() -> NDArray[np.float64]:
    """Return by what the variance of the course is larger than that of the mean of all rows.

    Returns
    -------
    ndarray of float64, shape (64,)
        At the places of ``Slow.shares``, for independent rows; 6 on average, at least 1.
    """
    fine = _orthonormal(COARSE)[COARSE // PLACES // 2 :: COARSE // PLACES]
    return np.asarray(np.einsum("ij,ij->i", fine, fine) * COARSE)


def slow_of(
    directions: NDArray[np.float64],
    cell_of_row: NDArray[np.int64],
    settled: tuple[NDArray[np.int64], int],
    inflation: NDArray[np.float64],
) -> Slow | None:
    """Look for a course.

    Parameters
    ----------
    directions : ndarray of float64, shape (n_directions, n_cells)
        A number per cell. Cells are the bins, or each slot's bins of a column that follows the hours.
    cell_of_row : ndarray of int64, shape (n_rows,)
        The cell of each reference row, in time order.
    settled : tuple of (ndarray of int64, shape (n_rows,), and int)
        The bin in which each row counts once its season is taken away, and the number of bins.
    inflation : ndarray of float64, shape (n_directions + 1, n_scales)
        Of the rows as they are.

    Returns
    -------
    Slow or None
        None when the rows move together little, or when the course leaves more than a tenth of that.

    Notes
    -----
    Costs next to nothing where rows move together little, and about twice the inflation where they do.

    Examples
    --------
    >>> from detectors.baseline.inflation import inflation_of, scales_of
    >>> half = np.array([[0.0, 1.0]])
    >>> uniform = np.random.default_rng(0).random(4000)
    >>> wave = (uniform < 0.5 + 0.45 * np.sin(2 * np.pi * np.arange(4000) / 4000)).astype(np.int64)
    >>> found = slow_of(half, wave, (wave, 2), inflation_of(half, wave, scales_of(4000)))
    >>> low, high = np.quantile(found.shares()[:, 1], [0.0, 1.0])
    >>> bool(low < 0.1), bool(high > 0.9)
    (True, True)
    """
    if not inflation.shape[1] or _tied(inflation) < FROM:
        return None
    around = _around(directions, cell_of_row, inflation.shape[1])
    found = np.round(np.vstack([around, around.mean(axis=0)]) / GRID) * GRID
    if _tied(found) > LEFT_MAX * _tied(inflation):
        return None
    bin_of_row, bins = settled
    waves = _waves(len(bin_of_row))
    hit = np.array([np.bincount(bin_of_row, weights=wave, minlength=bins) for wave in waves.T])
    curve = np.round(np.linalg.solve(waves.T @ waves, hit) / CURVE_GRID) * CURVE_GRID
    return Slow(curve=np.clip(curve, -CURVE_MAX, CURVE_MAX), inflation=found)


def _tied(inflation: NDArray[np.float64]) -> float:
    """Return how much rows move together: the largest inflation over all lengths, on average over the directions."""
    return float(inflation[:-1].max(axis=1).mean())


def _waves(rows: int) -> NDArray[np.float64]:
    places = (np.arange(rows) + 0.5) / rows
    return np.asarray(np.cos(np.pi * places[:, None] * np.arange(WAVES + 1)))


def _orthonormal(rows: int) -> NDArray[np.float64]:
    # Half waves at the middles of rows are orthogonal (discrete cosine transform).
    waves = _waves(rows)
    return np.asarray(waves / np.sqrt((waves**2).sum(axis=0)))


def _around(directions: NDArray[np.float64], cell_of_row: NDArray[np.int64], scales: int) -> NDArray[np.float64]:
    """Return the inflation of what the course leaves, per unit of the whole variance."""
    rows = len(cell_of_row)
    waves = _orthonormal(rows)
    found = np.ones((len(directions), scales))
    step = max(1, CELLS // rows)
    for start in range(0, len(directions), step):
        chunk = slice(start, min(start + step, len(directions)))
        values = directions[chunk].take(cell_of_row, axis=1)
        values -= values.mean(axis=1, keepdims=True)
        variance = np.einsum("ij,ij->i", values, values) / rows
        values -= (values @ waves) @ waves.T
        left = np.einsum("ij,ij->i", values, values) / rows
        varies = variance > SMALLEST
        part = np.divide(left, variance, out=np.zeros(len(left)), where=varies)
        found[chunk] = np.where(varies[:, None], stretches.ratios_of(values, scales) * part[:, None], 1.0)
    return found * _given_back(rows, scales)


def _given_back(rows: int, scales: int) -> NDArray[np.float64]:
    """Return by what the inflation must be multiplied because the course was learned from the same rows.

    Of independent rows it takes away a part of each stretch's variance; ``ratios_of`` has corrected for that of the
    mean of all rows.
    """
    lengths = 2.0 ** np.arange(1, scales + 1)
    coarse = min(rows, COARSE)
    whole = np.vstack([np.zeros(WAVES + 1), _orthonormal(coarse).cumsum(axis=0)])
    found = np.empty(scales)
    for j, length in enumerate(lengths.tolist()):
        own = max(1, round(length * coarse / rows))
        kept = 1.0 - float(((whole[own:] - whole[:-own]) ** 2).sum(axis=1).mean()) / own
        found[j] = (1.0 - length / rows) / max(kept, KEPT_MIN)
    return found


def read_slow(entry: Any, inflation: NDArray[np.float64], bins: int, take: Take, place: str) -> Slow:
    """Read what anybody may have written.

    Parameters
    ----------
    entry : object
        What the header says: the number of coefficients.
    inflation : ndarray of float64, shape (n_directions + 1, n_scales)
        Of the same column, for its shape.
    bins : int
        Of the column.
    take : callable
        Returns the next array.
    place : str
        Of the column, for messages.

    Returns
    -------
    Slow
        With read-only arrays.

    Raises
    ------
    BaselineError
        When anything is wrong.
    """
    if type(entry) is not int or entry != WAVES + 1:
        raise BaselineError(f"{place}: slow must be {WAVES + 1}, the number of coefficients of a course")
    curve = take(np.dtype(np.float64), entry * bins, place).reshape(entry, bins)
    around = take(np.dtype(np.float64), inflation.size, place).reshape(inflation.shape)
    if not np.isfinite(curve).all() or (np.abs(curve) > CURVE_MAX).any():
        raise BaselineError(
            f"{place}: the coefficients of a course must be numbers from -{CURVE_MAX:g} to {CURVE_MAX:g}"
        )
    if not np.isfinite(around).all() or (around < 0).any():
        raise BaselineError(f"{place}: inflation around a course must be numbers of at least 0")
    return Slow(curve=curve, inflation=around)


def arrays_of_slow(slow: Slow | None) -> list[NDArray[Any]]:
    """Return the arrays of a course, in the order in which they are written.

    Parameters
    ----------
    slow : Slow or None
        Of a column.

    Returns
    -------
    list of ndarray
        Not copied; none without a course.
    """
    return [] if slow is None else [slow.curve, slow.inflation]
