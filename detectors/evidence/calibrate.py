"""What is normal: the baseline's probabilities, and how far each direction may move without being news.

The null hypothesis is not "events follow the baseline exactly": no finite baseline is exact, and no page is worth a
change that does not matter. It is, for each direction ``g`` (a number per bin, with mean zero under the baseline),
"the mean of ``g`` is at most ``tolerance(g)``".
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.special import chdtri, ndtr

from detectors.baseline import Column
from detectors.baseline.directions import HALF, Direction, directions_of, pseudo_counts
from detectors.baseline.slow import Slow, spread
from detectors.evidence.dependence import Dependence, blocks_used, dependence_of
from detectors.evidence.options import EvidenceOptions

CAUTION = 4.0
"""Pseudo-count added when a direction's variance is judged. With it three standard errors above an empty bin are
``0.5 + 3 * sqrt(4.5 + 0.5) = 7.2`` rows; the exact (Clopper-Pearson) limit of the same confidence is 6.6."""
CAUTION_SPECIAL = 0.5
"""The same of values that need not occur at all (missing, invalid, unknown), whose share may have any order of
magnitude. If all of eight orders are as likely, a bin that stayed empty has a share above the 3.5 rows that this makes
of it in one case of a thousand, as three standard errors should."""
BLOCK_LEVEL = 0.01
"""Blocks that differ more than chance would let them in this share of cases are taken to differ by nature."""
NATURAL_STDS = 2.0
"""How many standard deviations of that natural variation a direction may move."""
WANDER_MAX = 4
"""So many ways in which the blocks differ by nature are known to the learned bet."""
WANDER_MARGIN = 1.3
"""The largest of many variances exceeds what is expected of chance by this factor in one case of a hundred."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Null:
    """What is normal for one column.

    Parameters
    ----------
    probabilities : ndarray of float64, shape (n_bins,)
        Smoothed shares of the bins; positive, with sum 1.
    variances : ndarray of float64, shape (n_bins,)
        The same shares, made larger where few rows support them; used to judge how uncertain a direction is.
    directions : tuple of Direction
        The ways in which the column may change.
    dependence : Dependence
        How many rows are worth one independent row; of a column with a slow course, around it.
    whole : Dependence
        The same of the rows as they are: what directions that nobody knows beforehand go by.
    course : ndarray of float64, shape (n_places, n_bins)
        Shares of the bins along the slow course of the column, less ``probabilities``; no places without one.
    spread : ndarray of float64, shape (n_places,)
        By what the variance of the course is larger than that of the mean of all rows.
    blocks : ndarray of float64, shape (n_blocks, n_bins)
        Shares of the bins in each block of the baseline, less their mean over the blocks.
    wander : ndarray of float64, shape (n_ways, n_bins)
        The same natural variation for any direction at once: the sum of ``(wander @ g)**2`` is the variance by which
        the mean of ``g`` differs between blocks. No ways when the blocks differ by chance alone.
    estimates : ndarray of float64, shape (2, n_bins)
        Two other estimates of the shares, less ``probabilities``: the plain shares of the rows, and the same made
        smaller to leave room for values that the reference does not hold.
    sampling : float
        Mean of ``1 / rows`` over the blocks: what chance alone does to block means, per unit of variance.
    minimum_effect : float
        In standard deviations.
    error : float
        Standard errors of the baseline, in standard deviations, for independent rows.
    learned_effect : float
        Tolerance in standard deviations for a direction that was learned from events: the larger of the minimum
        effect and the largest deviation over all directions at once.

    Examples
    --------
    >>> from detectors.baseline import compile_baseline
    >>> from detectors.columns import ColumnKind, ColumnSpec
    >>> spec = ColumnSpec(name="x", kind=ColumnKind.NUMERIC)
    >>> rng = np.random.default_rng(0)
    >>> column = compile_baseline([(spec, rng.normal(size=10_000))]).baseline.columns[0]
    >>> null = null_of(column, EvidenceOptions())
    >>> upper_half = np.where(np.arange(36) >= 17, 1.0, -1.0)
    >>> round(float(null.tolerance(upper_half[None], np.array([0]))[0]), 3)
    0.03
    """

    probabilities: NDArray[np.float64]
    variances: NDArray[np.float64]
    directions: tuple[Direction, ...]
    dependence: Dependence
    whole: Dependence
    course: NDArray[np.float64]
    spread: NDArray[np.float64]
    blocks: NDArray[np.float64]
    wander: NDArray[np.float64]
    estimates: NDArray[np.float64]
    sampling: float
    minimum_effect: float
    error: float
    learned_effect: float

    def parts(
        self, directions: NDArray[np.float64], places: NDArray[np.int64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """Return what the tolerance of fixed directions is made of.

        Parameters
        ----------
        directions : ndarray of float64, shape (n, n_bins)
            Each with mean zero under ``probabilities``.
        places : ndarray of int64, shape (n,)
            Which of ``self.directions`` each is, with either sign.

        Returns
        -------
        minimum : ndarray of float64, shape (n,)
            The operator's minimum effect.
        error : ndarray of float64, shape (n,)
            Standard errors of the baseline, with as many rows as it has independent ones.
        natural : ndarray of float64, shape (n,)
            Natural variation between blocks; 0 where chance explains it. With a slow course, the furthest that it
            went, and as many standard errors of it.
        smoothed : ndarray of float64, shape (n,)
            How far the direction's mean is up under either of the other ``estimates``.
        """
        variance = directions**2 @ self.variances
        deviation = np.sqrt(variance)
        error = self.error * np.sqrt(self.dependence.error[places]) * deviation
        return (
            self.minimum_effect * deviation,
            error,
            self._natural(directions, variance * self.sampling * self.dependence.short[places], error),
            np.maximum((directions @ self.estimates.T).max(axis=1), 0.0),
        )

    def _natural(
        self, directions: NDArray[np.float64], chance: NDArray[np.float64], error: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        if len(self.course):
            went = directions @ self.course.T + error[:, None] * np.sqrt(self.spread)
            return np.asarray(np.maximum(went.max(axis=1), 0.0))
        moved = directions @ self.blocks.T
        between = (moved**2).sum(axis=1) / max(len(self.blocks) - 1, 1)
        natural = np.where(between > chance * block_factor(len(self.blocks)), between - chance, 0.0)
        return np.asarray(NATURAL_STDS * np.sqrt(natural))

    def tolerance(self, directions: NDArray[np.float64], places: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return how far the mean of each fixed direction may move.

        Parameters
        ----------
        directions : ndarray of float64, shape (n, n_bins)
            Each with mean zero under ``probabilities``.
        places : ndarray of int64, shape (n,)
            Which of ``self.directions`` each is, with either sign.

        Returns
        -------
        ndarray of float64, shape (n,)
            In the unit of the directions; at least 0.

        Notes
        -----
        The largest of minimum effect, standard errors and natural variation; to this is added what smoothing moved:
        it must not pass for a change.
        """
        minimum, error, natural, smoothed = self.parts(directions, places)
        return np.asarray(np.maximum(np.maximum(minimum, error), natural) + smoothed)

    def learned_tolerance(self, directions: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return how far the mean of directions may move that were chosen after looking at events.

        Parameters
        ----------
        directions : ndarray of float64, shape (n, n_bins)
            Each with mean zero under ``probabilities``.

        Returns
        -------
        ndarray of float64, shape (n,)
            In the unit of the directions; at least 0.
        """
        deviation = np.sqrt(directions**2 @ self.variances)
        natural = NATURAL_STDS * np.sqrt(((directions @ self.wander.T) ** 2).sum(axis=1))
        smoothed = np.maximum((directions @ self.estimates.T).max(axis=1), 0.0)
        return np.asarray(np.maximum(self.learned_effect * deviation, natural) + smoothed)


def block_factor(blocks: int) -> float:
    """Return the ratio of variance between blocks to chance that chance exceeds in one case of a hundred.

    Parameters
    ----------
    blocks : int
        Number of blocks.

    Returns
    -------
    float
        At least 1. For one block it does not matter: it does not differ from itself.

    Examples
    --------
    >>> round(block_factor(20), 2)
    1.9
    """
    if blocks < 2:  # noqa: PLR2004 - one block has nothing to differ from
        return 1.0
    return float(chdtri(blocks - 1, BLOCK_LEVEL)) / (blocks - 1)


def null_of(column: Column, options: EvidenceOptions, minimum_effect: float | None = None) -> Null:
    """Tell what is normal for a column.

    Parameters
    ----------
    column : NumericColumn or CategoricalColumn
        Of a baseline.
    options : EvidenceOptions
        Minimum effect and standard errors.
    minimum_effect : float or None, optional
        The column's own minimum effect.

    Returns
    -------
    Null
        Probabilities and tolerances.

    Notes
    -----
    A learned direction points to where events really are, and so to where the baseline happens to be most wrong. Its
    standard error is therefore that of the worst of all directions (Scheffe): with ``k`` bins and ``n`` rows the
    square root of a chi-square quantile with ``k - 1`` degrees of freedom, divided by ``n``.

    The number of values that the reference holds once estimates the share of those it does not hold at all (Good and
    Turing), so it is added to the bins where such values will fall.
    """
    minimum = options.minimum_effect if minimum_effect is None else minimum_effect
    pseudo = pseudo_counts(column)
    smoothed = column.counts + pseudo
    rows = int(column.counts.sum())
    probabilities = smoothed / smoothed.sum()
    plain = column.counts / rows
    directions = directions_of(column)
    whole = dependence_of(column, directions, tick_events=options.tick_events, known=options.calibrate)
    slow = column.slow if options.calibrate else None
    around = whole if slow is None else _around(column, slow, directions, options)
    groups = _coarse(column)
    sizes = np.maximum(groups.sum(axis=1, keepdims=True), 1)
    shares = groups / sizes
    sampling = float((1.0 / sizes).mean())
    blocks = shares - shares.mean(axis=0)
    scheffe = whole.overall * float(chdtri(len(smoothed) - 1, ndtr(-options.standard_errors)))
    scheffe += max(whole.largest - whole.overall, 0.0) * options.standard_errors**2
    return Null(
        probabilities=probabilities,
        variances=(smoothed + caution_of(column)) / rows,
        directions=directions,
        dependence=around,
        whole=whole,
        course=np.zeros((0, len(smoothed))) if slow is None else slow.shares() - probabilities,
        spread=np.zeros(0) if slow is None else spread(),
        blocks=blocks,
        wander=_wander(blocks, probabilities, sampling * float(whole.short.max())),
        estimates=np.array([plain, _with_room(plain, pseudo - HALF, rows)]) - probabilities,
        sampling=sampling,
        minimum_effect=minimum,
        error=options.standard_errors / float(np.sqrt(rows)),
        learned_effect=max(minimum, float(np.sqrt(scheffe / rows))),
    )


def _around(column: Column, slow: Slow, directions: tuple[Direction, ...], options: EvidenceOptions) -> Dependence:
    """Tell how many rows are worth one around the column's slow course."""
    return dependence_of(replace(column, inflation=slow.inflation), directions, tick_events=options.tick_events)


def caution_of(column: Column) -> NDArray[np.float64]:
    """Return the pseudo-counts with which the variance of a direction is judged.

    Parameters
    ----------
    column : NumericColumn or CategoricalColumn
        Of a baseline.

    Returns
    -------
    ndarray of float64, shape (n_bins,)
        ``CAUTION_SPECIAL`` for values that need not occur at all, ``CAUTION`` elsewhere.
    """
    caution = np.full(len(column.counts), CAUTION)
    for place, name in column.specials:
        if name in {"missing", "invalid", "other", "unseen"}:
            caution[place] = CAUTION_SPECIAL
    return caution


def _coarse(column: Column) -> NDArray[np.float64]:
    """Return the counts of at most 20 blocks, each of several neighbouring ones."""
    starts = np.linspace(0, len(column.blocks), blocks_used(column) + 1).astype(np.int64)[:-1]
    return np.add.reduceat(column.blocks.astype(np.float64), starts, axis=0)


def _wander(blocks: NDArray[np.float64], probabilities: NDArray[np.float64], chance: float) -> NDArray[np.float64]:
    """Find the few ways in which blocks differ more than chance lets them (principal components of chi-square)."""
    freedom, bins = len(blocks) - 1, len(probabilities)
    if freedom < 1:
        return np.zeros((0, bins))
    roots = np.sqrt(probabilities)
    _, values, ways = np.linalg.svd(blocks / roots / np.sqrt(freedom * chance), full_matrices=False)
    noise = WANDER_MARGIN * (1.0 + np.sqrt((bins - 1) / freedom)) ** 2
    kept = np.flatnonzero(values**2 > noise)[:WANDER_MAX]
    scale = np.sqrt((values[kept] ** 2 - 1.0) * chance)
    return np.asarray(scale[:, None] * ways[kept] * roots)


def _with_room(plain: NDArray[np.float64], singles: NDArray[np.float64], rows: int) -> NDArray[np.float64]:
    """Good and Turing's estimate: values seen once tell the share of values not seen at all."""
    places = singles > 0.0
    if not places.any():
        return plain
    unseen = min(float(singles.max()) / rows, 1.0)
    return np.asarray(plain * (1.0 - unseen) + places * unseen / places.sum())


@dataclass(frozen=True, kw_only=True, eq=False)
class StackedNulls:
    """Several columns' nulls, padded to the same number of bins, so that one pass serves all.

    Parameters
    ----------
    probabilities : ndarray of float64, shape (n_columns, n_bins)
        Padded with 1, where no event ever falls.
    variances : ndarray of float64, shape (n_columns, n_bins)
        Padded with 0.
    present : ndarray of float64, shape (n_columns, n_bins)
        1; padded with 0.
    wander : ndarray of float64, shape (n_columns, n_ways, n_bins)
        Padded with 0; as many ways as the column with the most.
    estimates : ndarray of float64, shape (n_columns, 2, n_bins)
        Padded with 0.
    learned_effect : ndarray of float64, shape (n_columns,)
        As in ``Null``.
    """

    probabilities: NDArray[np.float64]
    variances: NDArray[np.float64]
    present: NDArray[np.float64]
    wander: NDArray[np.float64]
    estimates: NDArray[np.float64]
    learned_effect: NDArray[np.float64]


def stack(nulls: list[Null]) -> StackedNulls:
    """Pad and stack the nulls of several columns.

    Parameters
    ----------
    nulls : list of Null
        At least one.

    Returns
    -------
    StackedNulls
        In the same order.
    """
    bins = max(len(null.probabilities) for null in nulls)
    probabilities = np.ones((len(nulls), bins))
    variances = np.zeros((len(nulls), bins))
    wander = np.zeros((len(nulls), max(len(null.wander) for null in nulls), bins))
    estimates = np.zeros((len(nulls), 2, bins))
    for i, null in enumerate(nulls):
        own = slice(0, len(null.probabilities))
        probabilities[i, own], variances[i, own] = null.probabilities, null.variances
        wander[i, : len(null.wander), own], estimates[i, :, own] = null.wander, null.estimates
    return StackedNulls(
        probabilities=probabilities,
        variances=variances,
        present=(variances > 0.0).astype(np.float64),
        wander=wander,
        estimates=estimates,
        learned_effect=np.array([null.learned_effect for null in nulls]),
    )
