"""Columns that only some reference rows have: what a label says of an answer is nothing where there is no label."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from detectors.baseline.artefact import Baseline
from detectors.baseline.bins import Column, compact
from detectors.baseline.compiler import compile_baseline
from detectors.columns import ColumnGroup, ColumnKind, ColumnSpec

MISSING = "missing"


def add_partial(
    baseline: Baseline, columns: Mapping[str, NDArray[np.float64]], times: NDArray[np.int64] | None = None
) -> Baseline:
    """Return a baseline with columns of the group ``performance`` as well.

    Parameters
    ----------
    baseline : Baseline
        Of the same rows.
    columns : mapping of str to ndarray of float64, shape (n_rows,)
        Values by name, in the order that the rows were given in; NaN where a row has none. At least one, and each with
        a value in some row.
    times : ndarray of int64, shape (n_rows,), optional
        When each row was, where the baseline was put in the order of times.

    Returns
    -------
    Baseline
        The columns of the given one first. Rows without a value are in no bin of the new ones: later events have such
        a column only once they have a label. They have no seasons.

    Examples
    --------
    >>> spec = ColumnSpec(name="x", kind=ColumnKind.NUMERIC)
    >>> baseline = compile_baseline([(spec, np.arange(1000.0))]).baseline
    >>> wrong = np.where(np.arange(1000) < 500, np.nan, np.arange(1000) % 10 == 0)
    >>> joined = add_partial(baseline, {"performance.wrong": wrong})
    >>> joined.columns[1].bin_labels
    ('below', '0', '1', 'above', 'between', 'missing', 'invalid')
    >>> joined.columns[1].counts
    array([  0, 450,  50,   0,   0,   0,   0])
    """
    order = slice(None) if times is None else np.argsort(times, kind="stable")
    specs = [
        (ColumnSpec(name=name, kind=ColumnKind.NUMERIC, group=ColumnGroup.PERFORMANCE), values[order])
        for name, values in columns.items()
    ]
    blocks = len(baseline.columns[0].blocks)
    compiled = compile_baseline(specs, blocks=blocks, ordered=baseline.ordered).baseline
    return baseline.joined(replace(compiled, columns=_without_missing(compiled.columns)))


def _without_missing(columns: Sequence[Column]) -> tuple[Column, ...]:
    found = []
    for column in columns:
        place = column.bin_labels.index(MISSING)
        counts, blocks = column.counts.copy(), column.blocks.astype(np.int64)
        counts[place] = blocks[:, place] = 0
        found.append(replace(column, counts=counts, blocks=compact(blocks)))
    return tuple(found)
