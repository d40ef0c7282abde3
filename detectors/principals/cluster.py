"""Near-duplicates of one request, and how their answers go: the story that tells an attack from an explanation."""

from dataclasses import dataclass, field

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


@dataclass(frozen=True, slots=True)
class Near:
    """A near-duplicate, against what it was derived from."""

    own: float
    """Log-odds of the class of the cluster's root."""
    parent: float
    """The same of its parent."""
    distance: float
    """From its parent, over what is typical of the root's class."""
    moved: float
    """From the root, over the same."""
    ratio: float
    """Distance to the parent over that to the nearest place of the population."""
    density: float
    """Distance to the nearest place over what is typical."""
    flip: bool
    """Its label is not its parent's."""
    clear: bool
    """Its parent is clear."""
    chosen: int
    """1: the parent was now chosen, as the lowest of its siblings; -1: as another; 0: no choice was made."""
    siblings: int
    gain: float
    """Of a parent that was now chosen: how much further its odds fell than a step of its size explains; 0 otherwise."""
    mirrored: bool
    """The step undoes an earlier one: half of a finite difference."""


@dataclass(slots=True)
class Cluster:
    """Near-duplicates that began with one request; about 1 kB."""

    root: NDArray[np.float32]
    label: int
    odds: float
    """Log-odds of the root's own class at the root."""
    size: int = 1
    flips: int = 0
    lowest: float = 0.0
    """Smallest log-odds of the root's class so far; negative once a near-duplicate had another label."""
    slope_squares: float = 0.0
    gain: float = 0.0
    choices: float = 0.0
    best_choices: float = 0.0
    nearest: float = 0.0
    _means: NDArray[np.float64] = field(default_factory=lambda: np.zeros(_MEANS))
    _weight: float = 0.0

    def __post_init__(self) -> None:
        self.lowest = self.odds

    @property
    def slope(self) -> float:
        """Root mean square change of the log-odds over distance, from parents to children."""
        return float(np.sqrt(self.slope_squares / max(self.size - 1, 1)))

    def add(self, near: Near, population: Population) -> NDArray[np.float64]:
        """Take a near-duplicate, and return the features after it, shape (len(FEATURES),)."""
        self.size += 1
        self.flips += near.own < 0.0 <= self.odds
        self.lowest = min(self.lowest, near.own)
        self.slope_squares += ((near.own - near.parent) / max(near.distance, 1e-9)) ** 2
        self.gain = max(self.gain, near.gain)
        if near.chosen:
            chance = min(1.0 / max(near.siblings, 2) + _CHANCE, _LIKELY - _CHANCE)
            odds = np.log(_LIKELY / chance) if near.chosen > 0 else np.log((1.0 - _LIKELY) / (1.0 - chance))
            self.choices += float(odds)
            self.best_choices = max(self.best_choices, self.choices)
        nearness = float(np.log(max(near.ratio, 1e-4)))
        self.nearest = min(self.nearest, nearness)
        fallen = self.odds - near.own
        steep = float(np.clip(fallen / max(near.moved, 0.05) / population.steepness, -5.0, 20.0))
        hugging = abs(near.own) <= population.low_odds
        now = (
            near.flip, hugging, steep, nearness, near.mirrored, near.own, near.moved, near.clear, np.log(near.density)
        )  # fmt: skip
        self._means = _KEEP * self._means + np.array(now, np.float64)
        self._weight = _KEEP * self._weight + 1.0
        return self._features(steep, near, population)

    def _features(self, steep: float, near: Near, population: Population) -> NDArray[np.float64]:
        flips, hugging, steeps, nearness, mirrored, own, moved, clear, oddness = (self._means / self._weight).tolist()
        return np.array(
            [
                np.log(self.size - 1),
                self.gain,
                self.best_choices,
                flips,
                hugging,
                np.clip(self.odds / 10.0, -1.0, 2.0),
                steep,
                steeps,
                nearness,
                self.nearest,
                mirrored,
                np.clip((self.odds - own) / 5.0, -2.0, 4.0),
                np.clip((self.odds - self.lowest) / 5.0, -2.0, 6.0),
                moved,
                self.slope / population.steepness,
                clear,
                oddness,
                np.log(max(near.distance, 1e-4)),
            ]
        )
