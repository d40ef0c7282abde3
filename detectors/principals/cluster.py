"""Near-duplicates of one request, and how their answers go: the story that tells an attack from an explanation."""

import math
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from detectors.principals.heading import Heading
from detectors.principals.population import Population

MEMORY = 16
"""Requests over which averages run, exponentially."""
FEATURES = (
    "requests",
    "gain",
    "choices",
    "flips",
    "hugging",
    "rank",
    "steepness",
    "mean steepness",
    "nearness",
    "nearest",
    "mirrored",
    "fallen",
    "lowest",
    "moved",
    "slope",
    "clear",
    "oddness",
    "step",
    "following",
    "steering",
    "turning",
    "mean following",
    "mean steering",
    "momentum",
    "spent",
    "evenness",
    "records",
    "falling",
)
"""What is known of a cluster after a request, in this order; ``features`` says what each is."""
UNHEADED = (0.0,) * 6
"""What a heading says of a first near-duplicate, whatever that is: one direction leads nowhere."""
_KEEP = 1.0 - 1.0 / MEMORY
_MEANS = 10
_LIKELY, _CHANCE = 0.88, 0.1
"""How often an attacker goes on from the lowest sibling; how much more often than by chance others do."""


class Near(NamedTuple):
    """A near-duplicate, against what it was derived from.

    Parameters
    ----------
    own : float
        Log-odds of the class of the cluster's root.
    parent : float
        The same of its parent.
    distance : float
        From its parent, over what is typical of the root's class.
    moved : float
        From the root, over the same.
    ratio : float
        Distance to the parent over that to the nearest place of the population.
    density : float
        Distance to the nearest place over what is typical.
    flip : bool
        Whether its label is not its parent's.
    clear : bool
        Whether its parent is clear.
    chosen : int
        1: the parent was now chosen, as the lowest of its siblings; -1: as another; 0: no choice was made.
    siblings : int
        Among how many it was chosen.
    gain : float
        Of a parent that was now chosen: how much further its odds fell than a step of its size explains; 0 otherwise.
    mirrored : bool
        Whether the step undoes an earlier one: half of a finite difference.
    """

    own: float
    parent: float
    distance: float
    moved: float
    ratio: float
    density: float
    flip: bool
    clear: bool
    chosen: int
    siblings: int
    gain: float
    mirrored: bool


