"""The bet that learns along which line events move: an online logistic classifier of recent events and the reference.

On a tick it bets, for each event ``z``, whitened and no longer than a radius::

    odds = exp(stake * (line . (z - centre))) / bound,    line = m / |m|,   m = faded mean of (z - centre) before

which are the odds of a logistic regression that tells events like the latest from those of the reference, whose
coefficients are the difference of the means (of round events that is the linear discriminant). They are learned before
the tick. ``bound`` is the largest mean of the numerator over all distributions whose mean along the line is at most the
tolerance, and whose mean square is at most that of the reference and its error. With ``b`` the farthest that an event
can lie along the line, ``exp(x) <= 1 + x + x**2 * (exp(c) - 1 - c) / c**2`` for ``x <= c = stake * b`` gives::

    bound = 1 + stake * tolerance + square * (exp(c) - 1 - c) / b**2

The logarithm of the product over a tick is linear in the tick's sums of whole numbers, whatever the line is: shards and
batches add up.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import chdtri, ndtr

from detectors.baseline import Baseline
from detectors.evidence.calibrate import NATURAL_STDS, WANDER_MARGIN, WANDER_MAX
from detectors.evidence.dependence import Dependence, dependence_from, exponents
from detectors.evidence.options import EvidenceOptions
from detectors.spaces import Line
from detectors.spaces.line import BITS

LINE_NAME = "learned line"
LINE_SHARE = 0.25
"""So much of the weight of the bets on sums is for the learned line, where there is one."""
PRIOR_EVENTS = 30.0
"""So many events in the centre are mixed into what was learned."""
KEPT_SHARE = 0.3
"""It remembers so many of the events that the bets on bins remember."""
STAKES = 12
LOG_LEAST, LOG_MOST = 0.1, 2.5
"""The farthest event multiplies a stake by exp(0.1) to exp(2.5); staked is what grows fastest if the line is right."""
PAYMENTS = 24


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LineGroup:
    """The bet along the learned line of one space.

    Parameters
    ----------
    column : int
        The column that it belongs to.
    events : int
        Place of the number of events among the sums of a tick.
    sums : slice
        Places of the sums of their parts.
    centre : ndarray of float64, shape (n,)
        In deviations.
    tolerance : float
        How far the mean may move along any line, in deviations.
    tied : ndarray of float64, shape (n_tied, n)
        The line keeps at right angles to these: along them neighbouring rows of the reference are tied.
    wander : ndarray of float64, shape (n_ways, n)
        How blocks of the reference differ by nature: ``2 * |wander @ line|`` is tolerated along a line as well.
    stakes : ndarray of float64, shape (n_stakes,)
        What may be staked, per deviation.
    spreads : ndarray of float64, shape (n_stakes,)
        What the spread of events adds to the bound, for each of them.
    ties : float
        So many neighbouring rows of the reference are worth one independent row, on average over all lines; at least 1.
    eta : float
        Exponent.
    place : slice
        Where it lies in the vector of bets: one place.
    cells : slice
        Where its memory lies: faded events, and faded sums of ``z - centre``.
    """

    column: int
    events: int
    sums: slice
    centre: NDArray[np.float64]
    tolerance: float
    tied: NDArray[np.float64]
    wander: NDArray[np.float64]
    stakes: NDArray[np.float64]
    spreads: NDArray[np.float64]
    ties: float
    eta: float
    place: slice
    cells: slice

    def moved(self, sums: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the events of ticks, and the sums of their deviations from the centre.

        Parameters
        ----------
        sums : ndarray of float64, shape (n_ticks, baseline.sums)
            Whole numbers.

        Returns
        -------
        ndarray of float64, shape (n_ticks, 1 + n)
            Events first; then deviations.
        """
        events = sums[:, self.events, None]
        return np.concatenate([events, sums[:, self.sums] * 2.0**-BITS - events * self.centre], axis=1)

    def increments(self, memory: NDArray[np.float64], moved: NDArray[np.float64], kept: float) -> NDArray[np.float64]:
        """Return the log increments of ticks, before the exponent.

        Parameters
        ----------
        memory : ndarray of float64, shape (n_ticks, 1 + n)
            Faded events and deviations before each tick.
        moved : ndarray of float64, shape (n_ticks, 1 + n)
            The ticks, from ``moved``.
        kept : float
            After so many events a past one weighs 1/e.

        Returns
        -------
        ndarray of float64, shape (n_ticks,)
            The same bits however many ticks there are; 0 while nothing has been learned.

        Notes
        -----
        A few passes over ``n_ticks * n`` numbers, and as many more as there are ways in which blocks differ.
        """
        events, size = memory[:, 0], len(self.centre) - len(self.tied)
        whole = events + PRIOR_EVENTS * self.ties
        mean = memory[:, 1:] / whole[:, None]
        if len(self.tied):
            mean = mean - np.einsum("tk,kd->td", np.einsum("td,kd->tk", mean, self.tied), self.tied)
        squared = np.einsum("td,td->t", mean, mean)
        # The mean of events that have not moved is as long as this; faded events count less than once.
        own = events * (1.0 - np.minimum(events / (2.0 * kept), 0.5))
        beyond = squared - self.ties * size * own / whole**2
        if not (beyond > 0.0).any():
            return np.zeros(len(memory))
        length = np.sqrt(np.maximum(squared, np.finfo(np.float64).tiny))
        line = mean / length[:, None]
        tolerance = self.tolerances(line) + size * self._echo(moved[:, 0]) / (whole * length)
        logs = np.log1p(self.stakes * tolerance[:, None] + self.spreads)
        growth = self.stakes * (beyond / length)[:, None] - logs
        best = growth.argmax(axis=1)
        ticks = np.arange(len(best))
        won = self.stakes[best] * np.einsum("td,td->t", line, moved[:, 1:]) - moved[:, 0] * logs[ticks, best]
        return np.asarray(np.where(growth[ticks, best] > 0.0, won, 0.0))

    def _echo(self, events: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return how often an event of a tick is like those before it, which have taught the line, per coordinate.

        Of rows whose correlation fades geometrically, with ``ties`` the variance inflation of long sums: the sum of all
        correlations with earlier rows, less those with rows of the same tick.
        """
        return np.minimum((self.ties - 1.0) / 2.0, (self.ties**2 - 1.0) / (4.0 * np.maximum(events, 1.0)))

    def tolerances(self, line: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return how far the mean may move along lines.

        Parameters
        ----------
        line : ndarray of float64, shape (n_lines, n)
            Of length one.

        Returns
        -------
        ndarray of float64, shape (n_lines,)
            In deviations.
        """
        if not len(self.wander):
            return np.full(len(line), self.tolerance)
        ways = np.einsum("wd,td->tw", self.wander, line)
        natural = NATURAL_STDS * np.sqrt(np.einsum("tw,tw->t", ways, ways))
        return np.asarray(np.maximum(self.tolerance, natural))


def along_line(
    group: LineGroup, memory: NDArray[np.float64], sums: NDArray[np.float64], kept: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Take ticks, one after the other.

    Parameters
    ----------
    group : LineGroup
        Of a space.
    memory : ndarray of float64, shape (1 + n,)
        Before the first tick.
    sums : ndarray of float64, shape (n_ticks, baseline.sums) or (n_ticks, 0)
        Whole numbers; without, nothing is won and nothing is learned.
    kept : float
        After so many independent events a past one weighs 1/e.

    Returns
    -------
    ndarray of float64, shape (n_ticks + 1, 1 + n)
        The memory before each tick, and after the last one: the same bits however ticks are divided among calls.
    ndarray of float64, shape (n_ticks,)
        The log increments, before the exponent.
    """
    if not sums.shape[1]:
        return np.repeat(memory[None], len(sums) + 1, axis=0), np.zeros(len(sums))
    moved, kept = group.moved(sums), kept * group.ties
    events = moved[:, :1]
    faded = np.exp(-events / kept)
    added = moved * np.minimum(1.0, kept / np.maximum(events, 1.0))
    found = np.empty((len(moved) + 1, len(memory)))
    found[0] = memory
    for before, after, keep, more in zip(found[:-1], found[1:], faded, added, strict=True):
        np.multiply(before, keep, out=after)
        np.add(after, more, out=after)
    return found, group.increments(found[:-1], moved, kept)


def line_groups(
    baseline: Baseline, options: EvidenceOptions, strengths: NDArray[np.float64], start: int, cell: int
) -> Iterator[LineGroup]:
    """Build the bet along the learned line of every space that has one.

    Parameters
    ----------
    baseline : Baseline
        With its spaces.
    options : EvidenceOptions
        Minimum effect and standard errors.
    strengths : ndarray of float64, shape (n_columns,)
        The exponents of each column are multiplied by these.
    start : int
        Where they begin in the vector of bets.
    cell : int
        Where their memory begins.

    Yields
    ------
    LineGroup
        One after the other.
    """
    own, at = options.of(baseline), 0
    for space in baseline.tilted:
        if space.line is not None and space.tilts is not None:
            line, column = space.line, baseline.index[space.tilted]
            growth = baseline.columns[column].growth
            tied, ties = _settled(line, options, ordered=baseline.ordered, growth=growth)
            stakes, spreads = _stakes(line, options, ties)
            least = own[column].minimum_effect
            told = line_tolerance(line, options, least, ordered=baseline.ordered, growth=growth)
            behind = at + space.tilts.size
            yield LineGroup(
                column=column,
                events=at,
                sums=slice(behind, behind + line.size),
                centre=line.centre,
                tolerance=told.by,
                tied=line.tied_lines[:tied],
                wander=_wander(line, line.tied_lines[:tied], ties),
                stakes=stakes,
                spreads=spreads,
                ties=max(ties.overall, 1.0),
                eta=told.eta * float(strengths[column]),
                place=slice(start, start + 1),
                cells=slice(cell, cell + 1 + line.size),
            )
            start += 1
            cell += 1 + line.size
        at += space.sums_number


@dataclass(frozen=True, slots=True, kw_only=True)
class LineTolerance:
    """How far the mean of round events may move along any line, in deviations.

    Parameters
    ----------
    minimum : float
        The operator's minimum effect.
    error : float
        Standard errors of the worst of all lines (Scheffe).
    tied : int
        Along so many lines rows are tied, and nothing is bet.
    ways : int
        In so many ways blocks of the reference differ by nature: along those more is tolerated.
    eta : float
        Exponent of the bet.
    """

    minimum: float
    error: float
    tied: int
    ways: int
    eta: float

    @property
    def by(self) -> float:
        """The larger of the two."""
        return max(self.minimum, self.error)


def line_tolerance(
    line: Line,
    options: EvidenceOptions,
    minimum_effect: float | None = None,
    *,
    ordered: bool = True,
    growth: float = 0.0,
) -> LineTolerance:
    """Return how far the mean may move along any line.

    Parameters
    ----------
    line : Line
        Of a space.
    options : EvidenceOptions
        Minimum effect and standard errors.
    minimum_effect : float or None, optional
        The column's own minimum effect.
    ordered : bool, optional
        Whether the reference rows came in the order of time.
    growth : float, optional
        Of the column that the bet belongs to: with this power of their length stretches still vary more where the
        reference ends.

    Returns
    -------
    LineTolerance
        What it is made of.
    """
    tied, ties = _settled(line, options, ordered=ordered, growth=growth)
    scheffe = ties.overall * float(chdtri(line.size - tied, ndtr(-options.standard_errors)))
    scheffe += max(ties.largest - ties.overall, 0.0) * options.standard_errors**2
    deviation = float(np.sqrt(line.square))
    return LineTolerance(
        minimum=deviation * (options.minimum_effect if minimum_effect is None else minimum_effect),
        error=deviation * float(np.sqrt(scheffe / line.rows)),
        tied=tied,
        ways=len(_wander(line, line.tied_lines[:tied], ties)),
        eta=_eta(ties.largest_bets),
    )


def _settled(line: Line, options: EvidenceOptions, *, ordered: bool, growth: float) -> tuple[int, Dependence]:
    """Return along how many of the tied lines nothing is bet, and how far rows are tied along all others.

    A line left out costs what moves along it; one that is kept lowers the exponent for all.
    """
    lines = len(line.tied_lines) if options.calibrate and ordered else 0
    scales = line.rest.shape[1] if options.calibrate and ordered else 0
    candidates = [
        dependence_from(
            np.concatenate([line.inflation[tied:lines, :scales], line.rest[tied, None, :scales]]),
            max(line.tied, 1),
            np.ones(lines - tied),
            blocks=len(line.blocks),
            tick_events=options.tick_events,
            growth=growth,
        )
        for tied in range(max(lines, 1))
    ]
    worth = [(line.size - tied) / ties.largest_bets for tied, ties in enumerate(candidates)]
    best = int(np.argmax(worth))
    return best, candidates[best]


def _stakes(line: Line, options: EvidenceOptions, ties: Dependence) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return what may be staked, and what the spread of events adds to the bound for each of it.

    The largest mean square along any line is the reference's, with its error and what it varies between blocks.
    """
    error = np.sqrt(ties.overall * line.size / line.rows) + options.standard_errors * np.sqrt(ties.largest / line.rows)
    square = line.square * (1.0 + error) ** 2 * (1.0 + NATURAL_STDS * line.unrest)
    reach = line.radius + float(np.sqrt((line.centre**2).sum()))
    farthest = np.geomspace(LOG_LEAST, LOG_MOST, STAKES)
    return farthest / reach, square * (np.expm1(farthest) - farthest) / reach**2


def _wander(line: Line, tied: NDArray[np.float64], ties: Dependence) -> NDArray[np.float64]:
    """Find the few ways in which blocks differ more than chance lets them, at right angles to tied lines."""
    freedom = len(line.blocks) - 1
    chance = float(ties.short.max(initial=1.0)) * line.square * len(line.blocks) / line.rows
    if freedom < 1 or not chance > 0.0:
        return np.zeros((0, line.size))
    blocks = line.blocks - line.blocks @ tied.T @ tied
    _, values, ways = np.linalg.svd(blocks / np.sqrt(freedom * chance), full_matrices=False)
    noise = WANDER_MARGIN * (1.0 + np.sqrt(line.size / freedom)) ** 2
    kept = np.flatnonzero(values**2 > noise)[:WANDER_MAX]
    return np.asarray(np.sqrt((values[kept] ** 2 - 1.0) * chance)[:, None] * ways[kept])


def _eta(inflation: float) -> float:
    """Return the exponent: nobody knows beforehand how much will be staked, so that of the largest stake."""
    if inflation <= 1.0:
        return 1.0
    payments = np.exp(np.linspace(-2.0 * LOG_MOST, LOG_MOST, PAYMENTS))
    return float(exponents(payments[None], np.array([inflation]))[0])
