"""What pages that list and compare read: parts of long lists."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, Select, Table, case, exists, func, literal, or_, select

from service.domain.enforcement import Enforcement
from service.domain.ids import Actor, Micros, VersionId
from service.domain.incidents import LinkKind
from service.domain.records import AuditEntry, Incident, IncidentStatus, Severity
from service.domain.reviews import Proposal, ProposalStatus
from service.ports_pages import Alike, AuditNames, AuditWanted, IncidentsFound, IncidentsWanted, Models
from service.store.enforcements import enforcement_of
from service.store.engine import Database
from service.store.queries import select_incidents
from service.store.reviews import proposal_of
from service.store.rows import audit_of, incident_of
from service.store.tables import alerts, approvals, audit, incidents, models, versions, windows
from service.store.tables_beside import enforcements
from service.store.tables_incidents import incident_links
from service.store.tables_review import proposals

ALERTS_READ = 2_000
"""Alerts whose columns are read to find incidents that are alike."""
WORST_FIRST = {severity.value: -rank for rank, severity in enumerate(Severity)}


class SqlPageStore:
    """PageStore over SQL."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def incidents(self, wanted: IncidentsWanted, limit: int, offset: int) -> IncidentsFound:
        """Return a part of the incidents looked for: those nobody has resolved first, the worst first, newest first."""
        t = incidents
        conditions = _conditions(wanted)
        joined = t.join(versions, versions.c.id == t.c.version_id).join(models, models.c.id == versions.c.model_id)
        counted = select(t.c.status, func.count()).select_from(joined).where(*conditions).group_by(t.c.status)
        is_over = t.c.status == IncidentStatus.RESOLVED.value
        rank = case((is_over, 1), else_=case(WORST_FIRST, value=t.c.severity, else_=0))
        rows = select_incidents().where(*conditions)
        if wanted.statuses is not None:
            rows = rows.where(t.c.status.in_([one.value for one in wanted.statuses]))
        rows = rows.order_by(rank, t.c.opened_us.desc(), t.c.id.desc()).limit(limit).offset(offset)
        with self._database.read() as connection:
            numbers = {IncidentStatus(status): number for status, number in connection.execute(counted)}
            found = [incident_of(row) for row in connection.execute(rows).mappings()]
        counts = [number for one, number in numbers.items() if wanted.statuses is None or one in wanted.statuses]
        return IncidentsFound(rows=found, total=sum(counts), by_status=numbers)

    def alike(self, incident: Incident, names: Models, limit: int) -> Sequence[Alike]:
        """Return earlier incidents of the same cause but merged ones: of the version, of the model, then newest first.

        A part is returned: were they the newest ones alone, others of a large fleet would push out the version's own.
        """
        t = incidents
        merged = exists().where(incident_links.c.incident_id == t.c.id, incident_links.c.kind == LinkKind.MERGED.value)
        earlier = select_incidents().where(
            t.c.cause == incident.cause.value, t.c.opened_us <= incident.opened_us, t.c.id != incident.id, ~merged
        )
        near = case((t.c.version_id == incident.version_id, 0), (models.c.name == incident.model, 1), else_=2)
        earlier = earlier.where(*_visible(names)).order_by(near, t.c.opened_us.desc(), t.c.id.desc()).limit(limit)
        with self._database.read() as connection:
            found = [incident_of(row) for row in connection.execute(earlier).mappings()]
            columns = select(alerts.c.incident_id, alerts.c.columns)
            columns = columns.where(alerts.c.incident_id.in_([one.id for one in found])).limit(ALERTS_READ)
            blamed: dict[str, set[str]] = {}
            for incident_id, text in connection.execute(columns):
                named = msgspec.json.decode(text, type=list[_Blamed])
                blamed.setdefault(incident_id, set()).update(one.name for one in named)
        return [Alike(incident=one, columns=frozenset(blamed.get(one.id, ()))) for one in found]

    def audit(self, wanted: AuditWanted, limit: int) -> Sequence[AuditEntry]:
        """Return links of the audit chain, newest first."""
        t = audit
        rows: Select[Any] = select(t).where(*_audited(wanted)).limit(limit)
        if wanted.after is not None:
            rows = rows.where(t.c.seq > wanted.after).order_by(t.c.seq)
        else:
            rows = rows.order_by(t.c.seq.desc())
        if wanted.before is not None:
            rows = rows.where(t.c.seq < wanted.before)
        with self._database.read() as connection:
            found = [audit_of(row) for row in connection.execute(rows).mappings()]
        return sorted(found, key=lambda entry: -entry.seq)

    def audit_names(self, limit: int) -> AuditNames:
        """Return who has done something, and what was done, by name."""
        with self._database.read() as connection:
            actors, actions = (
                connection.execute(select(column).distinct().order_by(column).limit(limit)).scalars().all()
                for column in (audit.c.actor, audit.c.action)
            )
        return AuditNames(actors=actors, actions=actions)

    def proposals(self, limit: int) -> Sequence[Proposal]:
        """Return the baselines of all versions that wait for people, oldest first, without their artefacts."""
        t = proposals
        wanted = select(*_without(t, "artefact")).where(t.c.status == ProposalStatus.PROPOSED.value)
        wanted = wanted.order_by(t.c.created_us, t.c.id).limit(limit)
        with self._database.read() as connection:
            return [proposal_of(row) for row in connection.execute(wanted).mappings()]

    def proposal(self, proposal_id: str) -> Proposal | None:
        """Return one, with its artefact."""
        with self._database.read() as connection:
            wanted = select(proposals).where(proposals.c.id == proposal_id)
            row = connection.execute(wanted).mappings().one_or_none()
            return None if row is None else proposal_of(row)

    def approvals(self) -> Mapping[VersionId, Sequence[Actor]]:
        """Return who has asked for the pending release of each version, in order."""
        t = approvals
        current = (versions.c.id == t.c.version_id) & (versions.c.lock == t.c.lock)
        wanted = select(t.c.version_id, t.c.actor).join(versions, current).order_by(t.c.seq)
        found: dict[VersionId, list[Actor]] = {}
        with self._database.read() as connection:
            for version_id, actor in connection.execute(wanted):
                found.setdefault(version_id, []).append(actor)
        return found

    def enforcement(self, version_id: VersionId) -> Enforcement | None:
        """Return whether the newest quarantine of a version is obeyed."""
        t = enforcements
        wanted = select(t).where(t.c.version_id == version_id).order_by(t.c.lock.desc()).limit(1)
        with self._database.read() as connection:
            row = connection.execute(wanted).mappings().one_or_none()
            return None if row is None else enforcement_of(row)

    def events_since(self, version_id: VersionId, since_us: Micros) -> int:
        """Return how many events a version has had since a minute."""
        t = windows
        wanted = select(func.coalesce(func.sum(t.c.events), 0))
        wanted = wanted.where(t.c.version_id == version_id, t.c.level == "1m", t.c.start_us >= since_us)
        with self._database.read() as connection:
            return int(connection.execute(wanted).scalar_one())


