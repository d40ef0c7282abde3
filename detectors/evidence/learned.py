"""The learned bet: each column bets that the next tick looks like its latest events.

It sees what no fixed direction points at, such as a spike inside the range or several categories trading places. On
a tick it bets with what earlier ticks taught it, so it is predictable and as honest as the fixed bets: its direction
``g = q / p - 1`` has a tolerance of its own, worked out anew for every tick.
"""

import numpy as np
from numpy.typing import NDArray

from detectors.evidence.bets import QUANTUM
from detectors.evidence.calibrate import NATURAL_STDS, StackedNulls

PRIOR_EVENTS = 100.0
"""So many events of the baseline itself are mixed into what was learned."""
DENSE = 0.3
"""A tick with events in a larger share of the bins takes the logarithms of all bins at once."""
SIZE_MAX = 0.95
"""The worst bin keeps at least 5 % of the stake."""


def learned_logs(
    null: StackedNulls,
    memory: NDArray[np.float64],
    caps: NDArray[np.float64],
    moves: NDArray[np.float64] | None = None,
) -> NDArray[np.float64]:
    """Return the logarithms of the learned bets for the next tick.

    Parameters
    ----------
    null : StackedNulls
        What is normal.
    memory : ndarray of float64, shape (..., n_columns, n_bins)
        Faded counts of past events; before one tick, or before each of several.
    caps : ndarray of float64, shape (n_columns,)
        Largest logarithm of each column's bet.
    moves : ndarray of float64, shape (n_columns, n_bins, n_bins), optional
        Of the tick's season, as in ``LearnedGroup``.

    Returns
    -------
    ndarray of float64, shape (..., n_columns, n_bins)
        Multiples of ``QUANTUM``; 0 in padding and where nothing has been learned.

    Notes
    -----
    About ten passes over ``n_columns * n_bins`` numbers and one over ``n_columns * n_ways * n_bins``.
    """
    direction, tolerance, stake = _staked(null, memory, moves)
    return _rounded(stake[..., None] * (direction - tolerance[..., None]), caps[:, None])


def learned_increments(
    null: StackedNulls,
    memory: NDArray[np.float64],
    caps: NDArray[np.float64],
    counts: NDArray[np.float64],
    moves: NDArray[np.float64] | None = None,
) -> NDArray[np.float64]:
    """Return the log increments of the learned bets for a tick, or for several.

    Parameters
    ----------
    null : StackedNulls
        What is normal.
    memory : ndarray of float64, shape (..., n_columns, n_bins)
        Faded counts of the events before the tick, or before each tick.
    caps : ndarray of float64, shape (n_columns,)
        Largest logarithm of each column's bet.
    counts : ndarray of float64, shape (..., n_columns, n_bins)
        The tick, or each of them.
    moves : ndarray of float64, shape (n_columns, n_bins, n_bins), optional
        Of the tick's season, as in ``LearnedGroup``.

    Returns
    -------
    ndarray of float64, shape (..., n_columns)
        Exact sums, before the exponent.

    Notes
    -----
    Logarithms are taken only where the tick has events. The sums are exact, so this cannot show in the result.
    """
    if np.count_nonzero(counts) > DENSE * counts.size:
        return np.asarray(np.einsum("...fk,...fk->...f", counts, learned_logs(null, memory, caps, moves)))
    direction, tolerance, stake = _staked(null, memory, moves)
    bins = counts.shape[-1]
    (cells,) = np.nonzero(counts.ravel())
    rows = cells // bins
    won = stake.ravel()[rows] * (direction.ravel()[cells] - tolerance.ravel()[rows])
    paid = counts.ravel()[cells] * _rounded(won, caps[rows % len(caps)])
    return np.asarray(np.bincount(rows, weights=paid, minlength=stake.size), dtype=np.float64).reshape(stake.shape)


def _staked(
    null: StackedNulls, memory: NDArray[np.float64], moves: NDArray[np.float64] | None
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    events = np.add.reduce(memory, axis=-1, keepdims=True)
    # q / p - 1 with q = (memory + prior * p) / (events + prior)
    direction = memory / null.probabilities
    direction -= events
    direction *= null.present
    direction /= events + PRIOR_EVENTS
    if moves is not None:
        direction = np.matmul(moves, direction[..., None])[..., 0]
    tolerance = null.learned_effect * np.sqrt(np.einsum("...fk,...fk,fk->...f", direction, direction, null.variances))
    if null.wander.shape[1]:
        moved = np.einsum("fwk,...fk->...fw", null.wander, direction)
        tolerance = np.maximum(tolerance, NATURAL_STDS * np.sqrt(np.einsum("...fb,...fb->...f", moved, moved)))
    estimated = np.einsum("fek,...fk->...fe", null.estimates, direction)
    tolerance += np.maximum(np.maximum.reduce(estimated, axis=-1), 0.0)
    least = np.minimum.reduce(direction, axis=-1)
    stake = np.minimum(1.0, SIZE_MAX / np.maximum(tolerance - least, SIZE_MAX))
    return direction, tolerance, stake


def _rounded(won: NDArray[np.float64], caps: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(np.floor(np.minimum(np.log1p(won), caps) / QUANTUM) * QUANTUM)


def moved(counts: NDArray[np.float64], moves: NDArray[np.float64] | None) -> NDArray[np.float64]:
    """Take the season from a tick.

    Parameters
    ----------
    counts : ndarray of float64, shape (..., n_columns, n_bins)
        The tick, or each of several.
    moves : ndarray of float64, shape (n_columns, n_bins, n_bins), optional
        Of its season, as in ``LearnedGroup``.

    Returns
    -------
    ndarray of float64, shape (..., n_columns, n_bins)
        What is remembered of it; the same without a season.
    """
    return counts if moves is None else np.matmul(counts[..., None, :], moves)[..., 0, :]


def remember(memory: NDArray[np.float64], counts: NDArray[np.float64], events_kept: float) -> NDArray[np.float64]:
    """Add ticks to the memory, one after the other, and let the past fade.

    Parameters
    ----------
    memory : ndarray of float64, shape (n_columns, n_bins)
        Faded counts before the first tick.
    counts : ndarray of float64, shape (n_ticks, n_columns, n_bins)
        The ticks.
    events_kept : float
        After so many events a past one weighs 1/e.

    Returns
    -------
    ndarray of float64, shape (n_ticks + 1, n_columns, n_bins)
        Faded counts before each tick, and after the last one: the same bits however ticks are divided among calls. A
        tick with more than ``events_kept`` events counts as that many.
    """
    events = np.add.reduce(counts, axis=-1, keepdims=True)
    added = counts * np.minimum(1.0, events_kept / np.maximum(events, 1.0))
    faded = np.exp(-events / events_kept)
    found = np.empty((len(counts) + 1, *memory.shape))
    found[0] = memory
    for before, after, keep, more in zip(found[:-1], found[1:], faded, added, strict=True):
        np.multiply(before, keep, out=after)
        np.add(after, more, out=after)
    return found
