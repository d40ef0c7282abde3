"""What the API and the console may ask: every answer from one short read transaction, every list bounded."""

from collections.abc import Iterator, Sequence

from sqlalchemy import literal, select

from service.domain.calibration import Calibration
from service.domain.ids import Actor, Micros, VersionId
from service.domain.policy import Cause
from service.domain.principals import Containment, ContainmentState
from service.domain.records import (
    Alert,
    ApiKey,
    AuditEntry,
    BaselineRecord,
    Incident,
    Model,
    Snapshot,
    TimelineItem,
    TransitionRecord,
    Version,
    Window,
)
from service.domain.redteam import RedTeamRun
from service.ports import WorkerFigures
from service.store import tables
from service.store.audit import GENESIS, first_break
from service.store.engine import Database
from service.store.queries import (
    find_approvals,
    find_incident,
    find_model,
    find_version,
    read_revision,
    select_incidents,
    select_versions,
)
from service.store.rows import (
    alert_of,
    audit_of,
    baseline_of,
    calibration_of,
    containment_of,
    incident_of,
    key_of,
    model_of,
    redteam_of,
    snapshot_of,
    timeline_of,
    transition_of,
    version_of,
    window_of,
)

WINDOWS_MAX = 10_000
AUDIT_PAGE = 1_000


