"""A locked, lost or killed neighbour: calls say so soon, nothing is half written, and a successor takes over."""

import os
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.exc import InternalError, OperationalError, ProgrammingError

from service.domain.errors import BadRequest, Unavailable
from service.domain.ids import Position
from service.ports import Outcome, StaleControl
from service.settings import Settings
from service.store import Store, open_store
from service.store.engine import Database
from service.wiring import build_runtime, build_worker
from tests.fakes import InMemoryStore, ManualClock
from tests.integration.store import samples as s
from tests.pg import Postgres

ROOT = Path(__file__).parents[3]
SHORT = 0.2


@pytest.fixture
def impatient(store_url: str) -> Iterator[Store]:
    store = open_store(store_url, timeout_seconds=SHORT)
    yield store
    store.close()


@contextmanager
def _other_connection(path: Path, *statements: str) -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(path, isolation_level=None)
    for statement in statements:
        connection.execute(statement).fetchall()
    try:
        yield connection
    finally:
        connection.close()


@pytest.fixture
def sqlite_store(tmp_path: Path, sqlite_template: Path) -> Iterator[tuple[Path, Store]]:
    path = tmp_path / "state.db"
    path.write_bytes(sqlite_template.read_bytes())
    store = open_store(f"sqlite:///{path}", timeout_seconds=SHORT)
    yield path, store
    store.close()


def test_sqlite_reads_go_on_while_another_process_prepares_a_write(sqlite_store: tuple[Path, Store]) -> None:
    path, store = sqlite_store
    with _other_connection(path, "BEGIN IMMEDIATE", "UPDATE control SET revision = 99"):
        assert store.read.revision() == 0


def test_sqlite_reads_and_writes_say_unavailable_while_the_file_is_locked(sqlite_store: tuple[Path, Store]) -> None:
    path, store = sqlite_store
    with _other_connection(path, "BEGIN EXCLUSIVE"):
        with pytest.raises(Unavailable, match="locked"):
            store.read.revision()
        with pytest.raises(Unavailable, match="locked"), store.control.write() as tx:
            tx.fleet()
    assert store.read.revision() == 0


def test_a_commit_that_a_reader_blocks_is_no_commit(sqlite_store: tuple[Path, Store]) -> None:
    path, store = sqlite_store
    with (
        _other_connection(path, "BEGIN", "SELECT * FROM control"),
        pytest.raises(Unavailable),
        store.control.write() as tx,
    ):
        s.registered(tx)
    assert list(store.read.models()) == []
    with store.control.write() as tx:
        s.registered(tx)


