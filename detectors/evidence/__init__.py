"""Evidence: betting against the baseline, with one false-alarm budget for all columns."""

from detectors.evidence.edetector import EvidenceEngine
from detectors.evidence.explain import Explanation, Tolerated, insufficiency
from detectors.evidence.fusion import Blame, Evidence
from detectors.evidence.options import GROUPS, ColumnOptions, EvidenceOptions
from detectors.evidence.parts import PartEvidence, blamed_of, log_rest, mean_of
from detectors.evidence.selfreplay import SelfTest, SelfTestAlarm
from detectors.evidence.state import EvidenceState, Run
from detectors.evidence.together import Together

__all__ = [
    "GROUPS",
    "Blame",
    "ColumnOptions",
    "Evidence",
    "EvidenceEngine",
    "EvidenceOptions",
    "EvidenceState",
    "Explanation",
    "PartEvidence",
    "Run",
    "SelfTest",
    "SelfTestAlarm",
    "Together",
    "Tolerated",
    "blamed_of",
    "insufficiency",
    "log_rest",
    "mean_of",
]
