"""The telemetry log in one SQLite file, with segment files for large bodies: durable on one machine, no server needed.

Exactly one connection writes and checkpoints, kept apart from other processes by a lock file, because SQLite up to
3.51.2 can corrupt a write-ahead log when two connections write or checkpoint at once. Readers open the file read-only.

Deleted entries leave free pages that later entries use, so the file stops growing but does not shrink. Positions are
given by the writer: the newest entry is never deleted, so they never repeat.

A group with large bodies is synced twice: the bodies in their segment first, then the rows that say where they lie. So
a row never refers to bytes that a crash could take away.
"""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from service.domain.errors import Conflict
from service.domain.ids import Micros, Position
from service.filelock import FileLock, Locked
from service.log.errors import AppendFailed, LogRefused
from service.log.plan import Known, Name, Placed, Plan, plan
from service.log.segments import LARGE_BYTES, WORTH_BYTES, Place, SegmentWriter, folder_of
from service.log.sqlite_file import FORMAT, check_format, identity, last_entry, segment_sizes, upgrade, used_bytes
from service.log.sqlite_reader import SqliteLogReader
from service.ports import Appended, NewEntry

TRIM_ENTRIES = 4_096
TRIM_BYTES = 8 * 1024 * 1024
"""At most this much is deleted from the file at once, so that no append waits long for it; segments go as a whole."""

PRAGMAS = (
    "page_size = 4096",  # large bodies lie elsewhere; a commit of a few small ones writes little
    "journal_mode = WAL",
    "synchronous = FULL",  # NORMAL would not sync before the answer
    # 4 MiB. A checkpoint runs inside a commit, and its length is the tail of the acknowledgement.
    "wal_autocheckpoint = 1000",
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
INSERT_LARGE = """
    INSERT INTO entries
        (position, arrival_us, kind, version_id, batch_id, rows, idempotency_key, digest, receipt, body,
         segment, segment_start, segment_bytes)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""
RECORD = "INSERT INTO segments (number, bytes) VALUES (?, ?) ON CONFLICT (number) DO UPDATE SET bytes = excluded.bytes"
FIND = """
    SELECT position, arrival_us, digest, receipt, batch_id FROM entries WHERE version_id = ? AND idempotency_key = ?
"""
OLDEST = """
    SELECT position, length(body), segment, segment_start, segment_bytes FROM entries
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
        self._segments = SegmentWriter(folder_of(path))
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
        except (sqlite3.Error, OSError) as error:
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
            self._insert(connection, planned)
            connection.execute("COMMIT")
        if planned.placed:
            self._last = (planned.placed[-1].position, planned.arrival_us)
        return planned.answers

    def trim(self, up_to: Position, *, before_us: Micros, bytes_max: int) -> bool:
        """Delete a bounded number of the oldest entries, then the segments that hold nothing else."""
        with self._writing() as connection:
            used = used_bytes(connection) + self._segments.used_bytes
            limit_us = self._last[1] + 1 if used > bytes_max else before_us
            oldest = connection.execute(OLDEST, (up_to, self._last[0], limit_us, TRIM_ENTRIES)).fetchall()
            last = _last_to_go(oldest, used - bytes_max if used > bytes_max else None)
            if last is None:
                return False
            done = self._segments.done(last)
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("DELETE FROM entries WHERE position <= ?", (last,))
            connection.executemany("DELETE FROM segments WHERE number = ?", [(number,) for number in done])
            connection.execute("COMMIT")
            large = [Place(*row[2:]) for row in oldest if row[0] <= last and row[2] is not None]
            self._segments.drop(done, large[-1] if large else None)
        return True

    def tidy(self) -> None:
        """Move the write-ahead log into the file, as far as no reader is in the way."""
        with self._writing() as connection:
            connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()

    def reader(self) -> SqliteLogReader:
        """Return a reader of the same file."""
        return SqliteLogReader(self._path)

    def close(self) -> None:
        """Close the files, then let the next process in."""
        self._segments.close()
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        self._lock.release()

    def _prepare(self, connection: sqlite3.Connection) -> None:
        log_format = check_format(connection, self._path)
        for pragma in PRAGMAS:
            connection.execute(f"PRAGMA {pragma}").fetchall()
        if log_format < FORMAT:
            upgrade(connection, log_format)
        self._adopt(connection)

    def _adopt(self, connection: sqlite3.Connection) -> None:
        """Go on from what is committed."""
        self._last = last_entry(connection)
        self._segments.open(identity(connection), segment_sizes(connection))

    def _insert(self, connection: sqlite3.Connection, planned: Plan) -> None:
        small, large = _split(planned.placed)
        connection.executemany(INSERT, [_row(p, planned.arrival_us, p.entry.body) for p in small])
        if not large:
            return
        places = self._segments.write(planned.placed[0].position, [placed.entry.body for placed in large])
        rows = [
            (*_row(placed, planned.arrival_us, b""), place.segment, place.start, place.size)
            for placed, place in zip(large, places, strict=True)
        ]
        connection.executemany(INSERT_LARGE, rows)
        connection.execute(RECORD, (places[-1].segment, places[-1].end))

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        """Give the connection; when anything fails, roll back and say whether the log can go on."""
        connection = self._connection
        if connection is None:
            raise AppendFailed("it is not open", fatal=True)
        try:
            yield connection
        except (sqlite3.Error, AppendFailed) as error:
            try:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                self._adopt(connection)
            except (sqlite3.Error, OSError, LogRefused) as second:
                raise AppendFailed(f"{error}, and then {second}", fatal=True) from error
            raise AppendFailed(str(error), fatal=_is_fatal(error)) from error


def _is_fatal(error: sqlite3.Error | AppendFailed) -> bool:
    if isinstance(error, AppendFailed):
        return error.fatal
    return getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF in FATAL


def _last_to_go(
    oldest: Sequence[tuple[int, int, int | None, int | None, int | None]], excess: int | None
) -> int | None:
    """Return the last entry to delete at once: as much of the file as may go, and of a log too big not more."""
    last, inline, total = None, 0, 0
    for position, size, _, _, segment_bytes in oldest:
        inline += size
        total += size + (segment_bytes or 0)
        if last is not None and (inline > TRIM_BYTES or (excess is not None and total > excess)):
            break
        last = position
    return last


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


def _split(placed: Sequence[Placed]) -> tuple[Sequence[Placed], Sequence[Placed]]:
    """Return the entries whose body goes into the database, and those whose body goes into a segment."""
    large = [p for p in placed if len(p.entry.body) >= LARGE_BYTES]
    if sum(len(p.entry.body) for p in large) < WORTH_BYTES:
        return placed, []
    return [p for p in placed if len(p.entry.body) < LARGE_BYTES], large


def _row(placed: Placed, arrival_us: Micros, body: bytes) -> tuple[object, ...]:
    e = placed.entry
    return (
        placed.position,
        arrival_us,
        e.kind.value,
        e.version_id,
        e.batch_id,
        e.rows,
        e.idempotency_key,
        e.digest,
        e.receipt,
        body,
    )
