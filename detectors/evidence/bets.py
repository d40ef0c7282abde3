"""The fixed family of bets: directions in which a column may change, and how much is staked on each.

A bet is a number per bin, ``b(k) = 1 + stake * (g(k) - tolerance(g))``, never negative. Whenever the mean of the
direction ``g`` is within its tolerance, the mean of the bet is at most 1: it loses money on average. When the column
moves in that direction, its logarithm grows.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from detectors.evidence.calibrate import Null
from detectors.evidence.dependence import exponents

QUANTUM = 2.0**-24
"""Log bets are rounded down to multiples of this, so that sums of them over up to 16 million events are exact in
float64: the same in any order, however a tick is split. Rounding down keeps every bet valid."""

POLYNOMIAL_SIZES = (0.15, 0.6)
RUNGS = {"tail": 2, "special": 5, "grow": 3}
"""So many sizes for a share that may grow, from a little more than is tolerated to most of all events."""
GROW_FROM = 2.2
TAIL_SHARE_MAX = 0.5
GROW_TO = 0.6
SHRINK_SIZES = (0.25, 0.6, 0.9)
SIZE_MIN = 1e-4
SIZE_MAX = 0.97
FAMILY_WEIGHTS = {"shape": 0.55, "tail": 0.08, "special": 0.27, "grow": 0.35, "shrink": 0.2, "learned": 0.1}
"""Weights of the families; those that a column has share its weight in these proportions."""
LEARNED_WORST = 0.05
"""The learned bet never pays less."""
LEARNED_CAP = 8.0
"""Where rows are not independent, the learned bet never pays more: a group of rows would be paid that often."""


@dataclass(frozen=True, slots=True, eq=False)
class Side:
    """A direction with a sign, and what is staked on it.

    Parameters
    ----------
    name : str
        The direction, and which way.
    family : str
        What its weight comes from.
    place : int
        Of the direction in the column's list.
    values : ndarray of float64, shape (n_bins,)
        The direction, with the sign.
    sizes : tuple of float
        Of the stakes, in (0, 1).
    share : float
        Weight within the family.
    rungs : int
        How many sizes of a ladder from the share of the bins to most of all events; 0 when sizes are fixed.
    """

    name: str
    family: str
    place: int
    values: NDArray[np.float64]
    sizes: tuple[float, ...]
    share: float
    rungs: int = 0


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
    special : ndarray of bool, shape (n_bets,)
        Whether it is about a special bin, such as ``missing``.
    places : ndarray of int64, shape (n_bets,)
        Which of the column's directions each is about.
    etas : ndarray of float64, shape (n_bets,)
        Exponents: 1 where rows are independent.
    weights : ndarray of float64, shape (n_bets,)
        Positive; with ``learned`` they sum to 1.
    learned : float
        What is left for the column's learned bet.
    learned_cap : float
        Largest logarithm of the learned bet.
    learned_eta : float
        Its exponent.

    Examples
    --------
    >>> from detectors.baseline import compile_baseline
    >>> from detectors.columns import ColumnKind, ColumnSpec
    >>> from detectors.evidence.calibrate import null_of
    >>> from detectors.evidence.options import EvidenceOptions
    >>> spec = ColumnSpec(name="x", kind=ColumnKind.NUMERIC)
    >>> column = compile_baseline([(spec, np.arange(1000.0))]).baseline.columns[0]
    >>> null = null_of(column, EvidenceOptions())
    >>> bets = bets_of(null)
    >>> bets.names[0], bets.names[-1], len(bets.names)
    ('mean up', 'invalid up', 63)
    >>> bool((null.probabilities @ np.exp(bets.logs) <= 1).all())
    True
    """

    names: tuple[str, ...]
    directions: NDArray[np.float64]
    tolerances: NDArray[np.float64]
    logs: NDArray[np.float64]
    special: NDArray[np.bool_]
    places: NDArray[np.int64]
    etas: NDArray[np.float64]
    weights: NDArray[np.float64]
    learned: float
    learned_cap: float
    learned_eta: float


def bets_of(null: Null, direction: str = "both") -> Bets:
    """Build the bets of a column.

    Parameters
    ----------
    null : Null
        What is normal for it.
    direction : str, optional
        ``up`` or ``down`` leaves out all bets that values may also move the other way, the learned bet among them;
        those on missing, invalid and unknown values stay.

    Returns
    -------
    Bets
        At least the bets on its special bins.

    Notes
    -----
    A numeric column with 32 bins has 63 fixed bets; a categorical one has three for each label, five for each
    special bin, and three more for each bin with at least 2 % of the rows. Memory is ``8 * n_bins * n_bets`` bytes:
    18 kB for the former.

    References
    ----------
    .. [1] Shin, J., Ramdas, A., Rinaldo, A. (2022). E-detectors: a nonparametric framework for sequential change
       detection. arXiv:2203.03532.
    .. [2] Waudby-Smith, I., Ramdas, A. (2024). Estimating means of bounded random variables by betting. Journal of
       the Royal Statistical Society B 86(1).
    """
    found = sides_of(null, direction)
    values = np.array([side.values for side in found])
    places = np.array([side.place for side in found])
    tolerances = null.tolerance(values, places)
    weights, learned = _weights(found, FAMILY_WEIGHTS["learned"] if direction == "both" else 0.0)
    repeats = [len(side.sizes) for side in found]
    names = [side.name for side in found for _ in side.sizes]
    sizes = np.array([size for side in found for size in side.sizes])
    logs = log_bets(np.repeat(values, repeats, axis=0), np.repeat(tolerances, repeats), sizes)
    places = np.repeat(places, repeats)
    learned_cap, learned_eta = _learned(null)
    return Bets(
        names=tuple(names),
        directions=np.repeat(values, repeats, axis=0),
        tolerances=np.repeat(tolerances, repeats),
        logs=logs.T.copy(),
        special=np.repeat([side.family == "special" for side in found], repeats),
        places=places,
        etas=exponents(np.exp(logs), null.dependence.bets[places]),
        weights=weights,
        learned=learned,
        learned_cap=learned_cap,
        learned_eta=learned_eta,
    )