def test_an_interrupted_write_of_a_killed_process_is_rolled_back_by_the_next_reader(
    sqlite_store: tuple[Path, Store],
) -> None:
    path, store = sqlite_store
    script = (
        "import os, signal, sqlite3\n"
        f"c = sqlite3.connect({str(path)!r}, isolation_level=None)\n"
        "c.execute('PRAGMA cache_size = 1')\n"
        "c.execute('BEGIN EXCLUSIVE')\n"
        "c.execute('UPDATE control SET revision = 99')\n"
        "c.execute('CREATE TABLE big AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 5000)"
        " SELECT i, randomblob(100) FROM n')\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    killed = subprocess.run([sys.executable, "-c", script], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert path.with_name(path.name + "-journal").stat().st_size > 0
    assert store.read.revision() == 0


def test_a_write_waits_for_the_other_writer_only_so_long(impatient: Store, store_url: str) -> None:
    other = Database(store_url, timeout_seconds=5.0)
    with other.write(), pytest.raises(Unavailable), impatient.control.write() as tx:
        tx.fleet()
    other.close()
    with impatient.control.write() as tx:
        assert list(tx.fleet()) == []


def test_a_postgres_that_is_not_there_is_unavailable(tmp_path: Path) -> None:
    with pytest.raises(Unavailable):
        open_store(f"postgresql://postgres@/x?host={tmp_path}", timeout_seconds=SHORT)


def test_a_lost_connection_is_replaced(postgres: Postgres, postgres_template: str) -> None:
    store = open_store(postgres.database(postgres_template), timeout_seconds=5.0)
    assert store.read.revision() == 0
    killer = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND datname = :d"
    admin = Database(postgres.url("postgres"), timeout_seconds=5.0)
    with admin._writer.begin() as connection:
        connection.execute(text(killer), {"d": store._database.url.database})
    admin.close()
    assert store.read.revision() == 0
    store.close()


def test_a_bug_does_not_look_like_an_outage(store_url: str) -> None:
    database = Database(store_url, timeout_seconds=SHORT)
    with pytest.raises((OperationalError, ProgrammingError), match="nonsense"), database.read() as connection:
        connection.execute(text("SELECT * FROM nonsense"))
    database.close()


def test_reading_connections_cannot_write(store_url: str) -> None:
    database = Database(store_url, timeout_seconds=SHORT)
    with (
        pytest.raises((InternalError, Unavailable), match=r"read-?only"),
        database.read() as connection,
    ):
        connection.execute(text("UPDATE control SET revision = 5"))
    database.close()


@pytest.mark.parametrize("kind", ["memory", "postgres"])
def test_a_silent_worker_is_replaced_when_its_lease_ends_and_then_cannot_commit(
    kind: str, request: pytest.FixtureRequest, clock: ManualClock
) -> None:
    store: Store | InMemoryStore = InMemoryStore()
    if kind == "postgres":
        server: Postgres = request.getfixturevalue("postgres")
        url = server.database(request.getfixturevalue("postgres_template"))
        store = open_store(url, timeout_seconds=5.0)
    silent, successor = store.worker("one", 10.0, clock), store.worker("two", 10.0, clock)
    outcome = Outcome(first=silent.position(), last=Position(5), revision=silent.revision())
    clock.advance(9.9)
    with pytest.raises(Unavailable, match="one"):
        successor.position()
    clock.advance(0.2)
    assert successor.position() == 0
    with pytest.raises(StaleControl, match=r"two|lease"):
        silent.commit(outcome)
    with pytest.raises(Unavailable, match="two"):
        silent.position()
    assert store.read.worker().position == 0
    store.close()


HOLD_LEASE = """
import sys, time
from service.clock import SystemClock
from service.store import open_store
worker = open_store(sys.argv[1], timeout_seconds=5.0).worker("killed", 3600.0, SystemClock())
print(worker.position(), flush=True)
time.sleep(60)
"""


def test_the_successor_of_a_killed_worker_takes_over_at_once_on_sqlite(sqlite_store: tuple[Path, Store]) -> None:
    path, store = sqlite_store
    command = [sys.executable, "-c", HOLD_LEASE, f"sqlite:///{path}"]
    clock = ManualClock(s.T0)
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as first:
        assert first.stdout is not None
        assert first.stdout.readline() == "0\n"
        successor = store.worker("next", 10.0, clock)
        with pytest.raises(Unavailable, match=str(first.pid)):
            successor.position()
        os.kill(first.pid, signal.SIGKILL)
    successor.commit(Outcome(first=successor.position(), last=Position(3), revision=successor.revision()))
    assert store.read.worker().position == 3
    successor.close()


def test_closing_the_store_gives_the_lease_back(store_url: str, clock: ManualClock) -> None:
    for owner in ("one", "two"):
        store = open_store(store_url, timeout_seconds=5.0)
        assert store.worker(owner, 3_600.0, clock).position() == 0
        store.close()


def test_the_files_of_a_new_store_are_private(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    open_store(f"sqlite:///{path}", timeout_seconds=5.0).close()
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_changed_link_of_the_audit_chain_is_found(sql_store: Store) -> None:
    with sql_store.control.write() as tx:
        for number in range(2_500):
            tx.audit(s.ANNA, "x", f"s{number}", "", s.at(number))
    assert sql_store.read.verify_chain() is None
    with sql_store._database.write() as connection:
        connection.execute(text("UPDATE audit SET subject = 'forged' WHERE seq = 1700"))
    assert sql_store.read.verify_chain() == 1700
    with sql_store._database.write() as connection:
        connection.execute(text("DELETE FROM audit WHERE seq = 1001"))
    assert sql_store.read.verify_chain() == 1001


def test_what_the_store_cannot_hold_is_not_a_bug_of_ours(store_url: str) -> None:
    """PostgreSQL refuses NUL even in a name that is looked for; SQLite finds nothing."""
    store = open_store(store_url, timeout_seconds=SHORT)
    try:
        with suppress(BadRequest):
            assert store.read.model("\x00") is None
        with suppress(BadRequest):
            assert store.read.incident("\x00") is None
        assert store.read.model("after it") is None, "the connection is good for the next request"
    finally:
        store.close()


def test_who_is_patient_waits_for_a_commit_that_takes_long(tmp_path: Path, sqlite_template: Path) -> None:
    path = tmp_path / "state.db"
    path.write_bytes(sqlite_template.read_bytes())
    url = f"sqlite:///{path}"
    hasty, patient = open_store(url, timeout_seconds=30.0), open_store(url, timeout_seconds=30.0, patient=True)
    locker = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    locker.execute("BEGIN EXCLUSIVE")
    with pytest.raises(Unavailable, match="locked"):
        hasty.read.revision()
    release = threading.Timer(1.0, lambda: locker.execute("COMMIT"))
    release.start()
    assert patient.read.revision() == 0
    release.join()
    for one in (locker, hasty, patient):
        one.close()


@pytest.mark.parametrize(("build", "patient"), [(build_runtime, False), (build_worker, True)])
def test_the_worker_is_patient_and_who_answers_is_not(
    build: Callable[[Settings], object], patient: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Opened(Exception):
        """Far enough."""

    def note(_url: str, **given: object) -> None:
        assert given["patient"] is patient
        raise Opened

    monkeypatch.setattr("service.wiring.open_store", note)
    with pytest.raises(Opened):
        build(Settings(data_dir=tmp_path / "data"))
