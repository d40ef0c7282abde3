"""Reports and the rows kept for them: asked for, made by whoever claims them, read and erased on record, deleted."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import msgspec
from sqlalchemy import Connection, RowMapping, Select, delete, func, insert, literal, or_, select, update

from service.domain.adversarial import DAY_US
from service.domain.errors import Unavailable
from service.domain.ids import Actor, Micros, VersionId
from service.domain.records import Incident
from service.domain.reports import (
    DETAIL_MAX,
    WAITING,
    Part,
    ReportFacts,
    ReportRecord,
    ReportStatus,
    SampleKind,
    SampleRecord,
)
from service.domain.reviews import ProposalStatus
from service.ports import SYSTEM
from service.ports_reports import Ask, Ended, Link
from service.store.audit import GENESIS, canonical
from service.store.changes import append_audit, upsert
from service.store.engine import Database
from service.store.queries import select_incidents
from service.store.rows import audit_of, incident_of, values_of
from service.store.tables import audit, baselines, incidents, models, versions
from service.store.tables_reports import report_samples, reports
from service.store.tables_review import proposals

GIVEN_UP = "the process that made it ended"
RETRY_SECONDS = 30
PARTS = {Part.ROWS: reports.c.rows, Part.HTML: reports.c.html, Part.JSON: reports.c.json}
LIGHT = [column for column in reports.c if column.name not in {"rows", "html", "json", "owner", "lease_until_us"}]
ERASED_KEPT_US = 400 * DAY_US
"""How long it is remembered that the rows of an incident were erased: until then, none are kept of it."""


class SqlReports:
    """ReportStore over SQL."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def ask(self, ask: Ask) -> ReportRecord:
        """Let a report wait for its turn, on record; one about the same thing that waits already is returned instead.

        Raises ``Unavailable`` when too many wait.
        """
        t, one = reports, ask.record
        waits = t.c.status.in_([status.value for status in WAITING])
        span = (t.c.version_id == one.version_id) & (t.c.from_us == one.from_us) & (t.c.to_us == one.to_us)
        same = t.c.incident_id == one.incident_id if one.incident_id else span & t.c.incident_id.is_(None)
        with self._database.write() as connection:
            there = _first(connection, _select().where(same, waits))
            if there is not None:
                return there
            number = connection.execute(select(func.count()).where(waits)).scalar_one()
            if number >= ask.waiting_max:
                detail = f"{number} reports wait already; limit reports_queue_max: {ask.waiting_max}"
                raise Unavailable(detail, retry_after_seconds=RETRY_SECONDS)
            values = values_of(one, "model", "version", "parts", status=one.status.value, facts=None)
            connection.execute(insert(t).values(**values, owner=None, lease_until_us=None))
            _note(connection, one.requested_by, "report.ask", one, one.requested_us)
        return one

    def claim(self, owner: str, now_us: Micros, lease_us: int) -> ReportRecord | None:
        """Return the report whose turn it is, which is then the owner's; those that were given up are failed first."""
        t = reports
        with self._database.read() as connection:
            busy = t.c.status.in_([status.value for status in WAITING])
            if connection.execute(select(t.c.id).where(busy).limit(1)).first() is None:
                return None
        with self._database.write() as connection:
            lost = (t.c.status == ReportStatus.RUNNING.value) & (t.c.lease_until_us < now_us)
            over = {"status": ReportStatus.FAILED.value, "detail": GIVEN_UP, "ended_us": now_us}
            connection.execute(update(t).where(lost).values(**over, owner=None, lease_until_us=None))
            waiting = _select().where(t.c.status == ReportStatus.QUEUED.value)
            mine = _first(connection, waiting.order_by(t.c.requested_us, t.c.id))
            if mine is None:
                return None
            taken = {"status": ReportStatus.RUNNING.value, "owner": owner, "lease_until_us": now_us + lease_us}
            connection.execute(update(t).where(t.c.id == mine.id).values(**taken, started_us=now_us))
            return replace(mine, status=ReportStatus.RUNNING, started_us=now_us)

    def end(self, ended: Ended, kept_max: int) -> bool:
        """Write what came of a report and let the oldest give way; tell whether it was still the owner's."""
        t = reports
        status = ReportStatus.FAILED if ended.detail else ReportStatus.DONE
        values: dict[str, Any] = {
            "status": status.value,
            "detail": ended.detail[:DETAIL_MAX],
            "ended_us": ended.at_us,
            "owner": None,
            "lease_until_us": None,
            "facts": None if ended.facts is None else canonical(ended.facts),
            "key_id": ended.key_id,
            **{PARTS[part].name: content for part, content in ended.parts.items()},
        }
        mine = (t.c.id == ended.report_id) & (t.c.owner == ended.owner)
        with self._database.write() as connection:
            if connection.execute(update(t).where(mine).values(**values)).rowcount != 1:
                return False
            settled = t.c.ended_us.is_not(None)
            newest = select(t.c.id).where(settled).order_by(t.c.ended_us.desc(), t.c.id).limit(kept_max)
            connection.execute(delete(t).where(settled, t.c.id.not_in(newest)))
            return True

    def report(self, report_id: str, now_us: Micros) -> ReportRecord | None:
        """Return one report."""
        with self._database.read() as connection:
            return _first(connection, _select().where(reports.c.id == report_id, reports.c.until_us > now_us))

    def newest(self, incident_id: str, now_us: Micros, part: Part | None = None) -> ReportRecord | None:
        """Return the newest report about an incident; with a part, the newest that has it."""
        t = reports
        wanted = _select().where(t.c.incident_id == incident_id, t.c.until_us > now_us)
        if part is not None:
            wanted = wanted.where(PARTS[part].is_not(None))
        with self._database.read() as connection:
            return _first(connection, wanted.order_by(t.c.requested_us.desc(), t.c.id))

    def reports(self, version_id: VersionId, now_us: Micros, limit: int) -> Sequence[ReportRecord]:
        """Return the reports about a version, newest first."""
        t = reports
        wanted = _select().where(t.c.version_id == version_id, t.c.until_us > now_us)
        wanted = wanted.order_by(t.c.requested_us.desc(), t.c.id).limit(limit)
        with self._database.read() as connection:
            return [_record(row) for row in connection.execute(wanted).mappings()]

    def part(self, report_id: str, part: Part) -> bytes | None:
        """Return a part of a report, encrypted."""
        with self._database.read() as connection:
            return _part(connection, report_id, part)

    def read_rows(self, record: ReportRecord, actor: Actor, now_us: Micros) -> bytes | None:
        """Return the rows behind a report, encrypted; who read them stands in the audit chain."""
        with self._database.write() as connection:
            found = _part(connection, record.id, Part.ROWS)
            if found is not None:
                _note(connection, actor, "report.rows", record, now_us)
            return found

    def erase(self, record: ReportRecord, actor: Actor, reason: str, now_us: Micros) -> bool:
        """Erase a report, on record; tell whether it was there."""
        with self._database.write() as connection:
            gone = connection.execute(delete(reports).where(reports.c.id == record.id)).rowcount == 1
            if gone:
                _note(connection, actor, "report.erase", record, now_us, reason=reason)
            return gone

    def erase_incident(self, incident: Incident, actor: Actor, reason: str, now_us: Micros) -> int:
        """Erase the reports about an incident and its kept rows, on record; return how many reports there were.

        What stays says that they were erased: no rows are kept in their place.
        """
        with self._database.write() as connection:
            number: int = connection.execute(delete(reports).where(reports.c.incident_id == incident.id)).rowcount
            upsert(connection, report_samples, [_tombstone(incident, actor, now_us)])
            detail = canonical({"incident_id": incident.id, "reports": number, "reason": reason})
            append_audit(connection, actor, "report.erase", f"{incident.model}/{incident.version}", detail, now_us)
        return number

    def keep(self, sample: SampleRecord, kept_max: int) -> bool:
        """Keep rows unless there are some of the same subject; tell whether they were kept.

        The oldest of a kind give way, never those of the baseline in force; of a refused baseline none are kept.
        """
        s, p = report_samples, proposals
        refused = select(p.c.id).where(p.c.id == sample.subject, p.c.status == ProposalStatus.REFUSED.value)
        with self._database.write() as connection:
            there = select(s.c.subject).where(s.c.subject == sample.subject)
            if any(connection.execute(one).first() is not None for one in (there, refused)):
                return False
            connection.execute(insert(s).values(values_of(sample, kind=sample.kind.value)))
            own = (s.c.version_id == sample.version_id) & (s.c.kind == sample.kind.value) & s.c.erased_us.is_(None)
            newest = select(s.c.subject).where(own).order_by(s.c.at_us.desc(), s.c.subject).limit(kept_max)
            b = baselines
            ours = select(b.c.id).where(b.c.version_id == sample.version_id)
            in_force = ours.order_by(b.c.seq.desc()).limit(1).scalar_subquery()
            connection.execute(delete(s).where(own, s.c.subject.not_in(newest), s.c.subject.is_distinct_from(in_force)))
            return True

    def sample(self, subject: str, now_us: Micros) -> SampleRecord | None:
        """Return kept rows, or what is left of erased ones."""
        s = report_samples
        with self._database.read() as connection:
            wanted = select(s).where(s.c.subject == subject, s.c.until_us > now_us)
            row = connection.execute(wanted).mappings().one_or_none()
            return None if row is None else SampleRecord(**{**row, "kind": SampleKind(row["kind"])})

    def unsampled(
        self, since_us: Micros, until_us: Micros, limit: int, after: Incident | None = None
    ) -> Sequence[Incident]:
        """Return incidents opened in a time of which no rows are kept, oldest first; those after one of them."""
        i, s = incidents, report_samples
        kept = select(literal(1)).where(s.c.subject == i.c.id).exists()
        wanted = select_incidents().where(i.c.opened_us >= since_us, i.c.opened_us < until_us, ~kept)
        if after is not None:
            later = (i.c.opened_us == after.opened_us) & (i.c.id > after.id)
            wanted = wanted.where((i.c.opened_us > after.opened_us) | later)
        with self._database.read() as connection:
            rows = connection.execute(wanted.order_by(i.c.opened_us, i.c.id).limit(limit)).mappings()
            return [incident_of(row) for row in rows]

    def expire(self, now_us: Micros, rows: int) -> int:
        """Delete a bounded number of reports and rows that are over, and return how many there were."""
        old = [
            (reports, select(reports.c.id).where(reports.c.until_us <= now_us).limit(rows)),
            (report_samples, select(report_samples.c.subject).where(report_samples.c.until_us <= now_us).limit(rows)),
        ]
        with self._database.read() as connection:
            if all(connection.execute(wanted.limit(1)).first() is None for _, wanted in old):
                return 0
        with self._database.write() as connection:
            number = sum(
                connection.execute(delete(table).where(next(iter(table.primary_key)).in_(wanted))).rowcount
                for table, wanted in old
            )
            if number:
                append_audit(connection, SYSTEM, "report.expire", "reports", f"{number} are over", now_us)
        return number

    def waiting(self) -> int:
        """Return how many reports wait or are made."""
        waits = reports.c.status.in_([status.value for status in WAITING])
        with self._database.read() as connection:
            number: int = connection.execute(select(func.count()).where(waits)).scalar_one()
            return number

    def links_about(self, incident: Incident, until_us: Micros, limit: int) -> Sequence[Link]:
        """Return what the audit chain says of an incident, and of its version from its beginning on, in order.

        Of more than so many, the newest.
        """
        of_version = (audit.c.subject == f"{incident.model}/{incident.version}") & (
            audit.c.at_us.between(incident.opened_us, until_us)
        )
        wanted = select(audit).where(or_(audit.c.subject == incident.id, of_version))
        with self._database.read() as connection:
            newest = connection.execute(wanted.order_by(audit.c.seq.desc()).limit(limit)).mappings().all()
            rows = newest[::-1]
            before = select(audit.c.seq, audit.c.digest).where(audit.c.seq.in_([row["seq"] - 1 for row in rows]))
            digests = {row.seq: row.digest for row in connection.execute(before)}
        return [Link(audit_of(row), digests.get(row["seq"] - 1, GENESIS)) for row in rows]

    def note(self, actor: Actor, action: str, subject: str, detail: str, at_us: Micros) -> None:
        """Append to the audit chain."""
        with self._database.write() as connection:
            append_audit(connection, actor, action, subject, detail, at_us)


