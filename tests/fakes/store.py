"""The state store in dictionaries: the same surface as ``service.store.Store``."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace

from service.domain.calibration import Calibration
from service.domain.errors import Conflict, Unavailable
from service.domain.ids import Actor, Micros, Position, VersionId
from service.domain.policy import Cause
from service.domain.principals import Containment
from service.domain.records import (
    Alert,
    ApiKey,
    AuditEntry,
    BaselineRecord,
    Incident,
    IncidentStatus,
    Model,
    Snapshot,
    TimelineItem,
    TransitionRecord,
    Version,
    Window,
)
from service.domain.redteam import RedTeamRun
from service.domain.states import State
from service.ports import SYSTEM, Clock, Control, ControlTx, Outcome, StaleControl, WorkerFigures
from tests.fakes.control import InMemoryTx
from tests.fakes.tables import Tables

WINDOWS_MAX = 10_000


class InMemoryStore:
    """All store ports over one ``Tables``; a write works on a copy, so a failed one leaves nothing behind."""

    def __init__(self) -> None:
        self.tables = Tables()
        self.failing = False
        """When true every call is refused, as a locked or lost database would."""
        self.read = _Read(self)
        self.control = _Control(self)
        self.keys = _Keys(self)

    def worker(self, owner: str, lease_seconds: float, clock: Clock) -> "InMemoryWorker":
        return InMemoryWorker(self, owner, lease_seconds, clock)

    def close(self) -> None:
        """Hold nothing."""

    def seen(self) -> Tables:
        if self.failing:
            raise Unavailable("the state store is failing: told to")
        return self.tables

    @contextmanager
    def change(self) -> Iterator[Tables]:
        draft = self.seen().copy()
        yield draft
        self.tables = draft


class _Control:
    def __init__(self, store: InMemoryStore) -> None:
        self._store = store

    def write(self) -> AbstractContextManager[ControlTx]:
        return self._write()

    @contextmanager
    def _write(self) -> Iterator[ControlTx]:
        with self._store.change() as tables:
            yield InMemoryTx(tables)


class _Keys:
    def __init__(self, store: InMemoryStore) -> None:
        self._store = store

    def key(self, key_id: str) -> ApiKey | None:
        return self._store.seen().keys.get(key_id)


class InMemoryWorker:
    """The worker's side, with its lease."""

    def __init__(self, store: InMemoryStore, owner: str, lease_seconds: float, clock: Clock) -> None:
        self._store = store
        self._owner = owner
        self._lease_us = round(lease_seconds * 1e6)
        self._clock = clock
        self._epoch: int | None = None

    def position(self) -> Position:
        with self._store.change() as tables:
            now = self._clock.now_us()
            if tables.epoch != self._epoch or tables.owner != self._owner:
                if tables.owner not in {None, self._owner} and now < tables.lease_until_us:
                    raise Unavailable(f"the worker '{tables.owner}' holds the lease")
                tables.owner = self._owner
                tables.epoch += 1
                self._epoch = tables.epoch
            tables.lease_until_us = Micros(now + self._lease_us)
            tables.heartbeat_us = now
            return tables.position

    def revision(self) -> int:
        return self._store.seen().revision

    def control(self) -> Control:
        tables = self._store.seen()
        baselines: dict[VersionId, list[BaselineRecord]] = {}
        # Of a version that was retired before the cursor, no baseline judges anything any more.
        over = {
            v.id for v in tables.versions.values() if v.state is State.RETIRED and v.restart_position < tables.position
        }
        needed = [one for one in tables.baselines if one.version_id not in over]
        for baseline in sorted(needed, key=lambda b: b.from_position):
            baselines.setdefault(baseline.version_id, []).append(baseline)
        return Control(
            revision=tables.revision,
            models={m.id: m for m in tables.models.values()},
            versions=dict(tables.versions),
            baselines=baselines,
            open_alerts=[a for a in tables.alerts.values() if a.status == "open"],
            unresolved=sorted(
                (i for i in tables.incidents.values() if i.resolved_us is None), key=lambda i: (i.opened_us, i.id)
            ),
            recent_alerts=tables.recent_alerts(),
            containments=list(tables.containments.values()),
        )

    def snapshots(self) -> Mapping[VersionId, Snapshot]:
        return dict(self._store.seen().snapshots)

    def windows(self, version_id: VersionId, level: str, start_us: Micros) -> Window | None:
        return self._store.seen().windows.get((version_id, level, start_us))

    def commit(self, outcome: Outcome) -> int:
        try:
            with self._store.change() as tables:
                self._check(tables, outcome)
                self._write(tables, outcome)
                return tables.revision
        except Conflict as stale:
            raise StaleControl(stale.detail) from stale

    def close(self) -> None:
        """Give the lease back."""
        with self._store.change() as tables:
            if tables.epoch == self._epoch:
                tables.lease_until_us = Micros(0)

    def _check(self, tables: Tables, outcome: Outcome) -> None:
        if (tables.position, tables.epoch, tables.owner) != (outcome.first, self._epoch, self._owner):
            raise StaleControl("the cursor or the lease has moved")
        if tables.revision != outcome.revision:
            raise StaleControl(f"the control revision is {tables.revision}, not {outcome.revision}")

    def _write(self, tables: Tables, outcome: Outcome) -> None:
        for new in outcome.snapshots:
            old = tables.snapshots.get(new.version_id)
            kept = old.principals if old is not None and new.principals is None else new.principals
            before = () if old is None else old.answers
            blocks = {b.number: b for b in (*before, *new.answers) if b.number >= new.answers_first}
            answers = tuple(blocks[number] for number in sorted(blocks))
            tables.snapshots[new.version_id] = replace(new, principals=kept, answers=answers)
        tables.windows.update({(w.version_id, w.level, w.start_us): w for w in outcome.windows})
        for incident in outcome.incidents:
            tables.incidents[incident.id] = incident
            tables.note(
                incident.id, TimelineItem(at_us=incident.opened_us, actor=SYSTEM, kind="opened", body=incident.title)
            )
        for incident_id, item in outcome.timeline:
            tables.note(incident_id, item)
        tables.save_alerts(outcome.alerts)
        tables.raise_incidents(outcome.raised)
        tables.contain(outcome.containments)
        tables.keep_transcripts(outcome.transcripts)
        for ending in outcome.endings:
            standing = tables.incidents[ending.incident_id]
            if standing.status is not IncidentStatus.RESOLVED:
                tables.incidents[ending.incident_id] = replace(
                    standing,
                    status=IncidentStatus.RESOLVED,
                    note=ending.note,
                    resolved_us=ending.at_us,
                    lock=standing.lock + 1,
                )
                item = TimelineItem(at_us=ending.at_us, actor=SYSTEM, kind="ended", body=ending.note)
                tables.note(ending.incident_id, item)
        for record, lock in outcome.transitions:
            tables.apply(record, lock)
        for message in outcome.messages:
            InMemoryTx(tables).add_message(message)
        tables.position = outcome.last
        tables.stats = outcome.stats
        tables.heartbeat_us = self._clock.now_us()
        tables.lease_until_us = Micros(tables.heartbeat_us + self._lease_us)
        decided = (outcome.alerts, outcome.transitions, outcome.incidents, outcome.endings)
        if any((*decided, outcome.containments, outcome.raised)):
            tables.revision += 1


