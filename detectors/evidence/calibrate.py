"""What is normal: the baseline's probabilities, and how far each direction may move without being news.

The null hypothesis is not "events follow the baseline exactly": no finite baseline is exact, and no page is worth a
change that does not matter. It is, for each direction ``g`` (a number per bin, with mean zero under the baseline),
"the mean of ``g`` is at most ``tolerance(g)``".
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.special import chdtri, ndtr

from detectors.baseline import Column
from detectors.evidence.options import EvidenceOptions

HALF = 0.5
"""Pseudo-count of every bin (Krichevsky and Trofimov): no bin has probability zero."""
CAUTION = 4.0
"""Pseudo-count added when a direction's variance is judged. With it three standard errors above an empty bin are
``0.5 + 3 * sqrt(4.5) = 6.9`` rows; the exact (Clopper-Pearson) limit of the same confidence is 6.6."""
BLOCK_LEVEL = 0.01
"""Blocks that differ more than chance would let them in this share of cases are taken to differ by nature."""
NATURAL_STDS = 2.0
"""How many standard deviations of that natural variation a direction may move."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Null:
    """What is normal for one column.

    Parameters
    ----------
    probabilities : ndarray of float64, shape (n_bins,)
        Smoothed shares of the bins; positive, with sum 1.
    variances : ndarray of float64, shape (n_bins,)
        The same shares, made larger where few rows support them; used to judge how uncertain a direction is.
    blocks : ndarray of float64, shape (n_blocks, n_bins)
        Shares of the bins in each block of the baseline, less their mean over the blocks.
    estimates : ndarray of float64, shape (2, n_bins)
        Two other estimates of the shares, less ``probabilities``: the plain shares of the rows, and the same made
        smaller to leave room for values that the reference does not hold.
    sampling : float
        Mean of ``1 / rows`` over the blocks: what chance alone does to block means, per unit of variance.
    effect : float
        Tolerance in standard deviations: the larger of the minimum effect and the standard errors of the baseline.
    learned_effect : float
        The same for a direction that was learned from events: the largest deviation over all directions at once.

    Examples
    --------
    >>> from detectors.baseline import compile_baseline
    >>> from detectors.columns import ColumnKind, ColumnSpec
    >>> spec = ColumnSpec(name="x", kind=ColumnKind.NUMERIC)
    >>> rng = np.random.default_rng(0)
    >>> column = compile_baseline([(spec, rng.normal(size=10_000))]).baseline.columns[0]
    >>> null = null_of(column, EvidenceOptions())
    >>> upper_half = np.where(np.arange(36) >= 17, 1.0, -1.0)
    >>> round(float(null.tolerance(upper_half[None])[0]), 3)
    0.05
    """

    probabilities: NDArray[np.float64]
    variances: NDArray[np.float64]
    blocks: NDArray[np.float64]
    estimates: NDArray[np.float64]
    sampling: float
    effect: float
    learned_effect: float

    @cached_property
    def block_factor(self) -> float:
        """Ratio of the blocks' variance to chance above which they differ by nature."""
        return block_factor(len(self.blocks))

    def tolerance(self, directions: NDArray[np.float64], *, learned: bool = False) -> NDArray[np.float64]:
        """Return how far the mean of each direction may move.

        Parameters
        ----------
        directions : ndarray of float64, shape (n_directions, n_bins)
            Each with mean zero under ``probabilities``.
        learned : bool, optional
            Whether the directions were chosen after looking at events.

        Returns
        -------
        ndarray of float64, shape (n_directions,)
            In the unit of the directions; at least 0.

        Notes
        -----
        The largest of: the operator's minimum effect times the standard deviation; ``standard_errors`` times the
        standard error of the baseline; and, when the blocks of the baseline differ more than chance explains, two
        standard deviations of what is left when chance is taken away. To this is added how far the direction's mean
        is up under either of the other ``estimates``: smoothing must not pass for a change.
        """
        variance = directions**2 @ self.variances
        moved = directions @ self.blocks.T
        between = (moved**2).sum(axis=1) / max(len(self.blocks) - 1, 1)
        estimated = directions @ self.estimates.T
        effect = self.learned_effect if learned else self.effect
        return np.asarray(tolerance_of(variance, between, self, effect) + np.maximum(estimated.max(axis=1), 0.0))


def tolerance_of(
    variance: NDArray[np.float64],
    between: NDArray[np.float64],
    null: "Null | StackedNulls",
    effect: float | NDArray[np.float64],
) -> NDArray[np.float64]:
    """Combine minimum effect, standard error and natural variation.

    Parameters
    ----------
    variance : ndarray of float64, shape (n,)
        Of the directions, per event.
    between : ndarray of float64, shape (n,)
        Variance of their block means.
    null : Null or StackedNulls
        With ``sampling`` and ``block_factor``.
    effect : float or ndarray of float64, shape (n,)
        Minimum effect or standard errors, in standard deviations.

    Returns
    -------
    ndarray of float64, shape (n,)
        Tolerances.
    """
    chance = variance * null.sampling
    natural = np.where(between > chance * null.block_factor, between - chance, 0.0)
    return np.maximum(effect * np.sqrt(variance), NATURAL_STDS * np.sqrt(natural))


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


