"""The worker's side: one pass, one transaction, and one worker at a time.

A worker may commit as long as its epoch stands in the store, and every takeover gives a new epoch; so two workers can
never both move the cursor, whatever their clocks say. The clocks only decide *when* a silent worker is replaced.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace

from sqlalchemy import Connection, RowMapping, delete, insert, select, tuple_, update

from service.domain.errors import Conflict, Unavailable
from service.domain.ids import Micros, Position, VersionId
from service.domain.records import BaselineRecord, Ending, Incident, IncidentStatus, Snapshot, TimelineItem, Window
from service.domain.states import State
from service.filelock import FileLock, Locked
from service.ports import SYSTEM, Clock, Control, Outcome, StaleControl
from service.store import tables
from service.store.answers import read_answers, save_answers
from service.store.changes import add_messages, add_to_timeline, apply_transition, bump, upsert
from service.store.containments import (
    CONTAINMENTS_KEPT_US,
    contain_principals,
    raise_incidents,
    recent_alerts,
    sweep_containments,
)
from service.store.engine import Database
from service.store.opened import MAINTENANCE_KEPT_US, merged_parts, settle_opened, windows_after
from service.store.queries import read_revision, select_incidents, select_versions
from service.store.rows import (
    alert_of,
    alert_values,
    baseline_of,
    containment_of,
    incident_of,
    incident_values,
    model_of,
    principals_values,
    snapshot_of,
    snapshots_values,
    version_of,
    window_of,
    windows_values,
)
from service.store.tables_beside import principal_states
from service.store.transcripts import save_transcripts

_logger = logging.getLogger("lazaretto.store")

HOUR_US = 3_600_000_000
KEPT_US: Mapping[str, int] = {"1m": 48 * HOUR_US, "1h": 400 * 24 * HOUR_US}
"""How long window rows are kept after the newest one."""
SWEEP_EVERY_US = 60_000_000
SWEEP_ROWS = 1_000
"""At most this many rows of a kind are deleted in one commit."""


class SqlWorkerStore:
    """WorkerStore over SQL.

    Parameters
    ----------
    process_lock
        A file lock beside an SQLite store. Who holds it is the only worker alive, and may take the lease at once, even
        if the process before was killed and its lease still runs.
    """

    def __init__(
        self,
        database: Database,
        *,
        owner: str,
        lease_seconds: float,
        clock: Clock,
        process_lock: FileLock | None,
    ) -> None:
        self._database = database
        self._owner = owner
        self._lease_us = round(lease_seconds * 1_000_000)
        self._clock = clock
        self._process_lock = process_lock
        self._epoch: int | None = None
        self._artefacts: dict[str, bytes] = {}
        self._swept_us = 0

    def position(self) -> Position:
        """Return the cursor, after taking or renewing the lease; call it now and then while there is nothing to do.

        Raises
        ------
        Unavailable
            While another worker has the lease.
        """
        with self._database.read() as connection:
            row = _worker_row(connection)
        if not self._is_fresh(row):
            self._take_process_lock()
            with self._database.write() as connection:
                row = self._take_lease(connection)
        return Position(row["position"])

    def revision(self) -> int:
        """Return the control revision."""
        with self._database.read() as connection:
            return read_revision(connection)

    def control(self) -> Control:
        """Read all that the fold depends on, in one transaction."""
        alerts = select(tables.alerts).where(tables.alerts.c.status == "open").order_by(tables.alerts.c.id)
        held = tables.containments
        contained = select(held).order_by(held.c.version_id, held.c.principal)
        t = tables.incidents
        # Sorted here: asked to do it, SQLite would go through all incidents there ever were in that order.
        unresolved = select_incidents().where(t.c.resolved_us.is_(None))
        with self._database.read() as connection:
            models = [model_of(row) for row in connection.execute(select(tables.models)).mappings()]
            versions = [version_of(row) for row in connection.execute(select_versions()).mappings()]
            return Control(
                revision=read_revision(connection),
                models={model.id: model for model in models},
                versions={version.id: version for version in versions},
                baselines=self._baselines(connection),
                open_alerts=[alert_of(row) for row in connection.execute(alerts).mappings()],
                unresolved=merged_parts(connection)
                + sorted(
                    (incident_of(row) for row in connection.execute(unresolved).mappings()),
                    key=lambda one: (one.opened_us, one.id),
                ),
                recent_alerts=recent_alerts(connection),
                containments=[containment_of(row) for row in connection.execute(contained).mappings()],
                maintenance=windows_after(connection, self._clock.now_us() - MAINTENANCE_KEPT_US),
            )

    def snapshots(self) -> Mapping[VersionId, Snapshot]:
        """Read the evidence state of every version."""
        with self._database.read() as connection:
            held = [snapshot_of(row) for row in connection.execute(select(tables.snapshots)).mappings()]
            t = principal_states
            known = {row.version_id: row.content for row in connection.execute(select(t.c.version_id, t.c.content))}
            answers = read_answers(connection)
        return {
            one.version_id: replace(one, principals=known.get(one.version_id), answers=answers.get(one.version_id, ()))
            for one in held
        }

    def windows(self, version_id: VersionId, level: str, start_us: Micros) -> Window | None:
        """Read one window row."""
        t = tables.windows
        wanted = select(t).where(t.c.version_id == version_id, t.c.level == level, t.c.start_us == start_us)
        with self._database.read() as connection:
            row = connection.execute(wanted).mappings().one_or_none()
            return None if row is None else window_of(row)

    def commit(self, outcome: Outcome) -> int:
        """Write everything in one transaction and return the new control revision."""
        with self._database.write() as connection:
            self._check(connection, outcome)
            upsert(connection, tables.snapshots, snapshots_values(outcome.snapshots))
            upsert(connection, principal_states, principals_values(outcome.snapshots))
            save_answers(connection, outcome.snapshots)
            upsert(connection, tables.windows, windows_values(outcome.windows))
            _open_incidents(connection, outcome.incidents)
            for incident_id, item in outcome.timeline:
                add_to_timeline(connection, incident_id, item)
            upsert(connection, tables.alerts, [alert_values(alert) for alert in outcome.alerts])
            settle_opened(connection, outcome)
            raise_incidents(connection, outcome.raised)
            contain_principals(connection, outcome.containments)
            save_transcripts(connection, outcome.transcripts)
            _end_incidents(connection, outcome.endings)
            for record, lock in outcome.transitions:
                try:
                    apply_transition(connection, record, lock=lock)
                except Conflict as stale:
                    raise StaleControl(stale.detail) from stale
            add_messages(connection, outcome.messages)
            self._advance(connection, outcome)
            self._sweep(connection, outcome.windows)
            decided = (outcome.alerts, outcome.transitions, outcome.incidents, outcome.endings)
            changed = any((*decided, outcome.containments, outcome.raised))
            return bump(connection) if changed else outcome.revision

    def close(self) -> None:
        """Give the lease back, so that the next worker need not wait; when the store is away, it ends by itself."""
        try:
            if self._epoch is not None:
                self._give_lease_back(self._epoch)
        except Unavailable as away:
            _logger.warning("the worker's lease was not given back", extra={"reason": away.detail})
        finally:
            self._epoch = None
            if self._process_lock is not None:
                self._process_lock.release()

    def _give_lease_back(self, epoch: int) -> None:
        t = tables.worker
        with self._database.write() as connection:
            mine = (t.c.owner == self._owner) & (t.c.epoch == epoch)
            connection.execute(update(t).where(mine).values(lease_until_us=0))

    def _is_fresh(self, row: RowMapping) -> bool:
        """Tell whether the lease is ours for another half of its time."""
        ours = (row["owner"], row["epoch"]) == (self._owner, self._epoch)
        return ours and self._clock.now_us() < row["lease_until_us"] - self._lease_us // 2

    def _take_process_lock(self) -> None:
        if self._process_lock is not None:
            try:
                self._process_lock.acquire()
            except Locked as locked:
                raise Unavailable(f"another worker is running: {locked}") from None

    def _take_lease(self, connection: Connection) -> RowMapping:
        row = _worker_row(connection)
        now = self._clock.now_us()
        epoch = row["epoch"]
        if (row["owner"], epoch) != (self._owner, self._epoch):
            is_held = now < row["lease_until_us"] and row["owner"] != self._owner
            if is_held and self._process_lock is None:
                raise Unavailable(f"the worker '{row['owner']}' has the lease")
            epoch += 1
        t = tables.worker
        lease_until = now + self._lease_us
        values = {"owner": self._owner, "epoch": epoch, "lease_until_us": lease_until, "heartbeat_us": now}
        connection.execute(update(t).values(values))
        self._epoch = epoch
        return _worker_row(connection)

    def _check(self, connection: Connection, outcome: Outcome) -> None:
        row = _worker_row(connection)
        if (row["owner"], row["epoch"]) != (self._owner, self._epoch):
            raise StaleControl(f"the lease is with '{row['owner']}', epoch {row['epoch']}")
        if row["position"] != outcome.first:
            raise StaleControl(f"the cursor is at {row['position']}, not at {outcome.first}")
        revision = read_revision(connection)
        if revision != outcome.revision:
            raise StaleControl(f"the control revision is {revision}, not {outcome.revision}")

    def _advance(self, connection: Connection, outcome: Outcome) -> None:
        now = self._clock.now_us()
        connection.execute(
            update(tables.worker).values(
                position=outcome.last,
                stats=outcome.stats,
                heartbeat_us=now,
                lease_until_us=now + self._lease_us,
            )
        )

    def _baselines(self, connection: Connection) -> Mapping[VersionId, Sequence[BaselineRecord]]:
        """Read the baselines that entries may still be judged by; as none ever changes, each artefact is read once."""
        t = tables.baselines
        light = [column for column in t.c if column.name != "artefact"]
        v, read_to = tables.versions, _worker_row(connection)["position"]
        # Nothing that comes after it was retired is judged.
        needed = (v.c.state != State.RETIRED.value) | (v.c.restart_position >= read_to)
        wanted = select(*light).join(v, v.c.id == t.c.version_id).where(needed)
        rows = connection.execute(wanted.order_by(t.c.from_position, t.c.seq)).mappings().all()
        self._artefacts = {row["id"]: held for row in rows if (held := self._artefacts.get(row["id"])) is not None}
        for row in rows:
            if row["id"] not in self._artefacts:
                artefact = select(t.c.artefact).where(t.c.id == row["id"])
                self._artefacts[row["id"]] = connection.execute(artefact).scalar_one()
        found: dict[VersionId, list[BaselineRecord]] = {}
        for row in rows:
            found.setdefault(row["version_id"], []).append(baseline_of(row, self._artefacts[row["id"]]))
        return found

    def _sweep(self, connection: Connection, written: Sequence[Window]) -> None:
        """Delete a bounded number of old rows, now and then."""
        now = self._clock.now_us()
        if now - self._swept_us < SWEEP_EVERY_US:
            return
        self._swept_us = now
        for level, kept_us in KEPT_US.items():
            newest = max((w.start_us for w in written if w.level == level), default=None)
            if newest is not None:
                _delete_windows(connection, level, before_us=newest - kept_us)
        sweep_containments(connection, before_us=now - CONTAINMENTS_KEPT_US, rows=SWEEP_ROWS)


def _worker_row(connection: Connection) -> RowMapping:
    return connection.execute(select(tables.worker)).mappings().one()


def _open_incidents(connection: Connection, incidents: Sequence[Incident]) -> None:
    for incident in incidents:
        connection.execute(insert(tables.incidents).values(incident_values(incident)))
        item = TimelineItem(at_us=incident.opened_us, actor=SYSTEM, kind="opened", body=incident.title)
        add_to_timeline(connection, incident.id, item)


def _end_incidents(connection: Connection, endings: Sequence[Ending]) -> None:
    t = tables.incidents
    for ending in endings:
        unsettled = (t.c.id == ending.incident_id) & (t.c.status != IncidentStatus.RESOLVED.value)
        values = {"status": IncidentStatus.RESOLVED.value, "note": ending.note, "resolved_us": ending.at_us}
        if connection.execute(update(t).where(unsettled).values(**values, lock=t.c.lock + 1)).rowcount:
            item = TimelineItem(at_us=ending.at_us, actor=SYSTEM, kind="ended", body=ending.note)
            add_to_timeline(connection, ending.incident_id, item)


def _delete_windows(connection: Connection, level: str, *, before_us: int) -> None:
    t = tables.windows
    key = tuple_(t.c.version_id, t.c.level, t.c.start_us)
    old = (
        select(t.c.version_id, t.c.level, t.c.start_us)
        .where(t.c.level == level, t.c.start_us < before_us)
        .order_by(t.c.start_us)
        .limit(SWEEP_ROWS)
    )
    connection.execute(delete(t).where(key.in_(old)))
