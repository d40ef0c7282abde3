"""The read side of the SQLite log, for the worker's process and for the head of the log."""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from urllib.parse import quote

from service.domain.errors import Unavailable
from service.domain.ids import Micros, Position, VersionId
from service.log.paging import last_that_fits
from service.log.sqlite_file import check_format, last_entry
from service.ports import EntryKind, LogEntry

TIMEOUT_SECONDS = 1.0
SIZES = "SELECT position, length(body) FROM entries WHERE position > ? ORDER BY position LIMIT ?"
READ = """
    SELECT position, arrival_us, kind, version_id, rows, body FROM entries
    WHERE position > ? AND position <= ? ORDER BY position
"""


class SqliteLogReader:
    """Reads the log from any process and thread, also before the file is there; no read outlives its call."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = Lock()
        self._connection: sqlite3.Connection | None = None

    def read(self, after: Position, *, max_entries: int, max_bytes: int) -> Sequence[LogEntry]:
        """Return the entries after a position, in order, at least one if there is one."""
        with self._reading() as connection:
            if connection is None:
                return []
            sizes = connection.execute(SIZES, (after, max_entries)).fetchall()
            last = last_that_fits(sizes, max_bytes)
            rows = [] if last is None else connection.execute(READ, (after, last)).fetchall()
        return [_entry(*row) for row in rows]

    def head(self) -> Position:
        """Return the position of the last durable entry, 0 when empty."""
        with self._reading() as connection:
            return Position(0) if connection is None else last_entry(connection)[0]

    def close(self) -> None:
        """Close; a later read opens again."""
        with self._lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection | None]:
        """Give the connection, or None while the writer has not made the file and its tables yet."""
        with self._lock:
            try:
                if self._connection is None:
                    self._connection = _connect(self._path)
                yield self._connection
            except sqlite3.OperationalError as error:
                raise Unavailable(f"the telemetry log '{self._path}' cannot be read: {error}") from error


def _connect(path: Path) -> sqlite3.Connection | None:
    if not path.exists():
        return None
    # mode=ro: this connection can neither write nor run the checkpoint that closing a last connection would.
    connection = sqlite3.connect(
        f"file:{quote(str(path))}?mode=ro",
        uri=True,
        isolation_level=None,
        timeout=TIMEOUT_SECONDS,
        check_same_thread=False,
    )
    keep = False
    try:
        for pragma in ("query_only = ON", "wal_autocheckpoint = 0", "mmap_size = 0", "trusted_schema = OFF"):
            connection.execute(f"PRAGMA {pragma}").fetchall()
        keep = check_format(connection, path) > 0
    finally:
        if not keep:
            connection.close()
    return connection if keep else None


def _entry(position: int, arrival_us: int, kind: str, version_id: int, rows: int, body: bytes) -> LogEntry:
    return LogEntry(
        position=Position(position),
        arrival_us=Micros(arrival_us),
        kind=EntryKind(kind),
        version_id=VersionId(version_id),
        rows=rows,
        body=body,
    )
