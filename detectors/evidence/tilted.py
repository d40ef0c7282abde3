"""Bets on sums: pairs of inputs that begin to move together, and embeddings that move along a line.

A tilt divided by its mean over the reference is a likelihood ratio with mean one. The null hypothesis is, for each of
them, "its mean is at most ``1 + tolerance``"; divided by that as well it is a bet like all others, and the logarithm of
its product over a tick is linear in the tick's sums::

    increment = a * sum of the statistic - b * sum of the squares - c * events,    c = log(mean * (1 + tolerance))
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from detectors.baseline import Baseline
from detectors.baseline.directions import shortened
from detectors.evidence.calibrate import NATURAL_STDS, block_factor
from detectors.evidence.dependence import dependence_from, exponents
from detectors.evidence.options import EvidenceOptions
from detectors.scores.pairs import COARSE_BITS
from detectors.spaces import Space, Tilts
from detectors.spaces.tilts import BLOCKS

TILT_SHARE = 0.8
"""So much of the weight of the column that they belong to is for the bets on sums."""
PAYMENTS = 24
"""An exponent is tried with so many payments between the least and the largest one."""
LEAST = -20.0
"""Payments below exp(-20) count as so much: all is lost."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TiltGroup:
    """The bets on the sums of one space.

    Parameters
    ----------
    column : int
        The column that they belong to.
    names : tuple of str, length n_statistics * n_ways
        What each bet sees.
    statistic, first, second : ndarray of int64, shape (n_statistics,)
        Places of the sums of each statistic, and of the squares of its parts, among those of a tick.
    events : int
        Place of the number of events.
    a, b, c : ndarray of float64, shape (n_statistics, n_ways)
        As above; the first two per unit of the sums.
    etas : ndarray of float64, shape (n_statistics, n_ways)
        Exponents.
    place : slice
        Where the group lies in the vector of bets.
    """

    column: int
    names: tuple[str, ...]
    statistic: NDArray[np.int64]
    first: NDArray[np.int64]
    second: NDArray[np.int64]
    events: int
    a: NDArray[np.float64]
    b: NDArray[np.float64]
    c: NDArray[np.float64]
    etas: NDArray[np.float64]
    place: slice

    def increments(self, sums: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the log increments of ticks, before the exponent.

        Parameters
        ----------
        sums : ndarray of float64, shape (n_ticks, baseline.sums)
            Whole numbers.

        Returns
        -------
        ndarray of float64, shape (n_ticks, n_statistics * n_ways)
            The same bits however many ticks there are.

        Notes
        -----
        Three products per bet: 10 microseconds per tick for 20 inputs.
        """
        found = sums[:, self.statistic, None] * self.a
        if self.b.any():
            found -= (sums[:, self.first] + sums[:, self.second])[:, :, None] * self.b
        found -= sums[:, self.events, None, None] * self.c
        return np.asarray(found.reshape(len(sums), -1))


def tilt_groups(
    baseline: Baseline, options: EvidenceOptions, strengths: NDArray[np.float64], start: int
) -> Iterator[TiltGroup]:
    """Build the bets on sums of every space that has them.

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

    Yields
    ------
    TiltGroup
        One after the other.
    """
    own, cell = options.of(baseline), 0
    for space in baseline.tilted:
        tilts, column = space.tilts, baseline.index[space.tilted]
        if tilts is None:
            continue
        number = tilts.log_means.size
        minimum = own[column].minimum_effect
        tolerances, etas = terms(tilts, options, minimum, ordered=baseline.ordered)
        unit = 2.0**-COARSE_BITS
        statistics = tilts.statistics.astype(np.int64)
        places = cell + 1 + statistics
        products = cell + 1 + tilts.parts + np.arange(len(statistics))
        yield TiltGroup(
            column=column,
            names=names_of(space, tilts),
            statistic=products if tilts.products else places[:, 0],
            first=places[:, 0],
            second=places[:, 1],
            events=cell,
            a=tilts.slopes[..., 0] * (unit * unit if tilts.products else unit),
            b=tilts.slopes[..., 1] * unit * unit,
            c=tilts.log_means + np.log1p(tolerances),
            etas=etas * strengths[column],
            place=slice(start, start + number),
        )
        cell += space.sums_number
        start += number


def terms(
    tilts: Tilts, options: EvidenceOptions, minimum_effect: float | None = None, *, ordered: bool = True
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return how far the mean of each tilt may be above that of the reference, and the exponents of the bets.

    Parameters
    ----------
    tilts : Tilts
        Of a space.
    options : EvidenceOptions
        Minimum effect and standard errors.
    minimum_effect : float or None, optional
        The column's own minimum effect.
    ordered : bool, optional
        Whether the reference rows came in the order of time.

    Returns
    -------
    tolerances : ndarray of float64, shape (n_statistics, n_ways)
        Relative to the mean; the largest of minimum effect, standard errors, and natural variation between blocks.
    etas : ndarray of float64, shape (n_statistics, n_ways)
        In (0, 1].
    """
    blocks = min(BLOCKS, tilts.rows)
    dependence = dependence_from(
        tilts.inflation if options.calibrate and ordered else tilts.inflation[:, :0],
        tilts.rows,
        np.ones(len(tilts.statistics)),
        blocks=blocks,
        tick_events=options.tick_events,
    )
    deviations = np.sqrt(tilts.variances)
    minimum = options.minimum_effect if minimum_effect is None else minimum_effect
    errors = options.standard_errors * np.sqrt(dependence.error / tilts.rows)[:, None] * deviations
    chance = tilts.variances * (blocks / tilts.rows) * dependence.short[:, None]
    natural = np.where(tilts.between > chance * block_factor(blocks), tilts.between - chance, 0.0)
    tolerances = np.maximum(np.maximum(minimum * deviations, errors), NATURAL_STDS * np.sqrt(natural))
    inflation = np.repeat(dependence.bets, tolerances.shape[1])
    most = tilts.highest - tilts.log_means - np.log1p(tolerances)
    grid = LEAST + np.linspace(0.0, 1.0, PAYMENTS) * (most.ravel()[:, None] - LEAST)
    return tolerances, exponents(np.exp(grid), inflation).reshape(tolerances.shape)


def names_of(space: Space, tilts: Tilts) -> tuple[str, ...]:
    """Return what each bet on the sums of a space sees.

    Parameters
    ----------
    space : Space
        Whose inputs.
    tilts : Tilts
        Its own.

    Returns
    -------
    tuple of str, length n_statistics * n_ways
        Such as ``correlation of age with income up``, or ``direction 7 down``.
    """
    return tuple(_names(space, tilts))


def _names(space: Space, tilts: Tilts) -> Iterator[str]:
    for (i, j), slopes in zip(tilts.statistics.tolist(), tilts.slopes.tolist(), strict=True):
        what = f"direction {i + 1}"
        if tilts.products:
            one, other = (space.inputs[place] if space.projected is None else str(place + 1) for place in (i, j))
            what = f"correlation of {shortened(one)} with {shortened(other)}"
        for a, _ in slopes:
            yield f"{what} {'up' if a > 0.0 else 'down'}"
