"""From the counts of a learning span to what is usual: a level, how far it may be off, and how bursty it is.

Nobody says beforehand how many events a model gets, so that is learnt from its own traffic, once, and frozen: a
baseline that follows the traffic would follow a slow change too. All of it is tested on the
span itself: each fifth is replayed against what the other four taught, and the tolerance grows until that raises
nothing.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import chdtri

from detectors.evidence.fusion import log_sum
from detectors.traffic.bets import BETS, advance, log_bets

FOLDS = 5
HOURS = 24
DAYS_FOR_HOURS = 3.0
"""Observed days before the hours of the day may differ."""
HOURS_BETTER = 0.9
"""A profile of hours has to explain held-out counts so much better than one level."""
STRETCHES = 40
STRETCH_MIN = 4
BEATS_MIN = 40
DISPERSION_MIN = 0.01
DISPERSION_SHARE = 0.25
"""Of the beats of the span. Where it is more, even four times the usual would take as long to tell as was learnt."""
STRETCHES_LEAST = 8
UPPER = 0.1
SLOW_DEVIATIONS = 2.0
STANDARD_ERRORS = 3.0
RATIO_MAX = 30.0
LOG_LIMIT = float(np.log(10.0))
"""Evidence above ten times the beats, in the replay of the span against itself, widens the tolerance."""
WIDER, MORE_DISPERSED = 1.1, 1.2
_DAY_US = 86_400_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Usual:
    """What is usual of one count.

    Parameters
    ----------
    level : tuple of float
        Expected per unit of exposure: one number, or one for each hour of the day (UTC).
    ratio : float
        How many times more or less is still usual.
    dispersion : float
        Of the counts of single beats.
    """

    level: tuple[float, ...]
    ratio: float
    dispersion: float

    def expected(self, start_us: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the level at some times.

        Parameters
        ----------
        start_us : ndarray of int64, shape (n,)
            Microseconds since 1970-01-01 UTC.

        Returns
        -------
        ndarray of float64, shape (n,)
            With 24 levels, on straight lines between the middles of the hours.

        Examples
        --------
        >>> Usual(level=(3.0,), ratio=1.5, dispersion=0.1).expected(np.array([0, 10**9]))
        array([3., 3.])
        """
        return _at(np.array(self.level), start_us)


def usual_rate(counts: NDArray[np.int64], start_us: NDArray[np.int64], minimum_ratio: float) -> Usual | None:
    """Learn how many events come in a beat.

    Parameters
    ----------
    counts : ndarray of int64, shape (n_beats,)
        Events of each beat.
    start_us : ndarray of int64, shape (n_beats,)
        When each beat began, increasing; microseconds since 1970-01-01 UTC.
    minimum_ratio : float
        How many times more or less is never news; above 1.

    Returns
    -------
    Usual or None
        None when there are too few beats, or they vary too much for any rate to be usual.

    Notes
    -----
    Cost: some 10 ms for 2,880 beats, most of it for the replays; more where the tolerance has to widen. The hours of
    the day get levels of their own once the beats span three days, if that explains held-out beats better.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> found = usual_rate(rng.poisson(50, 500), np.arange(500) * 60_000_000, 1.5)
    >>> [round(level, 1) for level in found.level], found.ratio
    ([50.5], 1.5)
    """
    if len(counts) < BEATS_MIN:
        return None
    counted = counts.astype(np.float64)
    folds = np.arange(len(counts)) * FOLDS // len(counts)
    best, held_out = False, _held_out(counted, start_us, folds, hours=False)
    days = len(counts) * float(np.median(np.diff(start_us))) / _DAY_US
    if days >= DAYS_FOR_HOURS:
        by_hour = _held_out(counted, start_us, folds, hours=True)
        if _deviance(counted, by_hour) < HOURS_BETTER * _deviance(counted, held_out):
            best, held_out = True, by_hour
    tolerated = _tolerance(counted, held_out, minimum_ratio)
    if tolerated is None:
        return None
    level = _levels(counted, start_us, hours=best)
    return Usual(level=tuple(level.tolist()), ratio=tolerated[0], dispersion=tolerated[1])


