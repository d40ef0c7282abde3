"""The ways in which a column may change: numbers per bin, known as soon as the reference has been counted.

They stand here, below the bets, because the reference must be asked how much each of them moves by itself while its
rows are at hand: afterwards only counts are left.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.polynomial import Legendre
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri, stdtr

from detectors.baseline.bins import CategoricalColumn, Column, NumericColumn

HALF = 0.5
"""Pseudo-count of every bin (Krichevsky and Trofimov): no bin has probability zero."""
SHIFTS = {0.05: 0.5, 0.12: 0.5, 0.3: 1.0, 0.75: 1.0, 1.6: 1.0}
"""Shifts of the mean, in standard deviations of the normal scores, and their relative weights. The best bet on a shift
is the ratio of what it is beyond the tolerance: the small ones are for changes a little over it, on busy models."""
SCALES = {1.07: 0.5, 1.2: 1.0, 1.55: 1.0, 0.93: 0.5, 0.8: 1.0, 0.6: 1.0}
"""Factors of the spread, likewise."""
FREEDOM = 3
"""Student's t with so many degrees of freedom stands for heavier tails."""
POLYNOMIALS = ((3, "skew"), (4, "tail weight"))
SHAPE_SHARES = {"mean": 0.42, "spread": 0.34, "heavy": 0.1, "skew": 0.07, "tail weight": 0.07}
SHRINK_FROM = 0.02
"""Only bins with at least this share can shrink noticeably."""
TAIL_BINS = (1, 2, 4)
LABEL_MAX = 40
SPECIAL_SHARES = {"unseen": 2.0, "missing": 1.5, "invalid": 0.5}
"""Relative weights of the special bins; those that are not listed have 1."""
_SPECIAL_WORDS = {"below": "below range", "above": "above range", "between": "between known values"}


