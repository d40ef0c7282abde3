"""How odd a single request is by itself: rules, precision, rare combinations, density, margin, fused into one score."""

from detectors.requests.constraints import Constraint, Kind, Rules
from detectors.requests.honest import KEPT, Honest, first_broken
from detectors.requests.mining import mine
from detectors.requests.model import Batch, Judged, Part, Reason, RequestModel
from detectors.requests.reasons import reasons

__all__ = [
    "KEPT",
    "Batch",
    "Constraint",
    "Honest",
    "Judged",
    "Kind",
    "Part",
    "Reason",
    "RequestModel",
    "Rules",
    "first_broken",
    "mine",
    "reasons",
]
