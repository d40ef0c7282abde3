"""Ticks merged into minutes and hours of arrival time, and those into the rolling windows that effects are read from.

A tick belongs to the minute and the hour in which it starts. A rolling window holds the bucket of the last tick and
all earlier ones that together cover at least its length.
"""

import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import msgspec
import numpy as np
from numpy.typing import NDArray

from service.domain.ids import Micros, VersionId
from service.domain.records import Window

MINUTE_US = 60_000_000
HOUR_US = 60 * MINUTE_US
WIDTHS = {"1m": MINUTE_US, "1h": HOUR_US}
"""Width of a bucket by level."""
KEPT = {"1m": 61, "1h": 25}
"""How many buckets of a level stay in memory: what the longest rolling window over them needs."""
ROLLING = {"1m": ("1m", 1), "5m": ("1m", 5), "1h": ("1m", 60), "1d": ("1h", 24)}
"""Level and number of earlier buckets of each rolling window."""

ReadWindow = Callable[[VersionId, str, Micros], Window | None]


class Extent(msgspec.Struct, frozen=True, kw_only=True):
    """What a rolling window spans: the events of all closed ticks that started within [start, end)."""

    start_us: int
    end_us: int
    """The end of the newest closed tick."""
    events: int


@dataclass(slots=True)
class Bucket:
    """One minute or hour."""

    level: str
    start_us: int
    events: int
    evidence_log: float
    evidence_log_max: float
    column_evidence: NDArray[np.float32]
    counts: NDArray[np.int64]

    def row(self, version_id: VersionId, baseline_id: str) -> Window:
        """Return the bucket as the store keeps it."""
        return Window(
            version_id=version_id,
            level=self.level,
            start_us=Micros(self.start_us),
            baseline_id=baseline_id,
            events=self.events,
            evidence_log=self.evidence_log,
            evidence_log_max=self.evidence_log_max,
            column_evidence=self.column_evidence.tobytes(),
            counts=self.counts.tobytes(),
        )


class Windows:
    """The buckets of one version under one baseline: bounded, and written once for every pass that touched them."""

    def __init__(self, version_id: VersionId, baseline_id: str, bins: int, columns: int) -> None:
        self._version_id = version_id
        self._baseline_id = baseline_id
        self._bins = bins
        self._columns = columns
        self._buckets: dict[str, deque[Bucket]] = {level: deque(maxlen=kept) for level, kept in KEPT.items()}
        self._unwritten: dict[tuple[str, int], Bucket] = {}
        self.last_tick_start_us = 0
        """Of the last closed tick: where the rolling windows end."""

    def add(self, tick_start_us: int, events: int, counts: NDArray[np.int64]) -> None:
        """Add one tick; ticks come in order."""
        # Never back, as the buckets: after a restart they are read up to here.
        self.last_tick_start_us = max(self.last_tick_start_us, tick_start_us)
        for level, width in WIDTHS.items():
            bucket = self._bucket(level, tick_start_us // width * width)
            bucket.events += events
            bucket.counts += counts

    def note(self, evidence_log: float, column_evidence: NDArray[np.float64]) -> None:
        """Set the evidence after the tick that was added last."""
        for buckets in self._buckets.values():
            bucket = buckets[-1]
            bucket.evidence_log = evidence_log
            bucket.evidence_log_max = max(bucket.evidence_log_max, evidence_log)
            bucket.column_evidence = column_evidence.astype(np.float32)

    def merged(self, rolling: str) -> NDArray[np.int64]:
        """Return the merged counts of a rolling window."""
        total = np.zeros(self._bins, np.int64)
        for bucket in self._within(rolling):
            total += bucket.counts
        return total

    def extents(self, tick_us: int) -> dict[str, Extent]:
        """Return what each rolling window spans; nothing before the first tick."""
        if not self.newest():
            return {}
        end_us = self.last_tick_start_us + tick_us
        return {
            name: Extent(
                start_us=self._first_us(name), end_us=end_us, events=sum(bucket.events for bucket in self._within(name))
            )
            for name in ROLLING
        }

    def _within(self, rolling: str) -> list[Bucket]:
        first = self._first_us(rolling)
        return [bucket for bucket in self._buckets[ROLLING[rolling][0]] if bucket.start_us >= first]

    def _first_us(self, rolling: str) -> int:
        level, earlier = ROLLING[rolling]
        buckets = self._buckets[level]
        return buckets[-1].start_us - earlier * WIDTHS[level] if buckets else 0

    def take_rows(self) -> list[Window]:
        """Return what has to be written since the last call."""
        rows = [bucket.row(self._version_id, self._baseline_id) for bucket in self._unwritten.values()]
        self._unwritten.clear()
        return rows

    def restore(self, last_tick_start_us: int, read: ReadWindow) -> None:
        """Read the buckets back, as they were after the tick that started at ``last_tick_start_us``."""
        self.last_tick_start_us = last_tick_start_us
        for level, width in WIDTHS.items():
            newest = last_tick_start_us // width * width
            for start_us in range(newest - (KEPT[level] - 1) * width, newest + 1, width):
                row = read(self._version_id, level, Micros(start_us))
                if row is not None and row.baseline_id == self._baseline_id:
                    self._buckets[level].append(_bucket_of(row))

    def carry_on(self, before: "Windows") -> None:
        """Go on counting events in the buckets that another baseline had begun."""
        self.last_tick_start_us = before.last_tick_start_us
        for bucket in before.newest():
            self._bucket(bucket.level, bucket.start_us).events = bucket.events

    def newest(self) -> list[Bucket]:
        """Return the buckets that are being filled."""
        return [buckets[-1] for buckets in self._buckets.values() if buckets]

    def _bucket(self, level: str, start_us: int) -> Bucket:
        buckets = self._buckets[level]
        # A longer tick, once an operator sets one, may start before the bucket that is being filled.
        start_us = max(start_us, buckets[-1].start_us) if buckets else start_us
        if not buckets or buckets[-1].start_us != start_us:
            empty = np.full(self._columns, -np.inf, np.float32), np.zeros(self._bins, np.int64)
            buckets.append(Bucket(level, start_us, 0, -math.inf, -math.inf, *empty))
        self._unwritten[level, start_us] = buckets[-1]
        return buckets[-1]


def _bucket_of(row: Window) -> Bucket:
    return Bucket(
        level=row.level,
        start_us=row.start_us,
        events=row.events,
        evidence_log=row.evidence_log,
        evidence_log_max=row.evidence_log_max,
        column_evidence=np.frombuffer(row.column_evidence, np.float32).copy(),
        counts=np.frombuffer(row.counts, np.int64).copy(),
    )