def _select() -> Select[Any]:
    there = [column.is_not(None).label(f"has_{part}") for part, column in PARTS.items()]
    return (
        select(*LIGHT, *there, models.c.name.label("model"), versions.c.version.label("version"))
        .join(versions, versions.c.id == reports.c.version_id)
        .join(models, models.c.id == versions.c.model_id)
    )


def _first(connection: Connection, wanted: Select[Any]) -> ReportRecord | None:
    row = connection.execute(wanted.limit(1)).mappings().first()
    return None if row is None else _record(row)


def _record(row: RowMapping) -> ReportRecord:
    has = {part: bool(row[f"has_{part}"]) for part in Part}
    values = {name: value for name, value in row.items() if not str(name).startswith("has_")}
    facts = row["facts"]
    values["facts"] = None if facts is None else _facts(facts)
    values["status"] = ReportStatus(row["status"])
    return ReportRecord(**values, parts=frozenset(part for part in Part if has[part]))


def _facts(text: str) -> ReportFacts | None:
    """Read facts; those of another release that says other things are as if there were none."""
    try:
        return msgspec.json.decode(text, type=ReportFacts)
    except msgspec.ValidationError:
        return None


def _part(connection: Connection, report_id: str, part: Part) -> bytes | None:
    return connection.execute(select(PARTS[part]).where(reports.c.id == report_id)).scalar_one_or_none()


def _note(
    connection: Connection, actor: Actor, action: str, record: ReportRecord, at_us: Micros, *, reason: str = ""
) -> None:
    detail = {"report_id": record.id, "incident_id": record.incident_id} | ({"reason": reason} if reason else {})
    append_audit(connection, actor, action, f"{record.model}/{record.version}", canonical(detail), at_us)


def _tombstone(incident: Incident, actor: Actor, now_us: Micros) -> dict[str, Any]:
    return {
        "subject": incident.id,
        "kind": SampleKind.INCIDENT.value,
        "version_id": incident.version_id,
        "rows": 0,
        "at_us": now_us,
        "until_us": now_us + ERASED_KEPT_US,
        "key_id": None,
        "sample": None,
        "erased_us": now_us,
        "erased_by": actor,
    }
