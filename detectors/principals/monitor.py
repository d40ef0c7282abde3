"""Evidence about one principal, request by request: probing, intent, and extraction.

Requests are compared in one space of points: an embedding, the projection of a fingerprint, or scaled features.
"""

import math
from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Generic, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from detectors.errors import DetectorError
from detectors.principals.cluster import Cluster
from detectors.principals.extraction import Extraction, Moments
from detectors.principals.forest import Forest
from detectors.principals.membership import Membership
from detectors.principals.persistence import Judge, Persistence
from detectors.principals.population import Population, log_odds
from detectors.principals.probing import Probing
from detectors.principals.trail import Step, Trail

EXTRACTION_MIN = 32
"""Requests apart from each other before their distribution says anything."""
NEAR_MIN = 3
"""Near-duplicates of a request before their story is told."""
LENGTH_MAX = 1e18
"""Of a point or an answer: the square of a longer one is not within float32."""
_SQUARE_MAX = LENGTH_MAX**2

Name = TypeVar("Name", bound=Hashable)


class Tier(StrEnum):
    """What the evidence is about."""

    PROBING = "probing"
    """Requests that feel their way around single inputs: close to each other, with answers that lead somewhere."""
    INTENT = "intent"
    """Near-duplicates whose answers go the way of an attack."""
    EXTRACTION = "extraction"
    """Requests that are distributed as no client's are: a model is copied with what is at hand."""


@dataclass(frozen=True, slots=True)
class Thresholds:
    """Evidence at which each tier is told of; from the largest evidence of calibration sessions.

    Parameters
    ----------
    probing : float
        Closeness of requests and what their stories add to it.
    intent : float
        Log-odds of the forest.
    extraction : float
        Fréchet distance of requests that are spread out, in mean squared spreads of a reference request.
    """

    probing: float
    intent: float
    extraction: float

    def of(self, tier: Tier) -> float:
        """Return the one of a tier.

        Parameters
        ----------
        tier : Tier
            What the evidence is about.

        Returns
        -------
        float
            In the unit of its evidence.
        """
        return {Tier.PROBING: self.probing, Tier.INTENT: self.intent, Tier.EXTRACTION: self.extraction}[tier]


@dataclass(frozen=True, slots=True, eq=False)
class Yardstick:
    """What the requests of a model version are measured with.

    Parameters
    ----------
    population : Population
        Where requests lie.
    moments : Moments
        How they are distributed.
    forest : Forest
        What tells stories of near-duplicates apart.
    bets : Judge or None
        What is asked about stories that are over, such as ``Bets``; ``None``: nobody bets on them.
    """

    population: Population
    moments: Moments
    forest: Forest
    bets: Judge | None = None

    @classmethod
    def fit(
        cls,
        points: NDArray[np.floating],
        labels: NDArray[np.integer],
        probabilities: NDArray[np.floating],
        forest: Forest,
    ) -> "Yardstick":
        """Describe reference requests.

        Parameters
        ----------
        points : ndarray of shape (n, dimension)
            In the order in which they came.
        labels : ndarray of shape (n,)
            The predicted classes.
        probabilities : ndarray of shape (n, classes)
            The model's answers.
        forest : Forest
            That tells stories apart.

        Raises
        ------
        DetectorError
            With too few requests, or values that are not finite.
        """
        if len(points) != len(labels) or len(points) != len(probabilities):
            raise DetectorError(f"{len(points)} points, {len(labels)} labels and {len(probabilities)} answers")
        classes = probabilities.shape[1]
        odds = log_odds(probabilities, labels)
        return cls(Population.fit(points, labels, odds, classes), Moments.fit(points, labels, classes), forest)

    @property
    def dimension(self) -> int:
        """Of the points."""
        return int(self.moments.mean.shape[1])


class Reading(NamedTuple):
    """What one request adds.

    Parameters
    ----------
    duplicate : bool
        Whether it is the same as an earlier one of this principal: a retry, which says nothing.
    score : float
        How odd the request is by itself, 0 to 1: its conformal rank among those of the reference. Triage, no verdict.
    evidence : dict of Tier to float
        Of each tier, after it.
    """

    duplicate: bool
    score: float
    evidence: dict[Tier, float]


