"""How much more sums over stretches of neighbouring rows vary than sums of independent rows would."""

import numpy as np
from numpy.typing import NDArray

GRID = 2.0**-12
"""Ratios are rounded to multiples of this, so that the order of summation cannot show in the artefact's bytes."""
STRETCHES_MIN = 8
"""The longest stretch fits so many times into the reference."""
SCALES_MAX = 30
OVERLAP = 4
"""Stretches begin every quarter of their length."""


def scales_of(rows: int) -> int:
    """Return how many lengths of stretches are looked at: 2, 4, 8, ... rows.

    Parameters
    ----------
    rows : int
        Reference rows.

    Returns
    -------
    int
        At least 0. The longest stretch has an eighth of the rows.

    Examples
    --------
    >>> scales_of(10_000), scales_of(15)
    (10, 0)
    """
    return min(max((rows // STRETCHES_MIN).bit_length() - 1, 0), SCALES_MAX)


def ratios_of(values: NDArray[np.float64], scales: int) -> NDArray[np.float64]:
    """Measure the variance inflation of numbers per row.

    Parameters
    ----------
    values : ndarray of float64, shape (n, n_rows)
        In the order of time.
    scales : int
        From ``scales_of``.

    Returns
    -------
    ndarray of float64, shape (n, scales)
        Ratios for stretches of 2, 4, 8, ... rows. 1 for numbers that never vary.

    Notes
    -----
    About four passes over the numbers.

    Examples
    --------
    >>> twice = np.repeat(np.random.default_rng(0).normal(size=100_000), 2)
    >>> ratios_of(twice[None], 4).round(1)
    array([[1.5, 1.7, 2. , 2. ]])
    """
    rows = values.shape[1]
    sums = values - values.mean(axis=1, keepdims=True)
    variance = np.einsum("ij,ij->i", sums, sums) / rows
    varies = variance > np.finfo(np.float64).eps * np.maximum(1.0, (values**2).max(axis=1))
    safe = np.where(varies, variance, 1.0)
    ratios = np.ones((len(values), scales))
    length = stride = 1
    for j in range(scales):
        apart = length // stride
        sums = sums[:, :-apart] + sums[:, apart:]
        length *= 2
        if length > OVERLAP:
            sums = np.ascontiguousarray(sums[:, ::2])
            stride *= 2
        mean_square = np.einsum("ij,ij->i", sums, sums) / sums.shape[1]
        ratio = mean_square / (length * safe * (1.0 - length / rows))
        ratios[:, j] = np.where(varies, ratio, 1.0)
    return ratios
