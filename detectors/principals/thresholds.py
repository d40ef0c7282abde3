"""From which evidence on a principal is told of, calibrated on sessions that the reference itself gives."""

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from detectors.principals.monitor import Principal, Thresholds, Tier, Yardstick
from detectors.principals.persistence import Bets
from detectors.principals.stories import Story

SESSIONS = 24
"""Sessions of each kind that are played through."""
REQUESTS = 200
"""Of a session, at most."""
HARD, STEPS = 16, 60
"""Sessions around single requests that are played through for intent, half of them noise and half of them sweeps, and
how many requests each has."""
ANSWERED_BY = 8
"""Reference requests whose answers make the answer to a request that nobody has sent."""
REACH = 0.5
"""Typical distances over which noise is spread."""
MARGIN = 1.25
"""The largest evidence of so few sessions is exceeded by one in some tens: what is told of lies this much above it."""
PROBING_LEAST = 12.0
"""Nearly twice what ordinary clients, explainers and benign optimisers of images reach in the benchmark of adversarial
use; requests that are close come to less than half of it, however many they are."""
EXTRACTION_LEAST = 2.4
"""A quarter above what explainers that mask all parts of an image at random reach there; ordinary clients stay below
0.9."""
TAIL = 0.025
"""What the exact (Clopper-Pearson) interval of 95 % leaves on either side."""


@dataclass(frozen=True, slots=True)
class Calibration:
    """Thresholds, and what they were held against.

    Parameters
    ----------
    thresholds : Thresholds
        From which on is told.
    reached : Thresholds
        The largest evidence of a session that was played through; 0 where there was none.
    sessions : dict of Tier to int
        How many were played through.
    ladders : tuple of two tuples of float, or None
        What stories that are over are ranked among, as ``Bets`` has it; ``None``: nobody bets on them.
    """

    thresholds: Thresholds
    reached: Thresholds
    sessions: dict[Tier, int]
    ladders: tuple[tuple[float, ...], ...] | None = None


@dataclass(frozen=True, slots=True)
class _Listener:
    """Takes down what stories come to, instead of a bet."""

    bets: Bets
    found: list[tuple[float, float]] = field(default_factory=list)

    def log_bet(self, story: Story) -> float:
        """Keep what the detectors make of a story."""
        self.found.append(self.bets.found(story))
        return 0.0

    def strongest(self) -> tuple[float, float]:
        """Return the largest of each since the last call, minus infinity of none."""
        most = (
            max((one for one, _ in self.found), default=-np.inf),
            max((one for _, one in self.found), default=-np.inf),
        )
        self.found.clear()
        return most


def at_most(sessions: int) -> float:
    """Return how large a share of sessions may alarm, as none of so many did.

    Parameters
    ----------
    sessions : int
        At least 0.

    Returns
    -------
    float
        The upper end of the exact (Clopper-Pearson) interval of 95 %, 0 to 1; 1 without a session.

    Examples
    --------
    >>> round(at_most(48), 3)
    0.074
    """
    return 1.0 - float(TAIL ** (1.0 / sessions)) if sessions > 0 else 1.0