class Principal:
    """The evidence about one principal.

    Parameters
    ----------
    yardstick : Yardstick
        Of the model version.

    Notes
    -----
    With 32 dimensions and 10 classes a request costs about 35 µs, a near-duplicate 80 µs, and a principal takes 15 kB
    with its first request and 70 kB with hundreds; 300 kB at the most, where it sends pairs of near-duplicates.
    """

    def __init__(self, yardstick: Yardstick) -> None:
        self._yardstick = yardstick
        self._trail = Trail(yardstick.population, yardstick.dimension)
        self._probing = Probing(yardstick.population)
        self.extraction = Extraction(yardstick.population, yardstick.moments)
        self.membership = Membership(yardstick.population)
        self.persistence = Persistence()
        self.evidence: dict[Tier, float] = {Tier.PROBING: 0.0, Tier.INTENT: -np.inf, Tier.EXTRACTION: 0.0}
        """Now; that of intent is of the last near-duplicate."""
        self.duplicates = 0
        self.worst: Cluster | None = None
        """The near-duplicates with the strongest intent."""
        self.nearest = math.inf
        """The smallest log-odds of an answer: how near to another label any request came."""
        self._strongest = -np.inf

    @property
    def queries(self) -> int:
        """Requests, exact duplicates not counted."""
        return self._trail.requests

    def take(self, point: NDArray[np.float32], label: int, probabilities: NDArray[np.floating]) -> Reading:
        """Take one request.

        Parameters
        ----------
        point : ndarray of shape (dimension,)
            Where it lies; copied.
        label : int
            The predicted class.
        probabilities : ndarray of shape (classes,)
            The model's answer; need not sum to one.

        Returns
        -------
        Reading
            What it adds.

        Raises
        ------
        DetectorError
            If the point has another dimension, the answer another number of classes, the label is none of them, or
            anything is not finite or longer than ``LENGTH_MAX``. The evidence is then as before.
        """
        point, label = self._checked(point, label, probabilities), int(label)
        step = self._trail.step(point, label, probabilities)
        self.membership.take(step)
        if step.duplicate:
            self.duplicates += 1
            return Reading(duplicate=True, score=0.0, evidence=dict(self.evidence))
        self.nearest = min(self.nearest, float(step.odds))
        self.extraction.add(point, label, step.place, step.ratio * step.density)
        if self.extraction.apart >= EXTRACTION_MIN:
            self.evidence[Tier.EXTRACTION] = self.extraction.distance()
        story = self._story(step)
        self._probing.take(step, story)
        self.evidence[Tier.PROBING] = self._probing.evidence
        return Reading(duplicate=False, score=self._score(step), evidence=dict(self.evidence))

    def _story(self, step: Step) -> float | None:
        """Return the log-odds that the near-duplicates of a request are an attack; ``None`` when they are too few."""
        if step.features is None or step.cluster is None or step.cluster.size <= NEAR_MIN:
            return None
        told = self._yardstick.forest.score(step.features)
        self.evidence[Tier.INTENT] = told
        if self._yardstick.bets is not None:
            self.persistence.take(step.cluster, step.features, told, self.queries, self._yardstick.bets)
        if told > self._strongest:
            self._strongest, self.worst = told, step.cluster
        return told

    def _checked(
        self, point: NDArray[np.float32], label: int, probabilities: NDArray[np.floating]
    ) -> NDArray[np.float32]:
        classes, dimension = self._yardstick.moments.mean.shape
        if point.shape != (dimension,) or not _square(point) <= _SQUARE_MAX:
            raise DetectorError(f"a point of shape {point.shape}: must be {dimension} finite numbers")
        if probabilities.shape != (classes,) or not _square(probabilities) <= _SQUARE_MAX:
            raise DetectorError(f"an answer of shape {probabilities.shape}: must be {classes} finite numbers")
        if not 0 <= label < classes:
            raise DetectorError(f"a label {label} that is none of {classes} classes")
        return np.array(point, np.float32)

    def _score(self, step: Step) -> float:
        population = self._yardstick.population
        ranks = (
            _low(population.ratios, step.ratio),
            _high(population.densities, step.density),
            _low(population.odds, step.odds),
        )
        # Each is a bet on a conformal rank; their mean is one, however they depend on each other.
        bet = sum(0.5 / math.sqrt(rank) for rank in ranks) / len(ranks)
        return 1.0 - min(1.0, 0.25 / bet**2)


def _square(vector: NDArray[np.floating]) -> float:
    """Return the squared length; not finite when a number is not, or it is too long."""
    with np.errstate(over="ignore", invalid="ignore"):
        return float(vector.dot(vector))


def _low(sorted_values: NDArray[np.float64], value: float) -> float:
    return (1.0 + float(sorted_values.searchsorted(value, side="right"))) / (len(sorted_values) + 1.0)


def _high(sorted_values: NDArray[np.float64], value: float) -> float:
    return (1.0 + len(sorted_values) - float(sorted_values.searchsorted(value, side="left"))) / (
        len(sorted_values) + 1.0
    )


@dataclass
class Roster(Generic[Name]):
    """The principals seen most recently; whoever is forgotten begins anew.

    Parameters
    ----------
    yardstick : Yardstick
        Of the model version.
    principals_max : int
        At least 1. More are forgotten, least recently seen first: a flood of principals cannot grow memory.

    Attributes
    ----------
    forgotten : int
        How many were.
    """

    yardstick: Yardstick
    principals_max: int
    forgotten: int = field(init=False, default=0)
    _known: OrderedDict[Name, Principal] = field(init=False, default_factory=OrderedDict)

    def __post_init__(self) -> None:
        if self.principals_max < 1:
            raise DetectorError(f"{self.principals_max} principals; at least 1 is needed")

    def of(self, name: Name) -> Principal:
        """Return a principal's evidence.

        Parameters
        ----------
        name : hashable
            Its pseudonym.

        Returns
        -------
        Principal
            New if it is not known, or was forgotten.
        """
        found = self._known.get(name)
        if found is None:
            found = self._known[name] = Principal(self.yardstick)
            while len(self._known) > self.principals_max:
                self._known.popitem(last=False)
                self.forgotten += 1
        self._known.move_to_end(name)
        return found

    def __len__(self) -> int:
        return len(self._known)
