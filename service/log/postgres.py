"""The telemetry log in PostgreSQL: for replicas that share one log, up to thousands of batches per second.

Positions are given under the lock of a one-row head table, held until the commit: without it a reader could see a
position whose predecessor commits later, and would skip that one for ever.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

import psycopg

from service.domain.errors import Conflict
from service.domain.ids import Micros, Position, VersionId
from service.log.errors import AppendFailed, LogRefused
from service.log.paging import last_that_fits
from service.log.plan import Known, Name, Plan, name_of, plan
from service.log.postgres_reader import PostgresLogReader, connect
from service.log.postgres_schema import prepare
from service.ports import Appended, NewEntry

TRIM_ENTRIES = 256
TRIM_BYTES = 8 * 1024 * 1024
"""At most this much is deleted at once, so that no append waits long for it."""

INSERT = """
    INSERT INTO telemetry_log
        (position, arrival_us, kind, version_id, batch_id, rows, idempotency_key, digest, receipt, body)
    VALUES (%s, %s, %s, %s, %s, %s, %s, %b, %b, %b)
"""
FIND = """
    SELECT version_id, idempotency_key, position, arrival_us, digest, receipt, batch_id
    FROM telemetry_log
    JOIN unnest(%s::bigint[], %s::text[]) AS wanted (version_id, idempotency_key) USING (version_id, idempotency_key)
"""
OLDEST = """
    SELECT position, octet_length(body) FROM telemetry_log
    WHERE position <= %s AND position < %s AND arrival_us < %s ORDER BY position LIMIT %s
"""
DELETE = """
    WITH gone AS (DELETE FROM telemetry_log WHERE position <= %s RETURNING octet_length(body) AS size)
    UPDATE telemetry_log_head SET bytes = bytes - (SELECT coalesce(sum(size), 0) FROM gone)
"""


class PostgresStorage:
    """The writing connection of one process; other processes may have theirs."""

    def __init__(self, conninfo: str, *, timeout_seconds: float) -> None:
        self._conninfo = conninfo
        self._timeout = timeout_seconds
        self._connection: psycopg.Connection | None = None

    def open(self) -> None:
        """Connect, and create or check the tables."""
        try:
            self._connect()
        except psycopg.Error as error:
            self.close()
            raise LogRefused(f"cannot open the telemetry log: {error}") from error
        except LogRefused:
            self.close()
            raise

    def append(self, group: Sequence[NewEntry], now_us: Micros) -> list[Appended | Conflict]:
        """Commit a group."""
        with self._writing() as connection, connection.transaction():
            position, arrival_us, _ = _lock_head(connection)
            known = _known(connection, group)
            planned = plan(group, last=position, arrival_us=max(now_us, arrival_us), find=known.get)
            if planned.placed:
                _insert(connection, planned)
        return planned.answers

    def trim(self, up_to: Position, *, before_us: Micros, bytes_max: int) -> bool:
        """Delete a bounded number of the oldest entries."""
        with self._writing() as connection, connection.transaction():
            newest, arrival_us, size = _lock_head(connection)
            limit_us = arrival_us + 1 if size > bytes_max else before_us
            oldest = connection.execute(OLDEST, (up_to, newest, limit_us, TRIM_ENTRIES)).fetchall()
            last = last_that_fits(oldest, TRIM_BYTES)
            if last is not None:
                connection.execute(DELETE, (last,))
        return last is not None

    def tidy(self) -> None:
        """Do nothing: the server tidies by itself."""

    def reader(self) -> PostgresLogReader:
        """Return a reader of the same tables."""
        return PostgresLogReader(self._conninfo, timeout_seconds=self._timeout)

    def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _connect(self) -> psycopg.Connection:
        if self._connection is None:
            self._connection = connect(self._conninfo, self._timeout, "synchronous_commit=on")
            prepare(self._connection)
        return self._connection

    @contextmanager
    def _writing(self) -> Iterator[psycopg.Connection]:
        """Give the connection, a new one after a failure; nothing that the server says is fatal for ever."""
        try:
            yield self._connect()
        except (psycopg.Error, LogRefused) as error:
            with suppress(psycopg.Error):
                self.close()
            self._connection = None
            raise AppendFailed(str(error), fatal=isinstance(error, LogRefused)) from error


def _lock_head(connection: psycopg.Connection) -> tuple[Position, Micros, int]:
    """Return position, arrival and size of all, and keep every other writer waiting until the transaction ends."""
    row = connection.execute("SELECT position, arrival_us, bytes FROM telemetry_log_head FOR UPDATE").fetchone()
    if row is None:
        raise AppendFailed("its head row is gone", fatal=True)
    return Position(row[0]), Micros(row[1]), int(row[2])


def _known(connection: psycopg.Connection, group: Sequence[NewEntry]) -> dict[Name, Known]:
    names = [name for entry in group if (name := name_of(entry)) is not None]
    if not names:
        return {}
    versions, keys = [version for version, _ in names], [key for _, key in names]
    known: dict[Name, Known] = {}
    for version_id, key, position, arrival_us, digest, receipt, batch_id in connection.execute(FIND, (versions, keys)):
        appended = Appended(
            position=Position(position),
            arrival_us=Micros(arrival_us),
            repeated=False,
            receipt=bytes(receipt),
            batch_id=batch_id,
        )
        known[VersionId(version_id), key] = Known(appended, bytes(digest))
    return known


def _insert(connection: psycopg.Connection, planned: Plan) -> None:
    rows = [
        (
            place.position,
            planned.arrival_us,
            place.entry.kind.value,
            place.entry.version_id,
            place.entry.batch_id,
            place.entry.rows,
            place.entry.idempotency_key,
            place.entry.digest,
            place.entry.receipt,
            place.entry.body,
        )
        for place in planned.placed
    ]
    with connection.cursor() as cursor:
        cursor.executemany(INSERT, rows)
    connection.execute(
        "UPDATE telemetry_log_head SET position = %s, arrival_us = %s, bytes = bytes + %s",
        (rows[-1][0], planned.arrival_us, sum(len(place.entry.body) for place in planned.placed)),
    )
