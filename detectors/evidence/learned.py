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
SIZE_MAX = 0.95
"""The worst bin keeps at least 5 % of the stake."""


def learned_logs(null: StackedNulls, memory: NDArray[np.float64], caps: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the logarithms of the learned bets for the next tick.

    Parameters
    ----------
    null : StackedNulls
        What is normal.
    memory : ndarray of float64, shape (n_columns, n_bins)
        Faded counts of past events.
    caps : ndarray of float64, shape (n_columns,)
        Largest logarithm of each column's bet.

    Returns
    -------
    ndarray of float64, shape (n_columns, n_bins)
        Multiples of ``QUANTUM``; 0 in padding and where nothing has been learned.

    Notes
    -----
    About fifteen passes over ``n_columns * n_bins`` numbers and one over ``n_columns * n_ways * n_bins``.
    """
    events = memory.sum(axis=1, keepdims=True)
    # q / p - 1 with q = (memory + prior * p) / (events + prior)
    direction = (memory / null.probabilities - events) / (events + PRIOR_EVENTS)
    direction *= null.variances > 0.0
    tolerance = null.learned_effect * np.sqrt(np.einsum("fk,fk,fk->f", direction, direction, null.variances))
    if null.wander.shape[1]:
        moved = np.matmul(null.wander, direction[:, :, None])[:, :, 0]
        tolerance = np.maximum(tolerance, NATURAL_STDS * np.sqrt(np.einsum("fb,fb->f", moved, moved)))
    estimated = np.matmul(null.estimates, direction[:, :, None])[:, :, 0]
    tolerance += np.maximum(estimated.max(axis=1), 0.0)
    stake = np.minimum(1.0, SIZE_MAX / np.maximum(tolerance - direction.min(axis=1), SIZE_MAX))
    logs = np.minimum(np.log1p(stake[:, None] * (direction - tolerance[:, None])), caps[:, None])
    return np.asarray(np.floor(logs / QUANTUM) * QUANTUM)


def remember(memory: NDArray[np.float64], counts: NDArray[np.float64], events_kept: float) -> NDArray[np.float64]:
    """Add a tick to the memory and let the past fade.

    Parameters
    ----------
    memory : ndarray of float64, shape (n_columns, n_bins)
        Faded counts before the tick.
    counts : ndarray of float64, shape (n_columns, n_bins)
        The tick.
    events_kept : float
        After so many events a past one weighs 1/e.

    Returns
    -------
    ndarray of float64, shape (n_columns, n_bins)
        Faded counts after the tick. A tick with more than ``events_kept`` events counts as that many.
    """
    events = counts.sum(axis=1, keepdims=True)
    scale = np.minimum(1.0, events_kept / np.maximum(events, 1.0))
    return np.asarray(memory * np.exp(-events / events_kept) + counts * scale)
