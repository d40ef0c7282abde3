"""The write side for people: one transaction per decision."""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager

import msgspec
from sqlalchemy import Connection, Table, delete, insert, select, update

from service.domain.calibration import Calibration
from service.domain.errors import Conflict, NotFound
from service.domain.ids import Actor, Micros, ModelId, Position, VersionId
from service.domain.policy import Policy
from service.domain.principals import Containment
from service.domain.records import (
    ApiKey,
    BaselineRecord,
    Incident,
    IncidentStatus,
    Message,
    Model,
    TimelineItem,
    TransitionRecord,
    Version,
)
from service.domain.redteam import RedTeamRun
from service.domain.vouched import Vouched
from service.ports import ControlTx
from service.store import tables
from service.store.changes import (
    add_messages,
    add_to_timeline,
    append_audit,
    apply_transition,
    bump,
    close_alerts,
    require_version,
    upsert,
)
from service.store.engine import Database
from service.store.queries import find_approvals, find_incident, find_model, find_version, select_versions
from service.store.rows import (
    baseline_values,
    calibration_values,
    containment_of,
    containment_values,
    incident_values,
    key_values,
    model_of,
    model_values,
    policy_text,
    version_of,
    version_values,
    vouched_text,
)


class SqlControlStore:
    """ControlStore over SQL."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def write(self) -> AbstractContextManager[ControlTx]:
        """Open a write transaction; wait for the lock at most the configured time, then raise Unavailable."""
        return self._write()

    @contextmanager
    def _write(self) -> Iterator[ControlTx]:
        with self._database.write() as connection:
            yield SqlControlTx(connection)


class SqlControlTx:
    """One write transaction. It holds the write lock, so that looking first and writing then cannot race."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def model(self, name: str) -> Model | None:
        """Return one model."""
        return find_model(self._connection, name)

    def version(self, model: str, version: str) -> Version | None:
        """Return one version."""
        return find_version(self._connection, model, version)

    def fleet(self) -> Sequence[Version]:
        """Return every version."""
        return [version_of(row) for row in self._connection.execute(select_versions()).mappings()]

    def add_model(self, model: Model) -> Model:
        """Insert a model and return it with its id; raise Conflict when the name is taken."""
        if self.model(model.name) is not None:
            raise Conflict(f"model '{model.name}' exists")
        t = tables.models
        added = self._connection.execute(insert(t).values(model_values(model)).returning(t.c.id))
        self._changed()
        return self._model(added.scalar_one())

    def set_policy(self, model_id: ModelId, policy: Policy) -> None:
        """Replace a model's policy."""
        t = tables.models
        changed = self._connection.execute(update(t).where(t.c.id == model_id).values(policy=policy_text(policy)))
        if changed.rowcount != 1:
            raise NotFound(f"no model with the id {model_id}")
        self._changed()

    def add_version(self, version: Version) -> Version:
        """Insert a version and return it with its id; raise Conflict when the name is taken."""
        owner = self._model(version.model_id)
        if self.version(owner.name, version.version) is not None:
            raise Conflict(f"version '{owner.name}/{version.version}' exists")
        t = tables.versions
        added = self._connection.execute(insert(t).values(version_values(version)).returning(t.c.id))
        self._changed()
        return require_version(self._connection, added.scalar_one())

    def set_vouched(self, version_id: VersionId, vouched: Vouched) -> None:
        """Replace what is vouched for about a version."""
        require_version(self._connection, version_id)
        t = tables.versions
        self._connection.execute(update(t).where(t.c.id == version_id).values(vouched=vouched_text(vouched)))
        self._changed()

    def add_baseline(self, baseline: BaselineRecord) -> None:
        """Insert a baseline; the newest one of a version is the one in force."""
        require_version(self._connection, baseline.version_id)
        self._refuse_existing(tables.baselines, baseline.id, "baseline")
        self._connection.execute(insert(tables.baselines).values(baseline_values(baseline)))
        self._changed()

    def save_calibration(self, baseline_id: str, calibration: Calibration) -> None:
        """Store what a baseline tolerates in place of what was stored before."""
        b, t = tables.baselines, tables.calibrations
        if self._connection.execute(select(b.c.id).where(b.c.id == baseline_id)).first() is None:
            raise NotFound(f"no baseline '{baseline_id}'")
        self._connection.execute(delete(t).where(t.c.baseline_id == baseline_id))
        self._connection.execute(insert(t).values(calibration_values(baseline_id, calibration)))

    def transition(self, record: TransitionRecord, *, lock: int, restart: Position | None) -> None:
        """Write a state change; with ``restart`` also let evidence start anew and close the version's open alerts."""
        apply_transition(self._connection, record, lock=lock, restart=restart)
        if restart is not None:
            close_alerts(self._connection, record.at_us, version_id=record.version_id)
        self._changed()

    def restart(self, version_id: VersionId, position: Position) -> None:
        """Let the version's evidence start from zero after ``position``."""
        t = tables.versions
        changed = self._connection.execute(update(t).where(t.c.id == version_id).values(restart_position=position))
        if changed.rowcount != 1:
            raise NotFound(f"no version with the id {version_id}")
        self._changed()

    def approve(self, version_id: VersionId, actor: Actor, at_us: Micros) -> Sequence[Actor]:
        """Record that ``actor`` asked for the release (once) and return all who have, in order."""
        lock = require_version(self._connection, version_id).lock
        have = find_approvals(self._connection, version_id)
        if actor in have:
            return have
        values = {"version_id": version_id, "lock": lock, "actor": actor, "at_us": at_us}
        self._connection.execute(insert(tables.approvals).values(values))
        return (*have, actor)

    def incident(self, incident_id: str) -> Incident | None:
        """Return one incident."""
        return find_incident(self._connection, incident_id)

    def save_incident(self, incident: Incident, item: TimelineItem) -> None:
        """Update an incident that still has the given lock, and let the lock grow by one."""
        stored = self.incident(incident.id)
        if stored is None:
            raise NotFound(f"no incident '{incident.id}'")
        if stored.lock != incident.lock:
            raise Conflict(f"incident '{incident.id}' has changed: read it again")
        t = tables.incidents
        values = {**incident_values(incident), "lock": incident.lock + 1}
        self._connection.execute(update(t).where(t.c.id == incident.id).values(values))
        add_to_timeline(self._connection, incident.id, item)
        if incident.status is IncidentStatus.RESOLVED:
            close_alerts(self._connection, item.at_us, incident_id=incident.id)
        self._changed()

    def containment(self, version_id: VersionId, principal: str) -> Containment | None:
        """Return what is known of a principal's containment."""
        t = tables.containments
        wanted = select(t).where(t.c.version_id == version_id, t.c.principal == principal)
        row = self._connection.execute(wanted).mappings().one_or_none()
        return None if row is None else containment_of(row)

    def save_containment(self, containment: Containment) -> None:
        """Update a containment."""
        t = tables.containments
        mine = (t.c.version_id == containment.version_id) & (t.c.principal == containment.principal)
        changed = self._connection.execute(update(t).where(mine).values(containment_values(containment)))
        if changed.rowcount != 1:
            raise NotFound(f"no containment of principal '{containment.principal}'")
        self._changed()

    def save_redteam_run(self, run: RedTeamRun) -> None:
        """Keep what a red-team run found in place of what was kept before."""
        values = {"version_id": run.version_id, "at_us": run.at_us, "actor": run.actor}
        upsert(self._connection, tables.redteam_runs, [values | {"summary": msgspec.json.encode(run.summary).decode()}])

    def add_key(self, key: ApiKey) -> None:
        """Insert a key."""
        self._refuse_existing(tables.api_keys, key.id, "key")
        self._connection.execute(insert(tables.api_keys).values(key_values(key)))
        self._changed()

    def revoke_key(self, key_id: str, at_us: Micros) -> bool:
        """Revoke a key; False when there is no such key."""
        t = tables.api_keys
        changed = self._connection.execute(update(t).where(t.c.id == key_id).values(revoked_us=at_us))
        if changed.rowcount != 1:
            return False
        self._changed()
        return True

    def add_message(self, message: Message) -> None:
        """Put a message into the outbox."""
        add_messages(self._connection, [message])

    def audit(self, actor: Actor, action: str, subject: str, detail: str, at_us: Micros) -> None:
        """Append to the audit chain."""
        append_audit(self._connection, actor, action, subject, detail, at_us)

    def _model(self, model_id: int) -> Model:
        t = tables.models
        row = self._connection.execute(select(t).where(t.c.id == model_id)).mappings().one_or_none()
        if row is None:
            raise NotFound(f"no model with the id {model_id}")
        return model_of(row)

    def _refuse_existing(self, table: Table, row_id: str, what: str) -> None:
        if self._connection.execute(select(table.c.id).where(table.c.id == row_id)).first() is not None:
            raise Conflict(f"{what} '{row_id}' exists")

    def _changed(self) -> None:
        bump(self._connection)
