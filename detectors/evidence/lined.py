"""Build the bets along learned lines: what they tolerate, along which lines nothing is bet, and their exponents."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.special import chdtri, ndtr

from detectors.baseline import Baseline
from detectors.evidence.calibrate import NATURAL_STDS, WANDER_MARGIN, WANDER_MAX
from detectors.evidence.dependence import Dependence, dependence_from, exponents
from detectors.evidence.lines import LineGroup
from detectors.evidence.options import EvidenceOptions
from detectors.spaces import Line, Space
from detectors.spaces.space import WHITENED

STAKES = 12
LOG_LEAST, LOG_MOST = 0.1, 2.5
"""The farthest event multiplies a stake by exp(0.1) to exp(2.5); staked is what grows fastest if the line is right."""
PAYMENTS = 24
FITTED_LEAST = 0.1


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
                categorical=space.categorical,
                inputs=space.inputs if space.projected is None else (),
                whitening=_whitening(space),
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
        _strictly(
            dependence_from(
                np.concatenate([line.inflation[tied:lines, :scales], line.rest[tied, None, :scales]]),
                max(line.tied, 1),
                np.ones(lines - tied),
                blocks=len(line.blocks),
                tick_events=options.tick_events,
                growth=growth,
            )
        )
        for tied in range(max(lines, 1))
    ]
    worth = [(line.size - tied) / ties.largest_bets for tied, ties in enumerate(candidates)]
    best = int(np.argmax(worth))
    return best, candidates[best]


def _strictly(ties: Dependence) -> Dependence:
    """Let lines count that are tied for too long to be sure of: whoever learns a line may learn that one."""
    return replace(
        ties,
        largest=max(ties.largest, float(ties.error.max(initial=1.0))),
        largest_bets=max(ties.largest_bets, float(ties.bets.max(initial=1.0))),
    )


def _stakes(line: Line, options: EvidenceOptions, ties: Dependence) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return what may be staked, and what the spread of events adds to the bound for each of it.

    The largest mean square along any line is the reference's, with its error and what it varies between blocks.
    """
    # Whitened by its own rows a reference is rounder than what follows: along some line that varies more by this.
    fitted = max(1.0 - float(np.sqrt(ties.overall * line.size / line.rows)), FITTED_LEAST)
    error = (1.0 + options.standard_errors * float(np.sqrt(ties.largest / line.rows))) / fitted
    square = line.square * error**2 * (1.0 + NATURAL_STDS * line.unrest)
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


def _whitening(space: Space) -> NDArray[np.float64]:
    """Return what makes deviations of inputs round; nothing where inputs have no names."""
    fitted = space.fits[WHITENED]
    named = space.projected is None and bool(space.inputs)
    return np.asarray(fitted.weights * 2.0**-fitted.exponent) if named else np.zeros((0, 0))
