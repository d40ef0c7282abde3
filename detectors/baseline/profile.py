"""Seasonal profiles: what is normal at an hour of the day, or of the week.

A *slot* is an hour in UTC: one of 24 of the day, or one of 168 of the week, which begins on Monday. A column with a
profile has its own shares of the bins in each slot. An event is then judged by where it lies among the events of its
slot: ``transport`` moves a slot's shares onto those of the column as a whole, so that what is known of the column
(directions, how rows move together, how blocks differ) holds in every slot alike.

The *season* of a tick is one integer: the hour of the week in which it begins, plus 168 for each further hour that it
reaches into.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detectors.baseline.slow import Slow

HOUR_US = 3_600_000_000
DAY_HOURS = 24
WEEK_HOURS = 168
MONDAY = 72
"""1970 begins on a Thursday, so many hours after the beginning of a week."""
SHRINK_ROWS = 16.0
"""A slot's shares are mixed with so many rows' worth of the column's overall ones."""
BINS_MAX = 128
"""Columns with more bins have no profile: moving events between bins takes their square in memory."""
NAMES = {DAY_HOURS: "hour of the day", WEEK_HOURS: "hour of the week"}


@dataclass(frozen=True, kw_only=True, eq=False)
class Season:
    """The seasonal profile of a column.

    Parameters
    ----------
    counts : ndarray of unsigned integers, shape (n_slots, n_bins)
        Reference rows per slot and bin; 24 or 168 slots. All zero in a slot with fewer than 16 rows.
    blocks : ndarray of unsigned integers, shape (n_blocks, n_bins)
        The rows of each block of the reference by the bin that they fall into once their season is taken away.
    inflation : ndarray of float64, shape (n_directions + 1, n_scales)
        How much more the rows move together than independent ones would, measured against their slots.
    gain : float
        By how many nats a row became more likely, on days that had no part in the profile.
    slow : Slow or None, optional
        The course over the reference of what the profile leaves.

    Notes
    -----
    Memory is ``n_slots * n_bins`` numbers of the smallest type that holds them, and that of the blocks again: 1 to
    2 kB for the hours of the day, 6 to 12 kB for those of the week.
    """

    counts: NDArray[np.unsignedinteger[Any]]
    blocks: NDArray[np.unsignedinteger[Any]]
    inflation: NDArray[np.float64]
    gain: float
    slow: Slow | None = None

    @property
    def slots(self) -> int:
        """How many slots there are: 24 or 168."""
        return len(self.counts)

    @property
    def name(self) -> str:
        """What the column follows: ``hour of the day`` or ``hour of the week``."""
        return NAMES[self.slots]


