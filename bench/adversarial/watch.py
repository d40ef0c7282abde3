"""What the monitor makes of a session, request by request."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from bench.adversarial.setting import Lens
from detectors.principals.campaigns import Crowd
from detectors.principals.cluster import FEATURES
from detectors.principals.forest import DEPTH, Forest
from detectors.principals.monitor import Principal, Thresholds, Tier
from redteam.session import Session


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """The evidence after each of a session's requests."""

    probing: NDArray[np.float64]
    """Shape (n,)."""
    extraction: NDArray[np.float64]
    """Shape (n,)."""
    told: NDArray[np.int64]
    """Shape (stories,): the requests with which near-duplicates told a story."""
    stories: NDArray[np.float64]
    """Shape (stories, features)."""
    fidelity: NDArray[np.float64]
    """Shape (n,): what a copy is worth, as the monitor estimates it."""

    def intent(self, forest: Forest) -> NDArray[np.float64]:
        """Return the evidence of intent after each request, shape (n,), as a forest sees it."""
        evidence = np.full(len(self.probing), -np.inf)
        evidence[self.told] = scores(forest, self.stories)
        return evidence


def scores(forest: Forest, stories: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return what ``forest.score`` says of many stories (n, features)."""
    trees = np.arange(len(forest.features))
    node = np.zeros((len(stories), len(trees)), np.int64)
    for _ in range(DEPTH):
        values = np.take_along_axis(stories, forest.features[trees, node].astype(np.int64), axis=1)
        node = 2 * node + 1 + (values > forest.cuts[trees, node])
    leaves = forest.values[trees, node - ((1 << DEPTH) - 1)]
    found: NDArray[np.float64] = forest.start + leaves.sum(axis=1, dtype=np.float64)
    return found


def watch(session: Session, lens: Lens) -> Trace:
    """Let the monitor look at a session; each account is a principal of its own."""
    points = lens.points(session)
    labels = session.labels
    principals: dict[int, Principal] = {}
    count = len(session)
    probing, extraction, fidelity = np.zeros(count), np.zeros(count), np.zeros(count)
    told: list[int] = []
    stories = lens.recorder.stories = []
    for i, account in enumerate(session.accounts.tolist()):
        principal = principals.get(account)
        if principal is None:
            principal = principals[account] = Principal(lens.yardstick)
        reading = principal.take(points[i], int(labels[i]), session.probabilities[i])
        probing[i], extraction[i] = reading.evidence[Tier.PROBING], reading.evidence[Tier.EXTRACTION]
        fidelity[i] = principal.extraction.fidelity()
        if len(stories) > len(told):
            told.append(i)
    return Trace(
        probing=probing,
        extraction=extraction,
        told=np.array(told, np.int64),
        stories=np.array(stories, np.float64).reshape(len(told), len(FEATURES)),
        fidelity=fidelity,
    )


def campaign_intent(session: Session, lens: Lens, forest: Forest) -> NDArray[np.float64]:
    """Return the evidence of intent, shape (n,), about near-duplicates that several accounts have sent."""
    crowd = Crowd(lens.yardstick.population, lens.yardstick.dimension, forest)
    points, labels = lens.points(session), session.labels
    found = np.full(len(session), -np.inf)
    for i, account in enumerate(session.accounts.tolist()):
        joint = crowd.take(points[i], int(labels[i]), session.probabilities[i], account)
        if joint is not None:
            found[i] = joint.evidence
    return found


class Live:
    """A monitor that looks on while an attack runs: it refuses a principal whose evidence has reached a threshold.

    Parameters
    ----------
    lens : Lens
        Of the session that is to come.
    forest : Forest
        Of the monitor.
    thresholds : Thresholds
        Of its tiers.
    """

    def __init__(self, lens: Lens, forest: Forest, thresholds: Thresholds) -> None:
        self._lens, self._thresholds = lens, thresholds
        self._yardstick = replace(lens.yardstick, forest=forest)
        self._principals: dict[int, Principal] = {}

    def __call__(self, row: NDArray[np.float32], answer: NDArray[np.float32], seconds: float, account: int) -> bool:
        """Take one request, and tell whether its principal is refused from now on."""
        del seconds
        principal = self._principals.setdefault(account, Principal(self._yardstick))
        point = self._lens.maker.points(row[None].astype(np.float64))[0]
        evidence = principal.take(point, int(answer.argmax()), answer).evidence
        return any(evidence[tier] >= self._thresholds.of(tier) for tier in Tier)
