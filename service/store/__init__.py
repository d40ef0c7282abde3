"""The state store: SQLAlchemy and nothing above it knows."""

from collections.abc import Callable

from service.filelock import FileLock
from service.ports import Clock
from service.store.control import SqlControlStore
from service.store.enforcement_ledger import SqlEnforcementLedger
from service.store.engine import Database, sqlite_path
from service.store.errors import StoreRefused
from service.store.incident_desk import SqlIncidentDesk
from service.store.keys import SqlKeyStore
from service.store.looking import SqlLooking
from service.store.migrate import make_ready
from service.store.notified import SqlNotificationDesk
from service.store.outbox import SqlOutbox
from service.store.pages import SqlPageStore
from service.store.read import SqlReadStore
from service.store.reports import SqlReports
from service.store.reviews import SqlReviewStore
from service.store.schedule import SqlSchedule
from service.store.transcripts import SqlTranscripts
from service.store.worker import SqlWorkerStore

__all__ = ["Store", "StoreRefused", "open_store"]


class Store:
    """Every port of the state store, over the connections of one process."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.read = SqlReadStore(database)
        self.control = SqlControlStore(database)
        self.keys = SqlKeyStore(database)
        self.outbox = SqlOutbox(database)
        self.schedule = SqlSchedule(database)
        self.enforcements = SqlEnforcementLedger(database)
        self.desk = SqlNotificationDesk(database)
        self.transcripts = SqlTranscripts(database)
        self.reviews = SqlReviewStore(database)
        self.incidents = SqlIncidentDesk(database)
        self.pages = SqlPageStore(database)
        self.looking = SqlLooking(database)
        self.reports = SqlReports(database)
        self._workers: list[SqlWorkerStore] = []

    def worker(
        self, owner: str, lease_seconds: float, clock: Clock, *, give_way: Callable[[], None] | None = None
    ) -> SqlWorkerStore:
        """Return the worker's side; it takes the lease when it is first asked for its position.

        ``give_way`` is called between any two writes of this process: whoever shares the processor may be more urgent.
        """
        if give_way is not None:
            self._database.give_way(give_way)
        lock = None
        if self._database.is_sqlite:
            path = sqlite_path(self._database.url)
            lock = FileLock(path.with_name(path.name + ".worker.lock"))
        worker = SqlWorkerStore(
            self._database, owner=owner, lease_seconds=lease_seconds, clock=clock, process_lock=lock
        )
        self._workers.append(worker)
        return worker

    def close(self) -> None:
        """Give back what workers hold, and close every connection."""
        for worker in self._workers:
            worker.close()
        self._database.close()


def open_store(url: str, *, timeout_seconds: float, patient: bool = False) -> Store:
    """Open the store at ``url``; an empty one gets its tables.

    ``patient``: nobody waits for an answer. A read gives up as late as a write does, because what follows from giving
    up, as a worker that begins anew, costs more than the wait.

    Raises
    ------
    StoreRefused
        When its schema is older (run ``lazaretto migrate``) or newer (upgrade the program) than this version.
    Unavailable
        When the database cannot be reached.
    """
    make_ready(url)
    return Store(Database(url, timeout_seconds=timeout_seconds, patient=patient))
