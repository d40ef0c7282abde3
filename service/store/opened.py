"""What follows in the store from new incidents: frozen evidence, and what came back. And the windows of maintenance."""

import hashlib
from collections.abc import Sequence
from dataclasses import replace

import msgspec
from sqlalchemy import ColumnElement, Connection, RowMapping, exists, insert, select

from service.domain.ids import Micros
from service.domain.incidents import Frozen, FrozenRedTeam, LinkKind, Maintenance, regress_us, regressed
from service.domain.policy import Cause, Policy
from service.domain.records import Incident, IncidentStatus, TimelineItem
from service.ports import SYSTEM, Outcome
from service.store.audit import canonical
from service.store.changes import add_to_timeline
from service.store.queries import select_incidents
from service.store.rows import alert_values, incident_of, redteam_of
from service.store.tables import alerts, incidents, models, redteam_runs, versions
from service.store.tables_incidents import evidence, incident_links, maintenance

MAINTENANCE_KEPT_US = 8 * 86_400_000_000
"""The worker may be so far behind and still heed a window as it was."""
EARLIER_MAX = 50
NAMED_MAX = 50
SECONDS_US = 1_000_000


def settle_opened(connection: Connection, outcome: Outcome) -> None:
    """Write the evidence of new incidents, and say which of them are returns."""
    for one in outcome.frozen:
        _keep(connection, one)
    for incident in outcome.incidents:
        subjects = {alert_values(alert)["subject"] for alert in outcome.alerts if alert.incident_id == incident.id}
        _note_regression(connection, incident, sorted(subjects))


def windows_after(
    connection: Connection, after_us: int, model: str | None = None, limit: int | None = None
) -> list[Maintenance]:
    """Return windows of maintenance that end after a time, by their start."""
    t = maintenance
    wanted = select(t, models.c.name.label("model")).join(models, models.c.id == t.c.model_id)
    wanted = wanted.where(t.c.end_us > after_us).order_by(t.c.start_us, t.c.id).limit(limit)
    if model is not None:
        wanted = wanted.where(models.c.name == model)
    found = [_window_of(row) for row in connection.execute(wanted).mappings()]
    return [one for one in found if one.over_us > after_us]


def merged_parts(connection: Connection) -> list[Incident]:
    """Return unresolved incidents under the causes of those that were merged into them, so that new alerts follow.

    An attacker's alerts find their incident by the attacker.
    """
    t = incident_links
    has_parts = exists().where(t.c.other_id == incidents.c.id, t.c.kind == LinkKind.MERGED.value)
    wholes = {
        incident.id: incident
        for row in connection.execute(select_incidents().where(incidents.c.resolved_us.is_(None), has_parts)).mappings()
        for incident in [incident_of(row)]
    }
    if not wholes:
        return []
    of_wholes = t.c.other_id.in_(list(wholes))
    wanted = select_incidents().add_columns(t.c.other_id.label("whole_id"))
    wanted = wanted.join(t, (t.c.incident_id == incidents.c.id) & (t.c.kind == LinkKind.MERGED.value))
    found = []
    for row in connection.execute(wanted.where(of_wholes).order_by(t.c.at_us)).mappings():
        part = incident_of(row)
        if part.cause is not Cause.ADVERSARIAL:
            whole = wholes[row["whole_id"]]
            found.append(
                replace(whole, cause=part.cause, version_id=part.version_id, model=part.model, version=part.version)
            )
    return found


def _window_of(row: RowMapping) -> Maintenance:
    return Maintenance(**{str(name): value for name, value in row.items() if name != "model_id"})


def _keep(connection: Connection, frozen: Frozen) -> None:
    """Write the evidence once; its digest goes to the timeline, and with it into the audit chain."""
    t = redteam_runs
    row = connection.execute(select(t).where(t.c.version_id == frozen.version_id)).mappings().one_or_none()
    run = None if row is None else redteam_of(row)
    if run is not None:
        summary = run.summary
        state = FrozenRedTeam(
            at_us=run.at_us,
            plan=summary.plan,
            complete=summary.complete,
            blind=tuple(sorted({row.attack for row in summary.attacks if row.blind}))[:NAMED_MAX],
            broken=tuple(row.scenario for row in summary.scenarios if row.outcome == "broken")[:NAMED_MAX],
        )
        frozen = msgspec.structs.replace(frozen, redteam=state)
    body = canonical(frozen)
    digest = hashlib.sha256(body.encode()).hexdigest()
    values = {"incident_id": frozen.incident_id, "at_us": frozen.at_us, "digest": digest, "body": body}
    connection.execute(insert(evidence).values(values))
    item = TimelineItem(at_us=Micros(frozen.at_us), actor=SYSTEM, kind="evidence", body=f"frozen, sha256 {digest}")
    add_to_timeline(connection, frozen.incident_id, item)


def _note_regression(connection: Connection, incident: Incident, subjects: Sequence[str]) -> None:
    owner = select(models.c.policy).join(versions, versions.c.model_id == models.c.id)
    text = connection.execute(owner.where(versions.c.id == incident.version_id)).scalar_one()
    within_us = regress_us(msgspec.json.decode(text, type=Policy))
    earlier = regressed(incident, _over_since(connection, incident, subjects, incident.opened_us - within_us))
    if earlier is None or earlier.resolved_us is None:
        return
    link = {"incident_id": incident.id, "kind": LinkKind.REGRESSED.value, "other_id": earlier.id}
    connection.execute(insert(incident_links).values(**link, at_us=incident.opened_us))
    after = (incident.opened_us - earlier.resolved_us) // SECONDS_US
    was = earlier.verdict or "over by itself"
    body = f"the cause of incident '{earlier.id}' is back, {after} s after it was settled ({was})"
    for incident_id, kind, said in (
        (incident.id, "regressed", body),
        (earlier.id, "returned", f"its cause is back: incident '{incident.id}'"),
    ):
        item = TimelineItem(at_us=incident.opened_us, actor=SYSTEM, kind=kind, body=said)
        add_to_timeline(connection, incident_id, item)


def _over_since(connection: Connection, incident: Incident, subjects: Sequence[str], since_us: int) -> list[Incident]:
    """Return what was over since a time and had the same cause, and an alert about the same subject."""
    same: ColumnElement[bool] = (incidents.c.version_id == incident.version_id) & (
        incidents.c.cause == incident.cause.value
    )
    about = exists().where(alerts.c.incident_id == incidents.c.id, alerts.c.subject.in_(subjects))
    wanted = (
        select_incidents()
        .where(same, incidents.c.status == IncidentStatus.RESOLVED.value, incidents.c.id != incident.id)
        .where(incidents.c.resolved_us >= since_us, about)
        .order_by(incidents.c.resolved_us.desc())
        .limit(EARLIER_MAX)
    )
    return [incident_of(row) for row in connection.execute(wanted).mappings()]
