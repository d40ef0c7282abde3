"""Statistics of an event whose sums over a tick are all that a bet needs: products of two inputs, places along lines.

A *part* of an event is a whole number of few bits. A *statistic* is the product of two parts, or a part itself. A
*tilt* is ``g(x) = exp(a * t(x) - b * q(x))``, where ``t`` is a statistic and ``q`` the sum of the squares of the two
parts: what a change of their correlation, or of the mean of a part, makes of the density of normal parts. Divided by
its mean over the reference it is a likelihood ratio, whatever the distribution of the parts is. The logarithm of its
product over a tick follows from sums of whole numbers, exact in any order.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from detectors.errors import DetectorError
from detectors.exact import Coordinates
from detectors.scores.pairs import CLIP, COARSE_BITS, COARSE_MAX, coarse
from detectors.spaces.standard import Standard
from detectors.stretches import GRID, ratios_of, scales_of

STEPS = (0.365, 0.867)
"""Changes of a correlation on Fisher's scale, either way: from 0 to 0.35 and 0.7."""
SHIFTS = (0.3, 0.75)
"""Changes of a mean, in deviations, either way."""
CORRELATION_MAX = 0.95
"""Stronger ties count as so strong."""
LOG_MAX = 4.5
"""A tilt pays at most exp(4.5) = 90 times what it pays for an event in the middle."""
SLOPE_GRID = 2.0**-20
BLOCKS = 20
HALF = 0.5
"""As in a bin: half a reference row with the largest payment, so that what was not seen is not impossible."""
CELLS = 40_000_000
"""Rows times statistics that are looked at: with many statistics fewer rows, evenly spaced; to see what ties
neighbouring rows together the first ones."""
CHUNK = 2_000_000
STATISTICS_MAX = 2_016
WAYS = 2 * len(STEPS)


@dataclass(frozen=True, kw_only=True, eq=False)
class Tilts:
    """What the reference taught about the tilts of a space.

    Parameters
    ----------
    standard : Standard or None
        For places along directions; None when the parts are coordinates and the statistics their products.
    parts : int
        Number of parts of an event.
    statistics : ndarray of int32, shape (n_statistics, 2)
        The two parts that are multiplied; twice the same for a part itself.
    slopes : ndarray of float64, shape (n_statistics, n_ways, 2)
        ``a`` and ``b``.
    log_means : ndarray of float64, shape (n_statistics, n_ways)
        Logarithm of the tilt's mean over the reference.
    variances : ndarray of float64, shape (n_statistics, n_ways)
        Of the tilt divided by its mean.
    between : ndarray of float64, shape (n_statistics, n_ways)
        The same of its means over twenty blocks of the reference.
    inflation : ndarray of float64, shape (n_statistics + 1, n_scales)
        How much more the statistics of neighbouring rows vary together than independent ones would, see
        ``detectors.baseline.inflation``; the last row is their mean.
    rows : int
        Reference rows that the means are of.

    Notes
    -----
    Memory is 128 bytes per statistic and 8 for each of its scales: 40 kB with 20 inputs, 0.5 MB with 64.
    """

    standard: Standard | None
    parts: int
    statistics: NDArray[np.int32]
    slopes: NDArray[np.float64]
    log_means: NDArray[np.float64]
    variances: NDArray[np.float64]
    between: NDArray[np.float64]
    inflation: NDArray[np.float64]
    rows: int

    def __post_init__(self) -> None:
        number = len(self.statistics)
        shape = (number, WAYS)
        if not 1 <= number <= STATISTICS_MAX or self.statistics.shape != (number, 2):
            raise DetectorError(f"there are {number} statistics; 1 to {STATISTICS_MAX} are possible")
        if self.statistics.min() < 0 or self.statistics.max() >= self.parts or self.rows < 1:
            raise DetectorError("a statistic is of a part that does not exist, or of no rows")
        shapes = (self.log_means.shape, self.variances.shape, self.between.shape)
        if self.slopes.shape != (*shape, 2) or shapes != (shape, shape, shape):
            raise DetectorError("slopes, means and variances must be those of every statistic")
        if self.inflation.ndim != 2 or len(self.inflation) != number + 1:  # noqa: PLR2004 - statistics by scales
            raise DetectorError("inflation must be that of every statistic")
        arrays = (self.slopes, self.log_means, self.variances, self.between, self.inflation)
        if not all(np.isfinite(array).all() for array in arrays) or self.variances.min() < 0 or self.between.min() < 0:
            raise DetectorError("a tilt has numbers that are none")
        if self.highest.max() > 2 * LOG_MAX:
            raise DetectorError("a tilt pays too much for a single event")

    @property
    def products(self) -> bool:
        """Whether the statistics are products of two parts."""
        return self.standard is None

    @property
    def size(self) -> int:
        """How many sums a tick has: the events, the squares of the parts and the products, or the parts."""
        return 1 + self.parts + (len(self.statistics) if self.products else 0)

    @property
    def highest(self) -> NDArray[np.float64]:
        """Largest logarithm of each tilt, shape (n_statistics, n_ways)."""
        return highest(self.slopes, products=self.products)

    def parts_of(self, coordinates: Coordinates) -> Coordinates:
        """Return the parts of events.

        Parameters
        ----------
        coordinates : ndarray of float32, shape (n, n_events)
            The space's coordinates; or the places along the directions.

        Returns
        -------
        ndarray of float32, shape (n_parts, n_events)
            Whole numbers in units of 2^-6 deviations, at most three deviations.
        """
        return coarse(coordinates) if self.standard is None else along(coordinates, self.standard)


