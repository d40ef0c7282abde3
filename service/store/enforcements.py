"""Rows about quarantines being obeyed: what every state change does to them."""

from sqlalchemy import Connection, RowMapping, case, insert, update

from service.domain.enforcement import Enforcement
from service.domain.records import TransitionRecord
from service.domain.states import HELD, Event
from service.store.tables_beside import enforcements
from service.store.tables_review import glasses


def follow_transition(connection: Connection, record: TransitionRecord, lock: int) -> bool:
    """Begin to wait for the gateways with a quarantine, and stop when it is over, whoever changed the state.

    Returns whether a broken glass ended with it.
    """
    t = enforcements
    if record.event is Event.QUARANTINE:
        values = {"version_id": record.version_id, "lock": lock, "quarantined_us": record.at_us}
        connection.execute(insert(t).values(**values, incident_id=record.incident_id))
    elif record.before in HELD and record.after not in HELD:
        still_open = (t.c.version_id == record.version_id) & t.c.ended_us.is_(None)
        connection.execute(update(t).where(still_open).values(ended_us=record.at_us))
        return _end_glass(connection, record)
    return False


def _end_glass(connection: Connection, record: TransitionRecord) -> bool:
    """Where there is no quarantine any more, no glass is broken: what comes after it begins with a whole one."""
    t, at_us = glasses, record.at_us
    still_open = (t.c.version_id == record.version_id) & t.c.ended_us.is_(None)
    ended = case((t.c.until_us < at_us, t.c.until_us), (t.c.opened_us > at_us, t.c.opened_us), else_=at_us)
    done = connection.execute(update(t).where(still_open).values(ended_us=ended, ended_by=record.actor))
    return done.rowcount > 0


def enforcement_of(row: RowMapping) -> Enforcement:
    """Read one."""
    return Enforcement(**{str(name): value for name, value in row.items()})