class SqlReadStore:
    """ReadStore over SQL."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def revision(self) -> int:
        """Return the control revision."""
        with self._database.read() as connection:
            return read_revision(connection)

    def models(self) -> Sequence[Model]:
        """Return every model by name."""
        with self._database.read() as connection:
            rows = connection.execute(select(tables.models).order_by(tables.models.c.name)).mappings()
            return [model_of(row) for row in rows]

    def model(self, name: str) -> Model | None:
        """Return one model."""
        with self._database.read() as connection:
            return find_model(connection, name)

    def versions(self, model: str | None = None) -> Sequence[Version]:
        """Return the versions of one model or of all, oldest first."""
        wanted = select_versions()
        if model is not None:
            wanted = wanted.where(tables.models.c.name == model)
        with self._database.read() as connection:
            return [version_of(row) for row in connection.execute(wanted).mappings()]

    def version(self, model: str, version: str) -> Version | None:
        """Return one version."""
        with self._database.read() as connection:
            return find_version(connection, model, version)

    def baseline(self, version_id: VersionId) -> BaselineRecord | None:
        """Return the baseline in force, with its artefact."""
        t = tables.baselines
        wanted = select(t).where(t.c.version_id == version_id).order_by(t.c.seq.desc()).limit(1)
        with self._database.read() as connection:
            row = connection.execute(wanted).mappings().one_or_none()
            return None if row is None else baseline_of(row, row["artefact"])

    def calibration(self, baseline_id: str) -> Calibration | None:
        """Return what a baseline tolerates, in words."""
        t = tables.calibrations
        with self._database.read() as connection:
            body = connection.execute(select(t.c.body).where(t.c.baseline_id == baseline_id)).scalar_one_or_none()
        return None if body is None else calibration_of(body)

    def snapshot(self, version_id: VersionId) -> Snapshot | None:
        """Return the evidence state after the worker's last commit."""
        t = tables.snapshots
        with self._database.read() as connection:
            row = connection.execute(select(t).where(t.c.version_id == version_id)).mappings().one_or_none()
            return None if row is None else snapshot_of(row)

    def snapshots(self) -> Sequence[Snapshot]:
        """Return the evidence state of every version, with an empty ``blob``."""
        t = tables.snapshots
        light = [literal(b"").label("blob") if column.name == "blob" else column for column in t.c]
        with self._database.read() as connection:
            rows = connection.execute(select(*light).order_by(t.c.version_id)).mappings()
            return [snapshot_of(row) for row in rows]

    def windows(self, version_id: VersionId, level: str, first_us: Micros, last_us: Micros) -> Sequence[Window]:
        """Return window rows that start within [first, last], oldest first."""
        t = tables.windows
        wanted = (
            select(t)
            .where(t.c.version_id == version_id, t.c.level == level, t.c.start_us.between(first_us, last_us))
            .order_by(t.c.start_us)
            .limit(WINDOWS_MAX)
        )
        with self._database.read() as connection:
            return [window_of(row) for row in connection.execute(wanted).mappings()]

    def alerts(
        self, *, version_id: VersionId | None, status: str | None, limit: int, adversarial: bool | None = None
    ) -> Sequence[Alert]:
        """Return alerts, newest first."""
        t = tables.alerts
        wanted = select(t).order_by(t.c.opened_us.desc(), t.c.id.desc()).limit(limit)
        if version_id is not None:
            wanted = wanted.where(t.c.version_id == version_id)
        if status is not None:
            wanted = wanted.where(t.c.status == status)
        if adversarial is not None:
            wanted = wanted.where((t.c.cause == Cause.ADVERSARIAL.value) == adversarial)
        with self._database.read() as connection:
            return [alert_of(row) for row in connection.execute(wanted).mappings()]

    def alerts_of(self, incident_id: str, limit: int) -> Sequence[Alert]:
        """Return the alerts of one incident, newest first."""
        t = tables.alerts
        wanted = select(t).where(t.c.incident_id == incident_id).order_by(t.c.opened_us.desc(), t.c.id.desc())
        with self._database.read() as connection:
            return [alert_of(row) for row in connection.execute(wanted.limit(limit)).mappings()]

    def containments(
        self, *, version_id: VersionId | None, holding_us: Micros | None, limit: int
    ) -> Sequence[Containment]:
        """Return contained principals, newest first; with ``holding_us`` those whose containment holds at that time."""
        t = tables.containments
        wanted = select(t).order_by(t.c.since_us.desc(), t.c.version_id, t.c.principal).limit(limit)
        if version_id is not None:
            wanted = wanted.where(t.c.version_id == version_id)
        if holding_us is not None:
            wanted = wanted.where(t.c.state == ContainmentState.CONTAINED.value, t.c.until_us > holding_us)
        with self._database.read() as connection:
            return [containment_of(row) for row in connection.execute(wanted).mappings()]

    def redteam_runs(self) -> Sequence[RedTeamRun]:
        """Return the latest red-team run of every version; those that another release cannot read are left out."""
        with self._database.read() as connection:
            rows = connection.execute(select(tables.redteam_runs).order_by(tables.redteam_runs.c.version_id)).mappings()
            found = [redteam_of(row) for row in rows]
        return [run for run in found if run is not None]

    def incidents(
        self, *, version_id: VersionId | None, status: str | None, limit: int, adversarial: bool | None = None
    ) -> Sequence[Incident]:
        """Return incidents, newest first."""
        t = tables.incidents
        wanted = select_incidents().order_by(t.c.opened_us.desc(), t.c.id.desc()).limit(limit)
        if version_id is not None:
            wanted = wanted.where(t.c.version_id == version_id)
        if status is not None:
            wanted = wanted.where(t.c.status == status)
        if adversarial is not None:
            wanted = wanted.where((t.c.cause == Cause.ADVERSARIAL.value) == adversarial)
        with self._database.read() as connection:
            return [incident_of(row) for row in connection.execute(wanted).mappings()]

    def incident(self, incident_id: str) -> Incident | None:
        """Return one incident."""
        with self._database.read() as connection:
            return find_incident(connection, incident_id)

    def timeline(self, incident_id: str) -> Sequence[TimelineItem]:
        """Return what was said and done about an incident, oldest first."""
        t = tables.timeline
        with self._database.read() as connection:
            rows = connection.execute(select(t).where(t.c.incident_id == incident_id).order_by(t.c.seq)).mappings()
            return [timeline_of(row) for row in rows]

    def transitions(self, version_id: VersionId, limit: int) -> Sequence[TransitionRecord]:
        """Return the state changes of a version, newest first."""
        t = tables.transitions
        wanted = select(t).where(t.c.version_id == version_id).order_by(t.c.seq.desc()).limit(limit)
        with self._database.read() as connection:
            return [transition_of(row) for row in connection.execute(wanted).mappings()]

    def approvals(self, version_id: VersionId) -> Sequence[Actor]:
        """Return who has asked for the pending release, in order."""
        with self._database.read() as connection:
            return find_approvals(connection, version_id)

    def worker(self) -> WorkerFigures:
        """Return the worker's position and own figures."""
        t = tables.worker
        with self._database.read() as connection:
            row = connection.execute(select(t)).mappings().one()
            return WorkerFigures(position=row["position"], heartbeat_us=row["heartbeat_us"], stats=row["stats"])

    def keys(self) -> Sequence[ApiKey]:
        """Return every key, oldest first, without secrets."""
        t = tables.api_keys
        with self._database.read() as connection:
            rows = connection.execute(select(t).order_by(t.c.created_us, t.c.id)).mappings()
            return [key_of(row) for row in rows]

    def audit(self, limit: int) -> Sequence[AuditEntry]:
        """Return the newest links of the audit chain."""
        t = tables.audit
        with self._database.read() as connection:
            rows = connection.execute(select(t).order_by(t.c.seq.desc()).limit(limit)).mappings()
            return [audit_of(row) for row in rows]

    def verify_chain(self) -> int | None:
        """Return the number of the first link of the audit chain that was changed or removed, or None."""
        previous, seq = GENESIS, 1
        for page in self._audit_pages():
            broken = first_break(page, previous=previous, first_seq=seq)
            if broken is not None:
                return broken
            previous, seq = page[-1].digest, page[-1].seq + 1
        return None

    def _audit_pages(self) -> Iterator[list[AuditEntry]]:
        """Yield the audit chain, oldest first, a short read transaction each."""
        t = tables.audit
        after = 0
        while True:
            wanted = select(t).where(t.c.seq > after).order_by(t.c.seq).limit(AUDIT_PAGE)
            with self._database.read() as connection:
                page = [audit_of(row) for row in connection.execute(wanted).mappings()]
            if not page:
                return
            yield page
            after = page[-1].seq
