"""Events made round: what a bet must know of them that learns along which line they move.

Whitened events of the reference have mean zero and variance one along every line, as far as its covariance is known.
Cut off at a length, and rounded to whole numbers, they add up exactly over a tick, and whatever line is learned later,
all that was learned of it is linear in those sums.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from detectors.errors import DetectorError
from detectors.exact import DIMENSIONS_MAX, LENGTH_BITS, Coordinates
from detectors.stretches import GRID, ratios_of, scales_of

BITS = 6
"""Parts are in units of 2^-6 deviations."""
LONGEST = 0.9
"""Events longer than this share of the reference count as so long: what one event can pay is bounded by it."""
RADIUS_MAX = 2.0**10
BLOCKS = 20
ROWS_MIN = 100
STRIDES = (4, 16, 64, 256, 1024)
"""Stretches of so many neighbouring rows tell along which lines rows are tied."""
LINES_MAX = 8
"""So many lines at most, one after the other, each at right angles to those before."""
STRETCHES_MIN = 16
NOTHING = 1e-6
"""A mean square below this is what rounding leaves where nothing varies any more."""
ACROSS_MIN = 0.5
"""What is left of a line of length one at right angles to others: all of it, or what rounding left."""
UNREST_MAX = 5.0
"""The deviation of twenty means that are not negative is at most the root of twenty of their mean."""
ANGLE_MAX = 0.02
"""What rounding leaves of right angles."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Line:
    """What the reference taught about whitened events.

    Parameters
    ----------
    radius : float
        Longer events count as so long, in deviations; from 2^-6 to 2^10.
    centre : ndarray of float64, shape (n,)
        Mean of the reference's events, in deviations.
    square : float
        Largest mean square of deviations from the centre along any line; about 1.
    unrest : float
        How much the mean square length of events varies between twenty blocks of the reference, beyond chance, as a
        standard deviation relative to its mean.
    blocks : ndarray of float64, shape (n_blocks, n)
        Means of those blocks less the centre.
    tied_lines : ndarray of float64, shape (n_lines, n)
        Lines along which neighbouring rows are tied most, the most tied one first: of length one, at right angles.
    inflation : ndarray of float64, shape (n_lines, n_scales)
        How much more neighbouring rows vary together along each of them than independent ones would, see
        ``detectors.stretches``.
    rest : ndarray of float64, shape (n_lines + 1, n_scales)
        The same, on average over the axes, once none, the first, the first two, ... of those lines are taken away.
    rows : int
        Reference rows that all but the inflation is of.
    tied : int
        Those that the inflation is of.

    Notes
    -----
    Memory is 29 numbers for each coordinate: 30 kB with 128.
    """

    radius: float
    centre: NDArray[np.float64]
    square: float
    unrest: float
    blocks: NDArray[np.float64]
    tied_lines: NDArray[np.float64]
    inflation: NDArray[np.float64]
    rest: NDArray[np.float64]
    rows: int
    tied: int

    def __post_init__(self) -> None:
        size = len(self.centre)
        if self.centre.shape != (size,) or not 1 <= size <= DIMENSIONS_MAX:
            raise DetectorError(f"a line has a centre of shape {self.centre.shape}; 1 to {DIMENSIONS_MAX} are possible")
        if self.blocks.shape != (len(self.blocks), size) or not 1 <= len(self.blocks) <= BLOCKS:
            raise DetectorError(f"a line has blocks of shape {self.blocks.shape}; 1 to {BLOCKS} of {size} are possible")
        self._check_ties(size)
        numbers = (self.centre, self.blocks, self.tied_lines, self.inflation, self.rest)
        if not all(np.isfinite(array).all() for array in numbers):
            raise DetectorError("a line has numbers that are none")
        most = 2.0 * self.radius + 1.0
        if max(float(np.abs(self.centre).max()), float(np.abs(self.blocks).max())) > most:
            raise DetectorError(f"the centre of a line, or of a block, lies further away than its radius {self.radius}")
        if not 0.0 < self.square <= most**2 or not 0.0 <= self.unrest <= UNREST_MAX:
            raise DetectorError(f"a line has the mean square {self.square} and the unrest {self.unrest}")
        if not 2.0**-BITS <= self.radius <= RADIUS_MAX or self.rows < 1 or self.tied < 0:
            raise DetectorError(f"a line has the radius {self.radius} and is of {self.rows} and {self.tied} rows")

    def _check_ties(self, size: int) -> None:
        lines, scales = len(self.tied_lines), self.rest.shape[-1]
        if self.tied_lines.shape != (lines, size) or lines > min(LINES_MAX, size):
            raise DetectorError(f"tied lines have shape {self.tied_lines.shape}; at most {LINES_MAX} are possible")
        if (self.inflation.shape, self.rest.shape) != ((lines, scales), (lines + 1, scales)):
            raise DetectorError(f"inflation has shapes {self.inflation.shape} and {self.rest.shape} for {lines} lines")
        ratios = np.concatenate([self.inflation, self.rest])
        if not ((ratios >= 0.0) & (ratios <= max(self.tied, 1))).all():
            raise DetectorError(f"an inflation of a line is not from 0 to {self.tied}, the number of rows")
        with np.errstate(over="ignore", invalid="ignore"):
            off = np.abs(self.tied_lines @ self.tied_lines.T - np.eye(lines)) <= ANGLE_MAX
        if not off.all():
            raise DetectorError("tied lines are not of length one and at right angles")

    @property
    def size(self) -> int:
        """Number of parts of an event."""
        return len(self.centre)

    def parts_of(self, image: NDArray[np.float64], lengths: NDArray[np.float64]) -> Coordinates:
        """Return the parts of events.

        Parameters
        ----------
        image : ndarray of float64, shape (n, n_events)
            Whitened events in units of 2^-8 deviations, as ``detectors.exact.length_of`` leaves them.
        lengths : ndarray of float64, shape (n_events,)
            Theirs, in deviations.

        Returns
        -------
        ndarray of float32, shape (n, n_events)
            Whole numbers in units of 2^-6 deviations, together no longer than the radius.
        """
        return parts_of(image, lengths, self.radius)


