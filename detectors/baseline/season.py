"""Whether a column follows the hours, and what is normal at each: chosen on days that had no part in the profile."""

from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from detectors.baseline.bins import CategoricalColumn, Column, NumericColumn, compact
from detectors.baseline.directions import Direction, directions_of, pseudo_counts
from detectors.baseline.inflation import ratios_of
from detectors.baseline.profile import (
    BINS_MAX,
    DAY_HOURS,
    HOUR_US,
    MONDAY,
    WEEK_HOURS,
    Season,
    shares_in,
    transport,
)
from detectors.baseline.slow import slow_of
from detectors.stretches import GRID

C = TypeVar("C", NumericColumn, CategoricalColumn)

DAYS_MIN = 14
"""The hour of the day needs a reference that spans so many days, and has rows on as many."""
WEEKS_MIN = 4
"""The hour of the week needs so many weeks, and rows on five days of each on average."""
WORKDAYS = 5
SLOT_ROWS_MIN = 16
"""A slot with fewer rows is not known: so few would tell what was in a row."""
FOLDS = 5
MARGIN = 4.0
"""The gain per day must be so many of its standard errors above none."""
GAIN_MIN = 5.0
"""Nats that a profile must gain in all."""
GAIN_PLENTY = 0.1
"""Nats per row that make a profile worth having in any case: a fifth of the variance."""
TIED_MAX = 0.9
"""One that gains less must leave no more than this of how much sums over many rows vary: otherwise it explains what is
not worth it, such as a year in which a few night hours are missing in winter."""
TINY = 1e-9
"""Pseudo-count of every bin when profiles are compared. A bin that others never hit costs a profile the same whatever
this is; a larger one would favour profiles, which have no pseudo-count of their own."""
GAIN_GRID = 2.0**-20
GOLDEN = (5.0**0.5 - 1.0) / 2.0
"""Multiples of it, less their whole part, are spread evenly between 0 and 1."""


@dataclass(frozen=True, slots=True, eq=False)
class Calendar:
    """When the rows of a reference were.

    Parameters
    ----------
    hours : ndarray of int64, shape (n_rows,)
        Hour of the week, 0 to 167.
    days : ndarray of int64, shape (n_rows,)
        Days with rows, numbered from 0.
    folds : ndarray of int64, shape (n_rows,)
        Whole days or weeks that are left out together.
    slots : tuple of int
        The profiles that the span allows: 24, then 168.
    """

    hours: NDArray[np.int64]
    days: NDArray[np.int64]
    folds: NDArray[np.int64]
    slots: tuple[int, ...]

    @property
    def days_seen(self) -> int:
        """How many days have rows."""
        return int(self.days[-1]) + 1