def calibrate(
    yardstick: Yardstick,
    points: NDArray[np.floating],
    labels: NDArray[np.integer],
    probabilities: NDArray[np.floating],
    intent: float,
    bets: Bets | None = None,
) -> Calibration:
    """Play ordinary clients through, and return thresholds that none of them reaches.

    That of intent is the forest's own unless one of them comes near it, or one who sends noise around a request, or
    sweeps from one to another, answered as the nearest requests of the reference were.

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
        From which log-odds of the forest on intent is told of, at least.
    bets : Bets or None
        What stories are ranked among, whatever the model: raised where the sessions here reach more.

    Returns
    -------
    Calibration
        By clients that ask about anything, and by clients that ask about one class only; for intent, also by clients
        that work around single requests.

    Notes
    -----
    Costs about SESSIONS * REQUESTS * 2 + HARD * STEPS requests, half a second.
    """
    listener = None if bets is None else _Listener(bets)
    yardstick = replace(yardstick, bets=listener)
    measured = np.arange(1, len(points), 2)
    classes = np.unique(labels[measured])
    most = dict.fromkeys(Tier, 0.0)
    strongest: dict[str, list[tuple[float, float]]] = {"any": [], "one class": [], "noise": [], "sweep": []}
    for session in range(2 * SESSIONS):
        # One in two asks about a single class: such a client is nearer to itself than others are.
        kind = "any" if session % 2 == 0 else "one class"
        pool = measured if kind == "any" else measured[labels[measured] == classes[(session // 2) % len(classes)]]
        ended = _played(yardstick, _shuffled(pool, session)[:REQUESTS], points, labels, probabilities)
        most = {tier: max(value, ended[tier]) for tier, value in most.items()}
        strongest[kind] += [] if listener is None else [listener.strongest()]
    known, typical = np.asarray(points, np.float64), float(yardstick.population.typical.mean())
    for session in range(HARD):
        kind, pool = "noise" if session % 2 == 0 else "sweep", _shuffled(measured, session)
        asked = _noise(known, pool, typical) if kind == "noise" else _sweep(known, pool)
        made = _answers(asked, known, np.asarray(probabilities, np.float64))
        ended = _played(yardstick, np.arange(len(asked)), asked, made.argmax(axis=1), made)
        most[Tier.INTENT] = max(most[Tier.INTENT], ended[Tier.INTENT])
        strongest[kind] += [] if listener is None else [listener.strongest()]
    thresholds = Thresholds(
        probing=max(PROBING_LEAST, MARGIN * most[Tier.PROBING]),
        intent=max(intent, MARGIN * most[Tier.INTENT]),
        extraction=max(EXTRACTION_LEAST, MARGIN * most[Tier.EXTRACTION]),
    )
    reached = Thresholds(most[Tier.PROBING], most[Tier.INTENT], most[Tier.EXTRACTION])
    sessions = dict.fromkeys(Tier, 2 * SESSIONS) | {Tier.INTENT: 2 * SESSIONS + HARD}
    return Calibration(thresholds, reached, sessions, _ladders(bets, strongest))


def _ladders(
    bets: Bets | None, strongest: dict[str, list[tuple[float, float]]]
) -> tuple[tuple[float, ...], ...] | None:
    """Return the steps of what stories are ranked among, raised to what the sessions of each kind reached."""
    if bets is None:
        return None
    for found in strongest.values():
        bets = bets.raised(np.array(found))
    return tuple(tuple(row) for row in bets.ladders.tolist())


def _played(
    yardstick: Yardstick,
    places: NDArray[np.int64],
    points: NDArray[np.floating],
    labels: NDArray[np.integer],
    probabilities: NDArray[np.floating],
) -> dict[Tier, float]:
    """Return the largest evidence of each tier over one session, at least 0; its last story ends with it."""
    most, principal = dict.fromkeys(Tier, 0.0), Principal(yardstick)
    for place in places:
        reading = principal.take(np.asarray(points[place], np.float32), int(labels[place]), probabilities[place])
        most = {tier: max(value, reading.evidence[tier]) for tier, value in most.items()}
    if yardstick.bets is not None:
        principal.persistence.close(yardstick.bets)
    return most


def _noise(points: NDArray[np.float64], places: NDArray[np.int64], typical: float) -> NDArray[np.float64]:
    """Return requests around one, as a robustness test sends them; the noise is what other requests differ by."""
    root, others = points[places[0]], points[np.resize(places, STEPS + 2)[1:]]
    away = others[1:] - others[:-1]
    lengths = np.maximum(np.linalg.norm(away, axis=1, keepdims=True), 1e-12)
    asked: NDArray[np.float64] = np.concatenate([root[None], root + REACH * typical * away / lengths])
    return asked


def _sweep(points: NDArray[np.float64], places: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return requests on the way from one to another and back, as whoever varies an input step by step sends them."""
    first, last = points[places[0]], points[places[-1]]
    there = np.linspace(0.0, 1.0, STEPS // 2)
    share = np.concatenate([there, there[::-1][1:] + 0.5 / STEPS])[:, None]
    asked: NDArray[np.float64] = first + share * (last - first)
    return asked


def _answers(
    asked: NDArray[np.float64], points: NDArray[np.float64], probabilities: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return what a model would about answer: the mean of the nearest requests' answers, the nearer the more weight.

    Where answers are labels only, that of the nearest one.
    """
    squared = np.square(asked).sum(axis=1)[:, None] + np.square(points).sum(axis=1) - 2.0 * asked @ points.T
    told = probabilities.max(axis=1)
    if told.min() == told.max():
        alone: NDArray[np.float64] = probabilities[squared.argmin(axis=1)]
        return alone
    among = min(ANSWERED_BY, len(points) - 1)
    nearest = np.argpartition(squared, among, axis=1)[:, :among]
    weights = 1.0 / np.maximum(np.take_along_axis(squared, nearest, axis=1), 1e-9)
    shares = weights / weights.sum(axis=1, keepdims=True)
    answers: NDArray[np.float64] = (shares[:, :, None] * probabilities[nearest]).sum(axis=1)
    return answers


def _shuffled(places: NDArray[np.int64], session: int) -> NDArray[np.int64]:
    """Return places in another order for every session, the same each time."""
    with np.errstate(over="ignore"):
        words = places.astype(np.uint64) + np.uint64(session) * np.uint64(0x9E3779B97F4A7C15)
        words *= np.uint64(0xBF58476D1CE4E5B9)
        words ^= words >> np.uint64(29)
        words *= np.uint64(0x94D049BB133111EB)
    return places[np.argsort(words, kind="stable")]
