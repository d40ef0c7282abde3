"""How much more the rows of the reference move together than independent rows would.

For a direction ``g`` and stretches of ``L`` consecutive rows, the *variance inflation* is the variance of the sum of
``g`` over a stretch, divided by ``L`` times the variance of ``g``. It is 1 for independent rows, grows with ``L`` and
levels off once stretches are longer than what ties rows together: at ``(1 + r) / (1 - r)`` for an autoregression with
coefficient ``r``, at about the mean size (weighted by size) of sessions whose rows are alike. It says how many rows
are worth one independent row, whatever the size of a tick.
"""

import numpy as np
from numpy.typing import NDArray

from detectors.stretches import GRID, SCALES_MAX, ratios_of, scales_of

__all__ = ["SCALES_MAX", "inflation_of", "scales_of"]

CELLS = 2_000_000
"""At most so many numbers are held at once."""


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
    rows = len(bin_of_row)
    found = np.ones((len(directions) + 1, scales))
    if scales == 0:
        return found
    step = max(1, CELLS // rows)
    for start in range(0, len(directions), step):
        chunk = slice(start, min(start + step, len(directions)))
        found[chunk] = ratios_of(directions[chunk].take(bin_of_row, axis=1), scales)
    found[-1] = _overall(bin_of_row, directions.shape[1], scales)
    return np.asarray(np.round(found / GRID) * GRID)


def _overall(bin_of_row: NDArray[np.int64], bins: int, scales: int) -> NDArray[np.float64]:
    """Return the mean over an orthonormal basis: chi-square of the stretches' counts per degree of freedom."""
    rows = len(bin_of_row)
    shares = np.bincount(bin_of_row, minlength=bins) / rows
    present = np.flatnonzero(shares)
    ratios = np.ones(scales)
    if len(present) < 2:  # noqa: PLR2004 - one value never varies
        return ratios
    place = np.zeros(bins, dtype=np.int64)
    place[present] = np.arange(len(present))
    even = rows // 2 * 2
    flat = (np.arange(even) // 2) * len(present) + place[bin_of_row[:even]]
    counts = np.bincount(flat, minlength=even // 2 * len(present)).reshape(-1, len(present)).astype(np.float32)
    length = 2
    for j in range(scales):
        off = counts - (length * shares[present]).astype(np.float32)
        mean_square = np.einsum("ij,ij->j", off, off, dtype=np.float64) / len(counts)
        ratios[j] = (mean_square / shares[present]).sum() / (length * (len(present) - 1) * (1.0 - length / rows))
        counts = counts[: len(counts) // 2 * 2]
        counts = counts[::2] + counts[1::2]
        length *= 2
    return ratios
