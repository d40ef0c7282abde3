"""Bets in season: the bets of columns that follow the hours, against what is normal at the hour of a tick.

Directions, numbers of bets and weights are the same in every season, so the sums go on from one to the next. Only what
a bin pays differs. A shape is bet on by the rank of an event within its slot; its stake is that of the column as a
whole. A special bin or a label is bet on against its share in the slot.

A slot's *tolerance* is the largest of minimum effect, standard errors and natural variation, as for the column without
its season, plus one standard error of the slot's own rows, plus what shrinking moved. One and not three: the errors of
slots are independent, so that over a cycle they cancel as far as all rows let them; and in one passage of a slot that
the reference has seen D times, an error of z standard errors is worth no more than ``z**2 / 2 D`` in logarithms.
"""

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from detectors.baseline import Baseline, Column
from detectors.baseline.profile import WEEK_HOURS, shares_in, slots_in, transport
from detectors.baseline.season import overall_shares, settled, slot_directions
from detectors.errors import DetectorError
from detectors.evidence.bets import QUANTUM, SIZE_MAX, ladder, sides_of
from detectors.evidence.calibrate import Null, caution_of, null_of, stack
from detectors.evidence.dependence import exponents
from detectors.evidence.layout import FIXED_FACTOR, LEARNED_FACTOR, FixedGroup, Layout, LearnedGroup, groups_of
from detectors.evidence.options import ColumnOptions, EvidenceOptions

