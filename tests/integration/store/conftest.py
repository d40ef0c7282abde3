"""Stores and logs of every kind, so that one suite holds them all to the same behaviour."""

import asyncio
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from service.log import open_log, open_reader
from service.ports import LogReader, TelemetryLog
from service.settings import Settings
from service.store import Store, open_store
from service.store.migrate import upgrade
from tests.fakes import InMemoryLog, InMemoryStore, ManualClock
from tests.pg import Postgres, run_postgres

AnyStore = Store | InMemoryStore
TIMEOUT_SECONDS = 5.0


@dataclass(frozen=True)
class LogPair:
    """Both sides of one log."""

    log: TelemetryLog
    reader: LogReader


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    with run_postgres() as server:
        yield server


@pytest.fixture(scope="session")
def postgres_template(postgres: Postgres) -> str:
    """Return the name of a database that has the schema already."""
    url = postgres.database()
    upgrade(url)
    return url.split("/")[3].split("?")[0]


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a file that has the schema already."""
    path = tmp_path_factory.mktemp("template") / "state.db"
    upgrade(f"sqlite:///{path}")
    return path


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture(params=["sqlite", "postgres"])
def store_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Return the URL of an empty store with its schema."""
    if request.param == "postgres":
        server: Postgres = request.getfixturevalue("postgres")
        return server.database(request.getfixturevalue("postgres_template"))
    path = tmp_path / "state.db"
    shutil.copy(request.getfixturevalue("sqlite_template"), path)
    return f"sqlite:///{path}"


@pytest.fixture(params=["sqlite", "postgres"])
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Return the URL of a database without anything in it."""
    if request.param == "postgres":
        server: Postgres = request.getfixturevalue("postgres")
        return server.database()
    return f"sqlite:///{tmp_path / 'data' / 'state.db'}"


@pytest.fixture
def sql_store(store_url: str) -> Iterator[Store]:
    store = open_store(store_url, timeout_seconds=TIMEOUT_SECONDS)
    yield store
    store.close()


@pytest.fixture(params=["memory", "sqlite", "postgres"])
def log(request: pytest.FixtureRequest, tmp_path: Path, clock: ManualClock) -> Iterator[LogPair]:
    """Give an empty, running log of every kind."""
    if request.param == "memory":
        fake = InMemoryLog(clock)
        yield LogPair(fake, fake)
        return
    url = f"sqlite:///{tmp_path / 'telemetry.db'}"
    if request.param == "postgres":
        server: Postgres = request.getfixturevalue("postgres")
        url = server.database()
    reader = open_reader(url)
    started = open_log(url, Settings(), clock, mark_after=1e9)
    started.start()
    yield LogPair(started, reader)
    reader.close()
    asyncio.run(started.close())


@pytest.fixture(params=["memory", "sqlite", "postgres"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[AnyStore]:
    """Give an empty store of every kind."""
    if request.param == "memory":
        yield InMemoryStore()
        return
    if request.param == "postgres":
        server: Postgres = request.getfixturevalue("postgres")
        url = server.database(request.getfixturevalue("postgres_template"))
    else:
        path = tmp_path / "state.db"
        shutil.copy(request.getfixturevalue("sqlite_template"), path)
        url = f"sqlite:///{path}"
    opened = open_store(url, timeout_seconds=TIMEOUT_SECONDS)
    yield opened
    opened.close()
