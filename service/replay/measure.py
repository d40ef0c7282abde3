"""How much blamed columns changed: effect sizes over the rows of an alarm, and their intervals."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from detectors.baseline import Baseline
from detectors.effects import effect_sizes
from detectors.evidence import Blame
from detectors.intervals import effect_intervals
from service.replay.divided import Divided

EFFECT_NAMES = ("psi", "js", "ks", "wasserstein")
INTERVALS_MAX = 1_000
"""So many alarms have intervals: they take a third of a millisecond for each of an alarm's segments."""
KEPT_MAX = 256

Sizes = dict[str, float | None]
Limits = dict[str, tuple[float, float] | None]
Measured = tuple[dict[str, Sizes], dict[str, Limits]]
"""Effect sizes and intervals (95 %) by name of what is blamed; ``None`` where undefined."""


class Measure:
    """Measures one alarm after the other; what the baselines of blamed columns work out once is kept."""

    def __init__(self, divided: Divided) -> None:
        self._divided = divided
        self._alone: dict[tuple[int, tuple[str, ...]], Baseline] = {}
        self._alarms = 0

    def of(self, counts: NDArray[np.int64], blames: Sequence[tuple[str, Blame, str | None]]) -> Measured:
        """Measure the blamed columns, each with the name it is told by and its segment, over the counts of all rows."""
        self._alarms += 1
        effects: dict[str, Sizes] = {}
        limits: dict[str, Limits] = {}
        for segment in dict.fromkeys(segment for _, _, segment in blames):
            told = {blame.name: name for name, blame, own in blames if own == segment}
            part = self._divided.names.index(segment)
            alone = self._of_part(part, tuple(told))
            whole, place = self._divided.baselines[part], self._divided.slices[part]
            flat = counts[place]
            own = np.concatenate([flat[whole.slices[whole.index[name]]] for name in alone.names])
            sizes = effect_sizes(alone, own)
            found = effect_intervals(alone, own, sizes) if self._alarms <= INTERVALS_MAX else None
            for j, name in enumerate(alone.names):
                effects[told[name]] = {effect: _finite(getattr(sizes, effect)[j]) for effect in EFFECT_NAMES}
                if found is not None:
                    limits[told[name]] = {effect: _ends(getattr(found, effect)[j]) for effect in EFFECT_NAMES}
        return {name: effects[name] for name, _, _ in blames}, {name: limits[name] for name, _, _ in blames if limits}

    def _of_part(self, part: int, names: tuple[str, ...]) -> Baseline:
        if (part, names) not in self._alone:
            if len(self._alone) == KEPT_MAX:
                self._alone.clear()
            self._alone[part, names] = self._divided.baselines[part].only(names)
        return self._alone[part, names]


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def _ends(ends: NDArray[np.float64]) -> tuple[float, float] | None:
    low, high = ends.tolist()
    return (low, high) if math.isfinite(low) else None