def seasons_of(starts_us: NDArray[np.int64], length_us: int) -> NDArray[np.int64]:
    """Return the seasons of ticks.

    Parameters
    ----------
    starts_us : ndarray of int64, shape (n_ticks,)
        When each begins, in microseconds since 1970 in UTC.
    length_us : int
        Length of a tick; at least 1.

    Returns
    -------
    ndarray of int64, shape (n_ticks,)
        From 0 to 168**2 - 1: the hour of the week that a tick begins in, plus 168 for each further one.

    Examples
    --------
    >>> seasons_of(np.array([0, 3 * HOUR_US - 1]), HOUR_US)  # a Thursday
    array([ 72, 242])
    """
    first = starts_us // HOUR_US
    further = np.minimum((starts_us + (length_us - 1)) // HOUR_US - first, WEEK_HOURS - 1)
    return np.asarray((first + MONDAY) % WEEK_HOURS + WEEK_HOURS * further)


def season_of(start_us: int, length_us: int) -> int:
    """Return the season of one tick.

    Parameters
    ----------
    start_us : int
        When it begins, in microseconds since 1970 in UTC.
    length_us : int
        Its length; at least 1.

    Returns
    -------
    int
        As from ``seasons_of``.

    Examples
    --------
    >>> season_of(0, 1_000_000), season_of(0, 24 * HOUR_US)
    (72, 3936)
    """
    first = start_us // HOUR_US
    further = min((start_us + length_us - 1) // HOUR_US - first, WEEK_HOURS - 1)
    return (first + MONDAY) % WEEK_HOURS + WEEK_HOURS * further


def slots_in(season: int, slots: int) -> NDArray[np.int64]:
    """Return the slots that a tick reaches into.

    Parameters
    ----------
    season : int
        Of the tick.
    slots : int
        How many there are: 24 or 168.

    Returns
    -------
    ndarray of int64, shape (n_covered,)
        Each once.

    Examples
    --------
    >>> slots_in(72 + 23, 24), slots_in(167 + 168, 24), len(slots_in(7 + 168 * 30, 24))
    (array([23]), array([23,  0]), 24)
    """
    covered = min(season // WEEK_HOURS + 1, slots)
    return np.asarray((season % WEEK_HOURS + np.arange(covered)) % slots)


def shares_in(
    counts: NDArray[np.floating[Any]] | NDArray[np.int64], overall: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the shares of the bins in slots, shrunk towards the column's overall ones.

    Parameters
    ----------
    counts : ndarray, shape (..., n_bins)
        Rows per bin, of one or several slots.
    overall : ndarray of float64, shape (..., n_bins)
        Positive, with sum 1.

    Returns
    -------
    ndarray of float64, shape (..., n_bins)
        Positive, with sum 1; the overall ones where a slot has no rows.

    Examples
    --------
    >>> shares_in(np.array([[16, 0], [0, 0]]), np.array([0.5, 0.5]))
    array([[0.75, 0.25],
           [0.5 , 0.5 ]])
    """
    rows = counts.sum(axis=-1, keepdims=True)
    return np.asarray((counts + SHRINK_ROWS * overall) / (rows + SHRINK_ROWS))


def transport(slots: NDArray[np.float64], overall: NDArray[np.float64], ordered: int) -> NDArray[np.float64]:
    """Move the shares of slots onto the overall ones.

    Parameters
    ----------
    slots : ndarray of float64, shape (n_slots, n_bins)
        Shares of the bins in each slot: positive, with sum 1.
    overall : ndarray of float64, shape (n_bins,)
        Shares of the bins of the column: positive, with sum 1.
    ordered : int
        So many leading bins are in the order of the values; 0 for labels.

    Returns
    -------
    ndarray of float64, shape (n_slots, n_bins, n_bins)
        ``T[s, k]`` says how an event in bin ``k`` of slot ``s`` counts in the bins of the column: numbers of at least
        0 with sum 1, such that ``slots[s] @ T[s]`` is ``overall``.

    Notes
    -----
    Ordered bins keep their order: an event goes to where its rank within the slot lies among all events. Other bins
    keep as many events as they may, and what is too much goes to those that lack some.

    Examples
    --------
    >>> transport(np.array([[0.25, 0.75]]), np.array([0.5, 0.5]), 2).round(2)
    array([[[1.  , 0.  ],
            [0.33, 0.67]]])
    """
    bins = len(overall)
    if not ordered:
        return _kept(slots, overall)
    mass = np.concatenate([slots[:, :ordered].sum(axis=1, keepdims=True), slots[:, ordered:]], axis=1)
    whole = np.concatenate([overall[:ordered].sum(keepdims=True), overall[ordered:]])
    between = _kept(mass, whole)
    inner = slots[:, :ordered] / mass[:, :1]
    target = overall[:ordered] / whole[0]
    found = np.empty((len(slots), bins, bins))
    found[:, :ordered, :ordered] = between[:, 0, 0, None, None] * _in_order(inner, target)
    found[:, :ordered, ordered:] = between[:, 0, None, 1:]
    found[:, ordered:, :ordered] = between[:, 1:, 0, None] * target
    found[:, ordered:, ordered:] = between[:, 1:, 1:]
    return found


def _kept(slots: NDArray[np.float64], overall: NDArray[np.float64]) -> NDArray[np.float64]:
    leaves = np.maximum(slots - overall, 0.0) / slots
    lacks = np.maximum(overall - slots, 0.0)
    total = lacks.sum(axis=1, keepdims=True)
    goes = np.divide(lacks, total, out=np.zeros_like(lacks), where=total > 0.0)
    leaves = np.where(total > 0.0, leaves, 0.0)
    stays = (1.0 - leaves)[:, :, None] * np.eye(len(overall))
    return np.asarray(stays + leaves[:, :, None] * goes[:, None, :])


def _in_order(slots: NDArray[np.float64], overall: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return for each bin of a slot which share of its ranks lies in each bin of the column."""
    ends, all_ends = np.cumsum(slots, axis=1), np.cumsum(overall)
    ends[:, -1], all_ends[-1] = 1.0, 1.0
    begins = np.concatenate([np.zeros((len(slots), 1)), ends[:, :-1]], axis=1)
    all_begins = np.concatenate([[0.0], all_ends[:-1]])
    shared = np.minimum(ends[:, :, None], all_ends) - np.maximum(begins[:, :, None], all_begins)
    shared = np.maximum(shared, 0.0)
    # A share too small for float64 to tell its beginning from its end stays where it is.
    total = np.repeat(shared.sum(axis=2, keepdims=True), len(overall), axis=2)
    alone = np.broadcast_to(np.eye(len(overall)), shared.shape).copy()
    return np.asarray(np.divide(shared, total, out=alone, where=total > 0.0))
