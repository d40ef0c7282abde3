"""Where the bets of all columns lie in one vector, so that one pass over it serves them all.

Columns are put into groups of similar size and padded within their group: padded bins are never hit, and padded bets
have no weight.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from detectors.baseline import Baseline
from detectors.evidence.bets import Bets, bets_of
from detectors.evidence.calibrate import Null, StackedNulls, null_of, stack
from detectors.evidence.lined import line_groups
from detectors.evidence.lines import LINE_NAME, LINE_SHARE, LineGroup
from detectors.evidence.options import EvidenceOptions
from detectors.evidence.shares import shares_of
from detectors.evidence.tilted import TILT_SHARE, TiltGroup, tilt_groups

LEARNED_NAME = "distribution"
FIXED_FACTOR = 2
LEARNED_FACTOR = 12
"""Columns share a group while the largest has at most so many times the bins of the smallest. Fixed bets are one
product per group; a learned bet is some twenty small operations, so there larger groups pay."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FixedGroup:
    """The fixed bets of some columns.

    Parameters
    ----------
    gather : ndarray of int64, shape (n_columns, n_bins)
        Flat bin of each column's bin; the baseline's ``total`` where padded.
    logs : ndarray of float64, shape (n_columns, n_bins, n_bets)
        Log bets; 0 where padded.
    place : slice
        Where the group lies in the vector of bets.
    """

    gather: NDArray[np.int64]
    logs: NDArray[np.float64]
    place: slice


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LearnedGroup:
    """The learned bets of some columns.

    Parameters
    ----------
    gather : ndarray of int64, shape (n_columns, n_bins)
        As for the fixed bets.
    null : StackedNulls
        What is normal for these columns.
    caps : ndarray of float64, shape (n_columns,)
        Largest logarithm of each learned bet.
    place : slice
        Where the group lies in the vector of bets.
    cells : slice
        Where its memory lies.
    moves : ndarray of float64, shape (n_columns, n_bins, n_bins), optional
        How an event of the tick's season counts in the bins of each column as a whole, see
        ``detectors.baseline.profile.transport``; zero where the season is not known.
    """

    gather: NDArray[np.int64]
    null: StackedNulls
    caps: NDArray[np.float64]
    place: slice
    cells: slice
    moves: NDArray[np.float64] | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Layout:
    """All bets of an engine.

    Parameters
    ----------
    fixed : tuple of FixedGroup
        In the order of the vector.
    learned : tuple of LearnedGroup
        After them.
    tilts : tuple of TiltGroup
        The bets on sums, after those.
    lines : tuple of LineGroup
        The bets along learned lines, after those.
    total : int
        Bins of all columns; the sums of a tick stand behind them.
    columns : ndarray of int64, shape (n_bets,)
        The column of each bet; -1 for padding.
    names : tuple of str, length n_bets
        The direction of each bet; empty for padding.
    log_weights : ndarray of float64, shape (n_bets,)
        Natural logarithm of each bet's weight within its column; -inf for padding and in ignored columns.
    log_shares : ndarray of float64, shape (n_columns,)
        Natural logarithm of each column's share of the budget; -inf for ignored columns.
    etas : ndarray of float64, shape (n_bets,)
        Exponents.
    tempered : bool
        Whether any of them is not 1.
    by_column : ndarray of int64, shape (n_weighted,)
        The bets that are no padding, column after column.
    starts : ndarray of int64, shape (n_columns,)
        Where each column begins in ``by_column``.
    cells : int
        Size of the learned bets' memory.
    """

    fixed: tuple[FixedGroup, ...]
    learned: tuple[LearnedGroup, ...]
    tilts: tuple[TiltGroup, ...]
    lines: tuple[LineGroup, ...]
    total: int
    columns: NDArray[np.int64]
    names: tuple[str, ...]
    log_weights: NDArray[np.float64]
    log_shares: NDArray[np.float64]
    etas: NDArray[np.float64]
    tempered: bool
    by_column: NDArray[np.int64]
    starts: NDArray[np.int64]
    cells: int


def lay_out(baseline: Baseline, options: EvidenceOptions, strengths: NDArray[np.float64]) -> Layout:
    """Build the bets of every column and give each a place.

    Parameters
    ----------
    baseline : Baseline
        Whose columns.
    options : EvidenceOptions
        Minimum effect and standard errors.
    strengths : ndarray of float64, shape (n_columns,)
        The exponents of each column are multiplied by these.

    Returns
    -------
    Layout
        All bets.
    """
    own = options.of(baseline)
    nulls = [null_of(column, options, o.minimum_effect) for column, o in zip(baseline.columns, own, strict=True)]
    shares = shares_of(baseline, own, options.shares)
    bets = shares.weigh([bets_of(null, o.direction) for null, o in zip(nulls, own, strict=True)])
    for space in baseline.tilted:
        bets[baseline.index[space.tilted]] = _lessened(bets[baseline.index[space.tilted]])
    builder = _Builder(baseline)
    fixed = tuple(builder.fixed(group, bets) for group in groups_of(baseline, FIXED_FACTOR))
    learned = tuple(builder.learned(group, bets, nulls) for group in groups_of(baseline, LEARNED_FACTOR))
    etas = np.concatenate(builder.etas)
    columns = np.concatenate(builder.columns)
    etas = etas * np.where(columns >= 0, strengths[columns], 1.0)
    tilts, lines = builder.on_sums(options, strengths)
    etas = np.concatenate([etas, *(group.etas.ravel() for group in tilts), [group.eta for group in lines]])
    columns = np.concatenate(builder.columns)
    with np.errstate(divide="ignore"):
        log_shares = np.log(shares.columns)
    weighted = np.flatnonzero(columns >= 0)
    by_column = weighted[np.argsort(columns[weighted], kind="stable")]
    return Layout(
        fixed=fixed,
        learned=learned,
        tilts=tilts,
        lines=lines,
        total=baseline.total,
        columns=columns,
        names=tuple(builder.names),
        log_weights=np.where(np.isneginf(log_shares)[columns], -np.inf, np.concatenate(builder.log_weights)),
        log_shares=log_shares,
        etas=etas,
        tempered=bool((etas != 1.0).any()),
        by_column=by_column,
        starts=np.searchsorted(columns[by_column], np.arange(len(baseline.columns))),
        cells=builder.cells,
    )


