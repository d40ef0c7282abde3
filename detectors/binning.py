"""Columns to histograms: how many events fell into each bin of the baseline.

Counts are exact integers. The counts of two batches add up to the counts of the batch that holds both, so batches,
shards and machines merge without a trace.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detectors.baseline import Baseline, CategoricalColumn, NumericColumn
from detectors.columns import Codes, Values
from detectors.errors import ColumnError


@dataclass(frozen=True, slots=True)
class _Plan:
    """Where the segment counts of some numeric columns of one type go."""

    dtype: type[np.float32] | type[np.float64]
    names: tuple[str, ...]
    columns: tuple[NumericColumn, ...]
    starts: tuple[int, ...]
    """Of each column in the vector of running totals."""
    length: int
    targets: NDArray[np.int64]
    """Flat bin of each difference of running totals; ``total`` where one column ends and the next begins."""


@lru_cache(maxsize=256)
def _plans(baseline: Baseline, names: tuple[str, ...]) -> tuple[_Plan, ...]:
    plans = []
    for dtype in (np.float32, np.float64):
        chosen = [(name, baseline.columns[baseline.index[name]]) for name in names]
        numeric = [(n, c) for n, c in chosen if isinstance(c, NumericColumn) and c.edges.dtype == dtype]
        if not numeric:
            continue
        starts, targets, at = [], [], 0
        for name, column in numeric:
            base = int(baseline.starts[baseline.index[name]])
            starts.append(at)
            targets += [column.segment_bins + base, np.array([baseline.total])]
            at += len(column.cuts) + 2
        columns = tuple(column for _, column in numeric)
        flat = np.concatenate(targets)[:-1]
        plans.append(_Plan(dtype, tuple(n for n, _ in numeric), columns, tuple(starts), at, flat))
    return tuple(plans)


def count(baseline: Baseline, columns: Mapping[str, Values]) -> NDArray[np.int64]:
    """Count the events of a batch by bin.

    Parameters
    ----------
    baseline : Baseline
        Whose bins.
    columns : mapping of str to Values
        Values by column name, all with the same number of events; rows of a matrix are fine. Names that the baseline
        does not have are ignored.

    Returns
    -------
    ndarray of int64, shape (baseline.total,)
        Flat counts. A column that ``columns`` lacks counts nothing. The values are not changed.

    Raises
    ------
    ColumnError
        When lengths differ, or a column's values are of the other kind, or a code has no label.

    Notes
    -----
    Numeric columns are copied into one matrix, sorted, and their bins' edges searched in them: an order of magnitude
    faster than searching each value's bin. Extra memory is that copy.

    Examples
    --------
    >>> from detectors.baseline import compile_baseline
    >>> from detectors.columns import ColumnKind, ColumnSpec
    >>> spec = ColumnSpec(name="x", kind=ColumnKind.NUMERIC)
    >>> baseline = compile_baseline([(spec, np.arange(100.0))], bins=2).baseline
    >>> baseline.columns[0].bin_labels
    ('below', '[0, 50)', '[50, 99]', 'above', 'missing', 'invalid')
    >>> count(baseline, {"x": np.array([-1.0, 3.0, 50.0, 70.0, 1e9, np.nan, np.inf])})
    array([1, 1, 2, 1, 1, 1])
    """
    present = tuple(name for name in baseline.names if name in columns)
    rows = _rows(baseline, columns, present)
    flat = np.zeros(baseline.total, dtype=np.int64)
    if rows == 0:
        return flat
    for plan in _plans(baseline, present):
        flat += _count_numeric(plan, columns, rows, baseline.total)
    labelled = [name for name, kind in zip(present, _kinds(baseline, present), strict=True) if kind]
    if labelled:
        flat += _count_labels(baseline, columns, labelled, rows)
    return flat


@lru_cache(maxsize=256)
def _kinds(baseline: Baseline, names: tuple[str, ...]) -> tuple[bool, ...]:
    """Tell which columns are categorical."""
    return tuple(isinstance(baseline.columns[baseline.index[name]], CategoricalColumn) for name in names)


def _rows(baseline: Baseline, columns: Mapping[str, Values], present: tuple[str, ...]) -> int:
    given = [columns[name] for name in present]
    kinds = tuple([isinstance(values, Codes) for values in given])
    wanted = _kinds(baseline, present)
    if kinds != wanted:
        name = next(name for name, kind, want in zip(present, kinds, wanted, strict=True) if kind != want)
        raise ColumnError(f"column {name!r} is {'categorical' if name in _coded(columns) else 'numeric'} here only")
    lengths = [len(values.codes) if isinstance(values, Codes) else len(values) for values in given]
    if len(set(lengths)) > 1:
        name, length = next((n, k) for n, k in zip(present, lengths, strict=True) if k != lengths[0])
        raise ColumnError(f"column {name!r} has {length} events, but {present[0]!r} has {lengths[0]}")
    return lengths[0] if lengths else 0


def _coded(columns: Mapping[str, Values]) -> set[str]:
    return {name for name, values in columns.items() if isinstance(values, Codes)}


def _count_numeric(plan: _Plan, columns: Mapping[str, Values], rows: int, total: int) -> NDArray[np.int64]:
    values = [_as_type(columns[name], plan.dtype) for name in plan.names]
    matrix = np.concatenate(values, dtype=plan.dtype).reshape(len(values), rows)
    matrix.sort(axis=1)
    running = np.zeros(plan.length, dtype=np.int64)
    for ordered, column, start in zip(matrix, plan.columns, plan.starts, strict=True):
        end = start + len(column.cuts) + 1
        running[start + 1 : end] = ordered.searchsorted(column.cuts)
        running[end] = rows
    per_segment = running[1:] - running[:-1]
    # The differences across two columns are not counts; they fall into one bin past the end, which is cut off.
    return np.bincount(plan.targets, weights=per_segment, minlength=total + 1)[:total].astype(np.int64)


def _as_type(values: Any, dtype: type[np.float32] | type[np.float64]) -> NDArray[Any]:
    """Convert without turning a finite number into an infinite one: too large is ``above``, not ``invalid``."""
    array: NDArray[Any] = values
    if array.dtype == dtype or dtype is np.float64:
        return array
    with np.errstate(over="ignore"):
        narrow = array.astype(np.float32)
    overflow = np.isinf(narrow)
    if overflow.any():
        overflow &= np.isfinite(array)
        narrow[overflow] = np.copysign(np.finfo(np.float32).max, narrow[overflow])
    return narrow


def _count_labels(
    baseline: Baseline, columns: Mapping[str, Values], names: Sequence[str], rows: int
) -> NDArray[np.int64]:
    """Count all categorical columns at once: their codes side by side, each column's behind those of the one before."""
    spread = np.empty((len(names), rows), dtype=np.int64)
    table: list[int] = []
    firsts, starts = [], []
    for row, name in zip(spread, names, strict=True):
        values, place = columns[name], baseline.index[name]
        column = baseline.columns[place]
        if not isinstance(values, Codes) or not isinstance(column, CategoricalColumn):
            raise ColumnError(f"column {name!r} is numeric here only")
        np.add(values.codes, len(table) + 2, out=row)
        firsts.append(len(table))
        starts.append(int(baseline.starts[place]))
        bins = len(column.counts)
        table += [bins - 1, bins - 2, *column.bins_of(values.labels)]
    per_label = np.bincount(spread.reshape(-1), minlength=len(table)) if spread.min() >= 0 else np.zeros(0)
    sums = np.add.reduceat(per_label, firsts) if len(per_label) == len(table) else np.zeros(0)
    if not np.array_equal(sums, np.full(len(names), rows)):  # a code lies outside its column
        for name in names:
            _label_bins(baseline.columns[baseline.index[name]], columns[name])
    targets = np.array(table) + np.repeat(starts, np.diff([*firsts, len(table)]))
    return np.bincount(targets, weights=per_label, minlength=baseline.total).astype(np.int64)


