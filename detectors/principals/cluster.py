"""Near-duplicates of one request, and how their answers go: the story that tells an attack from an explanation."""

import math
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from detectors.principals.population import Population

MEMORY = 16
"""Requests over which averages run, exponentially."""
FEATURES = (
    "requests",
    "gain",
    "choices",
    "flips",
    "hugging",
    "root",
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
)
"""What is known of a cluster after a request, in this order; ``features`` says what each is."""
_KEEP = 1.0 - 1.0 / MEMORY
_MEANS = 9
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

    Notes
    -----
    Memory is about 1 kB, and does not grow with the requests.
    """

    root: NDArray[np.float32]
    label: int
    odds: float
    size: int = field(init=False, default=1)
    flips: int = field(init=False, default=0)
    lowest: float = field(init=False)
    slope_squares: float = field(init=False, default=0.0)
    gain: float = field(init=False, default=0.0)
    choices: float = field(init=False, default=0.0)
    best_choices: float = field(init=False, default=0.0)
    nearest: float = field(init=False, default=0.0)
    _means: list[float] = field(init=False, default_factory=lambda: [0.0] * _MEANS)
    _weight: float = field(init=False, default=0.0)

    def __post_init__(self) -> None:
        self.lowest = self.odds

    @property
    def slope(self) -> float:
        """Root mean square change of the log-odds over distance, from parents to children."""
        return math.sqrt(self.slope_squares / max(self.size - 1, 1))

    def add(self, near: Near, population: Population) -> NDArray[np.float64]:
        """Take a near-duplicate, and return the features after it.

        Parameters
        ----------
        near : Near
            The request.
        population : Population
            What is usual.

        Returns
        -------
        ndarray of shape (len(FEATURES),)
            ``requests``: logarithm of how many near-duplicates there are. ``gain``: how much further an answer fell
            than a step of its size explains, at most, when the request was chosen to go on from. ``choices``: largest
            logarithm of the evidence that the lowest sibling is chosen. ``root``: log-odds of the root, by 10.
            ``steepness``: how much the odds fell over how far the request is from the root, over the population's.
            ``nearest``: smallest logarithm of a ratio. ``lowest``: how far the odds fell at most, by 5. ``slope``:
            root mean square change of the odds over distance, over the population's. ``step``: logarithm of the
            distance from the parent. The others are means over about ``MEMORY`` requests: ``flips`` of labels,
            ``hugging`` (share near a boundary), ``mean steepness``, ``nearness`` (logarithm of the ratio), ``mirrored``
            (share that undo a step), ``fallen`` (how far the odds fell, by 5), ``moved`` (distance from the root),
            ``clear`` (share with a clear parent), ``oddness`` (logarithm of the density).

        Notes
        -----
        Costs about 10 µs.
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
        now = (near.flip, hugging, steep, nearness, near.mirrored, near.own, near.moved, near.clear, oddness)
        self._means = [_KEEP * mean + value for mean, value in zip(self._means, now, strict=True)]
        self._weight = _KEEP * self._weight + 1.0
        return self._features(steep, near, population)

    def _choose(self, lowest: bool, siblings: int) -> None:  # noqa: FBT001 - what was seen
        chance = min(1.0 / max(siblings, 2) + _CHANCE, _LIKELY - _CHANCE)
        self.choices += float(np.log(_LIKELY / chance) if lowest else np.log((1.0 - _LIKELY) / (1.0 - chance)))
        self.best_choices = max(self.best_choices, self.choices)

    def _features(self, steep: float, near: Near, population: Population) -> NDArray[np.float64]:
        weight = self._weight
        flips, hugging, steeps, nearness, mirrored, own, moved, clear, oddness = [mean / weight for mean in self._means]
        return np.array(
            (
                float(np.log(self.size - 1)),
                self.gain,
                self.best_choices,
                flips,
                hugging,
                _within(self.odds / 10.0, -1.0, 2.0),
                steep,
                steeps,
                nearness,
                self.nearest,
                mirrored,
                _within((self.odds - own) / 5.0, -2.0, 4.0),
                _within((self.odds - self.lowest) / 5.0, -2.0, 6.0),
                moved,
                self.slope / population.steepness,
                clear,
                oddness,
                float(np.log(max(near.distance, 1e-4))),
            )
        )


def _within(value: float, low: float, high: float) -> float:
    return min(max(value, low), high)
