"""Contained principals, and incidents that turned out worse: what the worker writes, and what is swept."""

from collections.abc import Sequence

from sqlalchemy import Connection, delete, func, select, tuple_, update

from service.domain.adversarial import DAY_US
from service.domain.policy import Cause
from service.domain.principals import Containment, ContainmentState
from service.domain.records import Alert, IncidentStatus, Raised
from service.ports import SYSTEM
from service.store.audit import canonical
from service.store.changes import append_audit, require_version, upsert
from service.store.rows import alert_of, containment_values
from service.store.tables import alerts, containments, incidents

CONTAINMENTS_KEPT_US = 30 * DAY_US
"""How long one that is over can still be looked at; the audit chain keeps it for ever."""


def recent_alerts(connection: Connection) -> list[Alert]:
    """Return closed alerts about adversarial use that were opened within a day of the newest one.

    Arrival times never decrease: whatever is judged next looks back over a part of this day, whatever a clock says.
    """
    about_use = alerts.c.cause == Cause.ADVERSARIAL.value
    newest: int | None = connection.execute(select(func.max(alerts.c.opened_us)).where(about_use)).scalar_one()
    wanted = select(alerts).where(about_use, alerts.c.status == "closed", alerts.c.opened_us > (newest or 0) - DAY_US)
    rows = connection.execute(wanted.order_by(alerts.c.opened_us, alerts.c.id)).mappings()
    return [alert_of(row) for row in rows]


def contain_principals(connection: Connection, changed: Sequence[Containment]) -> None:
    """Write containments, each with its audit record."""
    upsert(connection, containments, [containment_values(one) for one in changed])
    for one in changed:
        version = require_version(connection, one.version_id)
        subject = f"{version.model}/{version.version}/{one.principal}"
        if one.state is ContainmentState.CONTAINED:
            detail = {"tier": one.tier, "until_us": one.until_us, "reason": one.reason, "incident_id": one.incident_id}
            append_audit(connection, SYSTEM, "principal.contain", subject, canonical(detail), one.renewed_us)
        elif one.lifted_us is not None:
            append_audit(connection, SYSTEM, "principal.lift", subject, "another one needed its place", one.lifted_us)


def raise_incidents(connection: Connection, raised: Sequence[Raised]) -> None:
    """Let incidents that nobody has resolved be as severe as they turned out to be."""
    for one in raised:
        unsettled = (incidents.c.id == one.incident_id) & (incidents.c.status != IncidentStatus.RESOLVED.value)
        values = {"severity": one.severity.value, "title": one.title, "lock": incidents.c.lock + 1}
        connection.execute(update(incidents).where(unsettled).values(values))


def sweep_containments(connection: Connection, *, before_us: int, rows: int) -> None:
    """Delete a bounded number of containments that have been over for long."""
    key = tuple_(containments.c.version_id, containments.c.principal)
    old = select(containments.c.version_id, containments.c.principal).where(containments.c.until_us < before_us)
    connection.execute(delete(containments).where(key.in_(old.limit(rows))))
