"""Transcripts of accused principals: written with the pass that accuses, read and erased on record, then deleted."""

from collections.abc import Sequence

from sqlalchemy import Connection, delete, func, select, tuple_, update

from service.domain.adversarial import Transcript
from service.domain.ids import Actor, Micros
from service.domain.principals import PrincipalTier
from service.domain.records import Incident
from service.domain.transcripts import ERASED_KEPT_US, KEPT_OF_TIER, Drawn, TranscriptRecord
from service.ports import SYSTEM
from service.store.audit import canonical
from service.store.changes import append_audit, upsert
from service.store.engine import Database
from service.store.rows import values_of
from service.store.tables_beside import transcripts


def save_transcripts(connection: Connection, drawn: Sequence[Drawn]) -> None:
    """Write what a pass has drawn: never over what was erased, and over another one only where there is news."""
    if not drawn:
        return
    t = transcripts
    keys = [(one.record.alert_id, one.record.principal) for one in drawn]
    there = select(t.c.alert_id, t.c.principal, t.c.erased_us).where(tuple_(t.c.alert_id, t.c.principal).in_(keys))
    erased = {(row.alert_id, row.principal): row.erased_us is not None for row in connection.execute(there)}
    wanted = [
        one.record
        for one, key in zip(drawn, keys, strict=True)
        if key not in erased or (one.replaces and not erased[key])
    ]
    rows = [values_of(one, tier=one.tier.value, policy=one.policy.value) for one in wanted]
    upsert(connection, transcripts, rows)
    for version_id, tier in sorted({(one.version_id, one.tier.value) for one in wanted}):
        own = (t.c.version_id == version_id) & (t.c.tier == tier) & t.c.erased_us.is_(None)
        newest = select(t.c.alert_id, t.c.principal).where(own)
        newest = newest.order_by(t.c.drawn_us.desc(), t.c.alert_id, t.c.principal).limit(KEPT_OF_TIER)
        connection.execute(delete(t).where(own, tuple_(t.c.alert_id, t.c.principal).not_in(newest)))


class SqlTranscripts:
    """TranscriptStore over SQL."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def read(self, incident: Incident, actor: Actor, now_us: Micros, limit: int) -> Sequence[TranscriptRecord]:
        """Return those of an incident that are not over, newest first; who read them stands in the audit chain."""
        t = transcripts
        wanted = select(t).where(t.c.incident_id == incident.id, t.c.until_us > now_us)
        wanted = wanted.order_by(t.c.drawn_us.desc(), t.c.alert_id, t.c.principal).limit(limit)
        with self._database.write() as connection:
            found = [_record(dict(row)) for row in connection.execute(wanted).mappings()]
            samples = sum(one.sample is not None for one in found)
            detail = canonical({"incident_id": incident.id, "transcripts": len(found), "samples": samples})
            append_audit(connection, actor, "transcript.read", f"{incident.model}/{incident.version}", detail, now_us)
        return found

    def erase(self, incident: Incident, actor: Actor, reason: str, now_us: Micros) -> int:
        """Erase all those of an incident, on record, and return how many there were.

        What stays says that they were erased: nothing is drawn in their place.
        """
        t = transcripts
        gone = {"body": "", "key_id": None, "sample": None, "erased_us": now_us, "erased_by": actor}
        with self._database.write() as connection:
            own = (t.c.incident_id == incident.id) & t.c.erased_us.is_(None)
            newest = connection.execute(select(func.max(t.c.drawn_us)).where(own)).scalar_one()
            until_us = max(now_us, newest or 0) + ERASED_KEPT_US
            number = connection.execute(update(t).where(own).values(**gone, until_us=until_us)).rowcount
            detail = canonical({"incident_id": incident.id, "transcripts": number, "reason": reason})
            append_audit(connection, actor, "transcript.erase", f"{incident.model}/{incident.version}", detail, now_us)
        return number

    def expire(self, now_us: Micros, rows: int) -> int:
        """Delete a bounded number of those that are over, on record, and return how many there were."""
        t = transcripts
        old = select(t.c.alert_id, t.c.principal).where(t.c.until_us <= now_us).limit(rows)
        with self._database.read() as connection:
            if connection.execute(old.limit(1)).first() is None:
                return 0
        with self._database.write() as connection:
            number = connection.execute(delete(t).where(tuple_(t.c.alert_id, t.c.principal).in_(old))).rowcount
            if number:
                append_audit(connection, SYSTEM, "transcript.expire", "transcripts", f"{number} are over", now_us)
        return number


def _record(row: dict[str, object]) -> TranscriptRecord:
    return TranscriptRecord(**row | {"tier": PrincipalTier(str(row["tier"])), "policy": Transcript(str(row["policy"]))})  # type: ignore[arg-type]  # the table's columns are the record's fields
