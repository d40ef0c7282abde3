"""What the quality of alerts is counted from, read for many incidents and versions at once."""

import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

import msgspec
from sqlalchemy import Select, exists, func, select

from service.domain.ids import Micros
from service.domain.incidents import Exposure, Judged, LinkKind
from service.domain.policy import Cause, Policy
from service.domain.records import Verdict
from service.store.engine import Database
from service.store.tables import WATCHED, incidents, models, versions, windows
from service.store.tables_incidents import incident_links

CAUSES = {cause.value: cause for cause in Cause}
HOUR_US = 3_600_000_000
KEPT_SECONDS, KEPT_MAX = 30.0, 16
"""How long a count of hours stands: a version is watched for another hour once an hour. And how many are kept."""
VERDICTS: dict[str | None, Verdict | None] = {None: None} | {verdict.value: verdict for verdict in Verdict}


def judged_since(
    database: Database, start_us: Micros, limit: int, of: Collection[str] | None = None
) -> Sequence[Judged]:
    """Return what there is to judge alerts by since a time, newest first, without incidents that are part of others.

    ``of`` names the models that are asked about; ``None`` is all of them.
    """
    t = incidents
    merged = exists().where(incident_links.c.incident_id == t.c.id, incident_links.c.kind == LinkKind.MERGED.value)
    wanted = (
        select(t.c.version_id, t.c.cause, t.c.verdict, t.c.opened_us, t.c.acknowledged_us, t.c.resolved_us)
        .where(t.c.opened_us >= start_us, ~merged)
        .order_by(t.c.opened_us.desc(), t.c.id)
        .limit(limit)
    )
    owners = select(versions.c.id, models.c.name).join(models, models.c.id == versions.c.model_id)
    if of is not None:
        named = models.c.name.in_(of)
        owners = owners.where(named)
        wanted = wanted.where(t.c.version_id.in_(select(versions.c.id).join(models).where(named)))
    with database.read() as connection:
        names = {one.id: one.name for one in connection.execute(owners)}
        rows = connection.execute(wanted).all()
    return [
        Judged(names[version_id], CAUSES[cause], VERDICTS[verdict], opened, seen, resolved)
        for version_id, cause, verdict, opened, seen, resolved in rows
    ]


@dataclass(slots=True)
class Watched:
    """Counts the hours that versions were watched, the same ones at most once in ``KEPT_SECONDS``."""

    database: Database
    _known: dict[int, tuple[float, Mapping[int, int]]] = field(default_factory=dict, init=False)

    def since(self, start_us: Micros) -> Sequence[Exposure]:
        """Return for how long each version was watched since a time."""
        first = -(-start_us // HOUR_US)
        at, hours = self._known.get(first, (-KEPT_SECONDS, {}))
        owners = select(versions.c.id, models.c.name, models.c.policy).join(models, models.c.id == versions.c.model_id)
        with self.database.read() as connection:
            if time.monotonic() - at >= KEPT_SECONDS:
                hours = {row[0]: row[1] for row in connection.execute(_hours(first * HOUR_US))}
                self._keep(first, hours)
            rows = connection.execute(owners.order_by(versions.c.id)).all()
        # Most models of a fleet have the same policy: it is read once.
        policies = {text: msgspec.json.decode(text, type=Policy) for text in {row.policy for row in rows}}
        return [
            Exposure(version_id=version_id, model=name, hours=hours[version_id], policy=policies[policy])
            for version_id, name, policy in rows
            if hours.get(version_id)
        ]

    def _keep(self, first: int, hours: Mapping[int, int]) -> None:
        now = time.monotonic()
        fresh = {key: one for key, one in self._known.items() if now - one[0] < KEPT_SECONDS}
        while len(fresh) >= KEPT_MAX:
            fresh.pop(min(fresh, key=lambda key: fresh[key][0]))
        self._known = {**fresh, first: (now, hours)}


def _hours(start_us: int) -> Select[int, int]:
    """Select how many hours each version was watched, one by one: so the index of just these hours is used."""
    t = windows
    number = (
        select(func.count())
        .where(t.c.version_id == versions.c.id, WATCHED, t.c.start_us >= start_us)
        .correlate(versions)
        .scalar_subquery()
    )
    return select(versions.c.id, number)
