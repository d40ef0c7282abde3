"""The worker's own figures, for the metrics: written with each pass, read by the API process."""

from bisect import bisect_left
from dataclasses import dataclass, field

import msgspec

BUCKETS_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
"""Upper bounds; one bucket more holds what is above the last."""


@dataclass
class Histogram:
    """How long something took: counts by bucket, and the sum."""

    counts: list[int] = field(default_factory=lambda: [0] * (len(BUCKETS_SECONDS) + 1))
    sum_seconds: float = 0.0

    def observe(self, seconds: float) -> None:
        """Count one duration."""
        self.counts[bisect_left(BUCKETS_SECONDS, seconds)] += 1
        self.sum_seconds += seconds


@dataclass
class WorkerStats:
    """Figures since the worker started."""

    passes: int = 0
    dropped_passes: int = 0
    """Passes that were computed and not written: a person or another worker was faster, or the store was away."""
    entries: int = 0
    events: int = 0
    pass_seconds: Histogram = field(default_factory=Histogram)
    commit_seconds: Histogram = field(default_factory=Histogram)
    delivered: int = 0
    delivery_failures: int = 0
    dead_letters: int = 0

    def to_json(self) -> str:
        """Return the figures as the store keeps them."""
        return msgspec.json.encode({"buckets_seconds": BUCKETS_SECONDS, **vars(self)}).decode()
