"""Every version in a line, kept from page to page: what is worked out once per picture serves every viewer."""

import math
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import msgspec

from service.console.facts import log_threshold
from service.domain.ids import VersionId
from service.domain.keys import Identity
from service.domain.records import Model, Severity, Snapshot, Version
from service.domain.states import SERVING, State
from service.ports_console import Looking, Standing, Unresolved

URGENT = (State.QUARANTINED, State.UNDER_REVIEW, State.SUSPECT, State.ACTIVE, State.ROLLED_BACK, State.RETIRED)
"""The states, the one that needs attention most first."""
_RANKS = {state: rank for rank, state in enumerate(URGENT)}


class _Column(msgspec.Struct, frozen=True):
    name: str
    log_evidence: float | None = None


class _Status(msgspec.Struct, frozen=True):
    monitoring: str = "warming"
    last_arrival_us: int = 0
    columns: tuple[_Column, ...] = ()


@dataclass(frozen=True, slots=True)
class _Seen:
    """What a list shows of a snapshot's status."""

    monitoring: str = "warming"
    last_us: int = 0
    worst: str | None = None
    worst_log: float = -math.inf


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One version."""

    version: Version
    model: Model
    log_evidence: float
    log_threshold: float
    share: float
    """How much of the way to the threshold the evidence has gone, on the log scale, 0 to 1."""
    over: bool
    monitoring: str
    """As the worker left it; who has been silent since is for the reader to say."""
    last_us: int
    """When the last event came; 0 before the first one."""
    worst: str | None
    """The column with the most evidence."""
    worst_log: float
    incidents: int
    severity: Severity | None

    @property
    def urgency(self) -> tuple[int, int, float, str, str]:
        """The order of attention: state, then incidents, then evidence."""
        version = self.version
        return (_RANKS[version.state], 0 if self.incidents else 1, -self.share, version.model, version.version)

    def watch(self, now_us: int, stale_seconds: float) -> str:
        """Return how it is watched now.

        ``watching``, ``stale``, ``insufficient``, ``warming`` (no baseline), ``waiting`` (no events), or ``closed``.
        """
        if self.version.state not in SERVING:
            return "closed"
        if self.version.baseline_id is None:
            return "warming"
        if not self.last_us or self.monitoring == "warming":
            return "waiting"
        if now_us - self.last_us > stale_seconds * 1e6:
            return "stale"
        return self.monitoring


def share_of(log_evidence: float, log_threshold: float) -> float:
    """Return how much of the way to the threshold the evidence has gone, on the log scale, 0 to 1."""
    if math.isnan(log_evidence) or log_evidence <= 0.0:
        return 0.0
    return 1.0 if log_threshold <= 0.0 else min(1.0, log_evidence / log_threshold)


class Roll:
    """Keeps the entries of the newest picture.

    Parameters
    ----------
    standing
        Returns what is known of every version; the same object as long as nothing has changed.
    looking
        Asked for unresolved incidents once for each control revision.
    """

    def __init__(self, standing: Callable[[], Standing], looking: Looking) -> None:
        self._standing = standing
        self._looking = looking
        self._known: tuple[Standing, tuple[Entry, ...]] | None = None
        self._unresolved: tuple[int, Mapping[VersionId, Unresolved]] | None = None
        self._seen: dict[VersionId, tuple[str, _Seen]] = {}
        self._lock = threading.Lock()

    def entries(self, viewer: Identity) -> list[Entry]:
        """Return the versions that the viewer may see, the one that needs attention most first."""
        return [entry for entry in self._all() if viewer.sees(entry.version.model)]

    def versions(self) -> Sequence[Version]:
        """Return every version."""
        return self._standing().versions

    def _all(self) -> tuple[Entry, ...]:
        standing, known = self._standing(), self._known
        if known is not None and known[0] is standing:
            return known[1]
        with self._lock:
            entries = self._built(standing)
        self._known = standing, entries
        return entries

    def _built(self, standing: Standing) -> tuple[Entry, ...]:
        unresolved = self._incidents(standing.revision)
        found = [
            self._entry(version, model, standing.snapshots.get(version.id), unresolved.get(version.id))
            for version in standing.versions
            if (model := standing.models.get(version.model)) is not None
        ]
        self._seen = {key: value for key, value in self._seen.items() if key in standing.snapshots}
        return tuple(sorted(found, key=lambda entry: entry.urgency))

    def _incidents(self, revision: int) -> Mapping[VersionId, Unresolved]:
        """Return what is unresolved; whatever opens or resolves an incident makes a new revision."""
        known = self._unresolved
        if known is not None and known[0] == revision:
            return known[1]
        found = {one.version_id: one for one in self._looking.unresolved()}
        self._unresolved = revision, found
        return found

    def _entry(self, version: Version, model: Model, snapshot: Snapshot | None, held: Unresolved | None) -> Entry:
        seen = self._status(snapshot)
        evidence = snapshot.evidence_log if snapshot else -math.inf
        threshold = log_threshold(model, snapshot)
        return Entry(
            version=version,
            model=model,
            log_evidence=evidence,
            log_threshold=threshold,
            share=share_of(evidence, threshold),
            over=evidence >= threshold,
            monitoring=seen.monitoring,
            last_us=seen.last_us,
            worst=seen.worst,
            worst_log=seen.worst_log,
            incidents=held.incidents if held else 0,
            severity=held.severity if held else None,
        )

    def _status(self, snapshot: Snapshot | None) -> _Seen:
        if snapshot is None:
            return _Seen()
        known = self._seen.get(snapshot.version_id)
        if known is not None and known[0] == snapshot.status:
            return known[1]
        seen = _seen_of(msgspec.json.decode(snapshot.status, type=_Status))
        self._seen[snapshot.version_id] = snapshot.status, seen
        return seen


def _seen_of(status: _Status) -> _Seen:
    logs = [-math.inf if column.log_evidence is None else column.log_evidence for column in status.columns]
    if not logs or max(logs) == -math.inf:
        return _Seen(status.monitoring, status.last_arrival_us)
    worst = logs.index(max(logs))
    return _Seen(status.monitoring, status.last_arrival_us, status.columns[worst].name, logs[worst])