KEPT_MIN = 2
FIRST_TICKS = 8
"""In the first piece; each one after it has twice as many, up to the most."""
SLOT_ERRORS = 1.0
"""A slot may be off by so many standard errors of its own rows."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SlotBets:
    """The bets of one column in one season.

    Parameters
    ----------
    values : ndarray of float64, shape (n_bets, n_bins)
        Directions with mean zero under ``shares``.
    tolerances : ndarray of float64, shape (n_bets,)
        How far the mean of each may move.
    logs : ndarray of float64, shape (n_bets, n_bins)
        Natural logarithms of the bets, multiples of ``QUANTUM``; 0 for a bet that could not win.
    etas : ndarray of float64, shape (n_bets,)
        Exponents.
    shares : ndarray of float64, shape (n_bins,)
        What is normal in the season.
    null : Null
        What the learned bet needs.
    move : ndarray of float64, shape (n_bins, n_bins)
        From ``transport``.
    """

    values: NDArray[np.float64]
    tolerances: NDArray[np.float64]
    logs: NDArray[np.float64]
    etas: NDArray[np.float64]
    shares: NDArray[np.float64]
    null: Null
    move: NDArray[np.float64]


class SeasonalColumn:
    """A column that follows the hours, ready to be bet on at any of them.

    Parameters
    ----------
    column : NumericColumn or CategoricalColumn
        With a season.
    options : EvidenceOptions
        As for the engine.
    told : ColumnOptions
        Of the column.
    """

    def __init__(self, column: Column, options: EvidenceOptions, told: ColumnOptions) -> None:
        if column.season is None:
            raise ValueError(f"column {column.spec.name!r} has no season")
        self._season = column.season
        self._ordered = column.ordered
        self._overall = overall_shares(column)
        self._null = null_of(settled(column), options, told.minimum_effect)
        self._rows = int(column.counts.sum())
        self._caution = caution_of(column)
        sides = sides_of(self._null, told.direction)
        repeats = [len(side.sizes) for side in sides]
        values = np.array([side.values for side in sides])
        places = np.array([side.place for side in sides])
        directions = np.array([direction.values for direction in self._null.directions])
        self._places = places
        self._signs = np.sign(np.einsum("sk,sk->s", values, directions[places]))
        self._natural = self._null.parts(values, places)[2]
        reach = self._null.tolerance(values, places) - values.min(axis=1)
        self._side_of_bet = np.repeat(np.arange(len(sides)), repeats)
        self._sizes = np.array([size for side in sides for size in side.sizes])
        alone = [side.family not in {"shape", "tail"} for side in sides]
        self._alone = np.array(alone)[self._side_of_bet]
        self._ladders = [(side, sides[side].rungs) for side in np.flatnonzero(alone).tolist() if sides[side].rungs]
        self._stakes = np.divide(
            self._sizes, reach[self._side_of_bet], out=np.zeros(len(self._sizes)), where=reach[self._side_of_bet] > 0.0
        )
        self._inflation = self._null.dependence.bets[places][self._side_of_bet]

    def at(self, season: int) -> SlotBets | None:
        """Return the bets in a season.

        Parameters
        ----------
        season : int
            Of a tick, from ``detectors.baseline.profile.seasons_of``.

        Returns
        -------
        SlotBets or None
            None when the reference has too few rows then: nothing is bet.
        """
        counts = self._season.counts[slots_in(season, self._season.slots)].sum(axis=0, dtype=np.int64)
        rows = int(counts.sum())
        if not rows:
            return None
        shares = shares_in(counts, self._overall)
        move = transport(shares[None], self._null.probabilities, self._ordered)
        directions = slot_directions(self._null.directions, shares[None], move)[0]
        null = self._null_at(counts / rows, shares, rows, move[0])
        values = self._signs[:, None] * directions[self._places]
        tolerances = self._tolerances(values, null, rows)
        logs = self._logs(values, tolerances)
        return SlotBets(
            values=values[self._side_of_bet],
            tolerances=tolerances[self._side_of_bet],
            logs=logs,
            etas=exponents(np.exp(logs), self._inflation),
            shares=shares,
            null=null,
            move=move[0],
        )

    def _null_at(
        self, plain: NDArray[np.float64], shares: NDArray[np.float64], rows: int, move: NDArray[np.float64]
    ) -> Null:
        null = self._null
        room = null.estimates[1] - null.estimates[0]
        error = SLOT_ERRORS * float(np.sqrt(null.whole.overall / rows))
        return replace(
            null,
            variances=shares + self._caution / self._rows,
            wander=shares * (null.wander / null.probabilities @ move.T),
            estimates=plain - shares + np.array([np.zeros_like(room), room]),
            learned_effect=null.learned_effect + error,
        )

    def _tolerances(self, values: NDArray[np.float64], null: Null, rows: int) -> NDArray[np.float64]:
        deviation = np.sqrt(values**2 @ null.variances)
        inflation = np.sqrt(null.dependence.error[self._places])
        error = (null.error + SLOT_ERRORS / float(np.sqrt(rows))) * inflation * deviation
        smoothed = np.maximum((values @ null.estimates.T).max(axis=1), 0.0)
        return np.asarray(np.maximum(np.maximum(null.minimum_effect * deviation, error), self._natural) + smoothed)

    def _logs(self, values: NDArray[np.float64], tolerances: NDArray[np.float64]) -> NDArray[np.float64]:
        reach = (tolerances - values.min(axis=1))[self._side_of_bet]
        sizes = self._sizes.copy()
        for side, rungs in self._ladders:
            share = -float(values[side].min())
            sizes[self._side_of_bet == side] = ladder(min(share + float(tolerances[side]), 1.0), rungs)
        own = np.where(self._alone, sizes, np.minimum(self._stakes * reach, SIZE_MAX))
        wins = (values.max(axis=1) > tolerances)[self._side_of_bet] & (reach > 0.0)
        stakes = np.divide(own, reach, out=np.zeros_like(own), where=wins)
        paid = stakes[:, None] * (values - tolerances[:, None])[self._side_of_bet]
        return np.asarray(np.floor(np.log1p(paid) / QUANTUM) * QUANTUM)


class SeasonalLayouts:
    """Layouts by season, made when one is first needed; only the latest few are kept.

    Parameters
    ----------
    baseline : Baseline
        With seasons.
    options : EvidenceOptions
        As for the engine.
    strengths : ndarray of float64, shape (n_columns,)
        From self-replay.
    layout : Layout
        Of the columns without their season.
    memory : int
        Bytes that layouts may take; two are held in any case.

    Notes
    -----
    A layout takes about 25 kB for each column, and about 0.5 ms for each seasonal one to make.
    """

    def __init__(
        self,
        baseline: Baseline,
        options: EvidenceOptions,
        strengths: NDArray[np.float64],
        layout: Layout,
        memory: int,
    ) -> None:
        own = options.of(baseline)
        self._columns = {i: SeasonalColumn(baseline.columns[i], options, own[i]) for i in baseline.seasonal}
        self._nulls = [
            null_of(settled(column), options, o.minimum_effect) for column, o in zip(baseline.columns, own, strict=True)
        ]
        self._fixed = groups_of(baseline, FIXED_FACTOR)
        self._learned = groups_of(baseline, LEARNED_FACTOR)
        self._strengths = strengths
        self._layout = layout
        fixed = sum(group.logs.nbytes for group in layout.fixed)
        moves = sum(8 * group.gather.size * group.gather.shape[1] for group in layout.learned)
        self._kept = max(KEPT_MIN, memory // (fixed + moves))
        self._made: OrderedDict[int, Layout] = OrderedDict()

    def at(self, season: int) -> Layout:
        """Return the layout of a season.

        Parameters
        ----------
        season : int
            Of a tick.

        Returns
        -------
        Layout
            With the same bets in the same places as in every other season.
        """
        found = self._made.get(season)
        if found is None:
            found = self._make(season)
            while len(self._made) >= self._kept:
                self._made.popitem(last=False)
            self._made[season] = found
        self._made.move_to_end(season)
        return found

    def _make(self, season: int) -> Layout:
        bets = {i: column.at(season) for i, column in self._columns.items()}
        etas = self._layout.etas.copy()
        fixed = tuple(
            self._fixed_in_season(group, columns, bets, etas)
            for group, columns in zip(self._layout.fixed, self._fixed, strict=True)
        )
        learned = tuple(
            self._learned_in_season(group, columns, bets)
            for group, columns in zip(self._layout.learned, self._learned, strict=True)
        )
        return replace(self._layout, fixed=fixed, learned=learned, etas=etas, tempered=bool((etas != 1.0).any()))

    def _fixed_in_season(
        self, group: FixedGroup, columns: list[int], bets: dict[int, SlotBets | None], etas: NDArray[np.float64]
    ) -> FixedGroup:
        if bets.keys().isdisjoint(columns):
            return group
        logs = group.logs.copy()
        width = logs.shape[2]
        for row, i in enumerate(columns):
            own = bets.get(i)
            if own is not None:
                logs[row, : own.logs.shape[1], : len(own.logs)] = own.logs.T
                first = group.place.start + row * width
                etas[first : first + len(own.etas)] = own.etas * self._strengths[i]
            elif i in bets:
                logs[row] = 0.0
        return replace(group, logs=logs)

    def _learned_in_season(
        self, group: LearnedGroup, columns: list[int], bets: dict[int, SlotBets | None]
    ) -> LearnedGroup:
        if bets.keys().isdisjoint(columns):
            return group
        bins = group.gather.shape[1]
        moves = np.tile(np.eye(bins), (len(columns), 1, 1))
        nulls = []
        for row, i in enumerate(columns):
            own = bets.get(i)
            nulls.append(self._nulls[i] if own is None else own.null)
            if own is not None:
                moves[row, : len(own.move), : len(own.move)] = own.move
            elif i in bets:
                moves[row] = 0.0
        return replace(group, null=stack(nulls), moves=moves)


def pieces_of(
    ticks: int, chunk: int, layouts: SeasonalLayouts | Layout, seasons: NDArray[np.int64] | None
) -> Iterator[tuple[slice, Layout]]:
    """Cut ticks into pieces of one season that are not too large.

    Parameters
    ----------
    ticks : int
        How many.
    chunk : int
        The most in a piece.
    layouts : SeasonalLayouts or Layout
        By season, or one for all ticks.
    seasons : ndarray of int64, shape (n_ticks,), or None
        Of the ticks; not looked at where one layout serves all.

    Returns
    -------
    iterator of (slice, Layout)
        Neighbouring pieces, the first ones of few ticks, and the bets of each.

    Raises
    ------
    DetectorError
        When seasons are needed and not there, or not known.
    """
    if isinstance(layouts, Layout):
        return ((piece, layouts) for piece in _growing(0, ticks, chunk))
    if seasons is None or seasons.shape != (ticks,):
        raise DetectorError(f"the baseline has seasons: that of each of {ticks} ticks is needed")
    if ticks and not 0 <= int(seasons.min()) <= int(seasons.max()) < WEEK_HOURS**2:
        last = WEEK_HOURS**2 - 1
        raise DetectorError(f"seasons are from {seasons.min()} to {seasons.max()}; they must be from 0 to {last}")
    return _in_seasons(chunk, layouts, seasons)


def _in_seasons(chunk: int, layouts: SeasonalLayouts, seasons: NDArray[np.int64]) -> Iterator[tuple[slice, Layout]]:
    bounds = [0, *(np.flatnonzero(seasons[1:] != seasons[:-1]) + 1).tolist(), len(seasons)]
    for first, end in pairwise(bounds):
        for piece in _growing(first, end, chunk):
            yield piece, layouts.at(int(seasons[first]))


def _growing(first: int, end: int, chunk: int) -> Iterator[slice]:
    """Cut ticks into pieces, small ones first: after an alarm the rest of a piece was for nothing."""
    size = min(FIRST_TICKS, chunk)
    while first < end:
        yield slice(first, min(first + size, end))
        first, size = first + size, min(2 * size, chunk)