def _lessened(bets: Bets) -> Bets:
    """Leave most of a column's weight to the bets on sums that belong to it."""
    return replace(bets, weights=bets.weights * (1.0 - TILT_SHARE), learned=bets.learned * (1.0 - TILT_SHARE))


def groups_of(baseline: Baseline, factor: int) -> list[list[int]]:
    """Return which columns share a group.

    Parameters
    ----------
    baseline : Baseline
        Whose columns.
    factor : int
        ``FIXED_FACTOR`` or ``LEARNED_FACTOR``.

    Returns
    -------
    list of list of int
        In the order of the layout's groups; within a group in the order of its rows.
    """
    sizes = [len(column.counts) for column in baseline.columns]
    groups: list[list[int]] = []
    for i in sorted(range(len(sizes)), key=sizes.__getitem__):
        if groups and sizes[i] <= factor * sizes[groups[-1][0]]:
            groups[-1].append(i)
        else:
            groups.append([i])
    return groups


class _Builder:
    """Hands out places in the vector of bets and in the memory."""

    def __init__(self, baseline: Baseline) -> None:
        self._baseline = baseline
        self._bets = 0
        self.cells = 0
        self.columns: list[NDArray[np.int64]] = []
        self.names: list[str] = []
        self.log_weights: list[NDArray[np.float64]] = []
        self.etas: list[NDArray[np.float64]] = []

    def fixed(self, group: list[int], bets: Sequence[Bets]) -> FixedGroup:
        gather = self._gather(group)
        width = max(len(bets[i].names) for i in group)
        logs = np.zeros((len(group), gather.shape[1], width))
        columns = np.full((len(group), width), -1, dtype=np.int64)
        log_weights = np.full((len(group), width), -np.inf)
        etas = np.ones((len(group), width))
        for row, i in enumerate(group):
            own = len(bets[i].names)
            logs[row, : len(bets[i].logs), :own] = bets[i].logs
            columns[row, :own] = i
            log_weights[row, :own] = np.log(bets[i].weights)
            etas[row, :own] = bets[i].etas
            self.names += [*bets[i].names, *[""] * (width - own)]
        self.etas.append(etas.ravel())
        return FixedGroup(gather=gather, logs=logs, place=self._place(columns, log_weights))

    def learned(self, group: list[int], bets: Sequence[Bets], nulls: Sequence[Null]) -> LearnedGroup:
        gather = self._gather(group)
        with np.errstate(divide="ignore"):
            log_weights = np.log([bets[i].learned for i in group])
        self.etas.append(np.array([bets[i].learned_eta for i in group]))
        caps = np.array([bets[i].learned_cap for i in group])
        self.names += [LEARNED_NAME] * len(group)
        cells = slice(self.cells, self.cells + gather.size)
        self.cells = cells.stop
        place = self._place(np.array(group, dtype=np.int64), log_weights)
        null = stack([nulls[i] for i in group])
        return LearnedGroup(gather=gather, null=null, caps=caps, place=place, cells=cells)

    def on_sums(
        self, options: EvidenceOptions, strengths: NDArray[np.float64]
    ) -> tuple[tuple[TiltGroup, ...], tuple[LineGroup, ...]]:
        tilts = tuple(tilt_groups(self._baseline, options, strengths, self._bets))
        bets = self._bets + sum(len(group.names) for group in tilts)
        lines = tuple(line_groups(self._baseline, options, strengths, bets, self.cells))
        lined = {group.column for group in lines}
        for group in tilts:
            share = TILT_SHARE * (1.0 - LINE_SHARE) if group.column in lined else TILT_SHARE
            number = len(group.names)
            self.names += group.names
            self._place(np.full(number, group.column), np.full(number, np.log(share / number)))
        for line in lines:
            self.names.append(LINE_NAME)
            self._place(np.array([line.column]), np.array([np.log(TILT_SHARE * LINE_SHARE)]))
            self.cells = line.cells.stop
        return tilts, lines

    def _place(self, columns: NDArray[np.int64], log_weights: NDArray[np.float64]) -> slice:
        self.columns.append(columns.ravel())
        self.log_weights.append(log_weights.ravel())
        place = slice(self._bets, self._bets + columns.size)
        self._bets = place.stop
        return place

    def _gather(self, group: list[int]) -> NDArray[np.int64]:
        sizes = [len(self._baseline.columns[i].counts) for i in group]
        gather = np.full((len(group), max(sizes)), self._baseline.total, dtype=np.int64)
        for row, (i, size) in enumerate(zip(group, sizes, strict=True)):
            gather[row, :size] = np.arange(size) + self._baseline.starts[i]
        return gather
