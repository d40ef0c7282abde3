"""How odd a single request is by itself: rules, precision, rare combinations, density and margin, fused into a score."""

from detectors.requests.constraints import Constraint, Kind, Rules
from detectors.requests.mining import mine
from detectors.requests.model import Batch, Judged, Part, Reason, RequestModel

__all__ = ["Batch", "Constraint", "Judged", "Kind", "Part", "Reason", "RequestModel", "Rules", "mine"]