class _Blamed(msgspec.Struct, frozen=True):
    name: str


def _without(table: Table, heavy: str) -> list[Any]:
    """Return the columns of a table with an empty one in place of the heavy one."""
    return [literal(b"").label(heavy) if column.name == heavy else column for column in table.c]


def _visible(names: Models) -> list[ColumnElement[bool]]:
    return [] if names is None else [models.c.name.in_(sorted(names))]


def _conditions(wanted: IncidentsWanted) -> list[ColumnElement[bool]]:
    """Return all that is looked for but the status."""
    t, found = incidents, _visible(wanted.models)
    if wanted.model is not None:
        found.append(models.c.name == wanted.model)
    if wanted.severity is not None:
        found.append(t.c.severity == wanted.severity.value)
    if wanted.cause is not None:
        found.append(t.c.cause == wanted.cause.value)
    if wanted.assignee is not None:
        found.append(t.c.assignee == wanted.assignee)
    if wanted.versions is not None:
        found.append(t.c.version_id.in_(sorted(wanted.versions)))
    return found


def _audited(wanted: AuditWanted) -> list[ColumnElement[bool]]:
    t, found = audit, []
    if wanted.actor is not None:
        found.append(t.c.actor == wanted.actor)
    if wanted.action is not None:
        found.append(or_(t.c.action == wanted.action, _begins(t.c.action, f"{wanted.action}.")))
    if wanted.since_us is not None:
        found.append(t.c.at_us >= wanted.since_us)
    if wanted.until_us is not None:
        found.append(t.c.at_us < wanted.until_us)
    own = None if wanted.model is None else frozenset({wanted.model})
    found += [_about(sorted(names)) for names in (wanted.models, own) if names is not None]
    return found


def _about(names: Sequence[str]) -> ColumnElement[bool]:
    """Return whether a link is about one of some models, a version or a principal of it, or one of its incidents."""
    t = audit
    mine = select(incidents.c.id).join(versions, versions.c.id == incidents.c.version_id)
    mine = mine.join(models, models.c.id == versions.c.model_id).where(models.c.name.in_(names))
    # Keys have ids that could be the name of a model: what is said of keys is about none.
    of_models = [or_(t.c.subject == name, _begins(t.c.subject, f"{name}/")) for name in names]
    about_keys = or_(_begins(t.c.action, "key."), _begins(t.c.action, "notification."))
    return or_(t.c.subject.in_(mine), or_(*of_models) & ~about_keys) if names else literal(value=False)


def _begins(column: ColumnElement[str], text: str) -> ColumnElement[bool]:
    """Return whether a text begins so, letter for letter: LIKE of SQLite takes capitals for small letters."""
    return func.substr(column, 1, len(text)) == text