def _label_bins(column: Any, values: Any) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Count by label, and tell the bin of each label: invalid, missing, then the labels."""
    bins = len(column.counts)
    try:
        per_label = np.bincount(values.codes + 2, minlength=len(values.labels) + 2)
    except ValueError as error:
        raise ColumnError(f"column {column.spec.name!r} has codes below -2") from error
    if len(per_label) > len(values.labels) + 2:
        raise ColumnError(f"column {column.spec.name!r} has codes above {len(values.labels) - 1}")
    table = [bins - 1, bins - 2, *column.bins_of(values.labels)]
    return per_label, np.array(table, dtype=np.int64)


def bin_rows(baseline: Baseline, columns: Mapping[str, Values]) -> NDArray[np.int32]:
    """Tell the bin of every single event.

    Parameters
    ----------
    baseline : Baseline
        Whose bins.
    columns : mapping of str to Values
        As for ``count``.

    Returns
    -------
    ndarray of int32, shape (n_events, n_columns)
        Flat bins; -1 in the columns that ``columns`` lacks.

    Raises
    ------
    ColumnError
        As for ``count``.

    Notes
    -----
    Several times slower than ``count``: use it where ticks are smaller than batches.

    Examples
    --------
    >>> from detectors.baseline import compile_baseline
    >>> from detectors.columns import ColumnKind, ColumnSpec
    >>> spec = ColumnSpec(name="x", kind=ColumnKind.NUMERIC)
    >>> baseline = compile_baseline([(spec, np.arange(100.0))], bins=2).baseline
    >>> bin_rows(baseline, {"x": np.array([-1.0, 3.0, np.nan])})[:, 0]
    array([0, 1, 4], dtype=int32)
    """
    present = tuple(name for name in baseline.names if name in columns)
    rows = _rows(baseline, columns, present)
    flat = np.full((rows, len(baseline.columns)), -1, dtype=np.int32)
    for name in present:
        place = baseline.index[name]
        column, values = baseline.columns[place], columns[name]
        if isinstance(values, Codes):
            _, table = _label_bins(column, values)
            local = table[values.codes + 2]
        elif isinstance(column, NumericColumn):
            narrowed = _as_type(values, column.edges.dtype.type)
            local = column.segment_bins[np.searchsorted(column.cuts, narrowed, side="right")]
        else:
            raise ColumnError(f"column {name!r} is numeric here only")
        flat[:, place] = local + baseline.starts[place]
    return flat