@dataclass(frozen=True, slots=True, eq=False)
class Direction:
    """One way in which a column may change.

    Parameters
    ----------
    name : str
        What a person reads, such as ``mean`` or ``category 'DE'``.
    family : str
        ``shape`` (a likelihood ratio), ``polynomial``, ``tail``, ``special`` or ``label``.
    values : ndarray of float64, shape (n_bins,)
        With mean zero under the baseline; larger where the change puts more events.
    word : str
        What a move along the direction is called: ``up`` or ``down``.
    both : bool
        Whether a move against it is worth a bet too.
    way : str
        ``up`` or ``down`` when values move that way; ``both`` when it says nothing about that; ``any`` when it must
        be watched whatever an operator says about the way.
    share : float
        Weight within the family, relative to the family's other directions; 0 for what cannot happen.
    probability : float
        Of the bins that an indicator points at; 1 for a shape.
    """

    name: str
    family: str
    values: NDArray[np.float64]
    word: str = "up"
    both: bool = False
    way: str = "any"
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
        At least those of its special bins. Which there are, and in which order, follows from the bins alone: the same
        column with other counts has the same ones.

    Notes
    -----
    A numeric column with 32 bins has 32: seventeen likelihood ratios of its normal scores (the mean shifted, the spread
    scaled, tails as heavy as Student's t with three degrees of freedom), which are what the best bet on exactly this
    change pays; two Legendre polynomials of the mid-rank, orthonormal under the baseline; nine groups of outermost
    bins; and four special bins. A categorical one has one for each bin.

    Examples
    --------
    >>> from detectors.baseline import compile_baseline
    >>> from detectors.columns import ColumnKind, ColumnSpec
    >>> spec = ColumnSpec(name="x", kind=ColumnKind.NUMERIC)
    >>> column = compile_baseline([(spec, np.arange(1000.0))]).baseline.columns[0]
    >>> [direction.name for direction in directions_of(column)][:5]
    ['mean', 'mean', 'mean', 'mean', 'mean']
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
        way = {"below": "down", "above": "up"}.get(name, "any")
        found = _indicator(probabilities, [place], _SPECIAL_WORDS.get(name, name), "special", way)
        yield replace(found, share=0.0 if name == "other" and _complete(column) else SPECIAL_SHARES.get(name, 1.0))


def _complete(column: Column) -> bool:
    """Tell whether each known label has a bin of its own, so that no event can be another known one."""
    return isinstance(column, CategoricalColumn) and not len(column.known)


def _shapes(column: NumericColumn, probabilities: NDArray[np.float64]) -> Iterator[Direction]:
    if column.regular < 2:  # noqa: PLR2004 - one value has no shape
        return
    ordered = probabilities[: column.ordered] / probabilities[: column.ordered].sum()
    cuts = ndtri(np.cumsum(ordered)[:-1])
    both = (("up", 1.0), ("down", -1.0))
    moved = [("mean", word, ndtr(cuts - sign * by), part) for by, part in SHIFTS.items() for word, sign in both]
    moved += [("spread", "up" if by > 1.0 else "down", ndtr(cuts / by), part) for by, part in SCALES.items()]
    moved += [("heavy", "up", stdtr(FREEDOM, cuts * np.sqrt(FREEDOM / (FREEDOM - 2.0))), 1.0)]
    for name, word, cumulative, part in moved:
        values = _ratio(np.diff(cumulative, prepend=0.0, append=1.0), ordered, len(probabilities))
        way = word if name == "mean" else "both"
        share = SHAPE_SHARES[name] * part / sum(parts for other, _, _, parts in moved if other == name)
        yield Direction("tail weight" if name == "heavy" else name, "shape", values, word=word, way=way, share=share)
    yield from _polynomials(column, ordered, len(probabilities))


def _ratio(shares: NDArray[np.float64], ordered: NDArray[np.float64], bins: int) -> NDArray[np.float64]:
    """Return the likelihood ratio less 1; bins beyond the range, of which little is known, go with their neighbour."""
    ratio = shares / ordered
    for inner, outer in ((1, 0), (-2, -1)):
        ratio[[inner, outer]] = (shares[inner] + shares[outer]) / (ordered[inner] + ordered[outer])
    values = np.zeros(bins)
    values[: len(ratio)] = ratio - (ordered * ratio).sum()
    return values


def _polynomials(column: NumericColumn, ordered: NDArray[np.float64], bins: int) -> Iterator[Direction]:
    """Legendre polynomials of the mid-rank, made orthonormal under the baseline; zero in bins without a rank."""
    ranks = 2.0 * (np.cumsum(ordered) - ordered / 2.0) - 1.0
    basis = [np.ones(column.ordered)]
    names = dict(POLYNOMIALS)
    for degree in range(1, min(max(names), column.regular - 1) + 1):
        values = Legendre.basis(degree)(ranks)
        for earlier in basis:
            values = values - (ordered * values * earlier).sum() * earlier
        basis.append(values / float(np.sqrt((ordered * values**2).sum())))
        if degree in names:
            padded = np.zeros(bins)
            padded[: column.ordered] = basis[-1]
            yield Direction(
                names[degree], "polynomial", padded, both=True, way="both", share=SHAPE_SHARES[names[degree]]
            )


def _tails(column: NumericColumn, probabilities: NDArray[np.float64]) -> Iterator[Direction]:
    last = column.ordered
    for bins in TAIL_BINS:
        if 2 * bins >= column.regular:
            continue
        lowest, highest = list(range(bins + 1)), list(range(last - 1 - bins, last))
        named = ((lowest, "lowest", "down"), (highest, "highest", "up"), (lowest + highest, "outermost", "both"))
        for places, word, way in named:
            share = float(probabilities[places].sum())
            yield _indicator(probabilities, places, f"{word} {share:.0%}", "tail", way)


def _labels(column: CategoricalColumn, probabilities: NDArray[np.float64]) -> Iterator[Direction]:
    for place, label in enumerate(column.labels):
        yield _indicator(probabilities, [place], f"category {shortened(label)!r}", "label")


def shortened(name: str) -> str:
    """Return a name as it stands in the name of a direction.

    Parameters
    ----------
    name : str
        Of a label or of an input.

    Returns
    -------
    str
        At most 40 characters.

    Examples
    --------
    >>> shortened("age"), len(shortened("x" * 100))
    ('age', 40)
    """
    return name if len(name) <= LABEL_MAX else name[: LABEL_MAX - 3] + "..."


def _indicator(
    probabilities: NDArray[np.float64], places: list[int], name: str, family: str, way: str = "any"
) -> Direction:
    """Events falling into some bins, more often than in the baseline."""
    share = float(probabilities[places].sum())
    values = np.full(len(probabilities), -share)
    values[places] += 1.0
    both = family != "tail" and share >= SHRINK_FROM
    return Direction(name, family, values, both=both, way=way, probability=share)
