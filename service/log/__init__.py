"""The telemetry log: durable before it is acknowledged."""

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

from service.log.errors import LogRefused
from service.log.figures import BOUNDS, Latency, LogFigures
from service.log.sqlite import SqliteStorage
from service.log.sqlite_reader import SqliteLogReader
from service.log.storage import ClosingLogReader, Storage
from service.log.writer import GroupCommitLog, LogLimits
from service.ports import Clock
from service.settings import Settings

__all__ = [
    "BOUNDS",
    "ClosingLogReader",
    "GroupCommitLog",
    "Latency",
    "LogFigures",
    "LogLimits",
    "LogRefused",
    "open_log",
    "open_reader",
]

SQLITE = "sqlite:///"
POSTGRES = ("postgresql://", "postgresql+psycopg://")


def open_log(url: str, settings: Settings, clock: Clock, *, mark_after: float = 1.0) -> GroupCommitLog:
    """Return the log at ``url``, not started yet; ``start`` opens it."""
    storage: Storage
    if url.startswith(SQLITE):
        storage = SqliteStorage(_path(url), timeout_seconds=settings.store_timeout_seconds)
    elif url.startswith(POSTGRES):
        _require_driver()
        from service.log.postgres import PostgresStorage

        storage = PostgresStorage(_conninfo(url), timeout_seconds=settings.store_timeout_seconds)
    else:
        raise LogRefused(_unknown(url))
    return GroupCommitLog(storage, LogLimits.from_settings(settings), clock, mark_after=mark_after)


def open_reader(url: str, *, give_way: Callable[[], None] | None = None) -> ClosingLogReader:
    """Return a reader of the log at ``url``; it may be there or come later.

    ``give_way`` is called between two pieces of a long read from files: who shares the processor may be more urgent.
    """
    if url.startswith(SQLITE):
        return SqliteLogReader(_path(url), give_way=give_way)
    if url.startswith(POSTGRES):
        _require_driver()
        from service.log.postgres_reader import PostgresLogReader

        return PostgresLogReader(_conninfo(url))
    raise LogRefused(_unknown(url))


def _require_driver() -> None:
    if find_spec("psycopg") is None:
        raise LogRefused("a telemetry log in PostgreSQL needs its driver: pip install 'lazaretto[postgres]'")


def _path(url: str) -> Path:
    path = url.removeprefix(SQLITE)
    if not path or path == ":memory:":
        raise LogRefused(f"the telemetry log needs a file: '{url}' names none")
    return Path(path)


def _conninfo(url: str) -> str:
    return url.replace("postgresql+psycopg://", "postgresql://", 1)


def _unknown(url: str) -> str:
    scheme = url.split("://", 1)[0]
    return f"unknown kind of telemetry log '{scheme}'; supported: sqlite:///path, postgresql://..."
