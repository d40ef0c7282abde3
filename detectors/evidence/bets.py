"""The fixed family of bets: directions in which a column may change, and how much is staked on each.

A bet is a number per bin, ``b(k) = 1 + stake * (g(k) - tolerance(g))``, never negative. Whenever the mean of the
direction ``g`` is within its tolerance, the mean of the bet is at most 1: it loses money on average. When the column
moves in that direction, its logarithm grows.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.polynomial import Legendre
from numpy.typing import NDArray

from detectors.baseline import CategoricalColumn, Column, NumericColumn
from detectors.evidence.calibrate import Null

QUANTUM = 2.0**-24
"""Log bets are rounded down to multiples of this, so that sums of them over up to 16 million events are exact in
float64: the same in any order, however a tick is split. Rounding down keeps every bet valid."""

SHAPES = ("mean", "spread", "skew", "tail weight")
SHAPE_SHARES = (0.4, 0.3, 0.15, 0.15)
SHAPE_SIZES = (0.09, 0.22, 0.52, 0.95)
TAIL_BINS = (1, 2, 4)
TAIL_SIZES = (0.05, 0.2, 0.6)
TAIL_SHARE_MAX = 0.5
SPECIAL_SIZES = (0.005, 0.05, 0.5)
CATEGORY_SIZES = (0.02, 0.1, 0.4)
SHRINK_SIZES = (0.3, 0.9)
SHRINK_FROM = 0.02
"""Only bins with at least this share can shrink noticeably."""
FAMILY_WEIGHTS = {"shape": 0.5, "tail": 0.15, "special": 0.2, "grow": 0.35, "shrink": 0.2, "learned": 0.15}
"""Weights of the families; those that a column has share its weight in these proportions."""
LABEL_MAX = 40


@dataclass(frozen=True, slots=True, eq=False)
class Direction:
    """One way in which a column may change.

    Parameters
    ----------
    name : str
        What a person reads, such as ``mean up`` or ``category 'DE' down``.
    family : str
        A key of ``FAMILY_WEIGHTS``.
    values : ndarray of float64, shape (n_bins,)
        With mean zero under the baseline; larger where the change puts more events.
    sizes : tuple of float
        Stakes, as shares of the largest one that could lose everything; in (0, 1).
    share : float
        Weight within the family, relative to the family's other directions.
    """

    name: str
    family: str
    values: NDArray[np.float64]
    sizes: tuple[float, ...]
    share: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Bets:
    """All fixed bets of one column.

    Parameters
    ----------
    names : tuple of str, length n_bets
        The direction of each bet.
    directions : ndarray of float64, shape (n_bets, n_bins)
        Centred directions.
    tolerances : ndarray of float64, shape (n_bets,)
        How far the mean of each may move.
    logs : ndarray of float64, shape (n_bins, n_bets)
        Natural logarithms of the bets, multiples of ``QUANTUM``.
    weights : ndarray of float64, shape (n_bets,)
        Positive; with ``learned`` they sum to 1.
    learned : float
        What is left for the column's learned bet.

    Examples
    --------
    >>> from detectors.baseline import compile_baseline
    >>> from detectors.columns import ColumnKind, ColumnSpec
    >>> from detectors.evidence.calibrate import null_of
    >>> from detectors.evidence.options import EvidenceOptions
    >>> spec = ColumnSpec(name="x", kind=ColumnKind.NUMERIC)
    >>> column = compile_baseline([(spec, np.arange(1000.0))]).baseline.columns[0]
    >>> null = null_of(column, EvidenceOptions())
    >>> bets = bets_of(column, null)
    >>> bets.names[0], bets.names[-1], len(bets.names)
    ('mean up', 'invalid up', 71)
    >>> bool((null.probabilities @ np.exp(bets.logs) <= 1).all())
    True
    """

    names: tuple[str, ...]
    directions: NDArray[np.float64]
    tolerances: NDArray[np.float64]
    logs: NDArray[np.float64]
    weights: NDArray[np.float64]
    learned: float


def bets_of(column: Column, null: Null) -> Bets:
    """Build the bets of a column.

    Parameters
    ----------
    column : NumericColumn or CategoricalColumn
        Of a baseline.
    null : Null
        What is normal for it.

    Returns
    -------
    Bets
        At least the bets on its special bins.

    Notes
    -----
    A numeric column with 32 bins has 71 fixed bets; a categorical one has three for each bin and two more for each
    bin with at least 2 % of the rows. Memory is ``8 * n_bins * n_bets`` bytes: 20 kB for the former.

    References
    ----------
    .. [1] Shin, J., Ramdas, A., Rinaldo, A. (2022). E-detectors: a nonparametric framework for sequential change
       detection. arXiv:2203.03532.
    .. [2] Waudby-Smith, I., Ramdas, A. (2024). Estimating means of bounded random variables by betting. Journal of
       the Royal Statistical Society B 86(1).
    """
    found = list(_directions(column, null.probabilities))
    values = np.array([direction.values for direction in found])
    tolerances = null.tolerance(values)
    weights, learned = _weights(found)
    names: list[str] = []
    logs: list[NDArray[np.float64]] = []
    repeats = [len(direction.sizes) for direction in found]
    for direction, tolerance in zip(found, tolerances, strict=True):
        for size in direction.sizes:
            names.append(direction.name)
            logs.append(log_bet(direction.values, float(tolerance), size))
    return Bets(
        names=tuple(names),
        directions=np.repeat(values, repeats, axis=0),
        tolerances=np.repeat(tolerances, repeats),
        logs=np.array(logs).T.copy(),
        weights=weights,
        learned=learned,
    )


def log_bet(direction: NDArray[np.float64], tolerance: float, size: float) -> NDArray[np.float64]:
    """Return the logarithm of one bet, rounded down to multiples of ``QUANTUM``.

    Parameters
    ----------
    direction : ndarray of float64, shape (n_bins,)
        With mean zero under the baseline.
    tolerance : float
        How far its mean may move; at least 0.
    size : float
        In (0, 1): the bet is ``1 - size`` in the worst bin.

    Returns
    -------
    ndarray of float64, shape (n_bins,)
        At least ``log(1 - size)`` less one quantum.

    Examples
    --------
    >>> np.exp(log_bet(np.array([-1.0, 1.0]), 0.25, 0.5)).round(3)
    array([0.5, 1.3])
    """
    stake = size / (tolerance - direction.min())
    return np.asarray(np.floor(np.log1p(stake * (direction - tolerance)) / QUANTUM) * QUANTUM)


def _weights(found: list[Direction]) -> tuple[NDArray[np.float64], float]:
    shares: dict[str, float] = {}
    for direction in found:
        shares[direction.family] = shares.get(direction.family, 0.0) + direction.share
    whole = FAMILY_WEIGHTS["learned"] + sum(FAMILY_WEIGHTS[family] for family in shares)
    weights = [
        FAMILY_WEIGHTS[d.family] / whole * d.share / shares[d.family] / len(d.sizes) for d in found for _ in d.sizes
    ]
    return np.array(weights), FAMILY_WEIGHTS["learned"] / whole


def _directions(column: Column, probabilities: NDArray[np.float64]) -> Iterator[Direction]:
    if isinstance(column, NumericColumn):
        yield from _shapes(column, probabilities)
        yield from _tails(column, probabilities)
    else:
        yield from _categories(column, probabilities)
    for place, name in column.specials:
        word = _SPECIAL_WORDS.get(name, name)
        yield _share(probabilities, [place], f"{word} up", "special", SPECIAL_SIZES)
        if probabilities[place] >= SHRINK_FROM:
            yield _share(probabilities, [place], f"{word} down", "special", SHRINK_SIZES, sign=-1.0)


_SPECIAL_WORDS = {"below": "below range", "above": "above range", "between": "between known values"}


def _shapes(column: NumericColumn, probabilities: NDArray[np.float64]) -> Iterator[Direction]:
    """Legendre polynomials of the mid-rank, made orthonormal under the baseline; zero in bins without a rank."""
    ordered = probabilities[: column.ordered] / probabilities[: column.ordered].sum()
    ranks = 2.0 * (np.cumsum(ordered) - ordered / 2.0) - 1.0
    basis = [np.ones(column.ordered)]
    for degree in range(1, min(len(SHAPES), column.regular - 1) + 1):
        values = Legendre.basis(degree)(ranks)
        for earlier in basis:
            values = values - (ordered * values * earlier).sum() * earlier
        norm = float(np.sqrt((ordered * values**2).sum()))
        basis.append(values / norm)
        for sign, word in ((1.0, "up"), (-1.0, "down")):
            padded = np.zeros(len(probabilities))
            padded[: column.ordered] = sign * basis[-1]
            name = f"{SHAPES[degree - 1]} {word}"
            yield Direction(name, "shape", padded, SHAPE_SIZES, SHAPE_SHARES[degree - 1])


def _tails(column: NumericColumn, probabilities: NDArray[np.float64]) -> Iterator[Direction]:
    last = column.ordered
    for bins in TAIL_BINS:
        if 2 * bins >= column.regular:
            continue
        lowest, highest = list(range(bins + 1)), list(range(last - 1 - bins, last))
        for places, word in ((lowest, "lowest"), (highest, "highest"), (lowest + highest, "outermost")):
            share = float(probabilities[places].sum())
            if share <= TAIL_SHARE_MAX:
                yield _share(probabilities, places, f"{word} {share:.0%} up", "tail", TAIL_SIZES)


def _categories(column: CategoricalColumn, probabilities: NDArray[np.float64]) -> Iterator[Direction]:
    for place, label in enumerate(column.labels):
        short = label if len(label) <= LABEL_MAX else label[: LABEL_MAX - 3] + "..."
        yield _share(probabilities, [place], f"category {short!r} up", "grow", CATEGORY_SIZES)
        if probabilities[place] >= SHRINK_FROM:
            yield _share(probabilities, [place], f"category {short!r} down", "shrink", SHRINK_SIZES, sign=-1.0)


def _share(
    probabilities: NDArray[np.float64],
    places: list[int],
    name: str,
    family: str,
    sizes: tuple[float, ...],
    *,
    sign: float = 1.0,
) -> Direction:
    """Events falling into some bins, more often or less often than in the baseline."""
    values = np.zeros(len(probabilities))
    values[places] = 1.0
    return Direction(name, family, sign * (values - probabilities[places].sum()), sizes)
