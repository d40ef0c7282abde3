"""How much a single event can do to the evidence of a column."""

import numpy as np
from numpy.typing import NDArray

from detectors.evidence.layout import Layout


def event_caps(layout: Layout) -> NDArray[np.float64]:
    """Return the largest logarithm that an event can add to the evidence of each column in its tick.

    Parameters
    ----------
    layout : Layout
        Of the bets.

    Returns
    -------
    ndarray of float64, shape (n_columns,)
        At least 0; infinite for columns with bets on sums. With ``m`` more events in a tick the evidence of a column
        after it is at most ``exp(m * cap)`` times as much, whatever the events and the ticks before are.

    Notes
    -----
    A bet on bins pays at most so much for an event, and evidence is a weighted mean of products of payments. What the
    learned bets remember changes with the next tick only. Of a learned line what it tolerates depends on how many
    events there are, so that an event may change what others win: no bound is given.

    References
    ----------
    .. [1] Shin, J., Ramdas, A., Rinaldo, A. (2022). E-detectors: a nonparametric framework for sequential change
       detection. arXiv:2203.03532.
    """
    most = np.zeros(len(layout.columns))
    for fixed in layout.fixed:
        most[fixed.place] = np.maximum(fixed.logs.max(axis=1), 0.0).ravel()
    for learned in layout.learned:
        # Whatever it has learned, all of it in the rarest bin: an event there is paid one over its probability.
        rarest = np.where(learned.null.present > 0.0, learned.null.probabilities, 1.0).min(axis=1)
        most[learned.place] = np.minimum(learned.caps, -np.log(rarest))
    for tilts in layout.tilts:
        most[tilts.place] = np.inf
    for line in layout.lines:
        most[line.place] = np.inf
    most = np.where(np.isneginf(layout.log_weights), 0.0, most * layout.etas)
    caps = np.zeros(len(layout.log_shares))
    np.maximum.at(caps, layout.columns[layout.by_column], most[layout.by_column])
    return caps
