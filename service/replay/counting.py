"""Counts of many ticks at once: what ``detectors.binning.count`` tells of each, in a fraction of the time."""

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from detectors.baseline import Baseline, CategoricalColumn, NumericColumn
from detectors.binning import bin_rows, count
from detectors.columns import Codes, Values

SINGLE_ROWS_MAX = 16
"""Up to so many rows a tick on average, telling the bin of each row is fastest."""
SUMMED_ROWS_MAX = 255
"""Up to so many rows in each tick, comparing all rows with each edge is fastest; sums of so many fit into a byte."""


def count_ticks(baseline: Baseline, values: dict[str, Values], bounds: NDArray[np.int64]) -> NDArray[np.int64]:
    """Count several ticks, one after the other.

    Parameters
    ----------
    baseline : Baseline
        Whose bins.
    values : dict of str to Values
        Of every column of the baseline, all with the same number of rows.
    bounds : ndarray of int64, shape (n_ticks + 1,)
        Where each tick begins, and where the last one ends.

    Returns
    -------
    ndarray of int64, shape (n_ticks, baseline.total)
        Flat counts of each tick.
    """
    sizes = np.diff(bounds)
    if len(sizes) > 1 and sizes.sum() <= SINGLE_ROWS_MAX * len(sizes):
        return _one_by_one(baseline, cut(values, int(bounds[0]), int(bounds[-1])), sizes)
    if len(sizes) > 1 and sizes[0] <= SUMMED_ROWS_MAX and (sizes == sizes[0]).all():
        return _summed(baseline, cut(values, int(bounds[0]), int(bounds[-1])), len(sizes), int(sizes[0]))
    return np.array(
        [count(baseline, cut(values, *span)) for span in pairwise(bounds.tolist())], dtype=np.int64
    ).reshape(len(sizes), baseline.total)


def cut(values: dict[str, Values], start: int, stop: int) -> dict[str, Values]:
    """Return some rows of all columns."""
    return {
        name: Codes(v.labels, v.codes[start:stop]) if isinstance(v, Codes) else v[start:stop]
        for name, v in values.items()
    }


def _one_by_one(baseline: Baseline, values: dict[str, Values], sizes: NDArray[np.int64]) -> NDArray[np.int64]:
    bins = bin_rows(baseline, values).astype(np.int64)
    return _tallied(
        bins + baseline.total * np.repeat(np.arange(len(sizes)), sizes)[:, None], len(sizes), baseline.total
    )


def _tallied(cells: NDArray[np.int64], ticks: int, total: int) -> NDArray[np.int64]:
    return np.bincount(cells.ravel(), minlength=ticks * total).reshape(ticks, total)


def _summed(baseline: Baseline, values: dict[str, Values], ticks: int, tick_rows: int) -> NDArray[np.int64]:
    counts = np.zeros((baseline.total, ticks), dtype=np.int64)
    tick_of_row = np.repeat(np.arange(ticks), tick_rows)
    for column, place in zip(baseline.columns, baseline.slices, strict=True):
        found = values[column.spec.name]
        if isinstance(column, NumericColumn) and not isinstance(found, Codes):
            per_segment = _segments(column, found.reshape(ticks, tick_rows))
            for of_segment, target in zip(per_segment, column.segment_bins.tolist(), strict=True):
                counts[place][target] += of_segment
        elif isinstance(column, CategoricalColumn) and isinstance(found, Codes):
            bins = len(column.counts)
            table = np.array([bins - 1, bins - 2, *column.bins_of(found.labels)], dtype=np.int64)
            counts[place] = _tallied(tick_of_row * bins + table[found.codes + 2], ticks, bins).T
        else:
            raise TypeError(f"column {column.spec.name!r} is of another kind here")
    return np.ascontiguousarray(counts.T)


def _segments(column: NumericColumn, rows: NDArray[np.float32] | NDArray[np.float64]) -> NDArray[np.int64]:
    """Count the rows between each two of a column's cuts: shape (len(cuts) + 1, n_ticks).

    With the ticks side by side both the comparison and the sum run along them, many at an instruction.
    """
    ticks, tick_rows = rows.shape
    across = np.ascontiguousarray(_as_type(rows, column.cuts.dtype).T)
    below = np.zeros((len(column.cuts) + 2, ticks), dtype=np.uint8)
    flags = np.empty(across.shape, dtype=np.bool_)
    for i, edge in enumerate(column.cuts, 1):
        # NaN sorts last: all that is a number lies below it.
        np.equal(across, across, out=flags) if np.isnan(edge) else np.less(across, edge, out=flags)
        np.add.reduce(flags.view(np.uint8), axis=0, dtype=np.uint8, out=below[i])
    below[-1] = tick_rows
    wide = below.astype(np.int64)
    return wide[1:] - wide[:-1]


def _as_type(rows: NDArray[np.float32] | NDArray[np.float64], dtype: np.dtype[np.floating]) -> NDArray[np.floating]:
    """Convert as ``count`` does: a finite number that is too large for float32 stays finite."""
    with np.errstate(over="ignore"):
        narrow = rows.astype(dtype, copy=False)
    if narrow.dtype != rows.dtype and narrow.dtype == np.float32:
        overflow = np.isinf(narrow) & np.isfinite(rows)
        if overflow.any():
            narrow[overflow] = np.copysign(np.finfo(np.float32).max, narrow[overflow])
    return narrow