def usual_share(
    hits: NDArray[np.int64], events: NDArray[np.int64], minimum_ratio: float, minimum_share: float
) -> Usual | None:
    """Learn which share of the events has something odd.

    Parameters
    ----------
    hits : ndarray of int64, shape (n_beats,)
        Events that have it.
    events : ndarray of int64, shape (n_beats,)
        All events that were looked at.
    minimum_ratio : float
        How many times more is never news; above 1.
    minimum_share : float
        Shares up to this are never news; above 0, below 1.

    Returns
    -------
    Usual or None
        The level is per event: the mean of a Poisson count that is stochastically larger than one event's. None when
        there are too few beats, or shares vary too much.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> events = np.full(500, 100)
    >>> usual_share(rng.binomial(events, 0.1), events, 1.5, 0.01).level[0].__round__(2)
    0.11
    """
    if len(hits) < BEATS_MIN:
        return None
    found, looked = hits.astype(np.float64), events.astype(np.float64)
    folds = np.arange(len(hits)) * FOLDS // len(hits)
    # A share is known no better than to one event more than was seen.
    level = per_event((found.sum() + 1.0) / (looked.sum() + 2.0))
    others = [(found[folds != fold].sum() + 1.0) / (looked[folds != fold].sum() + 2.0) for fold in range(FOLDS)]
    held_out = np.array([per_event(share) for share in others])[folds] * looked
    floor = per_event(minimum_share)
    tolerated = _tolerance(found, held_out, minimum_ratio, floor * looked)
    if tolerated is None:
        return None
    return Usual(level=(max(level, floor / tolerated[0]),), ratio=tolerated[0], dispersion=tolerated[1])


def per_event(share: float) -> float:
    """Return the mean of the smallest Poisson count that is stochastically larger than an event with this chance.

    Parameters
    ----------
    share : float
        From 0 to 1.

    Returns
    -------
    float
        ``-log(1 - share)``, at most 10.

    Examples
    --------
    >>> round(per_event(0.01), 5)
    0.01005
    """
    return float(min(-np.log1p(-share), 10.0)) if share < 1.0 else 10.0


def replayed(log_bet: NDArray[np.float64]) -> float:
    """Return the largest evidence that a span reaches when it is bet on, as a logarithm.

    Parameters
    ----------
    log_bet : ndarray of float64, shape (n_beats, n_bets)
        Of each beat.

    Returns
    -------
    float
        Of the mean over the bets, at any beat.

    Examples
    --------
    >>> round(float(np.exp(replayed(np.zeros((3, 2))))), 3)
    3.0
    """
    sums: NDArray[np.float64] = np.full(log_bet.shape[1], -np.inf)
    worst = -math.inf
    for row in log_bet:
        sums = advance(sums, row)
        worst = max(worst, log_sum(sums))
    return worst - math.log(log_bet.shape[1])


