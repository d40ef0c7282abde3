"""What is known of quarantines being obeyed, and the writes of those who watch it. None of it is part of the fold."""

from collections.abc import Sequence

from sqlalchemy import ColumnElement, Connection, Select, func, or_, select, update

from service.domain.enforcement import Enforcement
from service.domain.ids import Actor, Micros, VersionId
from service.domain.records import AuditEntry, Message, TimelineItem
from service.ports import SYSTEM
from service.store.changes import add_messages, add_to_timeline, append_audit, require_version
from service.store.enforcements import enforcement_of
from service.store.engine import Database
from service.store.rows import audit_of
from service.store.tables import audit
from service.store.tables_beside import enforcements

LATEST_MAX = 10_000
LINKS_MAX = 200_000
"""Of the audit chain, the newest, are looked through for drills."""
DRILLS = ("drill.begin", "drill.end")


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

    def waiting(self) -> Sequence[Enforcement]:
        """Return every quarantine that stands, and every one that people believe is not obeyed."""
        t = enforcements
        open_or_told = or_(t.c.ended_us.is_(None), t.c.overdue_us.is_not(None))
        wanted = select(t).where(open_or_told).order_by(t.c.version_id, t.c.lock).limit(LATEST_MAX)
        with self._database.read() as connection:
            return [enforcement_of(row) for row in connection.execute(wanted).mappings()]

    def acknowledge(self, version_id: VersionId, lock: int, at_us: Micros, decision_id: str) -> None:
        """Write down the first refusal of the quarantine that it was a refusal of; a later one changes nothing.

        ``lock`` is the version's when it was refused. By the time it is written down that quarantine may be over, and
        another one may have begun: a refusal counts for its own alone.
        """
        t = enforcements
        with self._database.write() as connection:
            own = select(t).where(t.c.version_id == version_id, t.c.lock < lock).order_by(t.c.lock.desc()).limit(1)
            row = connection.execute(own).mappings().one_or_none()
            if row is None:
                return
            one = enforcement_of(row)
            if one.enforced_us is not None or (one.ended_us is not None and one.ended_us < at_us):
                return
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
            same &= t.c.ended_us.is_not_distinct_from(one.ended_us)
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

    def drills(self, subject: str, limit: int) -> Sequence[AuditEntry]:
        """Return what is on record of drills of a version, newest first."""
        t = audit
        newest = select(func.max(t.c.seq)).scalar_subquery()
        wanted = select(t).where(t.c.seq > newest - LINKS_MAX, t.c.subject == subject, t.c.action.in_(DRILLS))
        with self._database.read() as connection:
            rows = connection.execute(wanted.order_by(t.c.seq.desc()).limit(limit)).mappings()
            return [audit_of(row) for row in rows]


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