def _learned(null: Null) -> tuple[float, float]:
    """Return the cap on the learned bet's logarithm, and its exponent: nobody knows beforehand how large it will be."""
    inflation = null.whole.largest_bets
    if inflation <= 1.0:
        return np.inf, 1.0
    worst = np.array([[LEARNED_WORST, 1.0, LEARNED_CAP]])
    return float(np.log(LEARNED_CAP)), float(exponents(worst, np.array([inflation]))[0])


def log_bets(
    directions: NDArray[np.float64], tolerances: NDArray[np.float64], sizes: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the logarithms of bets, rounded down to multiples of ``QUANTUM``.

    Parameters
    ----------
    directions : ndarray of float64, shape (n_bets, n_bins)
        With mean zero under the baseline.
    tolerances : ndarray of float64, shape (n_bets,)
        How far the mean of each may move; at least 0.
    sizes : ndarray of float64, shape (n_bets,)
        In (0, 1): a bet pays ``1 - size`` in its worst bin.

    Returns
    -------
    ndarray of float64, shape (n_bets, n_bins)
        At least ``log(1 - size)`` less one quantum.

    Examples
    --------
    >>> np.exp(log_bets(np.array([[-1.0, 1.0]]), np.array([0.25]), np.array([0.5]))).round(3)
    array([[0.5, 1.3]])
    """
    reach = tolerances - directions.min(axis=1)
    # A direction that is zero everywhere cannot move: nothing is staked on it.
    stakes = np.divide(sizes, reach, out=np.zeros_like(reach), where=reach > 0.0)
    return np.asarray(np.floor(np.log1p(stakes[:, None] * (directions - tolerances[:, None])) / QUANTUM) * QUANTUM)


def _weights(found: list[Side], learned: float) -> tuple[NDArray[np.float64], float]:
    shares: dict[str, float] = {}
    for side in found:
        shares[side.family] = shares.get(side.family, 0.0) + side.share
    whole = learned + sum(FAMILY_WEIGHTS[family] for family in shares)
    weights = [
        FAMILY_WEIGHTS[s.family] / whole * s.share / shares[s.family] / len(s.sizes) for s in found for _ in s.sizes
    ]
    return np.array(weights), learned / whole


def sides_of(null: Null, direction: str = "both") -> list[Side]:
    """List the sides of all directions of a column.

    Parameters
    ----------
    null : Null
        What is normal for it.
    direction : str, optional
        As for ``bets_of``.

    Returns
    -------
    list of Side
        Each with as many bets as it has sizes, in the order of ``bets_of``.
    """
    return [side for side, way in _all_sides(null) if direction == "both" or way in {direction, "any"}]


def _all_sides(null: Null) -> Iterator[tuple[Side, str]]:
    """Yield each side of each direction, and which way the values move then."""
    tolerances = null.tolerance(
        np.array([direction.values for direction in null.directions]), np.arange(len(null.directions))
    )
    for place, (direction, tolerance) in enumerate(zip(null.directions, tolerances.tolist(), strict=True)):
        up, down = f"{direction.name} {direction.word}", f"{direction.name} down"
        against = -direction.values
        share = direction.share
        if not share:
            continue
        if direction.family == "shape":
            # A likelihood ratio already is a bet: a stake of 1 pays it, less the tolerance.
            size = min(tolerance - float(direction.values.min()), SIZE_MAX)
            yield Side(up, "shape", place, direction.values, (size,), share), direction.way
        elif direction.family == "polynomial":
            yield Side(up, "shape", place, direction.values, POLYNOMIAL_SIZES, share / 2.0), direction.way
            yield Side(down, "shape", place, against, POLYNOMIAL_SIZES, share / 2.0), direction.way
        elif direction.family != "tail" or direction.probability <= TAIL_SHARE_MAX:
            family = "grow" if direction.family == "label" else direction.family
            sizes = ladder(min(direction.probability + tolerance, 1.0), RUNGS[family])
            yield Side(up, family, place, direction.values, sizes, share, len(sizes)), direction.way
            if direction.both:
                family = "shrink" if direction.family == "label" else family
                yield Side(down, family, place, against, SHRINK_SIZES, share), direction.way


def ladder(tolerated: float, rungs: int) -> tuple[float, ...]:
    """Return the best stakes on shares between a little more than what is tolerated and most of all events.

    Parameters
    ----------
    tolerated : float
        The largest share that is no news, from 0 to 1.
    rungs : int
        How many; at least 2.

    Returns
    -------
    tuple of float
        Sizes in (0, 1).
    """
    high = max(GROW_TO, (1.0 + tolerated) / 2.0)
    low, left = min(GROW_FROM * tolerated, high), max(1.0 - tolerated, SIZE_MIN)
    shares = [low * (high / low) ** (i / (rungs - 1)) for i in range(rungs)]
    return tuple(min(max((share - tolerated) / left, SIZE_MIN), SIZE_MAX) for share in shares)