def _tolerance(
    counts: NDArray[np.float64],
    expected: NDArray[np.float64],
    minimum_ratio: float,
    floor: NDArray[np.float64] | None = None,
) -> tuple[float, float] | None:
    """Return ratio and dispersion under which the span raises nothing against what its other parts expect.

    ``floor`` is what is never news, where only more is bet on.
    """
    dispersion = _dispersion(counts, expected)
    stretch = max(STRETCH_MIN, len(counts) // STRETCHES)
    seen, usual = _stretches(counts, stretch), _stretches(expected, stretch)
    chance = float(np.mean(1.0 / (usual + 0.5))) + dispersion / stretch
    slow = math.sqrt(max(0.0, float(np.var((seen + 0.5) / (usual + 0.5))) - chance))
    error = math.sqrt(1.0 / (float(counts.sum()) + 1.0) + dispersion / len(counts))
    ratio = max(minimum_ratio, (1.0 + SLOW_DEVIATIONS * slow) * math.exp(STANDARD_ERRORS * error))
    limit = LOG_LIMIT + np.log(len(counts))
    # What the deviations did not tell, such as a trend or rare long bursts, shows in the replay.
    while ratio <= RATIO_MAX and dispersion <= len(counts) * DISPERSION_SHARE:
        edge = expected if floor is None else np.maximum(expected, floor / ratio)
        log_bet = log_bets(counts, edge, ratio, dispersion)
        if replayed(log_bet if floor is None else log_bet[:, :BETS]) <= limit:
            return ratio, dispersion
        ratio, dispersion = ratio * WIDER, dispersion * MORE_DISPERSED
    return None


def _dispersion(counts: NDArray[np.float64], expected: NDArray[np.float64]) -> float:
    """Return the dispersion of the long run.

    Bursts last: neighbouring beats are high together. A dispersion that explains how the sums of L neighbours vary, for
    whatever L it is largest, makes the sum of the log bets vary as much as its mean allows, as an exponent would. Long
    stretches are few, so an upper limit (one-sided, 90 %) stands for each.
    """
    found, length = DISPERSION_MIN, 1
    while length * STRETCHES_LEAST <= len(counts):
        seen, usual = _stretches(counts, length), _stretches(expected, length)
        weight = float((usual**2).sum())
        if weight:
            upper = (len(seen) - 1) / float(chdtri(len(seen) - 1, 1.0 - UPPER))
            excess = upper * float(((seen - usual) ** 2).sum()) - float(usual.sum())
            found = max(found, float(length * excess / weight))
        length *= 2
    return found


def _stretches(values: NDArray[np.float64], length: int) -> NDArray[np.float64]:
    """Return the sums over neighbouring stretches; what is left over at the end is left out."""
    whole = len(values) // length * length
    return np.asarray(values[:whole].reshape(-1, length).sum(axis=1))


def _held_out(
    counts: NDArray[np.float64], start_us: NDArray[np.int64], folds: NDArray[np.int64], *, hours: bool
) -> NDArray[np.float64]:
    expected = np.empty(len(counts))
    for fold in range(FOLDS):
        inside = folds == fold
        level = _levels(counts[~inside], start_us[~inside], hours=hours)
        expected[inside] = _at(level, start_us[inside])
    return expected


def _levels(counts: NDArray[np.float64], start_us: NDArray[np.int64], *, hours: bool) -> NDArray[np.float64]:
    mean = float((counts.sum() + 0.5) / len(counts))
    if not hours:
        return np.array([mean])
    hour = start_us % _DAY_US * HOURS // _DAY_US
    totals = np.bincount(hour, counts, minlength=HOURS)
    # One beat's worth of the mean keeps an hour without beats from being taken for one without events.
    return np.asarray((totals + mean) / (np.bincount(hour, minlength=HOURS) + 1.0))


def _at(level: NDArray[np.float64], start_us: NDArray[np.int64]) -> NDArray[np.float64]:
    if len(level) == 1:
        return np.full(len(start_us), level[0])
    place = (start_us % _DAY_US) * (HOURS / _DAY_US) - 0.5
    return np.asarray(np.interp(place, np.arange(-1.0, HOURS + 1), np.concatenate([level[-1:], level, level[:1]])))


def _deviance(counts: NDArray[np.float64], expected: NDArray[np.float64]) -> float:
    """Return how badly Poisson means explain counts, in stretches."""
    stretch = max(STRETCH_MIN, len(counts) // (STRETCHES * 4))
    seen, means = _stretches(counts, stretch), _stretches(expected, stretch)
    logs = np.log(np.where(seen > 0.0, seen, 1.0) / means)
    return float((seen * logs - (seen - means)).sum())
