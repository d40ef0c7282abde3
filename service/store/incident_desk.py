"""What stands beside incidents, read and written."""

from collections.abc import Collection, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from sqlalchemy import Connection, RowMapping, Select, Table, delete, exists, func, insert, or_, select, update

from service.domain.ids import Micros
from service.domain.incidents import Bearing, Exposure, Hush, Hushed, Judged, Link, LinkKind, Maintenance, Moved, Snooze
from service.domain.notices import Told
from service.domain.records import Alert, Incident, IncidentStatus, Message, Severity, TimelineItem
from service.ports_incidents import IncidentTx
from service.store.changes import add_to_timeline, upsert
from service.store.control import SqlControlTx
from service.store.engine import Database
from service.store.judged import Watched, judged_since
from service.store.notified import told_of
from service.store.opened import windows_after
from service.store.queries import find_incident, find_model, select_incidents
from service.store.rows import alert_of, incident_of, values_of
from service.store.tables import alerts, incidents, models
from service.store.tables_incidents import evidence, hushed, incident_links, maintenance, snoozes
from service.store.tables_notify import outbox, told

MERGED = incident_links.c.kind == LinkKind.MERGED.value
LINKS_MAX = 100


class SqlIncidentTx(SqlControlTx):
    """IncidentTx over SQL."""

    def snooze(self, incident_id: str) -> Snooze | None:
        """Return the snooze of an incident."""
        return _snooze(self._connection, incident_id)

    def save_snooze(self, snooze: Snooze) -> None:
        """Snooze an incident in place of the snooze before; what is hushed by it is told when it is over."""
        upsert(self._connection, snoozes, [values_of(snooze, severity=snooze.severity.value)])
        self.save_hushed(Hushed(incident_id=snooze.incident_id, why=Hush.SNOOZED, until_us=snooze.until_us))
        self._changed()

    def drop_snooze(self, incident_id: str) -> None:
        """Forget the snooze of an incident, if there is one."""
        self._connection.execute(delete(snoozes).where(snoozes.c.incident_id == incident_id))
        self._changed()

    def hushed(self, incident_id: str) -> Hushed | None:
        """Return whether people are still to be told of an incident."""
        row = _one(self._connection, hushed, incident_id)
        return None if row is None else _hushed_of(row)

    def save_hushed(self, one: Hushed) -> None:
        """Remember that people are to be told of an incident later."""
        upsert(self._connection, hushed, [values_of(one, why=one.why.value)])

    def drop_hushed(self, incident_id: str) -> None:
        """Forget that people are to be told of an incident."""
        self._connection.execute(delete(hushed).where(hushed.c.incident_id == incident_id))

    def note(self, incident_id: str, item: TimelineItem) -> None:
        """Add to the timeline and to the audit chain, and let nothing else change."""
        add_to_timeline(self._connection, incident_id, item)
        self._changed()

    def open_alerts(self, incident_id: str) -> Sequence[Alert]:
        """Return the open alerts of an incident, newest first."""
        mine = select(alerts).where(alerts.c.incident_id == incident_id, alerts.c.status == "open")
        rows = self._connection.execute(mine.order_by(alerts.c.opened_us.desc(), alerts.c.id)).mappings()
        return [alert_of(row) for row in rows]

    def move_alerts(self, part_id: str, whole_id: str) -> Moved:
        """Let an incident's alerts, and what people were told of it, belong to another one."""
        rows = list(
            self._connection.execute(select(told).where(told.c.incident_id.in_([part_id, whole_id]))).mappings()
        )
        for table in (alerts, told):
            moved = update(table).where(table.c.incident_id == part_id).values(incident_id=whole_id)
            self._connection.execute(moved)
        # What was told of the whole stays in its group, so that it ends where it began.
        mine = [row["fingerprint"] for row in rows if row["incident_id"] == part_id]
        key = f"incident/{whole_id}"
        self._connection.execute(update(told).where(told.c.fingerprint.in_(mine)).values(group_key=key))
        self._changed()
        firing = [told_of(row) for row in rows if row["ends_us"] is None]
        waits = select(outbox.c.seq).where(outbox.c.incident_id == part_id, outbox.c.routed_us.is_(None)).limit(1)
        return _moved(firing, part_id, key, waits=self._connection.execute(waits).first() is not None)

    def link(self, link: Link) -> None:
        """Remember what one incident is to another."""
        self._connection.execute(insert(incident_links).values(values_of(link, kind=link.kind.value)))

    def maintenance(self, model: str, after_us: Micros) -> Sequence[Maintenance]:
        """Return the windows of a model that are not over at a time, by their start."""
        return windows_after(self._connection, after_us, model)

    def add_maintenance(self, window: Maintenance) -> None:
        """Add a window."""
        owner = select(models.c.id).where(models.c.name == window.model).scalar_subquery()
        self._connection.execute(insert(maintenance).values(values_of(window, "model") | {"model_id": owner}))
        self._changed()

    def cancel_maintenance(self, model: str, window_id: str, at_us: Micros) -> bool:
        """End a window early; False when there is none that is not over."""
        t = maintenance
        owner = select(models.c.id).where(models.c.name == model).scalar_subquery()
        standing = (t.c.id == window_id) & (t.c.model_id == owner) & (t.c.end_us > at_us) & t.c.cancelled_us.is_(None)
        changed = self._connection.execute(update(t).where(standing).values(cancelled_us=at_us))
        if changed.rowcount != 1:
            return False
        self._changed()
        return True


