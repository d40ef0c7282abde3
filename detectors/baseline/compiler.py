"""Reference data to baseline."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from detectors.baseline.artefact import Baseline
from detectors.baseline.bins import KNOWN_MAX, CategoricalColumn, Column, Edges, NumericColumn, compact, label_hash
from detectors.baseline.codec import BINS_MAX, BLOCKS_MAX, COLUMNS_MAX, NO_INFLATION
from detectors.baseline.directions import directions_of
from detectors.baseline.findings import BaselineWarning, CompiledBaseline, column_findings, row_findings
from detectors.baseline.inflation import inflation_of, scales_of
from detectors.baseline.rare import met_again, with_bins
from detectors.baseline.season import Calendar, calendar_of, with_season
from detectors.baseline.slow import slow_of
from detectors.baseline.ties import caveat, with_growth
from detectors.columns import Codes, ColumnKind, ColumnSpec, Values
from detectors.errors import BaselineError

C = TypeVar("C", NumericColumn, CategoricalColumn)

COLLAPSE_SHARE = 0.99
"""Below this share of distinct values left, float32 is too coarse for a column."""
ROWS_PER_VALUE = 5
"""So many rows per distinct value on average make a column of few values discrete."""
BLOCK_ROWS = 16
"""A block of the reference has at least so many rows, unless there are fewer."""
TAIL_LEVELS = (0.002, 0.008, 0.02)
"""Bins at either end hold these shares of the rows together, fewer than others: a change of spread or of tails shows
there first. With 32 bins of equal shares a third of what one event tells of such a change would be lost."""
TAIL_ROWS = 20
"""But at least so many rows."""
TAIL_BINS = 16
"""Columns with fewer bins have equal ones."""
CLOCK_VALUES = 20
"""A column with more distinct values than this that never turns back is a clock."""


def compile_baseline(
    columns: Sequence[tuple[ColumnSpec, Values]],
    *,
    bins: int = 32,
    categories: int = 63,
    blocks: int = 160,
    ordered: bool = True,
    times: NDArray[np.int64] | None = None,
) -> CompiledBaseline:
    """Compile reference data into a baseline.

    Parameters
    ----------
    columns : sequence of (ColumnSpec, Values)
        Specs with different names, and their values, all with the same number of rows, in time order if there is one.
    bins : int, optional
        Regular bins of a numeric column, at most; from 2 to 1024.
    categories : int, optional
        Labels of a categorical column with a bin of their own, at most; from 1 to 1024.
    blocks : int, optional
        Contiguous blocks of rows whose counts are kept, to learn how much the reference varies by itself; from 1
        to 1000. A block has at least 16 rows, so that it does not tell what was in a row.
    ordered : bool, optional
        Whether the rows come in the order of time. Only then can be seen what ties rows together, such as sessions.
    times : ndarray of int64, shape (n_rows,), optional
        When each row was, in microseconds since 1970 in UTC: rows are put into this order, those of the same time in
        their given one. Where they span two weeks or more, columns that follow the hours get a seasonal profile.

    Returns
    -------
    CompiledBaseline
        The baseline and what a person should act on.

    Raises
    ------
    BaselineError
        When there are no columns or rows, names repeat, lengths differ, or an option is out of range; when there are
        times of rows that are in no order.

    Notes
    -----
    Rules for a numeric column. Values are compared as float32, unless that would merge more than one in a hundred
    distinct values; then as float64. With at most ``bins`` distinct values, each of which stands for five rows on
    average, every value has its own bin and all else inside the range is ``between``. Otherwise the bins end at
    quantiles, and a value that makes up two bins' worth of rows has one of its own. With no valid value at all there
    is one bin for ``any value``.

    A column gets a profile of 24 hours of the day (two weeks or more, with 384 rows) or of 168 hours of the week (four
    weeks or more, with 2,688 rows) if that makes days that had no part in it more likely: see
    ``detectors.baseline.season.chosen``.

    Time is that of sorting each column, memory that of one column at a time.

    Examples
    --------
    >>> spec = ColumnSpec(name="age", kind=ColumnKind.NUMERIC)
    >>> compiled = compile_baseline([(spec, np.arange(18.0, 82.0))], bins=4)
    >>> compiled.baseline.columns[0].bin_labels
    ('below', '[18, 34)', '[34, 50)', '[50, 66)', '[66, 81]', 'above', 'missing', 'invalid')
    """
    rows = _check(columns, bins, categories, blocks)
    bounds = np.linspace(0, rows, max(1, min(blocks, rows // BLOCK_ROWS)) + 1).astype(np.int64)
    block_of_row = np.repeat(np.arange(len(bounds) - 1), np.diff(bounds))
    calendar = None
    if times is not None:
        columns = _in_time(columns, times, rows, ordered=ordered)
        calendar = calendar_of(np.sort(times))
    order = _Order(block_of_row, scales_of(rows) if ordered else 0, calendar)
    compiled: list[Column] = []
    warnings: list[BaselineWarning] = row_findings(rows)
    for spec, values in columns:
        column, found = _column(spec, values, (bins, categories), order)
        compiled.append(column)
        warnings += found
    clocks = {warning.column for warning in warnings if warning.code == "clock"}
    compiled = with_growth(compiled, clocks)
    longer = caveat(compiled)
    if longer is not None:
        warnings.insert(0, BaselineWarning(None, "long_ties", longer))
    return CompiledBaseline(Baseline(columns=tuple(compiled), rows=rows, ordered=ordered), tuple(warnings))


def _in_time(
    columns: Sequence[tuple[ColumnSpec, Values]], times: NDArray[np.int64], rows: int, *, ordered: bool
) -> Sequence[tuple[ColumnSpec, Values]]:
    if times.shape != (rows,):
        raise BaselineError(f"times have shape {times.shape}; ({rows},) is needed, one for each row")
    if not ordered:
        raise BaselineError("times are given, but ordered is false: rows with times have an order")
    places = np.argsort(times, kind="stable")
    return [
        (spec, Codes(values.labels, values.codes[places]) if isinstance(values, Codes) else values[places])
        for spec, values in columns
    ]


@dataclass(frozen=True, slots=True)
class _Order:
    """Where each row lies in time."""

    block_of_row: NDArray[np.int64]
    scales: int
    """Lengths of stretches to look at; 0 when rows are in no order."""
    calendar: Calendar | None
    """When the rows were, if that may show a season."""


def _column(
    spec: ColumnSpec, values: Values, sizes: tuple[int, int], order: _Order
) -> tuple[Column, list[BaselineWarning]]:
    if isinstance(values, Codes):
        return _categorical(spec, values, sizes[1], order)
    return _numeric(spec, values, sizes[0], order)


def _check(columns: Sequence[tuple[ColumnSpec, Values]], bins: int, categories: int, blocks: int) -> int:
    limits = (("bins", bins, 2, BINS_MAX // 4), ("categories", categories, 1, BINS_MAX // 4))
    for name, value, low, high in (*limits, ("blocks", blocks, 1, BLOCKS_MAX)):
        if not low <= value <= high:
            raise BaselineError(f"{name} is {value}; it must be from {low} to {high}")
    if not 1 <= len(columns) <= COLUMNS_MAX:
        raise BaselineError(f"{len(columns)} columns; a baseline needs 1 to {COLUMNS_MAX}")
    lengths: dict[str, int] = {}
    for spec, values in columns:
        if spec.name in lengths:
            raise BaselineError(f"column {spec.name!r} stands twice")
        if isinstance(values, Codes) != (spec.kind is ColumnKind.CATEGORICAL):
            raise BaselineError(f"column {spec.name!r} is {spec.kind.value}, but its values are not")
        array = values.codes if isinstance(values, Codes) else values
        if array.ndim != 1:
            raise BaselineError(f"column {spec.name!r} has {array.ndim} dimensions; it must have 1")
        lengths[spec.name] = len(array)
    if len(set(lengths.values())) > 1:
        short, long = min(lengths, key=lengths.__getitem__), max(lengths, key=lengths.__getitem__)
        raise BaselineError(f"column {short!r} has {lengths[short]} rows, but {long!r} has {lengths[long]}")
    rows = next(iter(lengths.values()))
    if rows == 0:
        raise BaselineError("the reference data has no rows")
    return rows


# -- numeric --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Bins:
    """Where the regular bins of a numeric column are."""

    edges: Edges
    targets: NDArray[np.int32]
    singles: int


def _numeric(spec: ColumnSpec, values: Edges, bins: int, order: _Order) -> tuple[NumericColumn, list[BaselineWarning]]:
    finite = np.isfinite(values)
    valid = _at_resolution(values[finite], bins)
    ordered = np.sort(valid)
    distinct, repeats = np.unique(ordered, return_counts=True)
    layout = _layout(ordered, distinct, repeats, bins)
    regular = int(layout.targets.max()) + 1
    total = regular + 4 + int(np.any(layout.targets < 0))
    bin_of_row = np.full(len(values), total - 1, dtype=np.int64)
    bin_of_row[np.isnan(values)] = total - 2
    bin_of_row[finite] = 1 + layout.targets[np.searchsorted(layout.edges, valid, side="right") - 1]
    by_block = _by_block(bin_of_row, total, order.block_of_row)
    wide = valid.astype(np.float64)
    means, stds = _moments(bin_of_row[finite] - 1, wide, regular)
    whole_mean, whole_std = _moments(np.zeros(len(wide), dtype=np.int64), wide, 1)
    column = NumericColumn(
        spec=spec,
        edges=layout.edges,
        targets=layout.targets,
        counts=by_block.sum(axis=0),
        blocks=compact(by_block),
        inflation=NO_INFLATION,
        singles=layout.singles,
        bin_means=means,
        bin_stds=stds,
        mean=float(whole_mean[0]),
        std=float(whole_std[0]),
    )
    column = _over_time(column, bin_of_row, order)
    clock = len(distinct) > CLOCK_VALUES and _never_turns(valid)
    return column, column_findings(column, distinct=len(distinct), clock=clock)


def _at_resolution(valid: Edges, bins: int) -> Edges:
    """Cast to float32, which is twice as fast to sort, unless it cannot tell the values apart."""
    if valid.dtype == np.float32:
        return valid.astype(np.float32)
    wide = valid.astype(np.float64)
    with np.errstate(over="ignore"):
        narrow = wide.astype(np.float32)
    if not np.isfinite(narrow).all():
        return wide
    before, after = len(np.unique(wide)), len(np.unique(narrow))
    coarse = after < before if before <= bins else after < COLLAPSE_SHARE * before
    return wide if coarse else narrow


def _layout(ordered: Edges, distinct: Edges, repeats: NDArray[np.int64], bins: int) -> _Bins:
    if len(ordered) == 0:
        ends = np.array([np.finfo(np.float32).min, np.inf], dtype=np.float32)
        return _Bins(ends, np.zeros(1, dtype=np.int32), 0)
    if len(distinct) <= bins and len(ordered) >= ROWS_PER_VALUE * len(distinct):
        edges, targets = _one_bin_per_value(distinct)
        return _Bins(edges, targets, int(np.count_nonzero(repeats == 1)))
    starts = ordered[_ranks(len(ordered), bins)]
    heavy = distinct[repeats * bins >= 2 * len(ordered)]
    after_heavy = _after(heavy)
    after_heavy = after_heavy[after_heavy <= ordered[-1]]
    last = _after(ordered[-1:])
    edges = np.unique(np.concatenate([starts, after_heavy, last]))
    return _Bins(edges, np.arange(len(edges) - 1, dtype=np.int32), 0)


def _ranks(rows: int, bins: int) -> NDArray[np.int64]:
    """Return the rank of the first value of each bin: few values in the outermost bins, equally many in the others."""
    levels = TAIL_LEVELS if bins >= TAIL_BINS else ()
    lows = [0]
    for end in (int(level * rows) for level in levels):
        if end - lows[-1] >= TAIL_ROWS and end * bins < rows * len(lows):
            lows.append(end)
    tails = np.array(lows[1:], dtype=np.int64)
    first, middle = lows[-1], bins - 2 * len(tails)
    inner = first + (np.arange(middle) * (rows - 2 * first)) // middle
    return np.concatenate([[0] if len(tails) else [], tails[:-1], inner, rows - tails[::-1]]).astype(np.int64)


def _after(values: Edges) -> Edges:
    """Return the next larger numbers; after the largest one of its type comes infinity."""
    with np.errstate(over="ignore"):
        return np.nextafter(values, np.array(np.inf, dtype=values.dtype))


def _one_bin_per_value(distinct: Edges) -> tuple[Edges, NDArray[np.int32]]:
    edges = np.unique(np.concatenate([distinct, _after(distinct)]))
    place = np.searchsorted(distinct, edges[:-1])
    is_value = distinct[np.minimum(place, len(distinct) - 1)] == edges[:-1]
    return edges, np.where(is_value, place, -1).astype(np.int32)


def _moments(
    bin_of_value: NDArray[np.int64], values: NDArray[np.float64], bins: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and standard deviation per bin; where the sums overflow, the largest number stands for them."""
    number = np.maximum(np.bincount(bin_of_value, minlength=bins), 1)
    with np.errstate(over="ignore", invalid="ignore"):
        means = np.nan_to_num(np.bincount(bin_of_value, weights=values, minlength=bins) / number)
        squares = np.bincount(bin_of_value, weights=(values - means[bin_of_value]) ** 2, minlength=bins)
        stds = np.nan_to_num(np.sqrt(squares / number))
    return means, stds


