"""Traffic as evidence: how many events come, and which share of them has something odd."""

from detectors.traffic.bets import log_bets
from detectors.traffic.learn import Usual, usual_rate, usual_share
from detectors.traffic.monitor import Moved, TrafficMonitor
from detectors.traffic.options import RATE, TrafficOptions

__all__ = [
    "RATE",
    "Moved",
    "TrafficMonitor",
    "TrafficOptions",
    "Usual",
    "log_bets",
    "usual_rate",
    "usual_share",
]
