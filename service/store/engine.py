"""Connections: short reads, and writes that hold the store's one write lock from their first line on."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url, select
from sqlalchemy.exc import DataError, DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from service.domain.errors import BadRequest, Unavailable
from service.store.errors import StoreRefused
from service.store.tables import control

READ_TIMEOUT_SECONDS = 0.5
"""How long a read waits while SQLite is committing, before it says that the store is unavailable: where people and
gateways wait for the answer, and what was known last is served meanwhile."""
POOL_SIZE = 8

SQLITE_AWAY = frozenset(
    {
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_PROTOCOL,
    }
)
"""The file is locked, full or gone. Any other operational error is a bug and must not look like an outage."""


class Database:
    """The engines of one process over one store.

    SQLite uses a rollback journal: the file is written by several processes, and SQLite up to 3.51.2 can corrupt a
    write-ahead log that way. Who is ``patient`` lets reads wait as long as writes.
    """

    def __init__(self, url: str, *, timeout_seconds: float, patient: bool = False) -> None:
        self.url = parse_url(url)
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        if self.is_sqlite:
            read_seconds = timeout_seconds if patient else min(timeout_seconds, READ_TIMEOUT_SECONDS)
            self._writer = _sqlite_engine(self.url, timeout_seconds, begin="BEGIN IMMEDIATE", pool_size=1)
            self._reader = _sqlite_engine(self.url, read_seconds, begin="BEGIN", pool_size=POOL_SIZE, query_only=True)
        else:
            self._writer = _postgres_engine(self.url, timeout_seconds)
            self._reader = _postgres_engine(self.url, timeout_seconds, read_only=True)

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Open a read transaction with one unchanging view of the store; raise Unavailable when it is away."""
        with mapped_errors("read"), self._reader.connect() as connection:
            yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """Open a write transaction that holds the write lock; it commits when the block ends without an exception."""
        with mapped_errors("written"), self._writer.begin() as connection:
            if not self.is_sqlite:  # BEGIN IMMEDIATE has taken SQLite's only lock already
                connection.execute(select(control.c.revision).with_for_update())
            yield connection

    def give_way(self, call: Callable[[], None]) -> None:
        """Have something called after every statement of a write transaction."""
        event.listen(self._writer, "after_cursor_execute", lambda *_: call())

    def close(self) -> None:
        """Close every connection."""
        self._writer.dispose()
        self._reader.dispose()


def parse_url(url: str) -> URL:
    """Return the URL with its driver, or raise StoreRefused for a database that is not supported."""
    parsed = make_url(url)
    backend = parsed.get_backend_name()
    if backend == "postgresql":
        if find_spec("psycopg") is None:
            raise StoreRefused("a state store in PostgreSQL needs its driver: pip install 'lazaretto[postgres]'")
        return parsed.set(drivername="postgresql+psycopg")
    if backend != "sqlite":
        raise StoreRefused(f"unknown kind of state store '{backend}'; supported: sqlite:///path, postgresql://...")
    if parsed.database in {None, "", ":memory:"}:
        raise StoreRefused(f"the state store needs a file: '{url}' names none")
    return parsed


def sqlite_path(url: URL) -> Path:
    """Return the file of an SQLite URL."""
    return Path(url.database or "")


@contextmanager
def mapped_errors(done: str) -> Iterator[None]:
    """Turn what a lost or locked database raises into Unavailable; let everything else through.

    What a column cannot hold is the asker's fault: PostgreSQL takes no NUL, not even in a name that is looked for.
    """
    try:
        yield
    except PoolTimeout as error:
        raise Unavailable(f"the state store cannot be {done}: all connections are busy") from error
    except DataError as error:
        raise BadRequest("the request has a character or a number that the state store cannot hold") from error
    except (OperationalError, InterfaceError) as error:
        if not _is_away(error):
            raise
        raise Unavailable(f"the state store cannot be {done}: {error.orig}") from error


def _is_away(error: DBAPIError) -> bool:
    code = getattr(error.orig, "sqlite_errorcode", None)
    return code is None or code & 0xFF in SQLITE_AWAY


def _sqlite_engine(url: URL, timeout_seconds: float, *, begin: str, pool_size: int, query_only: bool = False) -> Engine:
    engine = create_engine(
        url,
        connect_args={"timeout": timeout_seconds, "isolation_level": None},
        pool_size=pool_size,
        max_overflow=0,
        pool_timeout=timeout_seconds,
    )

    @event.listens_for(engine, "connect")
    def _configure(connection: sqlite3.Connection, _: object) -> None:
        cursor = connection.cursor()
        for pragma in (
            "journal_mode = DELETE",
            "synchronous = FULL",
            "foreign_keys = ON",
            "trusted_schema = OFF",
            "cell_size_check = ON",
            f"query_only = {'ON' if query_only else 'OFF'}",
        ):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        connection.exec_driver_sql(begin)

    return engine


def _postgres_engine(url: URL, timeout_seconds: float, *, read_only: bool = False) -> Engine:
    milliseconds = round(timeout_seconds * 1000)
    limits = [f"lock_timeout={milliseconds}", f"statement_timeout={milliseconds}"]
    limits.append(f"idle_in_transaction_session_timeout={milliseconds * 6}")
    if read_only:
        limits.append("default_transaction_read_only=on")
    return create_engine(
        url,
        connect_args={
            "connect_timeout": max(1, round(timeout_seconds)),
            "options": " ".join(f"-c {limit}" for limit in limits),
        },
        isolation_level="REPEATABLE READ" if read_only else "READ COMMITTED",
        pool_size=POOL_SIZE,
        max_overflow=0,
        pool_timeout=timeout_seconds,
        pool_pre_ping=True,
    )
