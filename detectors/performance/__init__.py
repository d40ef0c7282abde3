"""How often, and by how much, a model's answers were wrong: exact sums that merge, and the figures read off them."""

from detectors.performance.figures import ClassFigures, ClassRow, NumberFigures, figures_of, share_of
from detectors.performance.outcomes import ERROR, MISSED_PREFIX, PREFIX, WRONG, class_outcomes, number_outcomes
from detectors.performance.spread import Spread, spread_of
from detectors.performance.sums import (
    CLASSES_MAX,
    ClassSums,
    NumberSums,
    Sums,
    class_sums,
    no_sums,
    number_sums,
)

__all__ = [
    "CLASSES_MAX",
    "ERROR",
    "MISSED_PREFIX",
    "PREFIX",
    "WRONG",
    "ClassFigures",
    "ClassRow",
    "ClassSums",
    "NumberFigures",
    "NumberSums",
    "Spread",
    "Sums",
    "class_outcomes",
    "class_sums",
    "figures_of",
    "no_sums",
    "number_outcomes",
    "number_sums",
    "share_of",
    "spread_of",
]
