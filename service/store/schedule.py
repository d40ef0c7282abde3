"""The schedule of red-team runs: one row, and whoever changes it first has it."""

from sqlalchemy import Connection, select

from service.domain.ids import Actor, Micros
from service.domain.schedule import Outcome, Schedule
from service.store.changes import append_audit, upsert
from service.store.engine import Database
from service.store.tables_beside import redteam_schedule

ROW = 1
SUBJECT = "redteam.schedule"


class SqlSchedule:
    """The schedule over SQL."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def read(self) -> Schedule:
        """Return where it stands; as new when nothing was ever scheduled."""
        with self._database.read() as connection:
            return _read(connection)

    def claim(self, owner: str, now_us: Micros, every_us: int, lease_us: int) -> bool:
        """Begin a run, when one is due and no other replica is at it; tell whether it is the owner's."""
        with self._database.write() as connection:
            begun = _read(connection).claimed(owner, now_us, every_us, lease_us)
            if begun is None:
                return False
            _write(connection, begun)
            append_audit(connection, Actor(owner), "redteam.begin", SUBJECT, f"missed {begun.missed}", now_us)
            return True

    def end(self, owner: str, now_us: Micros, outcome: Outcome, detail: str) -> bool:
        """End a run; tell whether it was still the owner's."""
        with self._database.write() as connection:
            ended = _read(connection).ended(owner, now_us, outcome, detail)
            if ended is None:
                return False
            _write(connection, ended)
            append_audit(connection, Actor(owner), "redteam.end", SUBJECT, f"{outcome}: {ended.detail}", now_us)
            return True


def _read(connection: Connection) -> Schedule:
    row = connection.execute(select(redteam_schedule)).mappings().one_or_none()
    if row is None:
        return Schedule()
    values = {name: value for name, value in row.items() if name != "id"}
    return Schedule(**values | {"outcome": Outcome(row["outcome"])})


def _write(connection: Connection, schedule: Schedule) -> None:
    names = Schedule.__dataclass_fields__
    values = {name: getattr(schedule, name) for name in names} | {"outcome": schedule.outcome.value}
    upsert(connection, redteam_schedule, [values | {"id": ROW}])
