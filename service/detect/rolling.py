"""Windows merged from the rows that the store keeps: the same rows give the same counts as the worker's, bit for bit.

Two uses: the rolling windows that end with the newest tick, where their effects are not in the snapshot; and windows
that move over the past by steps. Counts are whole numbers, so a window that rows enter and leave holds exactly what
counting its events anew would give.
"""

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import msgspec
import numpy as np
from numpy.typing import NDArray

from service.detect.windows import ROLLING, Extent
from service.domain.ids import Micros, VersionId
from service.domain.records import Snapshot, Window

TRIES = 3
"""How often snapshot and rows are read again, where the worker has committed in between."""


class ReadRows(Protocol):
    """What is asked of the store."""

    def snapshot(self, version_id: VersionId) -> Snapshot | None:
        """Return the evidence state after the worker's last commit."""

    def windows(self, version_id: VersionId, level: str, first_us: Micros, last_us: Micros) -> Sequence[Window]:
        """Return window rows that start within [first, last], oldest first."""


class _Extents(msgspec.Struct, frozen=True):
    """Of a snapshot's status, only how far its windows reach."""

    windows: Mapping[str, Extent] = {}


@dataclass(frozen=True, slots=True)
class Rolled:
    """One rolling window: what it spans, and its events in the baseline's bins."""

    extent: Extent
    """As the snapshot says."""
    events: int
    """In the rows: others than the extent's where the worker has committed in between."""
    counts: NDArray[np.int64]


def extents_of(snapshot: Snapshot | None) -> Mapping[str, Extent]:
    """Return what each rolling window spans; nothing before the first tick that had a baseline."""
    return {} if snapshot is None else msgspec.json.decode(snapshot.status, type=_Extents).windows


def rolled_now(
    read: ReadRows, version_id: VersionId, name: str, baseline_id: str, bins: int
) -> tuple[Snapshot | None, Rolled | None]:
    """Return the snapshot and one rolling window as it was then.

    No window where none of its events were compared with this baseline. Of the day 25 rows are read, of the hour 61.
    """
    for _ in range(TRIES - 1):
        snapshot, rolled = _rolled(read, version_id, name, baseline_id, bins)
        if rolled is None or rolled.events == rolled.extent.events:
            return snapshot, rolled
    return _rolled(read, version_id, name, baseline_id, bins)


def _rolled(
    read: ReadRows, version_id: VersionId, name: str, baseline_id: str, bins: int
) -> tuple[Snapshot | None, Rolled | None]:
    snapshot = read.snapshot(version_id)
    extent = extents_of(snapshot).get(name)
    if snapshot is None or extent is None or snapshot.baseline_id != baseline_id:
        return snapshot, None
    level, _ = ROLLING[name]
    sliding = Sliding(baseline_id, bins)
    for row in read.windows(version_id, level, Micros(extent.start_us), Micros(extent.end_us - 1)):
        sliding.push(row)
    return snapshot, Rolled(extent, sliding.fitting_events, sliding.counts) if sliding.fits else None


class Sliding:
    """A window over rows of one level that moves forward: rows enter at its end and leave at its beginning.

    Each row is added once and taken off once, however many windows it is part of. Rows of another baseline than the one
    in force have other bins: they count as events, and have no counts.
    """

    def __init__(self, baseline_id: str | None, bins: int, place: slice | None = None) -> None:
        self._baseline_id = baseline_id
        self._bins = bins
        self._place = slice(0, bins) if place is None else place
        """Of the bins that are wanted."""
        self._rows: deque[Window] = deque()
        self._highest: deque[Window] = deque()
        """Rows that are or will be the highest, highest first."""
        self.counts = np.zeros(self._place.stop - self._place.start, np.int64)
        """Of all rows within that fit the baseline. It changes with the window: copy what is to be kept."""
        self.events = 0
        self.fitting_events = 0
        """Of the rows that fit the baseline."""
        self._fitting = 0

    @property
    def fits(self) -> bool:
        """Whether any row within is of the baseline."""
        return self._fitting > 0

    @property
    def last(self) -> Window | None:
        """The newest row within."""
        return self._rows[-1] if self._rows else None

    @property
    def highest_log(self) -> float:
        """The highest evidence of the model within; there must be a row."""
        return self._highest[0].evidence_log_max

    def push(self, row: Window) -> None:
        """Let a row in; rows come in order."""
        self._rows.append(row)
        while self._highest and self._highest[-1].evidence_log_max <= row.evidence_log_max:
            self._highest.pop()
        self._highest.append(row)
        self._weigh(row, 1)

    def drop_before(self, start_us: int) -> bool:
        """Let the rows go that start before a time; tell whether there were any."""
        before = len(self._rows)
        while self._rows and self._rows[0].start_us < start_us:
            row = self._rows.popleft()
            if self._highest[0] is row:
                self._highest.popleft()
            self._weigh(row, -1)
        return len(self._rows) < before

    def _weigh(self, row: Window, sign: int) -> None:
        self.events += sign * row.events
        counts = np.frombuffer(row.counts, np.int64)
        if row.baseline_id != self._baseline_id or len(counts) != self._bins:
            return
        self._fitting += sign
        self.fitting_events += sign * row.events
        own = counts[self._place]
        np.add(self.counts, own if sign > 0 else -own, out=self.counts)
