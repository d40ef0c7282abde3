"""The telemetry log in one SQLite file: durable on one machine, no server needed.

Exactly one connection writes and checkpoints, kept apart from other processes by a lock file, because SQLite up to
3.51.2 can corrupt a write-ahead log when two connections write or checkpoint at once. Readers open the file read-only.

Deleted entries leave free pages that later entries use, so the file stops growing but does not shrink. Positions are
given by the writer: the newest entry is never deleted, so they never repeat.
"""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from service.domain.errors import Conflict
from service.domain.ids import Micros, Position
from service.filelock import FileLock, Locked
from service.log.errors import AppendFailed, LogRefused
from service.log.paging import last_that_fits
from service.log.plan import Known, Name, Plan, plan
from service.log.sqlite_file import check_format, create, last_entry, used_bytes
from service.log.sqlite_reader import SqliteLogReader
from service.ports import Appended, NewEntry

TRIM_ENTRIES = 256
TRIM_BYTES = 8 * 1024 * 1024
"""At most this much is deleted at once, so that no append waits long for it."""

PRAGMAS = (
    "page_size = 16384",  # the fastest for bodies of 4 to 400 KB
    "journal_mode = WAL",
    "synchronous = FULL",  # NORMAL would not sync before the answer
    # 4 MiB, as much as one commit may hold. A checkpoint runs inside a commit, and its length is the tail of the
    # acknowledgement: SQLite's 1,000 pages, 16 MiB of ours, doubled the 99th percentile.
    "wal_autocheckpoint = 256",
    "journal_size_limit = 67108864",
    "cache_size = -16384",
    "temp_store = MEMORY",
    "mmap_size = 0",
    "foreign_keys = ON",
    "cell_size_check = ON",
    "trusted_schema = OFF",
)

INSERT = """
    INSERT INTO entries
        (position, arrival_us, kind, version_id, batch_id, rows, idempotency_key, digest, receipt, body)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""
FIND = """
    SELECT position, arrival_us, digest, receipt, batch_id FROM entries WHERE version_id = ? AND idempotency_key = ?
"""
OLDEST = """
    SELECT position, length(body) FROM entries
    WHERE position <= ? AND position < ? AND arrival_us < ? ORDER BY position LIMIT ?
"""

FATAL = frozenset(
    {
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_CORRUPT,
        sqlite3.SQLITE_INTERNAL,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_NOTADB,
        sqlite3.SQLITE_PERM,
        sqlite3.SQLITE_READONLY,
    }
)
"""Failures after which nobody knows what is on disk; after any other (a full disk, a lock) the file is as it was."""


class SqliteStorage:
    """The only writing connection to the file at ``path``."""

    def __init__(self, path: Path, *, timeout_seconds: float) -> None:
        self._path = path
        self._timeout = timeout_seconds
        self._lock = FileLock(path.with_name(path.name + ".lock"))
        self._connection: sqlite3.Connection | None = None
        self._last = (Position(0), Micros(0))

    def open(self) -> None:
        """Take the lock file, open the database, and create or check its tables."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._lock.acquire()
        except Locked as locked:
            raise LogRefused(f"the telemetry log has a writer already: {locked}") from None
        self._path.touch(mode=0o600)  # telemetry is nobody else's to read; the files beside it take the same mode
        try:
            # Opened by the thread that starts the log, used by the writer's thread only.
            self._connection = sqlite3.connect(
                self._path, isolation_level=None, timeout=self._timeout, check_same_thread=False
            )
            self._prepare(self._connection)
        except sqlite3.Error as error:
            self.close()
            raise LogRefused(f"cannot open the telemetry log '{self._path}': {error}") from error
        except LogRefused:
            self.close()
            raise

    def append(self, group: Sequence[NewEntry], now_us: Micros) -> list[Appended | Conflict]:
        """Commit a group."""
        position, arrival_us = self._last
        with self._writing() as connection:
            connection.execute("BEGIN IMMEDIATE")
            planned = plan(
                group, last=position, arrival_us=max(now_us, arrival_us), find=lambda name: _find(connection, name)
            )
            connection.executemany(INSERT, _rows(planned))
            connection.execute("COMMIT")
        if planned.placed:
            self._last = (planned.placed[-1].position, planned.arrival_us)
        return planned.answers

    def trim(self, up_to: Position, *, before_us: Micros, bytes_max: int) -> bool:
        """Delete a bounded number of the oldest entries."""
        with self._writing() as connection:
            limit_us = self._last[1] + 1 if used_bytes(connection) > bytes_max else before_us
            oldest = connection.execute(OLDEST, (up_to, self._last[0], limit_us, TRIM_ENTRIES)).fetchall()
            last = last_that_fits(oldest, TRIM_BYTES)
            if last is not None:
                connection.execute("DELETE FROM entries WHERE position <= ?", (last,))
        return last is not None

    def tidy(self) -> None:
        """Move the write-ahead log into the file, as far as no reader is in the way."""
        with self._writing() as connection:
            connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()

    def reader(self) -> SqliteLogReader:
        """Return a reader of the same file."""
        return SqliteLogReader(self._path)

    def close(self) -> None:
        """Close the connection, then let the next process in."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        self._lock.release()

    def _prepare(self, connection: sqlite3.Connection) -> None:
        log_format = check_format(connection, self._path)
        for pragma in PRAGMAS:
            connection.execute(f"PRAGMA {pragma}").fetchall()
        if not log_format:
            create(connection)
        self._last = last_entry(connection)

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        """Give the connection; when anything fails, roll back and say whether the log can go on."""
        connection = self._connection
        if connection is None:
            raise AppendFailed("it is not open", fatal=True)
        try:
            yield connection
        except sqlite3.Error as error:
            fatal = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF in FATAL
            try:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                self._last = last_entry(connection)
            except sqlite3.Error as second:
                raise AppendFailed(f"{error}, and then {second}", fatal=True) from error
            raise AppendFailed(str(error), fatal=fatal) from error


def _find(connection: sqlite3.Connection, name: Name) -> Known | None:
    row = connection.execute(FIND, name).fetchone()
    if row is None:
        return None
    position, arrival_us, digest, receipt, batch_id = row
    appended = Appended(
        position=Position(position),
        arrival_us=Micros(arrival_us),
        repeated=False,
        receipt=receipt,
        batch_id=batch_id,
    )
    return Known(appended, digest)


def _rows(planned: Plan) -> Iterator[tuple[object, ...]]:
    for place in planned.placed:
        e = place.entry
        yield (
            place.position,
            planned.arrival_us,
            e.kind.value,
            e.version_id,
            e.batch_id,
            e.rows,
            e.idempotency_key,
            e.digest,
            e.receipt,
            e.body,
        )
