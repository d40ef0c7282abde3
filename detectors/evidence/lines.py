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

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from detectors.baseline.directions import shortened
from detectors.evidence.calibrate import NATURAL_STDS
from detectors.spaces.line import BITS

LINE_NAME = "learned line"
LINE_SHARE = 0.25
"""So much of the weight of the bets on sums is for the learned line, where there is one."""
PRIOR_EVENTS = 30.0
"""So many events in the centre are mixed into what was learned."""
NAMED_MAX, NAMED_MIN = 3, 0.1
"""At most so many inputs are named, each with at least this share of the log odds."""
KEPT_SHARE = 0.3
"""It remembers so many of the events that the bets on bins remember."""


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
    inputs : tuple of str
        What is whitened; nothing for an embedding or a projection.
    categorical : tuple of bool
        Which of them have labels, that lie in no order.
    whitening : ndarray of float64, shape (n, n_inputs)
        What makes deviations of the inputs round.
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
    inputs: tuple[str, ...]
    categorical: tuple[bool, ...]
    whitening: NDArray[np.float64]

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

    def named(self, memory: NDArray[np.float64]) -> str:
        """Say which inputs tell the latest events from the reference.

        Parameters
        ----------
        memory : ndarray of float64, shape (1 + n,)
            Faded events and deviations.

        Returns
        -------
        str
            Such as ``learned line: age up, income down``: at most three inputs, by what each adds to the log odds of an
            event that has moved as the mean has.
        """
        if not self.inputs or not memory[0] > 0.0:
            return LINE_NAME
        mean = memory[1:] / memory[0]
        if len(self.tied):
            mean = mean - self.tied.T @ (self.tied @ mean)
        moves = np.linalg.lstsq(self.whitening, mean, rcond=None)[0]
        odds = (self.whitening.T @ mean) * moves
        most = [i for i in np.argsort(-odds, kind="stable")[:NAMED_MAX] if odds[i] > NAMED_MIN * odds.sum()]
        ways = ["other labels" if self.categorical[i] else "up" if moves[i] > 0.0 else "down" for i in most]
        told = ", ".join(f"{shortened(self.inputs[i])} {way}" for i, way in zip(most, ways, strict=True))
        return f"{LINE_NAME}: {told}" if told else LINE_NAME


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
