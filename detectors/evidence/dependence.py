"""Rows that move together: how many of them are worth one, and what exponent makes bets on them honest.

A bet that is fair for independent events wins without any change when events come in groups: in a session of twenty
alike events it is paid twenty times for the same news. Raised to a power ``eta`` below 1 it is honest again.

The exponent follows from the variance inflation ``tau`` of the bet's direction (see ``detectors.baseline.inflation``).
For Gaussian sums, ``E[exp(eta * sum)] <= 1`` exactly when ``eta <= 1 / tau``. Bets with large stakes are not Gaussian:
for them the stream with inflation ``tau`` that repeats each event a geometric number of times (with probability
``a = (tau - 1) / (tau + 1)`` of one more) serves as the model. A bet ``b`` on such a group pays, on average over its
size, ``phi(b) = (1 - a) * b**eta / (1 - a * b**eta)``. ``eta`` is the largest exponent at which a straight line through
``(1, 1)`` lies above ``phi`` in all bins. Then every distribution under which ``b`` does not win, and not only the
baseline, keeps ``phi`` from winning too. For small stakes that is ``1 / tau`` again; for repeats in fixed groups of
``m`` alike events it is below ``1 / m``, at which Jensen's inequality proves the same.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import chdtrc, chdtri, gammainc

from detectors.baseline import Baseline, Column
from detectors.baseline.directions import Direction, directions_of

LEVEL = 3e-4
"""Stretches of one length that vary more than independent rows would in this share of cases, divided by the number of
directions, show dependence."""
LEVEL_ROWS = 2_000
"""A reference with fewer rows has less power to show it, so the level is as many times larger, up to four."""
UPPER = 0.9
"""The inflation used is the upper limit of a one-sided interval with this confidence, the largest over all lengths."""
UNLIKELY = 0.999
"""Longer stretches have a larger inflation when its lower limit with this confidence is above that of shorter ones."""
FURTHER = 3
"""Lengths count up to the shortest one after which the inflation does not grow for certain, and three more."""
SUPPORT = 50.0
"""A direction with so few independent events in the reference takes the largest inflation of its column."""
SHORT = 4.0
"""Natural variation is what remains when the inflation of stretches shorter than a block by this factor is known."""
LONG = 32.0
"""Where the inflation of stretches longer than this part of the reference has not levelled off ..."""
SPAN = 16.0
"""... it is taken for what it would be for stretches so many times as long: about all of the reference."""
ETA_GRID = 2.0**-12
"""Exponents are rounded down to multiples of this."""
STEPS = 24
TINY = 1e-9
BLOCKS = 20
"""The reference is cut into so many blocks to see how it varies by nature."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Dependence:
    """How many rows of a column are worth one independent row, by direction.

    Parameters
    ----------
    error : ndarray of float64, shape (n_directions,)
        At least 1: by this the variance of the baseline's mean is larger than for independent rows.
    bets : ndarray of float64, shape (n_directions,)
        The same for sums over one tick or more; what exponents follow from.
    short : ndarray of float64, shape (n_directions,)
        The same for stretches much shorter than a block.
    overall : float
        Mean of ``error`` over all directions that the bins allow.
    least : float
        What that mean is at least, with 99.9 % confidence for each length.
    largest : float
        Largest ``error`` of a direction that the reference supports.
    largest_bets : float
        The same of ``bets``.
    """

    error: NDArray[np.float64]
    bets: NDArray[np.float64]
    short: NDArray[np.float64]
    overall: float
    least: float
    largest: float
    largest_bets: float


class Inflations(NamedTuple):
    """How many events of a column are worth one independent event, at least 1, per column.

    Parameters
    ----------
    overall : ndarray of float64, shape (n_columns,)
        On average over all directions: an upper limit.
    largest : ndarray of float64, shape (n_columns,)
        Of any direction: an upper limit.
    least : ndarray of float64, shape (n_columns,)
        On average over all directions: a lower limit.
    """

    overall: NDArray[np.float64]
    largest: NDArray[np.float64]
    least: NDArray[np.float64]


@lru_cache(maxsize=128)
def inflations_of(baseline: Baseline) -> Inflations:
    """Tell how many events of a column are worth one independent event.

    Parameters
    ----------
    baseline : Baseline
        Whose rows tell.

    Returns
    -------
    Inflations
        Of each column; arrays of shape (n_columns,). Shared: not to be changed.
    """
    found = np.ones((3, len(baseline.columns)))
    for i, column in enumerate(baseline.columns):
        if column.inflation.shape[1]:
            own = dependence_of(column, directions_of(column))
            overall = max(1.0, own.overall)
            found[:, i] = overall, max(overall, own.largest), min(overall, own.least)
    return Inflations(*found)