def _never_turns(values: Edges) -> bool:
    return bool(np.all(values[1:] >= values[:-1])) or bool(np.all(values[1:] <= values[:-1]))


# -- categorical ----------------------------------------------------------------------------------------------------


def _categorical(
    spec: ColumnSpec, values: Codes, categories: int, order: _Order
) -> tuple[CategoricalColumn, list[BaselineWarning]]:
    codes = values.codes.astype(np.int64)
    if codes.min() < -2 or codes.max() >= len(values.labels):  # noqa: PLR2004 - -2 is the code of an invalid value
        raise BaselineError(f"column {spec.name!r} has codes outside -2 to {len(values.labels) - 1}")
    number = _rows_per_label(values.labels, codes)
    ranked = sorted(number, key=lambda label: (-number[label], label))
    labels = tuple(with_bins(ranked, number, categories))
    others = ranked[len(labels) : len(labels) + KNOWN_MAX]
    known = np.unique(np.fromiter((label_hash(label) for label in others), dtype=np.uint64, count=len(others)))
    # A label of one stretch only would not be known to who had not seen that stretch, and the next one brings its own.
    met = met_again(values.labels, codes, order.block_of_row)
    bins = {label: i for i, label in enumerate(labels)}
    bins |= {label: len(labels) for label in others if label in met}
    total = len(labels) + 4
    of_label = [bins.get(label, len(labels) + 1) for label in values.labels]
    # Codes -2 and -1 count from the end of this table: invalid and missing.
    table = np.array([*of_label, total - 1, total - 2], dtype=np.int64)
    bin_of_row = table[codes]
    by_block = _by_block(bin_of_row, total, order.block_of_row)
    column = CategoricalColumn(
        spec=spec,
        labels=labels,
        known=known,
        counts=by_block.sum(axis=0),
        blocks=compact(by_block),
        inflation=NO_INFLATION,
        singles=sum(1 for label in labels if number[label] == 1),
    )
    column = _over_time(column, bin_of_row, order)
    return column, column_findings(column, distinct=len(number), clock=False)


def _rows_per_label(labels: tuple[str, ...], codes: NDArray[np.int64]) -> dict[str, int]:
    per_code = np.bincount(codes[codes >= 0], minlength=len(labels)).tolist()
    number: dict[str, int] = {}
    for label, rows in zip(labels, per_code, strict=True):
        if rows:
            number[label] = number.get(label, 0) + rows
    return number


def _over_time(column: C, bin_of_row: NDArray[np.int64], order: _Order) -> C:
    """Add what the order of the rows tells: how they move together, fast or slowly, and whether they follow hours."""
    values = np.array([direction.values for direction in directions_of(column)])
    column = replace(column, inflation=inflation_of(values, bin_of_row, order.scales))
    column = replace(column, slow=slow_of(values, bin_of_row, (bin_of_row, len(column.counts)), column.inflation))
    return with_season(column, bin_of_row, order.block_of_row, order.calendar)


def _by_block(bin_of_row: NDArray[np.int64], bins: int, block_of_row: NDArray[np.int64]) -> NDArray[np.int64]:
    blocks = int(block_of_row[-1]) + 1
    return np.bincount(block_of_row * bins + bin_of_row, minlength=blocks * bins).reshape(blocks, bins).astype(np.int64)
