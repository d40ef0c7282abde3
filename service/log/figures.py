"""What the log says of itself, for the metrics and the health checks."""

from bisect import bisect_left
from dataclasses import dataclass

BOUNDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
"""Upper bounds of the commit latency's buckets, in seconds; one more bucket has none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Latency:
    """A histogram of seconds."""

    counts: tuple[int, ...]
    """One per bound of ``BOUNDS`` and one beyond, not cumulative."""
    total_seconds: float

    @property
    def count(self) -> int:
        """How many were measured."""
        return sum(self.counts)

    def quantile(self, q: float) -> float:
        """Return the upper bound of the bucket that holds quantile ``q``; ``inf`` beyond the last, 0 when empty."""
        needed = q * self.count
        seen = 0
        for bound, count in zip((*BOUNDS, float("inf")), self.counts, strict=True):
            seen += count
            if count and seen >= needed:
                return bound
        return 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class LogFigures:
    """One consistent enough picture of the log; counters only grow while the process lives."""

    healthy: bool
    """False once the log has closed, be it by a fatal error: it takes nothing more."""
    queue_entries: int
    queue_bytes: int
    commits: int
    entries: int
    bytes: int
    repeated: int
    """Appends that were answered from an earlier entry with the same idempotency key."""
    refused: int
    """Appends that were refused because the queue was full."""
    failed_commits: int
    last_error: str | None
    commit_seconds: Latency
    clock_behind_seconds: float = 0.0
    """By how much the clock was behind the newest arrival time at the last append. Arrival times never go back: after a
    clock that ran ahead they stand still until it has caught up, and no tick closes meanwhile."""


class Meter:
    """Counts for one log; written by the log's own thread only."""

    def __init__(self) -> None:
        self.commits = 0
        self.entries = 0
        self.bytes = 0
        self.repeated = 0
        self.failed_commits = 0
        self.last_error: str | None = None
        self.clock_behind_us = 0
        self._counts = [0] * (len(BOUNDS) + 1)
        self._total_seconds = 0.0

    def committed(self, *, seconds: float, entries: int, size: int, repeated: int) -> None:
        """Count one group that is on disk."""
        self.commits += 1
        self.entries += entries
        self.bytes += size
        self.repeated += repeated
        self._counts[bisect_left(BOUNDS, seconds)] += 1
        self._total_seconds += seconds

    def failed(self, detail: str) -> None:
        """Count one group that was lost."""
        self.failed_commits += 1
        self.last_error = detail

    def latency(self) -> Latency:
        """Return the commit latency so far."""
        return Latency(counts=tuple(self._counts), total_seconds=self._total_seconds)
