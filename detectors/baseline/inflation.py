"""How much more the rows of the reference move together than independent rows would.

For a direction ``g`` and stretches of ``L`` consecutive rows, the *variance inflation* is the variance of the sum of
``g`` over a stretch, divided by ``L`` times the variance of ``g``. It is 1 for independent rows, grows with ``L`` and
levels off once stretches are longer than what ties rows together: at ``(1 + r) / (1 - r)`` for an autoregression with
coefficient ``r``, at about the mean size (weighted by size) of sessions whose rows are alike. It says how many rows
are worth one independent row, whatever the size of a tick.
"""

import numpy as np
from numpy.typing import NDArray

from detectors import stretches
from detectors.stretches import GRID, SCALES_MAX, scales_of

__all__ = ["SCALES_MAX", "inflation_of", "ratios_of", "scales_of"]

CELLS = 400_000
"""At most so many numbers are worked on at once, but for the rows of one direction: about what a cache holds."""
COUNTS = 20_000_000
"""At most so many counts are held at once, but for those of two bins."""


def inflation_of(directions: NDArray[np.float64], bin_of_row: NDArray[np.int64], scales: int) -> NDArray[np.float64]:
    """Measure the variance inflation of each direction, and of all directions together.

    Parameters
    ----------
    directions : ndarray of float64, shape (n_directions, n_bins)
        A number per bin.
    bin_of_row : ndarray of int64, shape (n_rows,)
        The bin of each reference row, in time order.
    scales : int
        From ``scales_of``.

    Returns
    -------
    ndarray of float64, shape (n_directions + 1, scales)
        Ratios for stretches of 2, 4, 8, ... rows; the last row is the mean over all directions that the bins allow.
        1 for a direction that never varies.

    Notes
    -----
    Time is about four passes over ``n_rows * n_directions`` numbers. Stretches overlap, which makes the estimate as
    good as one from half as many rows again (overlapping batch means).

    References
    ----------
    .. [1] Meketon, M. S., Schmeiser, B. (1984). Overlapping batch means: something for nothing? Winter Simulation
       Conference.

    Examples
    --------
    >>> twice = np.repeat(np.random.default_rng(0).integers(0, 2, 100_000), 2)
    >>> inflation_of(np.array([[0.0, 1.0]]), twice, 6)[0].round(1)
    array([1.5, 1.7, 2. , 2. , 2. , 2. ])
    """
    found = np.ones((len(directions) + 1, scales))
    if scales:
        found[:-1] = ratios_of(directions, bin_of_row, scales)
        found[-1] = _overall(bin_of_row, directions.shape[1], scales)
    return np.asarray(np.round(found / GRID) * GRID)


def ratios_of(directions: NDArray[np.float64], bin_of_row: NDArray[np.int64], scales: int) -> NDArray[np.float64]:
    """Measure the variance inflation of each direction.

    Parameters
    ----------
    directions : ndarray of float64, shape (n_directions, n_bins)
        A number per bin.
    bin_of_row : ndarray of int64, shape (n_rows,)
        The bin of each reference row, in time order.
    scales : int
        From ``scales_of``; at least 1.

    Returns
    -------
    ndarray of float64, shape (n_directions, scales)
        As from ``inflation_of``, not rounded.
    """
    found = np.empty((len(directions), scales))
    step = max(1, CELLS // len(bin_of_row))
    for start in range(0, len(directions), step):
        chunk = slice(start, min(start + step, len(directions)))
        found[chunk] = stretches.ratios_of(directions[chunk].take(bin_of_row, axis=1), scales)
    return found


def _overall(bin_of_row: NDArray[np.int64], bins: int, scales: int) -> NDArray[np.float64]:
    """Return the mean over an orthonormal basis: chi-square of the stretches' counts per degree of freedom."""
    rows = len(bin_of_row)
    shares = np.bincount(bin_of_row, minlength=bins) / rows
    present = np.flatnonzero(shares)
    ratios = np.ones(scales)
    if len(present) < 2:  # noqa: PLR2004 - one value never varies
        return ratios
    step = max(2, COUNTS // max(rows // 2, 1) - 1)
    mean_squares = np.concatenate(
        [_mean_squares(bin_of_row, shares, present[at : at + step], scales) for at in range(0, len(present), step)],
        axis=1,
    )
    for j, mean_square in enumerate(mean_squares):
        length = 2 << j
        ratios[j] = (mean_square / shares[present]).sum() / (length * (len(present) - 1) * (1.0 - length / rows))
    return ratios


def _mean_squares(
    bin_of_row: NDArray[np.int64], shares: NDArray[np.float64], chosen: NDArray[np.int64], scales: int
) -> NDArray[np.float64]:
    """Return the mean square by which stretches' counts of the chosen bins are off, shape (scales, n_chosen)."""
    # All other bins share one more place, which is cut off.
    place = np.full(len(shares), len(chosen), dtype=np.int64)
    place[chosen] = np.arange(len(chosen))
    even, width = len(bin_of_row) // 2 * 2, len(chosen) + 1
    flat = (np.arange(even) // 2) * width + place[bin_of_row[:even]]
    counts = np.bincount(flat, minlength=even // 2 * width).reshape(-1, width)[:, :-1].astype(np.float32)
    found = np.empty((scales, len(chosen)))
    for j in range(scales):
        off = counts - ((2 << j) * shares[chosen]).astype(np.float32)
        found[j] = np.einsum("ij,ij->j", off, off, dtype=np.float64) / len(counts)
        counts = counts[: len(counts) // 2 * 2]
        counts = counts[::2] + counts[1::2]
    return found
