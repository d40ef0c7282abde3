"""What is known of quarantines being obeyed, and the writes of those who watch it. None of it is part of the fold."""

from collections.abc import Sequence

from sqlalchemy import ColumnElement, Connection, Select, func, or_, select, update

from service.domain.enforcement import Enforcement
from service.domain.ids import Actor, Micros, VersionId
from service.domain.records import Message, TimelineItem
from service.ports import SYSTEM
from service.store.changes import add_messages, add_to_timeline, append_audit, require_version
from service.store.enforcements import enforcement_of
from service.store.engine import Database
from service.store.tables_beside import enforcements

LATEST_MAX = 10_000


class SqlEnforcementLedger:
    """EnforcementLedger over SQL."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def latest(self, version_id: VersionId | None = None) -> Sequence[Enforcement]:
        """Return the newest quarantine of every version, or of one, that was ever in quarantine."""
        wanted = _newest().limit(LATEST_MAX)
        if version_id is not None:
            wanted = wanted.where(enforcements.c.version_id == version_id)
        with self._database.read() as connection:
            return [enforcement_of(row) for row in connection.execute(wanted).mappings()]

    def acknowledge(self, version_id: VersionId, at_us: Micros, decision_id: str) -> None:
        """Write down the first refusal of the newest quarantine; a later one changes nothing.

        A quarantine may be over by the time it is written down, but not by the time of the refusal.
        """
        t = enforcements
        with self._database.write() as connection:
            stood = or_(t.c.ended_us.is_(None), t.c.ended_us >= at_us)
            wanted = _newest().where(t.c.version_id == version_id, stood, t.c.enforced_us.is_(None))
            row = connection.execute(wanted).mappings().one_or_none()
            if row is None:
                return
            one = enforcement_of(row)
            at_us = max(at_us, one.quarantined_us)
            connection.execute(update(t).where(_is(one)).values(enforced_us=at_us, decision_id=decision_id))
            seconds = (at_us - one.quarantined_us) / 1e6
            text = f"a gateway obeys: the gate kept a request from the version {seconds:.3f} s after the quarantine"
            _record(connection, one, "enforced", text, at_us)

    def tell(self, one: Enforcement, kind: str, text: str, at_us: Micros, messages: Sequence[Message]) -> bool:
        """Write down that events still come (``not_enforced``) or no longer do (``enforced_again``), once.

        Returns False, and writes nothing, when somebody else has told it already or the quarantine has changed.
        """
        t = enforcements
        with self._database.write() as connection:
            same = _is(one) & t.c.overdue_us.is_not_distinct_from(one.overdue_us)
            overdue_us = at_us if kind == "not_enforced" else None
            if connection.execute(update(t).where(same).values(overdue_us=overdue_us)).rowcount != 1:
                return False
            _record(connection, one, kind, text, at_us)
            add_messages(connection, messages)
            return True

    def audit(self, actor: Actor, action: str, subject: str, detail: str, at_us: Micros) -> None:
        """Append to the audit chain: a drill."""
        with self._database.write() as connection:
            append_audit(connection, actor, action, subject, detail, at_us)


def _newest() -> Select[tuple[object, ...]]:
    t = enforcements
    newest = select(t.c.version_id, func.max(t.c.lock).label("lock")).group_by(t.c.version_id).subquery()
    joined = (newest.c.version_id == t.c.version_id) & (newest.c.lock == t.c.lock)
    return select(t).join(newest, joined).order_by(t.c.version_id)


def _is(one: Enforcement) -> ColumnElement[bool]:
    return (enforcements.c.version_id == one.version_id) & (enforcements.c.lock == one.lock)


def _record(connection: Connection, one: Enforcement, kind: str, text: str, at_us: Micros) -> None:
    """Let the incident's timeline say it, where there is one, and the audit chain in any case."""
    if one.incident_id is not None:
        add_to_timeline(connection, one.incident_id, TimelineItem(at_us=at_us, actor=SYSTEM, kind=kind, body=text))
        return
    version = require_version(connection, one.version_id)
    append_audit(connection, SYSTEM, f"quarantine.{kind}", f"{version.model}/{version.version}", text, at_us)