def along(places: Coordinates, standard: Standard) -> Coordinates:
    """Return the parts of events that lie at some places along directions.

    Parameters
    ----------
    places : ndarray of float32, shape (n_directions, n_events)
        Whole numbers; they are not changed.
    standard : Standard
        Their centres and deviations.

    Returns
    -------
    ndarray of float32, shape (n_directions, n_events)
        Whole numbers in units of 2^-6 deviations, at most three deviations.

    Examples
    --------
    >>> standard = Standard(centre=np.array([10.0]), inverse=np.array([0.5]))
    >>> along(np.array([[10.0, 12.0, 1000.0]], dtype=np.float32), standard)
    array([[  0.,  64., 192.]], dtype=float32)
    """
    placed = places - standard.centre.astype(np.float32)[:, None]
    placed *= (standard.inverse * 2.0**COARSE_BITS).astype(np.float32)[:, None]
    np.maximum(placed, -COARSE_MAX, out=placed)
    np.minimum(placed, COARSE_MAX, out=placed)
    np.rint(placed, out=placed)
    return placed


def highest(slopes: NDArray[np.float64], *, products: bool) -> NDArray[np.float64]:
    """Return a bound on the logarithm of tilts.

    Parameters
    ----------
    slopes : ndarray of float64, shape (..., 2)
        ``a`` and ``b``.
    products : bool
        Whether the statistic is a product of two parts.

    Returns
    -------
    ndarray of float64, shape (...)
        Over all parts of at most three deviations: reached at a corner, in the middle of an edge or in the centre.

    Examples
    --------
    >>> highest(np.array([[1.0, 0.25], [0.3, 0.0]]), products=True).round(2)
    array([4.5, 2.7])
    """
    a, b = np.abs(slopes[..., 0]), slopes[..., 1]
    if not products:
        return np.asarray(a * CLIP - np.minimum(b, 0.0) * 2.0 * CLIP**2)
    square = CLIP * CLIP
    return np.asarray(np.maximum(np.maximum(a * square - 2.0 * b * square, -b * square), 0.0))