class _Read:
    def __init__(self, store: InMemoryStore) -> None:
        self._store = store

    def revision(self) -> int:
        return self._store.seen().revision

    def models(self) -> Sequence[Model]:
        return sorted(self._store.seen().models.values(), key=lambda m: m.name)

    def model(self, name: str) -> Model | None:
        return self._store.seen().model(name)

    def versions(self, model: str | None = None) -> Sequence[Version]:
        return [v for v in self._store.seen().versions.values() if model in {None, v.model}]

    def version(self, model: str, version: str) -> Version | None:
        return self._store.seen().version(model, version)

    def baseline(self, version_id: VersionId) -> BaselineRecord | None:
        tables = self._store.seen()
        version = tables.versions.get(version_id)
        return next((b for b in tables.baselines if version is not None and b.id == version.baseline_id), None)

    def calibration(self, baseline_id: str) -> Calibration | None:
        return self._store.seen().calibrations.get(baseline_id)

    def snapshot(self, version_id: VersionId) -> Snapshot | None:
        held = self._store.seen().snapshots.get(version_id)
        return None if held is None else replace(held, principals=None, answers=())

    def snapshots(self) -> Sequence[Snapshot]:
        held = self._store.seen().snapshots.values()
        return [replace(s, blob=b"", principals=None, answers=()) for s in sorted(held, key=lambda s: s.version_id)]

    def windows(self, version_id: VersionId, level: str, first_us: Micros, last_us: Micros) -> Sequence[Window]:
        held = self._store.seen().windows.values()
        found = [
            w for w in held if (w.version_id, w.level) == (version_id, level) and first_us <= w.start_us <= last_us
        ]
        return sorted(found, key=lambda w: w.start_us)[:WINDOWS_MAX]

    def alerts(
        self, *, version_id: VersionId | None, status: str | None, limit: int, adversarial: bool | None = None
    ) -> Sequence[Alert]:
        held = self._store.seen().alerts.values()
        found = [a for a in held if version_id in {None, a.version_id} and status in {None, a.status}]
        found = [a for a in found if adversarial in {None, a.cause is Cause.ADVERSARIAL}]
        return sorted(found, key=lambda a: (a.opened_us, a.id), reverse=True)[:limit]

    def alerts_of(self, incident_id: str, limit: int) -> Sequence[Alert]:
        found = [a for a in self._store.seen().alerts.values() if a.incident_id == incident_id]
        return sorted(found, key=lambda a: (a.opened_us, a.id), reverse=True)[:limit]

    def containments(
        self, *, version_id: VersionId | None, holding_us: Micros | None, limit: int
    ) -> Sequence[Containment]:
        held = [c for c in self._store.seen().containments.values() if version_id in {None, c.version_id}]
        found = [c for c in held if holding_us is None or c.holds(holding_us)]
        return sorted(found, key=lambda c: (-c.since_us, c.version_id, c.principal))[:limit]

    def redteam_runs(self) -> Sequence[RedTeamRun]:
        return [run for _, run in sorted(self._store.seen().redteam.items())]

    def incidents(
        self, *, version_id: VersionId | None, status: str | None, limit: int, adversarial: bool | None = None
    ) -> Sequence[Incident]:
        held = self._store.seen().incidents.values()
        found = [i for i in held if version_id in {None, i.version_id} and status in {None, i.status}]
        found = [i for i in found if adversarial in {None, i.cause is Cause.ADVERSARIAL}]
        return sorted(found, key=lambda i: (i.opened_us, i.id), reverse=True)[:limit]

    def incident(self, incident_id: str) -> Incident | None:
        return self._store.seen().incidents.get(incident_id)

    def timeline(self, incident_id: str) -> Sequence[TimelineItem]:
        return [item for of, item in self._store.seen().timeline if of == incident_id]

    def transitions(self, version_id: VersionId, limit: int) -> Sequence[TransitionRecord]:
        return [t for t in reversed(self._store.seen().transitions) if t.version_id == version_id][:limit]

    def approvals(self, version_id: VersionId) -> Sequence[Actor]:
        return self._store.seen().approvals.get(version_id, ())

    def worker(self) -> WorkerFigures:
        tables = self._store.seen()
        return WorkerFigures(position=tables.position, heartbeat_us=tables.heartbeat_us, stats=tables.stats)

    def keys(self) -> Sequence[ApiKey]:
        return sorted(self._store.seen().keys.values(), key=lambda k: (k.created_us, k.id))

    def audit(self, limit: int) -> Sequence[AuditEntry]:
        return list(reversed(self._store.seen().chain))[:limit]
