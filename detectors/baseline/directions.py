"""The ways in which a column may change: numbers per bin, known as soon as the reference has been counted.

They stand here, below the bets, because the reference must be asked how much each of them moves by itself while its
rows are at hand: afterwards only counts are left.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.polynomial import Legendre
from numpy.typing import NDArray

from detectors.baseline.bins import CategoricalColumn, Column, NumericColumn

HALF = 0.5
"""Pseudo-count of every bin (Krichevsky and Trofimov): no bin has probability zero."""
SHAPES = ("mean", "spread", "skew", "tail weight")
SHAPE_SHARES = (0.4, 0.3, 0.15, 0.15)
TAIL_BINS = (1, 2, 4)
TAIL_SHARE_MAX = 0.5
LABEL_MAX = 40
_SPECIAL_WORDS = {"below": "below range", "above": "above range", "between": "between known values"}


@dataclass(frozen=True, slots=True, eq=False)
class Direction:
    """One way in which a column may change; the opposite way is its negative.

    Parameters
    ----------
    name : str
        What a person reads, such as ``mean`` or ``category 'DE'``.
    family : str
        ``shape``, ``tail``, ``special`` or ``label``.
    values : ndarray of float64, shape (n_bins,)
        With mean zero under the baseline; larger where the change puts more events.
    share : float
        Weight within the family, relative to the family's other directions.
    probability : float
        Of the bins that an indicator points at; 1 for a shape.
    """

    name: str
    family: str
    values: NDArray[np.float64]
    share: float = 1.0
    probability: float = 1.0


def pseudo_counts(column: Column) -> NDArray[np.float64]:
    """Return what is added to the counts of a column before they become probabilities.

    Parameters
    ----------
    column : NumericColumn or CategoricalColumn
        Of a baseline.

    Returns
    -------
    ndarray of float64, shape (n_bins,)
        One half, and in the bins where values fall that the reference does not hold, how many values it holds once
        (Good and Turing).
    """
    pseudo = np.full(len(column.counts), HALF)
    for place, name in column.specials:
        if name in {"below", "above", "between", "unseen"}:
            pseudo[place] += column.singles
    return pseudo


def directions_of(column: Column) -> tuple[Direction, ...]:
    """List the directions of a column.

    Parameters
    ----------
    column : NumericColumn or CategoricalColumn
        Of a baseline; its counts and bins are enough.

    Returns
    -------
    tuple of Direction
        At least those of its special bins, in a fixed order.

    Notes
    -----
    A numeric column with 32 bins has 17: four Legendre polynomials of the mid-rank, made orthonormal under the
    baseline, nine groups of outermost bins and four special bins. A categorical one has one for each bin.

    Examples
    --------
    >>> from detectors.baseline import compile_baseline
    >>> from detectors.columns import ColumnKind, ColumnSpec
    >>> spec = ColumnSpec(name="x", kind=ColumnKind.NUMERIC)
    >>> column = compile_baseline([(spec, np.arange(1000.0))]).baseline.columns[0]
    >>> [direction.name for direction in directions_of(column)][:5]
    ['mean', 'spread', 'skew', 'tail weight', 'lowest 3%']
    """
    smoothed = column.counts + pseudo_counts(column)
    probabilities = smoothed / smoothed.sum()
    return tuple(_directions(column, probabilities))


def _directions(column: Column, probabilities: NDArray[np.float64]) -> Iterator[Direction]:
    if isinstance(column, NumericColumn):
        yield from _shapes(column, probabilities)
        yield from _tails(column, probabilities)
    else:
        yield from _labels(column, probabilities)
    for place, name in column.specials:
        yield _indicator(probabilities, [place], _SPECIAL_WORDS.get(name, name), "special")


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
        padded = np.zeros(len(probabilities))
        padded[: column.ordered] = basis[-1]
        yield Direction(SHAPES[degree - 1], "shape", padded, SHAPE_SHARES[degree - 1])


def _tails(column: NumericColumn, probabilities: NDArray[np.float64]) -> Iterator[Direction]:
    last = column.ordered
    for bins in TAIL_BINS:
        if 2 * bins >= column.regular:
            continue
        lowest, highest = list(range(bins + 1)), list(range(last - 1 - bins, last))
        for places, word in ((lowest, "lowest"), (highest, "highest"), (lowest + highest, "outermost")):
            share = float(probabilities[places].sum())
            if share <= TAIL_SHARE_MAX:
                yield _indicator(probabilities, places, f"{word} {share:.0%}", "tail")


def _labels(column: CategoricalColumn, probabilities: NDArray[np.float64]) -> Iterator[Direction]:
    for place, label in enumerate(column.labels):
        short = label if len(label) <= LABEL_MAX else label[: LABEL_MAX - 3] + "..."
        yield _indicator(probabilities, [place], f"category {short!r}", "label")


def _indicator(probabilities: NDArray[np.float64], places: list[int], name: str, family: str) -> Direction:
    """Events falling into some bins, more often than in the baseline."""
    share = float(probabilities[places].sum())
    values = np.full(len(probabilities), -share)
    values[places] += 1.0
    return Direction(name, family, values, 1.0, share)