def calendar_of(times_us: NDArray[np.int64]) -> Calendar | None:
    """Read the calendar off the times of the reference.

    Parameters
    ----------
    times_us : ndarray of int64, shape (n_rows,)
        Microseconds since 1970 in UTC, in order.

    Returns
    -------
    Calendar or None
        None when the span allows no profile: less than 14 days, or fewer than 16 rows an hour of the day.

    Examples
    --------
    >>> hourly = np.arange(24 * 20) * HOUR_US
    >>> calendar_of(hourly).slots, calendar_of(hourly[:300])
    ((24,), None)
    """
    hours = times_us // HOUR_US
    span = int(hours[-1] - hours[0]) + 1
    day_numbers, days = np.unique(hours // DAY_HOURS, return_inverse=True)
    rows = len(times_us)
    if span < DAYS_MIN * DAY_HOURS or len(day_numbers) < DAYS_MIN or rows < DAY_HOURS * SLOT_ROWS_MIN:
        return None
    weekly = span >= WEEKS_MIN * WEEK_HOURS and len(day_numbers) >= WEEKS_MIN * WORKDAYS
    weekly = weekly and rows >= WEEK_HOURS * SLOT_ROWS_MIN
    unit = (hours - hours[0]) // (WEEK_HOURS if weekly else DAY_HOURS)
    folds = unit % (min(FOLDS, WEEKS_MIN) if weekly else FOLDS)
    slots = (DAY_HOURS, WEEK_HOURS) if weekly else (DAY_HOURS,)
    return Calendar((hours + MONDAY) % WEEK_HOURS, days.astype(np.int64), folds, slots)


def overall_shares(column: Column) -> NDArray[np.float64]:
    """Return the smoothed shares of a column's bins.

    Parameters
    ----------
    column : NumericColumn or CategoricalColumn
        Of a baseline.

    Returns
    -------
    ndarray of float64, shape (n_bins,)
        Positive, with sum 1.
    """
    smoothed = column.counts + pseudo_counts(column)
    return np.asarray(smoothed / smoothed.sum())


def settled(column: Column) -> Column:
    """Take the season from a column.

    Parameters
    ----------
    column : NumericColumn or CategoricalColumn
        Of a baseline.

    Returns
    -------
    NumericColumn or CategoricalColumn
        Counts, blocks and inflation as the reference has them once its season is taken away; the same column when it
        has none.
    """
    season = column.season
    if season is None:
        return column
    counts = season.blocks.sum(axis=0, dtype=np.int64)
    own = {"counts": counts, "blocks": season.blocks, "inflation": season.inflation, "slow": season.slow}
    return replace(column, **own, season=None)


def slot_directions(
    directions: tuple[Direction, ...], slots: NDArray[np.float64], moves: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the directions as they look in slots.

    Parameters
    ----------
    directions : tuple of Direction
        Of the column without its season.
    slots : ndarray of float64, shape (n_slots, n_bins)
        Shares of the bins in each slot.
    moves : ndarray of float64, shape (n_slots, n_bins, n_bins)
        From ``transport``.

    Returns
    -------
    ndarray of float64, shape (n_slots, n_directions, n_bins)
        Each with mean zero under its slot's shares. Shapes and tails follow the rank within the slot; a special bin
        or a label is compared with its own share in the slot.
    """
    values = np.array([direction.values for direction in directions])
    alone = np.array([direction.family in {"special", "label"} for direction in directions])
    found = np.matmul(moves, values.T).transpose(0, 2, 1)
    found[:, alone] = values[alone]
    return np.asarray(found - np.einsum("sk,sdk->sd", slots, found)[:, :, None])


def with_season(
    column: C, bin_of_row: NDArray[np.int64], block_of_row: NDArray[np.int64], calendar: Calendar | None
) -> C:
    """Give a column a profile if it follows the hours.

    Parameters
    ----------
    column : NumericColumn or CategoricalColumn
        As compiled, with its inflation.
    bin_of_row : ndarray of int64, shape (n_rows,)
        The bin of each reference row, in time order.
    block_of_row : ndarray of int64, shape (n_rows,)
        The block of each row.
    calendar : Calendar or None
        When the rows were.

    Returns
    -------
    NumericColumn or CategoricalColumn
        With a profile, or the same.

    Notes
    -----
    Time is a few passes over the rows, and with a profile one sort of them and that of the inflation again.
    """
    if calendar is None or len(column.counts) > BINS_MAX:
        return column
    slots, gain = chosen(bin_of_row, len(column.counts), calendar)
    if not slots:
        return column
    bins, overall = len(column.counts), overall_shares(column)
    cell_of_row = calendar.hours % slots * bins + bin_of_row
    counts = np.bincount(cell_of_row, minlength=slots * bins).reshape(slots, bins)
    plain = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    counts[counts.sum(axis=1) < SLOT_ROWS_MIN] = 0
    shares = shares_in(counts, overall)
    moves = transport(shares, overall, column.ordered)
    settled_rows = _settled_rows(cell_of_row, moves)
    blocks = int(block_of_row[-1]) + 1
    by_block = np.bincount(block_of_row * bins + settled_rows, minlength=blocks * bins).reshape(blocks, bins)
    season = Season(counts=compact(counts), blocks=compact(by_block), inflation=column.inflation, gain=gain)
    found = replace(column, season=season)
    values = slot_directions(directions_of(settled(found)), shares, moves)
    # What shrinking moved is tolerated in each slot: it ties no rows together.
    values -= np.einsum("sk,sdk->sd", plain, values)[:, :, None]
    flat = values.transpose(1, 0, 2).reshape(values.shape[1], -1)
    ratios = ratios_of(flat, cell_of_row, column.inflation.shape[1])
    ratios *= _given_back(len(cell_of_row), slots, calendar.days_seen * DAY_HOURS / slots, ratios.shape[1])
    # Of all directions together: settled rows were spread over bins, which makes them look too independent.
    inflation = np.round(np.vstack([ratios, ratios.mean(axis=0)]) / GRID) * GRID
    # By so much the variance that a row leaves open falls, of a normal distribution with this gain.
    left = np.exp(-2.0 * gain)
    if gain < GAIN_PLENTY and left * _tied(inflation) > TIED_MAX * _tied(column.inflation):
        return column
    slow = slow_of(flat, cell_of_row, (settled_rows, bins), inflation)
    return replace(column, season=replace(season, inflation=inflation, slow=slow))


def chosen(bin_of_row: NDArray[np.int64], bins: int, calendar: Calendar) -> tuple[int, float]:
    """Choose among no profile, the hour of the day, and the hour of the week, by held-out likelihood.

    Parameters
    ----------
    bin_of_row : ndarray of int64, shape (n_rows,)
        The bin of each reference row.
    bins : int
        Number of bins.
    calendar : Calendar
        When the rows were.

    Returns
    -------
    slots : int
        0, 24 or 168.
    gain : float
        Nats per row that the profile gains over none; 0 without one.

    Notes
    -----
    Each fold of whole days (of whole weeks, where the hour of the week is in question) is judged by a profile of the
    others. A profile is taken when its gain per day is four standard errors above none (the hour of the week: also
    above the hour of the day). A column that follows no hours loses on average, by what a profile learns in vain.
    """
    table = (calendar.folds * WEEK_HOURS + calendar.hours) * bins + bin_of_row
    folds = int(calendar.folds.max()) + 1
    counts = np.bincount(table, minlength=folds * WEEK_HOURS * bins).reshape(folds, WEEK_HOURS, bins)
    found, gain, best = 0, 0.0, np.zeros(calendar.days_seen)
    for slots in calendar.slots:
        by_day = _gains(counts, bin_of_row, slots, calendar)
        if _better(by_day) and _better(by_day - best):
            found, gain, best = slots, float(by_day.sum()) / len(bin_of_row), by_day
    return found, round(gain / GAIN_GRID) * GAIN_GRID


def _gains(
    counts: NDArray[np.int64], bin_of_row: NDArray[np.int64], slots: int, calendar: Calendar
) -> NDArray[np.float64]:
    """Return by how many nats each day became more likely."""
    folds, _, bins = counts.shape
    own = counts.reshape(folds, WEEK_HOURS // slots, slots, bins).sum(axis=1)
    rest = own.sum(axis=0) - own
    plain = rest.sum(axis=1) + TINY
    plain /= plain.sum(axis=1, keepdims=True)
    ratio = np.log(shares_in(rest, plain[:, None, :]) / plain[:, None, :])
    place = (calendar.folds * slots + calendar.hours % slots) * bins + bin_of_row
    return np.bincount(calendar.days, weights=ratio.ravel()[place]).astype(np.float64)


def _better(by_day: NDArray[np.float64]) -> bool:
    total, error = float(by_day.sum()), float(by_day.std(ddof=1)) * len(by_day) ** 0.5
    return bool(total > max(GAIN_MIN, MARGIN * error))


def _settled_rows(cell_of_row: NDArray[np.int64], moves: NDArray[np.float64]) -> NDArray[np.int64]:
    """Give each row the bin that it counts in without its season; rows of one cell are spread evenly over theirs."""
    bins = moves.shape[1]
    order = np.argsort(cell_of_row, kind="stable")
    ordered = cell_of_row[order]
    number = np.arange(len(ordered)) - np.searchsorted(ordered, ordered)
    place = np.empty(len(ordered))
    place[order] = (0.5 + number * GOLDEN) % 1.0
    ends = np.cumsum(moves.reshape(-1, bins), axis=1)
    ends[:, -1] = 1.0
    flat = (ends + np.arange(len(ends))[:, None]).ravel()
    found = np.searchsorted(flat, cell_of_row + place, side="right") - cell_of_row * bins
    return np.asarray(np.minimum(found, bins - 1))


def _tied(inflation: NDArray[np.float64]) -> float:
    """Return how much rows move together: the largest inflation over all lengths, on average over the directions."""
    return float(inflation[:-1].max(axis=1).mean())


def _given_back(rows: int, slots: int, cycles: float, scales: int) -> NDArray[np.float64]:
    """Return by what the inflation must be multiplied because the profile was learned from the same rows.

    Of independent rows the mean of a slot takes away the share 1 / (rows in it), once for each of its rows in a
    stretch; ``ratios_of`` has corrected for the one mean of all rows instead.
    """
    lengths = 2.0 ** np.arange(1, scales + 1)
    lost = np.minimum(lengths * slots / rows, 1.0 / max(cycles, 2.0))
    return np.asarray((1.0 - lengths / rows) / (1.0 - np.maximum(lost, lengths / rows)))
