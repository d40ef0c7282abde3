"""What the quality of alerts is counted from, read for many incidents and versions at once."""

from collections.abc import Sequence

import msgspec
from sqlalchemy import exists, func, select

from service.domain.ids import Micros
from service.domain.incidents import Exposure, Judged, LinkKind
from service.domain.policy import Cause, Policy
from service.domain.records import Verdict
from service.store.engine import Database
from service.store.tables import incidents, models, versions, windows
from service.store.tables_incidents import incident_links

CAUSES = {cause.value: cause for cause in Cause}
VERDICTS = {None: None, **{verdict.value: verdict for verdict in Verdict}}


def judged_since(database: Database, start_us: Micros, limit: int) -> Sequence[Judged]:
    """Return what there is to judge alerts by since a time, newest first, without incidents that are part of others."""
    t = incidents
    merged = exists().where(incident_links.c.incident_id == t.c.id, incident_links.c.kind == LinkKind.MERGED.value)
    wanted = (
        select(t.c.version_id, t.c.cause, t.c.verdict, t.c.opened_us, t.c.acknowledged_us, t.c.resolved_us)
        .where(t.c.opened_us >= start_us, ~merged)
        .order_by(t.c.opened_us.desc(), t.c.id)
        .limit(limit)
    )
    owners = select(versions.c.id, models.c.name).join(models, models.c.id == versions.c.model_id)
    with database.read() as connection:
        names = {one.id: one.name for one in connection.execute(owners)}
        rows = connection.execute(wanted).all()
    return [
        Judged(names[version_id], CAUSES[cause], VERDICTS[verdict], opened, seen, resolved)
        for version_id, cause, verdict, opened, seen, resolved in rows
    ]


def exposures_since(database: Database, start_us: Micros) -> Sequence[Exposure]:
    """Return for how long each version was watched since a time."""
    t = windows
    counted = (
        select(t.c.version_id, func.count().label("hours"))
        .where(t.c.level == "1h", t.c.events > 0, t.c.start_us >= start_us)
        .group_by(t.c.version_id)
        .subquery()
    )
    wanted = (
        select(counted.c.version_id, counted.c.hours, models.c.name, models.c.policy)
        .join(versions, versions.c.id == counted.c.version_id)
        .join(models, models.c.id == versions.c.model_id)
        .order_by(counted.c.version_id)
    )
    with database.read() as connection:
        rows = connection.execute(wanted).all()
    # Most models of a fleet have the same policy: it is read once.
    policies = {text: msgspec.json.decode(text, type=Policy) for text in {row.policy for row in rows}}
    return [
        Exposure(version_id=version_id, model=name, hours=hours, policy=policies[policy])
        for version_id, hours, name, policy in rows
    ]
