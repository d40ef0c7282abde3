"""From which evidence on a principal is told of, calibrated on sessions that the reference itself gives."""

import numpy as np
from numpy.typing import NDArray

from detectors.principals.monitor import Principal, Thresholds, Tier, Yardstick

SESSIONS = 24
"""Sessions of each kind that are played through."""
REQUESTS = 200
"""Of a session, at most."""
MARGIN = 1.25
"""The largest evidence of so few sessions is exceeded by one in some tens: what is told of lies this much above it."""
PROBING_LEAST = 12.0
"""Twice what ordinary clients, explainers and benign optimisers of images reach in the benchmark of adversarial use;
requests that are close come to less than half of it, however many they are."""
EXTRACTION_LEAST = 2.2
"""Above what explainers that mask all parts of an image at random reach there; ordinary clients stay below 0.9."""


def calibrate(
    yardstick: Yardstick,
    points: NDArray[np.floating],
    labels: NDArray[np.integer],
    probabilities: NDArray[np.floating],
    intent: float,
) -> Thresholds:
    """Play ordinary clients through, and return thresholds that none of them reaches.

    Parameters
    ----------
    yardstick : Yardstick
        Fitted to the same reference, whose every second request it measured: those make the sessions.
    points : ndarray of shape (n, dimension)
        The reference.
    labels : ndarray of shape (n,)
        The predicted classes.
    probabilities : ndarray of shape (n, classes)
        The model's answers.
    intent : float
        From which log-odds of the forest on intent is told of: no ordinary client says anything about it.

    Returns
    -------
    Thresholds
        Of clients that ask about anything, and of clients that ask about one class only.

    Notes
    -----
    Costs about SESSIONS * REQUESTS * 2 requests, half a second.
    """
    measured = np.arange(1, len(points), 2)
    probing, extraction = PROBING_LEAST, EXTRACTION_LEAST
    classes = np.unique(labels[measured])
    for session in range(2 * SESSIONS):
        # One in two asks about a single class: such a client is nearer to itself than others are.
        pool = measured if session % 2 == 0 else measured[labels[measured] == classes[(session // 2) % len(classes)]]
        most = {Tier.PROBING: 0.0, Tier.EXTRACTION: 0.0}
        principal = Principal(yardstick)
        for place in _shuffled(pool, session)[:REQUESTS]:
            reading = principal.take(np.asarray(points[place], np.float32), int(labels[place]), probabilities[place])
            most = {tier: max(value, reading.evidence[tier]) for tier, value in most.items()}
        probing = max(probing, MARGIN * most[Tier.PROBING])
        extraction = max(extraction, MARGIN * most[Tier.EXTRACTION])
    return Thresholds(probing=probing, intent=intent, extraction=extraction)


def _shuffled(places: NDArray[np.int64], session: int) -> NDArray[np.int64]:
    """Return places in another order for every session, the same each time."""
    with np.errstate(over="ignore"):
        words = places.astype(np.uint64) + np.uint64(session) * np.uint64(0x9E3779B97F4A7C15)
        words *= np.uint64(0xBF58476D1CE4E5B9)
        words ^= words >> np.uint64(29)
        words *= np.uint64(0x94D049BB133111EB)
    return places[np.argsort(words, kind="stable")]