def dependence_of(
    column: Column, directions: tuple[Direction, ...], *, tick_events: float = 1.0, known: bool = True
) -> Dependence:
    """Tell how many rows of a column are worth one independent row.

    Parameters
    ----------
    column : NumericColumn or CategoricalColumn
        Of a baseline.
    directions : tuple of Direction
        Of the column.
    tick_events : float, optional
        Events that every tick has at least: shorter stretches do not matter to bets.
    known : bool, optional
        False takes all rows for independent, whatever the baseline tells.

    Returns
    -------
    Dependence
        All ones for a column whose rows are independent as far as can be told, and for one whose rows came in no
        order of time.

    Notes
    -----
    A column of independent rows is taken for dependent in fewer than one case in a hundred.
    """
    return dependence_from(
        column.inflation if known else column.inflation[:, :0],
        int(column.counts.sum()),
        np.array([direction.probability for direction in directions]),
        blocks=blocks_used(column),
        tick_events=tick_events,
        growth=column.growth,
    )


def dependence_from(
    inflation: NDArray[np.float64],
    rows: int,
    chances: NDArray[np.float64],
    *,
    blocks: int,
    tick_events: float = 1.0,
    growth: float = 0.0,
) -> Dependence:
    """Tell how many rows are worth one independent row, from measured ratios.

    Parameters
    ----------
    inflation : ndarray of float64, shape (n_directions + 1, n_scales)
        See ``detectors.baseline.inflation``; without scales all rows are taken for independent.
    rows : int
        Reference rows.
    chances : ndarray of float64, shape (n_directions,)
        The probability that an indicator points at; 1 for what is no indicator.
    blocks : int
        Into so many the reference is cut to see how it varies by nature.
    tick_events : float, optional
        Events that every tick has at least: shorter stretches do not matter to bets.
    growth : float, optional
        The power of the length with which the inflation still grows where the reference ends. What it would be for
        stretches as long as the reference then counts.

    Returns
    -------
    Dependence
        All ones for rows that are independent as far as can be told.
    """
    scales = inflation.shape[1]
    alone = np.ones(len(chances))
    if scales == 0:
        return Dependence(error=alone, bets=alone, short=alone, overall=1.0, least=1.0, largest=1.0, largest_bets=1.0)
    lengths = 2.0 ** np.arange(1, scales + 1)
    events = np.append(np.where(chances < 1.0, rows * np.minimum(chances, 1.0 - chances), rows), rows)
    limits, least = _limits(inflation, lengths, rows, events)
    if growth:
        longest = (lengths >= rows / LONG) & (limits > 1.0)
        limits = np.where(longest, limits * SPAN**growth, limits)
    error, largest = _largest(limits, events)
    bets, largest_bets = _largest(limits[:, lengths >= min(tick_events, lengths[-1])], events)
    short, _ = _largest(limits[:, lengths <= rows / (blocks * SHORT)], events)
    return Dependence(
        error=error[:-1],
        bets=bets[:-1],
        short=short[:-1],
        overall=float(error[-1]),
        least=float(least[-1].max(initial=1.0)),
        largest=largest,
        largest_bets=largest_bets,
    )


def blocks_used(column: Column) -> int:
    """Return into how many blocks the reference is cut to see its natural variation.

    Parameters
    ----------
    column : NumericColumn or CategoricalColumn
        Of a baseline.

    Returns
    -------
    int
        At least 1, at most 20.
    """
    return min(BLOCKS, len(column.blocks))