def fit_tilts(
    parts: Coordinates, consecutive: Coordinates, varies: NDArray[np.bool_], standard: Standard | None
) -> Tilts:
    """Learn the tilts of a space.

    Parameters
    ----------
    parts : ndarray of float32, shape (n_parts, n_rows)
        Of the reference, in order, perhaps not of every row.
    consecutive : ndarray of float32, shape (n_parts, n_first)
        Of its first rows without gaps.
    varies : ndarray of bool, shape (n_parts,)
        Which parts vary; at least two of them.
    standard : Standard or None
        As for ``Tilts``.

    Returns
    -------
    Tilts
        Four for each statistic.

    Notes
    -----
    Four exponentials per statistic and row: 0.3 s for 20 inputs and 20,000 rows.
    """
    places = np.flatnonzero(varies)
    if standard is None:
        first, second = np.triu_indices(len(places), 1)
        statistics = np.stack([places[first], places[second]], axis=1).astype(np.int32)
    else:
        statistics = np.stack([places, places], axis=1).astype(np.int32)
    step = max(1, -(-parts.shape[1] // rows_for(len(statistics))))
    rows = parts[:, ::step].astype(np.float64) * 2.0**-COARSE_BITS
    slopes = _slopes(rows, statistics, products=standard is None)
    log_means, variances, between = (np.empty(slopes.shape[:2]) for _ in range(3))
    for place, (i, j) in enumerate(statistics.tolist()):
        log_means[place], variances[place], between[place] = _moments(
            rows[i], rows[j], slopes[place], products=standard is None
        )
    return Tilts(
        standard=standard,
        parts=len(parts),
        statistics=statistics,
        slopes=slopes,
        log_means=_rounded(log_means),
        variances=_rounded(variances),
        between=_rounded(between),
        inflation=_inflation(consecutive.astype(np.float64) * 2.0**-COARSE_BITS, statistics, products=standard is None),
        rows=rows.shape[1],
    )


def _rounded(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Keep so few digits that the order of summation cannot show."""
    return np.asarray(np.round(values / SLOPE_GRID) * SLOPE_GRID)


def rows_for(statistics: int) -> int:
    """Return how many rows are looked at.

    Parameters
    ----------
    statistics : int
        Their number.

    Returns
    -------
    int
        At most.

    Examples
    --------
    >>> rows_for(190), rows_for(2016)
    (210526, 19841)
    """
    return CELLS // statistics


def _slopes(rows: NDArray[np.float64], statistics: NDArray[np.int32], *, products: bool) -> NDArray[np.float64]:
    if not products:
        shifts = np.array([sign * by for by in SHIFTS for sign in (1.0, -1.0)])
        slopes = np.stack([shifts, np.zeros(WAYS)], axis=1)
        return np.repeat(slopes[None], len(statistics), axis=0)
    off = rows - rows.mean(axis=1, keepdims=True)
    lengths = np.sqrt(np.maximum(np.einsum("ij,ij->i", off, off), 1e-9))
    first, second = statistics.T
    now = (off @ off.T)[first, second] / (lengths[first] * lengths[second])
    before = np.round(np.clip(now, -CORRELATION_MAX, CORRELATION_MAX) / GRID) * GRID
    steps = np.array([sign * by for by in STEPS for sign in (1.0, -1.0)])
    after = np.tanh(np.arctanh(before)[:, None] + steps)
    whole, was = 1.0 - after**2, (1.0 - before**2)[:, None]
    slopes = np.stack([after / whole - before[:, None] / was, (1.0 / whole - 1.0 / was) / 2.0], axis=2)
    # Where the reference already ties two inputs closely, a broken tie would pay astronomically: less is staked on it.
    most = highest(slopes, products=True)
    return _rounded(slopes * np.minimum(1.0, LOG_MAX / np.maximum(most, 1e-9))[..., None])


def _moments(
    first: NDArray[np.float64], second: NDArray[np.float64], slopes: NDArray[np.float64], *, products: bool
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return the logarithm of the mean, the relative variance, and that between blocks, of each tilt of a statistic."""
    statistic = first * second if products else first
    squares = first * first + second * second
    paid = np.exp(slopes[:, :1] * statistic - slopes[:, 1:] * squares)
    rows = paid.shape[1]
    unseen = HALF * np.exp(highest(slopes, products=products))
    mean = (paid.sum(axis=1) + unseen) / (rows + HALF)
    variance = ((paid**2).sum(axis=1) + unseen**2 / HALF) / (rows + HALF) / mean**2 - 1.0
    edges = np.linspace(0, rows, min(BLOCKS, rows) + 1).astype(np.int64)
    means = np.add.reduceat(paid, edges[:-1], axis=1) / np.diff(edges) / mean[:, None]
    between = means.var(axis=1) * means.shape[1] / max(means.shape[1] - 1, 1)
    return np.log(mean), np.maximum(variance, 0.0), between


def _inflation(rows: NDArray[np.float64], statistics: NDArray[np.int32], *, products: bool) -> NDArray[np.float64]:
    first_rows = min(rows.shape[1], rows_for(len(statistics)))
    rows = rows[:, :first_rows]
    scales = scales_of(first_rows)
    found = np.ones((len(statistics) + 1, scales))
    step = max(1, CHUNK // first_rows)
    for start in range(0, len(statistics), step):
        i, j = statistics[start : start + step].T
        found[start : start + len(i)] = ratios_of(rows[i] * rows[j] if products else rows[i], scales)
    found[-1] = found[:-1].mean(axis=0)
    return np.asarray(np.round(found / GRID) * GRID)
