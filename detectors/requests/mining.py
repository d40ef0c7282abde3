"""Rules that hold for every request of a reference, and not by chance."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from detectors.requests.constraints import COLUMNS_MAX, EQUAL_WITHIN, Constraint, Kind, plain, reduced

ROWS_MIN = 100
"""With fewer reference requests nothing is learnt."""
RELATED_MAX = 32
"""Relations are looked for among so many columns, the first ones."""
DISTINCT_MIN = 10
"""An equality of columns with fewer distinct values would say little."""
CHANCE_MIN = 20.0
"""An order is a rule where, if the columns had nothing to do with each other, so many requests would break it."""
CHANCE_ROWS = 1_000
STEPS_MAX = 2_000
"""Tries to find groups of which one is 1."""
SAMPLE = 8
BINARY_MAX = 64


def mine(names: Sequence[str], values: NDArray[np.floating]) -> tuple[Constraint, ...]:
    """Find the rules that all reference requests keep.

    Parameters
    ----------
    names : sequence of str
        Numeric columns.
    values : ndarray of shape (len(names), n)
        Of the reference; what is not finite is missing.

    Returns
    -------
    tuple of Constraint
        Equalities, groups of which one is 1, orders, whole numbers, ranges; nothing with fewer than 100 requests.

    Notes
    -----
    A range is that of the reference, so later requests leave it now and then: one in ``n / 2`` for each column. How
    often rules are broken by requests that they were not learnt from is for the caller to find out. Time is about
    0.3 s for 25 columns and 20,000 requests.

    Examples
    --------
    >>> net = np.arange(200.0) % 41 + 0.5
    >>> tax = np.arange(200.0) % 29 * 0.25
    >>> [one.name for one in mine(("net", "tax", "total"), np.array([net, tax, net + tax]))][:1]
    ['total = net + tax']
    """
    if values.shape[1] < ROWS_MIN:
        return ()
    columns = plain(values)
    enough = np.isfinite(columns).sum(axis=1) >= ROWS_MIN
    ranges = [
        Constraint(kind=Kind.RANGE, columns=(name,), low=float(np.nanmin(row)), high=float(np.nanmax(row)))
        for name, row, known in zip(names, columns, enough, strict=True)
        if known
    ]
    whole = [
        Constraint(kind=Kind.INTEGER, columns=(name,))
        for name, row, known in zip(names, columns, enough, strict=True)
        if known and not np.any(row != np.rint(row), where=np.isfinite(row)) and _distinct(row) > 1
    ]
    binary = [i for i in np.flatnonzero(enough).tolist() if _binary(columns[i])][:BINARY_MAX]
    groups = [
        Constraint(kind=Kind.ONE_HOT, columns=tuple(names[i] for i in group)) for group in _groups(columns, binary)
    ]
    related = [i for i in np.flatnonzero(enough).tolist() if i not in binary][:RELATED_MAX]
    equal = _equalities(names, columns, related)
    return reduced([*equal, *groups, *_orders(names, columns, related), *whole, *ranges])


def _distinct(row: NDArray[np.float64]) -> int:
    return len(np.unique(row[np.isfinite(row)]))


def _binary(row: NDArray[np.float64]) -> bool:
    finite = row[np.isfinite(row)]
    return bool(((finite == 0.0) | (finite == 1.0)).all() and finite.min() < finite.max())


def _groups(columns: NDArray[np.float64], binary: Sequence[int]) -> list[tuple[int, ...]]:
    """Return groups of columns of which exactly one is 1 in every request; no column is in two of them."""
    own = columns[list(binary)]
    rows = own[:, np.isfinite(own).all(axis=0)]
    if len(binary) < 2 or rows.shape[1] < ROWS_MIN:  # noqa: PLR2004 - a group has two
        return []
    patterns = np.unique(rows, axis=1) == 1.0
    found: list[tuple[int, ...]] = []
    free, steps = list(range(len(binary))), [STEPS_MAX]
    for first in range(len(binary)):
        if first in free:
            group = _cover(patterns, [first], free, steps)
            if group is not None:
                found.append(tuple(binary[i] for i in sorted(group)))
                free = [i for i in free if i not in group]
    return found


def _cover(
    patterns: NDArray[np.bool_], group: list[int], free: Sequence[int], steps: list[int]
) -> tuple[int, ...] | None:
    """Complete a group so that each pattern has exactly one of its columns; ``None`` when nothing does."""
    covered = patterns[group].any(axis=0)
    if covered.all():
        return tuple(group)
    steps[0] -= 1
    if steps[0] < 0 or len(group) >= COLUMNS_MAX:
        return None
    bare = int(np.flatnonzero(~covered)[0])
    for i in free:
        if patterns[i, bare] and not (patterns[i] & covered).any():
            found = _cover(patterns, [*group, i], free, steps)
            if found is not None:
                return found
    return None


def _equalities(names: Sequence[str], columns: NDArray[np.float64], related: Sequence[int]) -> list[Constraint]:
    varied = [i for i in related if _distinct(columns[i]) >= DISTINCT_MIN]
    found: list[Constraint] = []
    copies: set[int] = set()
    for place, i in enumerate(varied):
        for j in varied[:place]:
            factor = None if j in copies else _factor(columns[i], columns[j])
            if factor is not None:
                found.append(Constraint(kind=Kind.EQUAL, columns=(names[i], names[j]), factor=factor))
                copies.add(i)
                break
    rest = [i for i in varied if i not in copies]
    return found + [Constraint(kind=Kind.EQUAL, columns=tuple(names[i] for i in one)) for one in _sums(columns, rest)]


def _factor(first: NDArray[np.float64], second: NDArray[np.float64]) -> float | None:
    """Return how many times the second column the first one is; ``None`` when it is no number."""
    both = np.isfinite(first) & np.isfinite(second)
    if np.count_nonzero(both) < ROWS_MIN:
        return None
    own, other = first[both], second[both]
    largest = int(np.abs(other).argmax())
    with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
        exact = float(own[largest] / other[largest])
    for factor in (float(f"{exact:.6g}"), exact):
        if np.isfinite(factor) and factor != 0.0 and not _off(own, factor * other, abs(factor) * np.abs(other)):
            return factor
    return None


def _sums(columns: NDArray[np.float64], rest: Sequence[int]) -> list[tuple[int, int, int]]:
    found = []
    full = np.flatnonzero(np.isfinite(columns[list(rest)]).all(axis=0)) if len(rest) else np.zeros(0, np.int64)
    if len(full) < ROWS_MIN:
        return []
    few = full[np.linspace(0, len(full) - 1, SAMPLE).astype(np.int64)]
    heads = columns[list(rest)][:, few]
    for b, i in enumerate(rest):
        for c in range(b):
            total, size = heads[b] + heads[c], np.abs(heads[b]) + np.abs(heads[c])
            close = (np.abs(heads - total) <= EQUAL_WITHIN * (np.abs(heads) + size)).all(axis=1)
            for a in np.flatnonzero(close).tolist():
                j, k = rest[c], rest[a]
                sizes = np.abs(columns[i, full]) + np.abs(columns[j, full])
                if a not in {b, c} and not _off(columns[k, full], columns[i, full] + columns[j, full], sizes):
                    found.append((k, j, i))
    return found


def _off(first: NDArray[np.float64], second: NDArray[np.float64], size: NDArray[np.float64]) -> bool:
    return bool((np.abs(first - second) > EQUAL_WITHIN * (np.abs(first) + size)).any())


def _orders(names: Sequence[str], columns: NDArray[np.float64], related: Sequence[int]) -> list[Constraint]:
    count = len(related)
    holds = np.zeros((count, count), np.bool_)
    for a, i in enumerate(related):
        for b, j in enumerate(related):
            holds[a, b] = a != b and _ordered(columns[i], columns[j])
    # What follows from two others is not said again; columns that are the same are equal, not ordered.
    holds &= ~holds.T
    holds &= ~((holds[:, :, None] & holds[None, :, :]).any(axis=1))
    return [
        Constraint(kind=Kind.ORDER, columns=(names[related[a]], names[related[b]]))
        for a, b in np.argwhere(holds).tolist()
    ]


def _ordered(first: NDArray[np.float64], second: NDArray[np.float64]) -> bool:
    """Tell whether the first column is never above the second one, and would be if they were not related."""
    if (first > second).any():
        return False
    both = np.isfinite(first) & np.isfinite(second)
    rows = int(np.count_nonzero(both))
    if rows < ROWS_MIN:
        return False
    step = max(1, rows // CHANCE_ROWS)
    own, other = np.sort(first[both][::step]), second[both][::step]
    above = len(own) - np.searchsorted(own, other, side="right")
    return float(above.mean()) / len(own) * rows >= CHANCE_MIN