def _limits(
    ratios: NDArray[np.float64], lengths: NDArray[np.float64], rows: int, events: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return upper and lower limits of the inflation, each of shape (n_directions + 1, n_scales).

    At least 1, and 1 where rows look independent.
    """
    # For independent rows a ratio has the variance 2 / freedom, whatever the distribution of the direction.
    freedom = 3.0 * rows * lengths / ((lengths - 1.0) * (2.0 * lengths - 1.0))
    chance = chdtrc(freedom, ratios * freedom)
    # An indicator with few events: pairs of events in one stretch are Poisson.
    pairs = events[:, None] ** 2 * (lengths - 1.0) / (2.0 * rows)
    found = np.maximum((ratios - 1.0) * events[:, None] / 2.0 + pairs, 0.0)
    chance = np.maximum(chance, np.where(events[:, None] < rows, gammainc(np.maximum(found, 1e-9), pairs), 0.0))
    level = LEVEL * min(max(1.0, LEVEL_ROWS / rows), 4.0)
    dependent = bool((chance < level / len(ratios)).any())
    held = np.maximum(1.5 * rows / (lengths + ratios), 2.0)
    upper = ratios * held / chdtri(held, UPPER)
    if not dependent:
        return np.ones_like(upper), np.ones_like(upper)
    lower = ratios * held / chdtri(held, 1.0 - UNLIKELY)
    counts = _counts(ratios, lower)
    return np.where(counts, np.maximum(upper, 1.0), 1.0), np.where(counts, np.maximum(lower, 1.0), 1.0)


def _counts(ratios: NDArray[np.float64], lower: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Tell which lengths count: up to eight times the shortest one after which nothing grows any more for certain."""
    longer = np.maximum.accumulate(lower[:, ::-1], axis=1)[:, ::-1]
    level = np.maximum.accumulate(ratios, axis=1)
    grows = np.append(longer[:, 1:] > level[:, :-1], np.zeros((len(ratios), 1), dtype=bool), axis=1)
    first = np.argmin(grows, axis=1)
    return np.asarray(np.arange(ratios.shape[1]) <= first[:, None] + FURTHER)


def _largest(limits: NDArray[np.float64], events: NDArray[np.float64]) -> tuple[NDArray[np.float64], float]:
    """Return the largest limit over all lengths, moved towards the column's where few events support it.

    Alike rows count as one: a direction has ``events / largest`` independent events. With at most ``SUPPORT`` of them
    it has nothing to say, with more it borrows the less the more it has. It borrows from those that have half as many.
    """
    found = limits.max(axis=1, initial=1.0)
    lends = events >= SUPPORT / 2.0 * found
    largest = float(found[lends].max() if lends.any() else found.max())
    borrowed = np.minimum(1.0, SUPPORT * largest / np.maximum(events, 1.0))
    return found + borrowed * np.maximum(largest - found, 0.0), largest


def exponents(bets: NDArray[np.float64], inflation: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the exponent that makes each bet honest on rows that move together.

    Parameters
    ----------
    bets : ndarray of float64, shape (n_bets, n_bins)
        Positive: what each pays per bin.
    inflation : ndarray of float64, shape (n_bets,)
        Variance inflation of each, at least 1.

    Returns
    -------
    ndarray of float64, shape (n_bets,)
        In (0, 1], at most ``1 / inflation``; multiples of 2**-12. Exactly 1 where the inflation is.

    Notes
    -----
    24 halvings of an interval, each a few passes over ``n_bets * n_bins`` numbers.

    Examples
    --------
    >>> small, large = np.array([0.99, 1.01]), np.array([0.4, 20.0])
    >>> exponents(np.array([small, large, large]), np.array([4.0, 4.0, 1.0])).round(2)
    array([0.25, 0.15, 1.  ])
    """
    if (inflation <= 1.0).all():
        return np.ones(len(bets))
    repeat = (inflation - 1.0) / (inflation + 1.0)
    low, high = np.zeros(len(bets)), 1.0 / inflation
    logs = np.log(bets)
    for _ in range(STEPS):
        middle = (low + high) / 2.0
        honest = _honest(bets, logs, middle, repeat)
        low, high = np.where(honest, middle, low), np.where(honest, high, middle)
    rounded = np.maximum(np.floor(low / ETA_GRID), 1.0) * ETA_GRID
    return np.asarray(np.where(inflation > 1.0, rounded, 1.0))


def _honest(
    bets: NDArray[np.float64], logs: NDArray[np.float64], eta: NDArray[np.float64], repeat: NDArray[np.float64]
) -> NDArray[np.bool_]:
    powers = np.exp(eta[:, None] * logs)
    left = 1.0 - repeat[:, None] * powers
    finite = (left > 0.0).all(axis=1)
    pays = (1.0 - repeat[:, None]) * powers / np.where(left > 0.0, left, 1.0)
    won = bets - 1.0
    slope = (pays - 1.0) / np.where(np.abs(won) > TINY, won, 1.0)
    steepest = np.where(won > TINY, slope, 0.0).max(axis=1)
    gentlest = np.where(won < -TINY, slope, np.inf).min(axis=1)
    return np.asarray(finite & (steepest <= gentlest))
