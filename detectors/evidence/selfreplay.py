"""Replaying the reference against itself: every fifth of it, in time order, against what the other fifths say.

What a variance cannot tell, such as a trend, shows here: evidence grows although nothing but the reference itself is
replayed. Under a baseline that holds, the evidence of a column exceeds ``LIMIT`` times the number of ticks in at most
one of ``LIMIT`` fifths, whatever the column. Where it does, the column's exponents are halved until it does not.
"""

from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from detectors.baseline import Baseline
from detectors.baseline.ties import caveat
from detectors.evidence.fusion import blamed, log_sum, log_sum_by
from detectors.evidence.layout import Layout, lay_out
from detectors.evidence.options import EvidenceOptions
from detectors.evidence.recursion import advance, chunk_of, increments_of, nothing_yet

FOLDS = 5
BLOCKS_MIN = 10
"""With fewer blocks nothing is replayed: there is no fifth to speak of."""
LIMIT = 1000.0
HALVINGS = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class SelfTestAlarm:
    """A false alarm that the reference would have raised.

    Parameters
    ----------
    first_row : int
        First reference row of the block that raised it, in time order.
    last_row : int
        Its last one.
    columns : tuple of str
        The columns blamed, strongest first.
    """

    first_row: int
    last_row: int
    columns: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SelfTest:
    """What a replay of the reference against itself saw.

    Parameters
    ----------
    ticks : int
        Blocks replayed, each as one tick; 0 when the reference is too short.
    tick_rows : float
        Mean number of rows in one.
    allowed : float
        False alarms that the budget allows in so many ticks.
    alarms : tuple of SelfTestAlarm
        Those raised.
    caveat : str or None, optional
        Why there may be more false alarms than this replay shows, in one sentence.
    """

    ticks: int
    tick_rows: float
    allowed: float
    alarms: tuple[SelfTestAlarm, ...]
    caveat: str | None = None

    def __str__(self) -> str:
        return self._seen() + ("" if self.caveat is None else f". But {self.caveat}")

    def _seen(self) -> str:
        if not self.ticks:
            return "the reference is too short to be replayed against itself"
        raised = len(self.alarms)
        return (
            f"{raised} false {'alarm' if raised == 1 else 'alarms'} in {self.ticks} ticks of about "
            f"{self.tick_rows:.0f} reference rows, each fifth against the others; {self.allowed:.2g} allowed"
        )


def strengths_of(baseline: Baseline, options: EvidenceOptions) -> NDArray[np.float64]:
    """Tell by how much each column's exponents must be lowered for the reference to stay within the budget.

    Parameters
    ----------
    baseline : Baseline
        Whose reference.
    options : EvidenceOptions
        As for the engine.

    Returns
    -------
    ndarray of float64, shape (n_columns,)
        1, 1/2, 1/4, ... down to 1/1024. A column of independent rows gets less than 1 with probability below 0.5 %.

    Notes
    -----
    Costs five times laying out the bets and one tick per block; twice that where a column had to be lowered once.
    """
    strengths = np.ones(len(baseline.columns))
    if len(baseline.columns[0].blocks) < BLOCKS_MIN or not (options.calibrate and baseline.ordered):
        return strengths
    own = options.of(baseline)
    left = np.array([i for i, column in enumerate(own) if not column.ignore])
    for _ in range(HALVINGS):
        names = {baseline.names[i] for i in left}
        kept = replace(options, columns=tuple(column for column in own if column.name in names))
        over = _over_limit(baseline.only(names), kept, strengths[left])
        left = left[over]
        if not len(left):
            break
        strengths[left] /= 2.0
    return strengths


def _over_limit(baseline: Baseline, options: EvidenceOptions, strengths: NDArray[np.float64]) -> NDArray[np.bool_]:
    over = np.zeros(len(strengths), dtype=bool)
    for rest, counts, _ in _folds(baseline):
        evidence = _replayed(lay_out(rest, options, strengths), options, counts)
        over |= evidence.max(axis=0) > np.log(LIMIT * len(counts))
    return over


def _folds(baseline: Baseline) -> list[tuple[Baseline, NDArray[np.int64], int]]:
    """Return for each fold the baseline of all other blocks, the flat counts of its blocks, and where it begins."""
    blocks = len(baseline.columns[0].blocks)
    found = []
    for first, end in pairwise(np.linspace(0, blocks, FOLDS + 1).astype(int).tolist()):
        own = slice(first, end)
        columns = tuple(
            replace(
                column,
                counts=column.counts - column.blocks[own].sum(axis=0, dtype=np.int64),
                blocks=np.delete(column.blocks, np.arange(first, end), axis=0),
            )
            for column in baseline.columns
        )
        counts = np.concatenate([column.blocks[own].astype(np.int64) for column in baseline.columns], axis=1)
        rows = int(columns[0].counts.sum())
        found.append((Baseline(columns=columns, rows=rows, ordered=baseline.ordered), counts, first))
    return found


def _replayed(layout: Layout, options: EvidenceOptions, counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the log evidence of each column after each tick."""
    work = nothing_yet(layout)
    found = np.empty((len(counts), len(layout.starts)))
    step = chunk_of(layout)
    for start in range(0, len(counts), step):
        part = counts[start : start + step]
        increments, memories = increments_of(layout, options.learned_events, work.memory, part)
        for tick, (increment, memory) in enumerate(zip(increments, memories[1:], strict=True), start):
            advance(work, tick, increment, memory)
            found[tick] = log_sum_by((work.sums + layout.log_weights)[layout.by_column], layout.starts)
    return found


def self_test(baseline: Baseline, options: EvidenceOptions, strengths: NDArray[np.float64], budget: float) -> SelfTest:
    """Replay the reference against itself and report the false alarms that it would have raised.

    Parameters
    ----------
    baseline : Baseline
        Whose reference.
    options : EvidenceOptions
        As for the engine.
    strengths : ndarray of float64, shape (n_columns,)
        From ``strengths_of``.
    budget : float
        A, the promised mean number of ticks between false alarms; above 1.

    Returns
    -------
    SelfTest
        Alarms of the whole model, after each of which the evidence starts anew.

    Notes
    -----
    Ticks are blocks of the reference, so that a run of one-row ticks is seen in less detail. Cost as for
    ``strengths_of``.
    """
    blocks = len(baseline.columns[0].blocks)
    rows = baseline.rows / blocks
    doubt = caveat(baseline.columns)
    if blocks < BLOCKS_MIN:
        return SelfTest(ticks=0, tick_rows=rows, allowed=0.0, alarms=(), caveat=doubt)
    bounds = np.linspace(0, baseline.rows, blocks + 1).astype(np.int64)
    threshold, alarms = float(np.log(budget)), []
    for rest, counts, first in _folds(baseline):
        layout = lay_out(rest, options, strengths)
        start = 0
        while start < len(counts):
            evidence = _replayed(layout, options, counts[start:])
            model = [log_sum(row) for row in evidence + layout.log_shares]
            place = next((i for i, value in enumerate(model) if value >= threshold), None)
            if place is None:
                break
            block = first + start + place
            names = tuple(baseline.names[i] for i in blamed(evidence[place], threshold, layout.log_shares))
            alarms.append(
                SelfTestAlarm(first_row=int(bounds[block]), last_row=int(bounds[block + 1]) - 1, columns=names)
            )
            start += place + 1
    return SelfTest(ticks=blocks, tick_rows=rows, allowed=blocks / budget, alarms=tuple(alarms), caveat=doubt)
