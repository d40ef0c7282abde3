"""Baseline and current histogram of one column, as rows that fit a page."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from service.console import words
from service.detect.baselines import ColumnView, share_limits

ROWS_MAX = 12
"""Bins per column that are shown; neighbours are merged, rare categories are summed up."""
NUMERIC_SPECIAL = frozenset({"below", "above", "between", "missing", "invalid"})
BAR_LENGTH = 62
"""Of the longest bar, in percent of the width."""
CATEGORICAL_SPECIAL = 4
"""The last bins of a categorical column: other, unseen, missing, invalid. A category may have such a name too."""
_INTERVAL = re.compile(r"\[(\S+), (\S+)[)\]]")


@dataclass(frozen=True, slots=True)
class Bar:
    """One bin, or several merged ones: shares between 0 and 1."""

    label: str
    baseline: float
    current: float | None
    """``None`` when there are no current events."""
    special: bool
    scale: float
    """The largest share of the histogram, so that both sides are drawn alike."""
    limits: tuple[float, float] | None = None
    """Between which the true current share lies, 95 of 100 times."""

    @property
    def baseline_width(self) -> float:
        """Length of the baseline's bar; the rest of 100 is room for the figure."""
        return round(BAR_LENGTH * self.baseline / self.scale, 1)

    @property
    def current_width(self) -> float:
        """Length of the current bar."""
        return round(BAR_LENGTH * (self.current or 0.0) / self.scale, 1)


@dataclass(slots=True)
class _Row:
    label: str
    baseline: int
    current: int
    special: bool


def bars(column: ColumnView, current: NDArray[np.int64], inflation: float = 1.0) -> tuple[Bar, ...]:
    """Lay both histograms side by side; special bins appear only when something is in them.

    ``inflation`` says how many events are worth one independent event.
    """
    rows = [
        _Row(label, sum(column.counts[p] for p in places), int(current[places].sum()), special=False)
        for label, places in _ordinary(column, current)
    ]
    rows += [
        _Row(column.bins[place], column.counts[place], int(current[place]), special=True)
        for place in special_places(column)
        if column.counts[place] or current[place]
    ]
    if rows and column.kind == "numeric":
        rows.sort(key=lambda row: row.label != "below")
    before, now = sum(row.baseline for row in rows), sum(row.current for row in rows)
    shares = [(row.baseline / max(before, 1), row.current / now if now else None) for row in rows]
    scale = max([1e-9, *(max(old, new or 0.0) for old, new in shares)])
    limits = share_limits([row.current for row in rows], now, inflation) if now else [None] * len(rows)
    return tuple(
        Bar(row.label, old, new, row.special, scale, ends)
        for row, (old, new), ends in zip(rows, shares, limits, strict=True)
    )


def special_places(column: ColumnView) -> list[int]:
    """Return the bins that hold what is not an ordinary value."""
    places = range(len(column.bins))
    if column.kind == "numeric":
        return [place for place in places if column.bins[place] in NUMERIC_SPECIAL]
    return list(places[-CATEGORICAL_SPECIAL:])


def _ordinary(column: ColumnView, current: NDArray[np.int64]) -> list[tuple[str, list[int]]]:
    """Return the bins to be shown as one row each, with what the row is called."""
    special = set(special_places(column))
    places = [place for place in range(len(column.bins)) if place not in special]
    if column.kind == "numeric":
        groups = _neighbours(places, [column.counts[place] for place in places])
        return list(zip(_interval_labels(column, groups), groups, strict=True))
    before, now = max(sum(column.counts), 1), max(int(current.sum()), 1)
    order = sorted(places, key=lambda p: -max(column.counts[p] / before, int(current[p]) / now))
    if len(order) <= ROWS_MAX:
        return [(column.bins[p], [p]) for p in places]
    shown, rest = order[: ROWS_MAX - 1], order[ROWS_MAX - 1 :]
    return [*((column.bins[p], [p]) for p in sorted(shown)), (f"{len(rest)} more", rest)]


def _neighbours(places: list[int], counts: list[int]) -> list[list[int]]:
    """Merge neighbours so that the baseline looks flat, as far as whole bins allow: outermost ones hold less."""
    rows = -(-len(places) // _merged(len(places)))
    middles = np.cumsum(counts) - np.array(counts) / 2.0
    whole = sum(counts)
    if rows == len(places) or not whole:
        size = _merged(len(places))
        return [places[at : at + size] for at in range(0, len(places), size)]
    row_of = np.floor(middles * rows / whole).astype(np.int64).tolist()
    return [[place for place, own in zip(places, row_of, strict=True) if own == row] for row in sorted(set(row_of))]


def _merged(bins: int) -> int:
    """Return how many neighbours make one row: the fewest that fit, evenly if that is possible."""
    fewest = max(1, -(-bins // ROWS_MAX))
    return next((size for size in range(fewest, 2 * fewest) if bins % size == 0), fewest)


def _interval_labels(column: ColumnView, groups: Sequence[Sequence[int]]) -> list[str]:
    """Name each run of neighbouring bins by where it begins and ends, all with the same number of decimals."""
    ends = [(_end(column.bins[group[0]], 1), _end(column.bins[group[-1]], 2)) for group in groups]
    known = [(low, high) for low, high in ends if low is not None and high is not None]
    narrow = sorted(high - low for low, high in known)
    width = narrow[len(narrow) // 2] if narrow else 0.0
    return [
        column.bins[group[0]] if low is None or high is None else words.interval(low, high, width)
        for group, (low, high) in zip(groups, ends, strict=True)
    ]


def _end(label: str, side: int) -> float | None:
    """Return where a bin begins (1) or ends (2); a bin of one value does both there."""
    found = _INTERVAL.fullmatch(label)
    try:
        return float(found[side] if found else label)
    except ValueError:
        return None
