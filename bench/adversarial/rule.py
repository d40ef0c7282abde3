"""From the largest evidence of calibration sessions to thresholds.

A threshold lies as much above what calibration sessions reach as the product puts it above what clients of the
reference reach (``detectors.principals.thresholds``): another hundred sessions reach further than the first.
"""

from pathlib import Path

import msgspec
import numpy as np

from bench.adversarial.results import EVERY, ORDINARY, PRODUCT, Bars, Maxima
from bench.adversarial.sessions import CALIBRATE
from bench.adversarial.setting import SALTS, Lenses
from detectors.principals.grown import INTENT
from detectors.principals.monitor import Tier
from detectors.principals.thresholds import MARGIN, calibrate
from redteam.judge import quantile
from redteam.victims import Victim

LEVEL = 0.99
ENDLESS = 1e9
"""Stands for evidence without an end, which cannot be written down."""


def reached(values: list[float]) -> float:
    """Return the 99 % quantile of what the sessions of a workload reach: of fewer than 100 the largest."""
    return quantile(values, LEVEL)


def above(values: list[float]) -> float:
    """Return what lies a quarter above that; of a negative value, that itself."""
    most = reached(values)
    return max(most, MARGIN * most)


def read(folder: Path) -> list[Maxima]:
    """Read what calibration sessions reached, by workload."""
    return [msgspec.json.decode(path.read_bytes(), type=Maxima) for path in sorted(folder.glob("*.json"))]


def freeze(victim: Victim, held: list[Maxima], bars: Bars) -> None:
    """Set the thresholds of a victim; those of published detectors have no quarter on top, which favours them."""
    own = {str(tier) for tier in Tier}
    values: dict[str, dict[str, float]] = {}
    worst: dict[str, dict[str, str]] = {}
    for name in dict.fromkeys(name for each in held for name in each.most):
        rule = above if name in own else reached
        of_rule = {EVERY: held, ORDINARY: [each for each in held if each.ordinary]}
        tops = {key: {each.workload: rule(each.most[name]) for each in some} for key, some in of_rule.items()}
        worst[name] = {key: max(of, key=of.__getitem__) for key, of in tops.items()}
        # Evidence that reaches a threshold alarms: it lies just above.
        values[name] = {
            key: float(np.nextafter(max(of.values()), np.inf).clip(-ENDLESS, ENDLESS)) for key, of in tops.items()
        }
    for name, value in shipped(victim).items():
        values[name][PRODUCT], worst[name][PRODUCT] = value, "reference"
    bars.values[victim.name], bars.worst[victim.name] = values, worst
    bars.sessions[victim.name] = min(len(each.sources) for each in held)


def shipped(victim: Victim) -> dict[str, float]:
    """Return what a baseline sets from the reference, by tier: the largest over the salts of the calibration."""
    lenses = Lenses(victim, CALIBRATE.name)
    found = dict.fromkeys(map(str, Tier), 0.0)
    inputs = victim.reference[0].astype(np.float32).astype(np.float64)
    answers = victim.predict(inputs)
    for number in range(SALTS):
        lens = lenses.salted(number)
        points = lens.maker.points(inputs)
        limits = calibrate(lens.yardstick, points, answers.argmax(axis=1), answers, INTENT).thresholds
        lens.recorder.stories.clear()
        found = {tier: max(value, limits.of(Tier(tier))) for tier, value in found.items()}
    return found
