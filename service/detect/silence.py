"""Versions whose events have stopped. A pause is seen at an entry of the log, of whatever version, or at a mark."""

import math
from collections.abc import Callable, Mapping

from service.detect.fold import VersionFold
from service.detect.plan import Plan
from service.domain.evaluation import Silence
from service.domain.ids import Micros, VersionId
from service.ports import EntryKind, LogEntry

OFF_US = 180_000_000
"""A log that is being written has an entry or a mark every minute. After a longer gap nobody was listening."""
ServingSince = Callable[[VersionId], Micros | None]
"""Since when the gate lets traffic through to a version; ``None`` while it does not."""


class Silences:
    """When to look which versions have fallen silent, and at which."""

    def __init__(self, heard_us: Micros | None) -> None:
        self._heard_us = heard_us
        """When the entry before arrived."""
        self._next_us: float = -math.inf
        """No version falls silent before this; unknown at the start."""

    def look_again(self) -> None:
        """Look at the next entry: what people decided may have changed who is expected to send, and how often."""
        self._next_us = -math.inf

    def hear(self, entry: LogEntry) -> bool:
        """Take note of an entry; tell whether the log was not written for a while before it."""
        before, self._heard_us = self._heard_us, entry.arrival_us
        return before is not None and entry.arrival_us - before > OFF_US

    def due(self, entry: LogEntry) -> bool:
        """Tell whether some version may have fallen silent by now."""
        return entry.arrival_us >= self._next_us

    def find(
        self,
        entry: LogEntry,
        folds: Mapping[VersionId, VersionFold],
        plans: Mapping[VersionId, Plan],
        serving_since: ServingSince,
    ) -> list[Silence]:
        """Return the versions that have fallen silent by now, and the entry's own when it was silent until now."""
        found: list[Silence] = []
        own = folds.get(entry.version_id)
        if own is not None and own.silent and entry.kind is EntryKind.BATCH and entry.version_id in plans:
            found.append(own.tell_silence(entry, Micros(own.last_arrival_us), over=True, learnt=False))
            self._next_us = -math.inf
        if own is None or not own.last_arrival_us:
            self._next_us = -math.inf
        if not self.due(entry):
            return found
        self._next_us = math.inf
        for version_id in sorted(folds):
            fold, plan = folds[version_id], plans.get(version_id)
            since = serving_since(version_id)
            if plan is None or since is None or fold.silent or not fold.last_arrival_us:
                continue
            speaks = entry.kind is EntryKind.BATCH and entry.version_id == version_id
            quiet = fold.quiet_us(plan)
            # What a version has learnt by the next look, it may need at once.
            from_us = entry.arrival_us if speaks or quiet is None else max(fold.heard_us, since)
            silent_us = from_us + (OFF_US if quiet is None else quiet)
            if entry.arrival_us < silent_us:
                self._next_us = min(self._next_us, silent_us)
                continue
            learnt = plan.settled.tuning.traffic.stale_after_seconds is None
            found.append(fold.tell_silence(entry, Micros(max(fold.heard_us, since)), over=False, learnt=learnt))
        return found
