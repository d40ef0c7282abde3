"""The writes that people and the worker share; each runs in a transaction that holds the write lock."""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from sqlalchemy import Connection, Table, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite

from service.domain.errors import Conflict, NotFound
from service.domain.ids import Actor, Micros, Position, VersionId
from service.domain.records import Message, TimelineItem, TransitionRecord, Version
from service.store.audit import GENESIS, link, transition_detail
from service.store.enforcements import follow_transition
from service.store.queries import select_versions
from service.store.rows import message_values, transition_values, values_of, version_of
from service.store.tables import alerts, audit, control, timeline, transitions, versions
from service.store.tables_notify import outbox


def bump(connection: Connection) -> int:
    """Let the control revision grow and return it."""
    grown = update(control).values(revision=control.c.revision + 1).returning(control.c.revision)
    revision: int = connection.execute(grown).scalar_one()
    return revision


def append_audit(connection: Connection, actor: Actor, action: str, subject: str, detail: str, at_us: Micros) -> None:
    """Add a link to the audit chain."""
    newest = select(audit.c.seq, audit.c.digest).order_by(audit.c.seq.desc()).limit(1)
    last = connection.execute(newest).one_or_none()
    seq, digest = (0, GENESIS) if last is None else (last.seq, last.digest)
    entry = link(digest, seq + 1, at_us, actor, action, subject, detail)
    connection.execute(insert(audit).values(values_of(entry)))


def require_version(connection: Connection, version_id: VersionId) -> Version:
    """Return a version by id, or raise NotFound."""
    row = connection.execute(select_versions().where(versions.c.id == version_id)).mappings().one_or_none()
    if row is None:
        raise NotFound(f"no version with the id {version_id}")
    return version_of(row)


def apply_transition(
    connection: Connection, record: TransitionRecord, *, lock: int, restart: Position | None = None
) -> None:
    """Write a state change and its audit record, or raise Conflict when the version has changed.

    Approvals count for one lock only, so that the new lock forgets them.
    """
    version = require_version(connection, record.version_id)
    if (version.lock, version.state) != (lock, record.before):
        raise Conflict(
            f"{version.model}/{version.version} has changed: it is '{version.state}' since its change number"
            f" {version.lock}, not '{record.before}' since number {lock}"
        )
    connection.execute(
        update(versions)
        .where(versions.c.id == record.version_id)
        .values(
            state=record.after.value,
            since_us=record.at_us,
            reason=record.reason,
            lock=lock + 1,
            restart_position=version.restart_position if restart is None else restart,
        )
    )
    connection.execute(insert(transitions).values(**transition_values(record), lock=lock))
    glass_over = follow_transition(connection, record, lock)
    subject = f"{version.model}/{version.version}"
    action = f"transition.{record.event}"
    append_audit(connection, record.actor, action, subject, transition_detail(record), record.at_us)
    if glass_over:
        text = f"the broken glass ends with it: {record.event}"
        append_audit(connection, record.actor, "quarantine.glass_over", subject, text, record.at_us)


def close_alerts(
    connection: Connection, at_us: Micros, *, version_id: VersionId | None = None, incident_id: str | None = None
) -> None:
    """Close the open alerts of a version or of an incident."""
    of = alerts.c.incident_id == incident_id if version_id is None else alerts.c.version_id == version_id
    connection.execute(update(alerts).where(alerts.c.status == "open", of).values(status="closed", closed_us=at_us))


def add_to_timeline(connection: Connection, incident_id: str, item: TimelineItem) -> None:
    """Add to an incident's timeline and to the audit chain."""
    connection.execute(insert(timeline).values(incident_id=incident_id, **values_of(item)))
    append_audit(connection, item.actor, f"incident.{item.kind}", incident_id, item.body, item.at_us)


def add_messages(connection: Connection, messages: Sequence[Message]) -> None:
    """Put messages into the outbox."""
    if messages:
        connection.execute(insert(outbox), [message_values(message) for message in messages])


def upsert(connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert rows, or replace those that have the same primary key."""
    if not rows:
        return
    connection.execute(_upsert_into(table, connection.dialect.name), rows)


@cache
def _upsert_into(table: Table, dialect: str) -> sqlite.Insert | postgresql.Insert:
    """Build the statement once: putting it together costs more than running it."""
    keys = [column.name for column in table.primary_key]
    if dialect == "sqlite":
        own = sqlite.insert(table)
        replaced = {c.name: own.excluded[c.name] for c in table.c if c.name not in keys}
        return own.on_conflict_do_update(index_elements=keys, set_=replaced)
    other = postgresql.insert(table)
    replaced = {c.name: other.excluded[c.name] for c in table.c if c.name not in keys}
    return other.on_conflict_do_update(index_elements=keys, set_=replaced)
