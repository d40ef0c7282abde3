"""Evidence: betting against the baseline, with one false-alarm budget for all columns."""

from detectors.evidence.edetector import EvidenceEngine, Run
from detectors.evidence.fusion import Blame, Evidence
from detectors.evidence.options import EvidenceOptions
from detectors.evidence.state import EvidenceState

__all__ = ["Blame", "Evidence", "EvidenceEngine", "EvidenceOptions", "EvidenceState", "Run"]
