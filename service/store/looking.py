"""What only the console's pages ask: light columns of few rows."""

from collections.abc import Sequence

from sqlalchemy import case, func, or_, select

from service.domain.ids import Micros, VersionId
from service.domain.records import Incident, Severity
from service.domain.redteam import RedTeamRun
from service.ports_console import BaselineMark, CoursePoint, Unresolved
from service.store import tables
from service.store.engine import Database
from service.store.queries import select_incidents
from service.store.read import WINDOWS_MAX
from service.store.rows import incident_of, redteam_of

_SEVERITIES = tuple(Severity)
_RANKS = {severity.value: rank for rank, severity in enumerate(_SEVERITIES)}


class SqlLooking:
    """Looking over SQL."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def unresolved(self) -> Sequence[Unresolved]:
        """Return the versions that have unresolved incidents."""
        t = tables.incidents
        worst = func.max(case(_RANKS, value=t.c.severity))
        wanted = (
            select(t.c.version_id, func.count().label("incidents"), worst.label("worst"))
            .where(t.c.resolved_us.is_(None))
            .group_by(t.c.version_id)
            .order_by(t.c.version_id)
        )
        with self._database.read() as connection:
            return [
                Unresolved(version_id=row.version_id, incidents=row.incidents, severity=_SEVERITIES[row.worst])
                for row in connection.execute(wanted)
            ]

    def course(self, version_id: VersionId, level: str, first_us: Micros, last_us: Micros) -> Sequence[CoursePoint]:
        """Return the windows that start within [first, last], oldest first."""
        t = tables.windows
        wanted = (
            select(t.c.start_us, t.c.baseline_id, t.c.events, t.c.evidence_log_max)
            .where(t.c.version_id == version_id, t.c.level == level, t.c.start_us.between(first_us, last_us))
            .order_by(t.c.start_us)
            .limit(WINDOWS_MAX)
        )
        with self._database.read() as connection:
            return [
                CoursePoint(
                    start_us=row.start_us,
                    baseline_id=row.baseline_id,
                    events=row.events,
                    evidence_log_max=row.evidence_log_max,
                )
                for row in connection.execute(wanted)
            ]

    def baselines(self, version_id: VersionId, limit: int) -> Sequence[BaselineMark]:
        """Return the baselines of a version, newest first."""
        t = tables.baselines
        wanted = (
            select(t.c.id, t.c.digest, t.c.rows, t.c.created_us, t.c.created_by)
            .where(t.c.version_id == version_id)
            .order_by(t.c.seq.desc())
            .limit(limit)
        )
        with self._database.read() as connection:
            return [
                BaselineMark(
                    id=row.id,
                    digest=row.digest,
                    rows=row.rows,
                    created_us=row.created_us,
                    created_by=row.created_by,
                )
                for row in connection.execute(wanted)
            ]

    def incidents_within(
        self, version_id: VersionId, first_us: Micros, last_us: Micros, limit: int
    ) -> Sequence[Incident]:
        """Return the incidents of a version that were unresolved at some time within [first, last], newest first."""
        t = tables.incidents
        wanted = (
            select_incidents()
            .where(
                t.c.version_id == version_id,
                t.c.opened_us <= last_us,
                or_(t.c.resolved_us.is_(None), t.c.resolved_us >= first_us),
            )
            .order_by(t.c.opened_us.desc(), t.c.id.desc())
            .limit(limit)
        )
        with self._database.read() as connection:
            return [incident_of(row) for row in connection.execute(wanted).mappings()]

    def redteam(self, version_id: VersionId) -> RedTeamRun | None:
        """Return the latest red-team run of a version; one that another release cannot read is as if there was none."""
        t = tables.redteam_runs
        with self._database.read() as connection:
            row = connection.execute(select(t).where(t.c.version_id == version_id)).mappings().one_or_none()
            return None if row is None else redteam_of(row)