def parts_of(image: NDArray[np.float64], lengths: NDArray[np.float64], radius: float) -> Coordinates:
    """Cut events off at a length.

    Parameters
    ----------
    image : ndarray of float64, shape (n, n_events)
        Whitened events in units of 2^-8 deviations; they are not changed.
    lengths : ndarray of float64, shape (n_events,)
        Theirs, in deviations.
    radius : float
        The greatest length.

    Returns
    -------
    ndarray of float32, shape (n, n_events)
        Whole numbers in units of 2^-6 deviations, rounded towards zero: no event is made longer.

    Examples
    --------
    >>> parts_of(np.array([[256.0, 3.0], [0.0, 4.0]]), np.array([1.0, 5.0 / 256.0]), 0.5)
    array([[32.,  0.],
           [ 0.,  1.]], dtype=float32)
    """
    shrunk = np.minimum(1.0, radius / np.maximum(lengths, 2.0**-LENGTH_BITS)) * 2.0 ** (BITS - LENGTH_BITS)
    return np.asarray(np.trunc(image * shrunk), dtype=np.float32)


def fit_line(
    image: NDArray[np.float64],
    lengths: NDArray[np.float64],
    consecutive: tuple[NDArray[np.float64], NDArray[np.float64]],
) -> Line | None:
    """Learn what a bet along a learned line must know.

    Parameters
    ----------
    image : ndarray of float64, shape (n, n_rows)
        Whitened rows of the reference in units of 2^-8 deviations, in order, perhaps not every row.
    lengths : ndarray of float64, shape (n_rows,)
        Theirs, in deviations.
    consecutive : (ndarray of float64, shape (n, n_first), ndarray of float64, shape (n_first,))
        The same of the first rows without gaps.

    Returns
    -------
    Line or None
        None with fewer than 100 rows, or when most of them lie in the centre.

    Notes
    -----
    Time is that of two covariances and some eigenvalue problems.
    """
    rows = image.shape[1]
    if rows < ROWS_MIN:
        return None
    radius = _rounded(float(np.quantile(lengths, LONGEST, method="inverted_cdf")))
    if not 2.0**-BITS <= radius <= RADIUS_MAX:
        return None
    parts = parts_of(image, lengths, radius).astype(np.float64) * 2.0**-BITS
    centre = parts.mean(axis=1)
    off = parts - centre[:, None]
    square = _rounded(float(np.linalg.eigvalsh(off @ off.T / rows)[-1]))
    if not square > 0.0:
        return None
    edges = np.linspace(0, rows, BLOCKS + 1).astype(np.int64)
    sizes = np.diff(edges)
    squares = np.einsum("ij,ij->j", off, off)
    lines, inflation, rest, tied = _ties(parts_of(*consecutive, radius).astype(np.float64) * 2.0**-BITS)
    return Line(
        radius=radius,
        centre=_grid(centre),
        square=square,
        unrest=_rounded(_unrest(squares, edges)),
        blocks=_grid((np.add.reduceat(off, edges[:-1], axis=1) / sizes).T),
        tied_lines=_grid(lines),
        inflation=_grid(inflation),
        rest=_grid(rest),
        rows=rows,
        tied=tied,
    )


