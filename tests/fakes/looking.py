"""What the console asks, answered from the in-memory store."""

from collections.abc import Sequence

from service.domain.ids import Micros, VersionId
from service.domain.records import Incident, Severity
from service.domain.redteam import RedTeamRun
from service.ports import Clock
from service.ports_console import BaselineMark, CoursePoint, Standing, Unresolved
from tests.fakes.store import InMemoryStore

RANKS = {severity: rank for rank, severity in enumerate(Severity)}


class InMemoryLooking:
    """Looking over ``Tables``."""

    def __init__(self, store: InMemoryStore) -> None:
        self._store = store

    def unresolved(self) -> Sequence[Unresolved]:
        held: dict[VersionId, list[Severity]] = {}
        for one in self._store.seen().incidents.values():
            if one.resolved_us is None:
                held.setdefault(one.version_id, []).append(one.severity)
        return [
            Unresolved(version_id=version_id, incidents=len(found), severity=max(found, key=RANKS.__getitem__))
            for version_id, found in sorted(held.items())
        ]

    def course(self, version_id: VersionId, level: str, first_us: Micros, last_us: Micros) -> Sequence[CoursePoint]:
        return [
            CoursePoint(
                start_us=row.start_us,
                baseline_id=row.baseline_id,
                events=row.events,
                evidence_log_max=row.evidence_log_max,
            )
            for row in self._store.read.windows(version_id, level, first_us, last_us)
        ]

    def baselines(self, version_id: VersionId, limit: int) -> Sequence[BaselineMark]:
        held = [one for one in self._store.seen().baselines if one.version_id == version_id]
        return [
            BaselineMark(
                id=one.id,
                digest=one.digest,
                rows=one.rows,
                created_us=one.created_us,
                created_by=one.created_by,
            )
            for one in reversed(held)
        ][:limit]

    def incidents_within(
        self, version_id: VersionId, first_us: Micros, last_us: Micros, limit: int
    ) -> Sequence[Incident]:
        held = [
            one
            for one in self._store.seen().incidents.values()
            if one.version_id == version_id
            and one.opened_us <= last_us
            and (one.resolved_us is None or one.resolved_us >= first_us)
        ]
        return sorted(held, key=lambda one: (one.opened_us, one.id), reverse=True)[:limit]

    def redteam(self, version_id: VersionId) -> RedTeamRun | None:
        return self._store.seen().redteam.get(version_id)


def standing_of(store: InMemoryStore, clock: Clock) -> Standing:
    """Return what the process knows of the fleet, without any delay."""
    read = store.read
    return Standing(
        revision=read.revision(),
        models={model.name: model for model in read.models()},
        versions=tuple(read.versions()),
        snapshots={one.version_id: one for one in read.snapshots()},
        read_us=clock.now_us(),
    )
