"""The read side of the PostgreSQL log."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from threading import Lock

import psycopg

from service.domain.errors import Unavailable
from service.domain.ids import Micros, Position, VersionId
from service.log.paging import last_that_fits
from service.log.postgres_schema import is_there
from service.ports import EntryKind, LogEntry

SIZES = """
    SELECT position, octet_length(body) FROM telemetry_log WHERE position > %s ORDER BY position LIMIT %s
"""
READ = """
    SELECT position, arrival_us, kind, version_id, rows, body FROM telemetry_log
    WHERE position > %s AND position <= %s ORDER BY position
"""


def connect(conninfo: str, timeout_seconds: float, *options: str) -> psycopg.Connection:
    """Connect in autocommit mode, with a deadline on everything."""
    milliseconds = round(timeout_seconds * 1000)
    limits = (f"statement_timeout={milliseconds}", f"lock_timeout={milliseconds}", *options)
    return psycopg.connect(
        conninfo,
        autocommit=True,
        connect_timeout=max(1, round(timeout_seconds)),
        options=" ".join(f"-c {limit}" for limit in limits),
    )


class PostgresLogReader:
    """Reads the log from any process and thread, also before its tables are there."""

    def __init__(self, conninfo: str, *, timeout_seconds: float = 5.0) -> None:
        self._conninfo = conninfo
        self._timeout = timeout_seconds
        self._lock = Lock()
        self._connection: psycopg.Connection | None = None

    def read(self, after: Position, *, max_entries: int, max_bytes: int) -> Sequence[LogEntry]:
        """Return the entries after a position, in order, at least one if there is one."""
        with self._reading() as connection:
            if connection is None:
                return []
            sizes = connection.execute(SIZES, (after, max_entries)).fetchall()
            last = last_that_fits(sizes, max_bytes)
            rows = [] if last is None else connection.execute(READ, (after, last), binary=True).fetchall()
        return [_entry(*row) for row in rows]

    def head(self) -> Position:
        """Return the position of the last durable entry, 0 when empty."""
        with self._reading() as connection:
            row = (
                None if connection is None else connection.execute("SELECT position FROM telemetry_log_head").fetchone()
            )
        return Position(0 if row is None else row[0])

    def check(self) -> None:
        """Raise Unavailable when the server is away; its tables are its own to check."""
        with self._reading():
            pass

    def close(self) -> None:
        """Close; a later read opens again."""
        with self._lock:
            self._drop()

    @contextmanager
    def _reading(self) -> Iterator[psycopg.Connection | None]:
        """Give the connection, or None while no writer has made the tables yet."""
        with self._lock:
            try:
                if self._connection is None:
                    self._connection = connect(self._conninfo, self._timeout, "default_transaction_read_only=on")
                if not is_there(self._connection):
                    self._drop()
                yield self._connection
            except psycopg.OperationalError as error:
                self._drop()
                raise Unavailable(f"the telemetry log cannot be read: {error}") from error

    def _drop(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _entry(position: int, arrival_us: int, kind: str, version_id: int, rows: int, body: bytes) -> LogEntry:
    return LogEntry(
        position=Position(position),
        arrival_us=Micros(arrival_us),
        kind=EntryKind(kind),
        version_id=VersionId(version_id),
        rows=rows,
        body=bytes(body),
    )