def _grid(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(np.round(values / GRID) * GRID + 0.0)


def _rounded(value: float) -> float:
    return round(value / GRID) * GRID


def _unrest(squares: NDArray[np.float64], edges: NDArray[np.int64]) -> float:
    """Return how much the mean square length varies between blocks beyond chance, relative to its mean."""
    mean, sizes = squares.mean(), np.diff(edges)
    if not mean > 0.0:
        return 0.0
    means = np.add.reduceat(squares, edges[:-1]) / sizes
    beyond = means.var(ddof=1) - squares.var() * (1.0 / sizes).mean()
    return float(np.sqrt(max(beyond, 0.0)) / mean)


def _ties(
    parts: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64], int]:
    """Return the lines along which rows are tied most, their inflation, that of the rest, and of how many rows it is.

    Lines are found in the first half of the rows and judged by the second: what is largest by chance is not taken for
    a tie.
    """
    first, second = np.array_split(parts - parts.mean(axis=1, keepdims=True), 2, axis=1)
    scales = scales_of(second.shape[1])
    lines: list[NDArray[np.float64]] = []
    inflation, rest = [np.ones((0, scales))], [ratios_of(second, scales).mean(axis=0)]
    for _ in range(min(LINES_MAX, len(parts) - 1)):
        line = _across(_most_tied(first), lines)
        if line is None:
            break
        inflation.append(ratios_of(line[None] @ second, scales))
        first, second = first - np.outer(line, line @ first), second - np.outer(line, line @ second)
        rest.append(ratios_of(second, scales).mean(axis=0))
        lines.append(line)
    return np.array(lines).reshape(-1, len(parts)), np.concatenate(inflation), np.array(rest), second.shape[1]


def _across(line: NDArray[np.float64] | None, lines: list[NDArray[np.float64]]) -> NDArray[np.float64] | None:
    """Return what of a line is at right angles to others, of length one; None when that is little: rounding alone."""
    if line is None:
        return None
    for known in lines:
        line = line - known * float(known @ line)
    length = float(np.linalg.norm(line))
    return line / length if length > ACROSS_MIN else None


def _most_tied(parts: NDArray[np.float64]) -> NDArray[np.float64] | None:
    """Return the line along which means of stretches vary most, compared with what chance makes of the largest."""
    best, found = NOTHING, None
    for stride in STRIDES:
        stretches = parts.shape[1] // stride
        if stretches < STRETCHES_MIN:
            break
        means = parts[:, : stretches * stride].reshape(len(parts), -1, stride).mean(axis=2)
        variances, axes = np.linalg.eigh(means @ means.T * (stride / stretches))
        beyond = float(variances[-1]) / (1.0 + np.sqrt(len(parts) / stretches)) ** 2
        if beyond > best:
            best, found = beyond, axes[:, -1]
    return found