@dataclass(slots=True, eq=False)
class Cluster:
    """Near-duplicates that began with one request.

    Parameters
    ----------
    root : ndarray of float32, shape (dimension,)
        The request.
    label : int
        Its predicted class.
    odds : float
        Log-odds of that class at the root.
    began : int
        How many requests there had been before the first near-duplicate.

    Attributes
    ----------
    size : int
        Requests, the root among them.
    flips : int
        Requests at which the root's class was no longer ahead.
    lowest : float
        Smallest log-odds of the root's class so far; negative once a near-duplicate had another label.
    slope_squares : float
        Sum of the squared changes of the log-odds over distance, from parents to children.
    gain : float
        The largest of its requests.
    choices : float
        Logarithm of the evidence that parents are chosen by their answers; ``best_choices`` is the largest so far.
    nearest : float
        The smallest logarithm of a ratio so far, at most 0.
    members : dict of int to None
        In order: who sent near-duplicates, where requests of several principals are looked at together.
    story : int
        The number of its client's story during which it first told something; 0 before that.

    Notes
    -----
    Memory is about 1 kB with 32 dimensions, 3 kB from the third request on, and does not grow with the requests.
    """

    root: NDArray[np.float32]
    label: int
    odds: float
    began: int = 0
    size: int = field(init=False, default=1)
    flips: int = field(init=False, default=0)
    lowest: float = field(init=False)
    slope_squares: float = field(init=False, default=0.0)
    gain: float = field(init=False, default=0.0)
    choices: float = field(init=False, default=0.0)
    best_choices: float = field(init=False, default=0.0)
    nearest: float = field(init=False, default=0.0)
    members: dict[int, None] = field(init=False, default_factory=dict)
    story: int = field(init=False, default=0)
    _means: list[float] = field(init=False, default_factory=lambda: [0.0] * _MEANS)
    _weight: float = field(init=False, default=0.0)
    _second: tuple[NDArray[np.float32], float] | None = field(init=False, default=None)
    """The first near-duplicate, and its log-odds from the root's, until there is another: a pair has no heading."""
    _heading: Heading | None = field(init=False, default=None)
    _records: "_Records" = field(init=False)

    def __post_init__(self) -> None:
        self.lowest = self.odds
        self._records = _Records(self.odds)

    @property
    def slope(self) -> float:
        """Root mean square change of the log-odds over distance, from parents to children."""
        return math.sqrt(self.slope_squares / max(self.size - 1, 1))

    def add(self, near: Near, population: Population, point: NDArray[np.float32]) -> NDArray[np.float64]:
        """Take a near-duplicate, and return the features after it.

        Parameters
        ----------
        near : Near
            The request.
        population : Population
            What is usual.
        point : ndarray of float32, shape (dimension,)
            Where the request lies.

        Returns
        -------
        ndarray of shape (len(FEATURES),)
            Odds are in medians of the population's, distances in what is typical: nothing is in a unit of the model.
            ``requests``: logarithm of how many near-duplicates there are. ``gain``: how much further an answer fell
            than a step of its size explains, at most, when the request was chosen to go on from. ``choices``: largest
            logarithm of the evidence that the lowest sibling is chosen. ``rank``: of the root's odds among the
            population's. ``steepness``: how much the odds fell over how far the request is from the root, over the
            population's. ``nearest``: smallest logarithm of a ratio. ``lowest``: how far the odds fell at most.
            ``slope``: root mean square change of the odds over distance, over the population's. ``step``: logarithm of
            the distance from the parent. From ``following`` to ``momentum``: as ``Heading`` says. ``spent``: share of
            the root's odds that is gone at the lowest. ``records``: by how many more requests were the lowest so far
            than of numbers in random order would be, in standard deviations; ``falling``: by how many they outnumber
            those that were the highest, likewise. The others are means over about ``MEMORY`` requests: ``flips`` of
            labels, ``hugging`` (share near a boundary), ``mean steepness``, ``nearness`` (logarithm of the ratio),
            ``mirrored`` (share that undo a step), ``fallen`` (how far the odds fell), ``moved`` (distance from the
            root), ``evenness`` (its standard deviation over its mean), ``clear`` (share with a clear parent),
            ``oddness`` (logarithm of the density).

        Notes
        -----
        Costs about 30 µs.
        """
        self.size += 1
        self.flips += near.own < 0.0 <= self.odds
        self.lowest = min(self.lowest, near.own)
        self.slope_squares += ((near.own - near.parent) / max(near.distance, 1e-9)) ** 2
        self.gain = max(self.gain, near.gain)
        if near.chosen:
            self._choose(near.chosen > 0, near.siblings)
        nearness = float(np.log(max(near.ratio, 1e-4)))
        self.nearest = min(self.nearest, nearness)
        steep = _within((self.odds - near.own) / max(near.moved, 0.05) / population.steepness, -5.0, 20.0)
        hugging = abs(near.own) <= population.low_odds
        oddness = float(np.log(near.density))
        moved = near.moved
        now = (near.flip, hugging, steep, nearness, near.mirrored, near.own, moved, near.clear, oddness, moved * moved)
        self._means = [_KEEP * mean + value for mean, value in zip(self._means, now, strict=True)]
        self._weight = _KEEP * self._weight + 1.0
        self._records.add(near.own)
        headed = self._headed(point, near.own - self.odds)
        return np.array((*self._story(steep, near, population), *headed, *self._order(population.spread)))

    def _headed(self, point: NDArray[np.float32], answer: float) -> tuple[float, ...]:
        """Return what the heading says; of most clusters, which are pairs, nothing, and it takes no room."""
        if self._heading is None:
            if self._second is None:
                self._second = point.copy(), answer
                return UNHEADED
            self._heading = Heading(len(self.root), _KEEP)
            second, self._second = self._second, None
            self._heading.add(np.subtract(second[0], self.root, dtype=np.float64), second[1])
        return self._heading.add(np.subtract(point, self.root, dtype=np.float64), answer)

    def _choose(self, lowest: bool, siblings: int) -> None:  # noqa: FBT001 - what was seen
        chance = min(1.0 / max(siblings, 2) + _CHANCE, _LIKELY - _CHANCE)
        self.choices += float(np.log(_LIKELY / chance) if lowest else np.log((1.0 - _LIKELY) / (1.0 - chance)))
        self.best_choices = max(self.best_choices, self.choices)

    def _story(self, steep: float, near: Near, population: Population) -> tuple[float, ...]:
        weight = self._weight
        flips, hugging, steeps, nearness, mirrored, own, moved, clear, oddness, _ = [m / weight for m in self._means]
        return (
            float(np.log(self.size - 1)),
            self.gain,
            self.best_choices,
            flips,
            hugging,
            float(population.odds.searchsorted(self.odds)) / len(population.odds),
            steep,
            steeps,
            nearness,
            self.nearest,
            mirrored,
            _within((self.odds - own) / population.spread, -2.0, 4.0),
            _within((self.odds - self.lowest) / population.spread, -1.0, 5.0),
            moved,
            self.slope / population.steepness,
            clear,
            oddness,
            float(np.log(max(near.distance, 1e-4))),
        )

    def _order(self, spread: float) -> tuple[float, ...]:
        """Return what is gone of the root's odds, how even the distances are, and the order of the answers."""
        moved, square = self._means[6] / self._weight, self._means[9] / self._weight
        return (
            _within(1.0 - self.lowest / max(self.odds, 0.1 * spread), -1.0, 5.0),
            math.sqrt(max(square - moved * moved, 0.0)) / max(moved, 1e-6),
            *self._records.told(),
        )


@dataclass(slots=True, eq=False)
class _Records:
    """How often an answer is the lowest or the highest so far: a matter of their order, whatever their unit."""

    lowest: float
    highest: float = field(init=False)
    lows: int = field(init=False, default=0)
    highs: int = field(init=False, default=0)
    usual: float = field(init=False, default=0.0)
    """How many of either numbers in random order have on average, and about the variance of that."""
    _count: int = field(init=False, default=1)

    def __post_init__(self) -> None:
        self.highest = self.lowest

    def add(self, own: float) -> None:
        """Take an answer."""
        self._count += 1
        self.usual += 1.0 / self._count
        if own < self.lowest:
            self.lowest, self.lows = own, self.lows + 1
        if own > self.highest:
            self.highest, self.highs = own, self.highs + 1

    def told(self) -> tuple[float, float]:
        """Return by how much the lows outnumber what is usual, and the highs."""
        lows = (self.lows - self.usual) / math.sqrt(max(self.usual, 0.5))
        return lows, (self.lows - self.highs) / math.sqrt(self.lows + self.highs + 1.0)


def _within(value: float, low: float, high: float) -> float:
    return min(max(value, low), high)