def null_of(column: Column, options: EvidenceOptions) -> Null:
    """Tell what is normal for a column.

    Parameters
    ----------
    column : NumericColumn or CategoricalColumn
        Of a baseline.
    options : EvidenceOptions
        Minimum effect and standard errors.

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
    pseudo = np.full(len(column.counts), HALF)
    for place, name in column.specials:
        if name in {"below", "above", "between", "unseen"}:
            pseudo[place] += column.singles
    smoothed = column.counts + pseudo
    rows = int(column.counts.sum())
    probabilities = smoothed / smoothed.sum()
    plain = column.counts / rows
    sizes = np.maximum(column.blocks.sum(axis=1, keepdims=True), 1)
    shares = column.blocks / sizes
    scheffe = float(chdtri(len(smoothed) - 1, ndtr(-options.standard_errors)))
    return Null(
        probabilities=probabilities,
        variances=(smoothed + CAUTION) / rows,
        blocks=shares - shares.mean(axis=0),
        estimates=np.array([plain, _with_room(plain, pseudo - HALF, rows)]) - probabilities,
        sampling=float((1.0 / sizes).mean()),
        effect=max(options.minimum_effect, options.standard_errors / float(np.sqrt(rows))),
        learned_effect=max(options.minimum_effect, float(np.sqrt(scheffe / rows))),
    )


def _with_room(plain: NDArray[np.float64], singles: NDArray[np.float64], rows: int) -> NDArray[np.float64]:
    """Good and Turing's estimate: values seen once tell the share of values not seen at all."""
    places = singles > 0.0
    if not places.any():
        return plain
    unseen = min(float(singles.max()) / rows, 1.0)
    return np.asarray(plain * (1.0 - unseen) + places * unseen / places.sum())


def eta_of(column: Column) -> float:
    """Return the exponent of a column's log increments.

    Parameters
    ----------
    column : NumericColumn or CategoricalColumn
        Of a baseline.

    Returns
    -------
    float
        In (0, 1]. An exponent below 1 makes a valid bet weaker and keeps it valid (Jensen). Here always 1.0: events
        are taken as independent, given the tolerance.
    """
    del column
    return 1.0


@dataclass(frozen=True, kw_only=True, eq=False)
class StackedNulls:
    """Several columns' nulls, padded to the same number of bins, so that one pass serves all.

    Parameters
    ----------
    probabilities : ndarray of float64, shape (n_columns, n_bins)
        Padded with 1, where no event ever falls.
    variances : ndarray of float64, shape (n_columns, n_bins)
        Padded with 0.
    blocks : ndarray of float64, shape (n_columns, n_blocks, n_bins)
        Padded with 0.
    estimates : ndarray of float64, shape (n_columns, 2, n_bins)
        Padded with 0.
    sampling : ndarray of float64, shape (n_columns,)
        As in ``Null``.
    learned_effect : ndarray of float64, shape (n_columns,)
        As in ``Null``.
    block_factor : float
        As in ``Null``; all columns have the same blocks.
    """

    probabilities: NDArray[np.float64]
    variances: NDArray[np.float64]
    blocks: NDArray[np.float64]
    estimates: NDArray[np.float64]
    sampling: NDArray[np.float64]
    learned_effect: NDArray[np.float64]
    block_factor: float


def stack(nulls: list[Null]) -> StackedNulls:
    """Pad and stack the nulls of several columns.

    Parameters
    ----------
    nulls : list of Null
        At least one, all with the same number of blocks.

    Returns
    -------
    StackedNulls
        In the same order.
    """
    bins = max(len(null.probabilities) for null in nulls)
    probabilities = np.ones((len(nulls), bins))
    variances = np.zeros((len(nulls), bins))
    blocks = np.zeros((len(nulls), len(nulls[0].blocks), bins))
    estimates = np.zeros((len(nulls), 2, bins))
    for i, null in enumerate(nulls):
        own = slice(0, len(null.probabilities))
        probabilities[i, own], variances[i, own] = null.probabilities, null.variances
        blocks[i, :, own], estimates[i, :, own] = null.blocks, null.estimates
    return StackedNulls(
        probabilities=probabilities,
        variances=variances,
        blocks=blocks,
        estimates=estimates,
        sampling=np.array([null.sampling for null in nulls]),
        learned_effect=np.array([null.learned_effect for null in nulls]),
        block_factor=nulls[0].block_factor,
    )