class SqlIncidentDesk:
    """IncidentDesk over SQL."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._watched = Watched(database)

    def write(self) -> AbstractContextManager[IncidentTx]:
        """Open a write transaction; wait for the lock at most the configured time, then raise Unavailable."""
        return self._write()

    @contextmanager
    def _write(self) -> Iterator[IncidentTx]:
        with self._database.write() as connection:
            yield SqlIncidentTx(connection)

    def snooze(self, incident_id: str) -> Snooze | None:
        """Return the snooze of an incident."""
        with self._database.read() as connection:
            return _snooze(connection, incident_id)

    def snoozes(self, limit: int, *, due_us: Micros | None = None, after: str = "") -> Sequence[Snooze]:
        """Return snoozes: those whose time is over at a time, the first first; or else all, by incident, after one."""
        wanted = _some(snoozes, due_us, after).limit(limit)
        with self._database.read() as connection:
            return [_snooze_of(row) for row in connection.execute(wanted).mappings()]

    def hushed(self, limit: int, *, due_us: Micros | None = None, after: str = "") -> Sequence[Hushed]:
        """Return what people are to be told of later, chosen as ``snoozes`` does."""
        wanted = _some(hushed, due_us, after).limit(limit)
        with self._database.read() as connection:
            return [_hushed_of(row) for row in connection.execute(wanted).mappings()]

    def links(self, incident_id: str) -> Sequence[Link]:
        """Return what an incident is to others, and others to it."""
        t = incident_links
        wanted = select(t).where(or_(t.c.incident_id == incident_id, t.c.other_id == incident_id))
        with self._database.read() as connection:
            rows = connection.execute(wanted.order_by(t.c.at_us.desc(), t.c.incident_id).limit(LINKS_MAX)).mappings()
            return [Link(**{**_named(row), "kind": LinkKind(row["kind"])}) for row in rows]

    def evidence(self, incident_id: str) -> tuple[str, str] | None:
        """Return the digest and the JSON of the evidence frozen with an incident."""
        with self._database.read() as connection:
            row = _one(connection, evidence, incident_id)
            return None if row is None else (row["digest"], row["body"])

    def maintenance(self, model: str | None, after_us: Micros, limit: int) -> Sequence[Maintenance]:
        """Return windows that are not over at a time, of one model or of all, by their start."""
        with self._database.read() as connection:
            return windows_after(connection, after_us, model, limit)

    def bearing(self, message: Message) -> Bearing:
        """Return all that bears on whether people are told of a message now."""
        if message.incident_id is None:
            return Bearing()
        with self._database.read() as connection:
            about = find_incident(connection, message.incident_id)
            model = find_model(connection, message.model)
            if about is None or model is None:
                return Bearing()
            return Bearing(
                snooze=_snooze(connection, about.id),
                windows=tuple(windows_after(connection, message.created_us, model.name)),
                over_us=_over_before(connection, about),
                cooldown_us=round(model.policy.incidents.cooldown_seconds * 1e6),
            )

    def since(self, start_us: Micros, limit: int) -> Sequence[Incident]:
        """Return incidents opened since a time, newest first, without those that were merged into others."""
        merged = exists().where(incident_links.c.incident_id == incidents.c.id, MERGED)
        wanted = select_incidents().where(incidents.c.opened_us >= start_us, ~merged)
        wanted = wanted.order_by(incidents.c.opened_us.desc(), incidents.c.id).limit(limit)
        with self._database.read() as connection:
            return [incident_of(row) for row in connection.execute(wanted).mappings()]

    def judged(self, start_us: Micros, limit: int, models: Collection[str] | None = None) -> Sequence[Judged]:
        """Return what there is to judge alerts by, of ``models`` or of all, chosen and ordered as by ``since``."""
        return judged_since(self._database, start_us, limit, models)

    def exposures(self, start_us: Micros) -> Sequence[Exposure]:
        """Return for how long each version was watched since a time."""
        return self._watched.since(start_us)


def _one(connection: Connection, table: Table, incident_id: str) -> RowMapping | None:
    return connection.execute(select(table).where(table.c.incident_id == incident_id)).mappings().one_or_none()


def _some(table: Table, due_us: Micros | None, after: str) -> Select[Any]:
    """Return the query for what is due, or for a page of everything."""
    if due_us is None:
        return select(table).where(table.c.incident_id > after).order_by(table.c.incident_id)
    return select(table).where(table.c.until_us <= due_us).order_by(table.c.until_us, table.c.incident_id)


def _named(row: RowMapping) -> dict[str, Any]:
    return {str(name): value for name, value in row.items()}


def _snooze(connection: Connection, incident_id: str) -> Snooze | None:
    row = _one(connection, snoozes, incident_id)
    return None if row is None else _snooze_of(row)


def _snooze_of(row: RowMapping) -> Snooze:
    return Snooze(**{**_named(row), "severity": Severity(row["severity"])})


def _hushed_of(row: RowMapping) -> Hushed:
    return Hushed(**{**_named(row), "why": Hush(row["why"])})


def _over_before(connection: Connection, about: Incident) -> Micros | None:
    """Return when the last incident of the same version and cause was over, before this one was opened."""
    t = incidents
    same = (t.c.version_id == about.version_id) & (t.c.cause == about.cause.value) & (t.c.id != about.id)
    over = select(func.max(t.c.resolved_us)).where(same, t.c.status == IncidentStatus.RESOLVED.value)
    merged = exists().where(incident_links.c.incident_id == t.c.id, MERGED)
    found = connection.execute(over.where(t.c.resolved_us <= about.opened_us, ~merged)).scalar_one()
    return None if found is None else Micros(found)


def _moved(firing: Sequence[Told], part_id: str, key: str, *, waits: bool) -> Moved:
    """Return what became of what was told of a part, and of the whole before; of what ``waits`` nobody knows yet."""
    part = [one for one in firing if one.incident_id == part_id]
    whole = [one for one in firing if one.incident_id != part_id]
    left = {one.group_key for one in part} - {one.group_key for one in whole} - {key}
    heard = frozenset[str]().union(*(one.channels for one in whole))
    return Moved(
        left=tuple(sorted(left)),
        strangers=waits or any(not one.channels <= heard for one in part),
        heard=tuple(sorted(frozenset[str]().union(*(one.channels for one in part)))),
    )
