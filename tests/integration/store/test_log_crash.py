"""A writer that is killed in the middle of its work has lost nothing that it acknowledged."""

import asyncio
import hashlib
import signal
import subprocess
import sys
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from threading import Thread
from time import monotonic

import psycopg
import pytest

from service.clock import SystemClock
from service.domain.errors import Unavailable
from service.domain.ids import Position, VersionId
from service.log import LogRefused, open_log, open_reader
from service.log.postgres import PostgresStorage
from service.log.sqlite import SqliteStorage
from service.ports import Appended, EntryKind, LogEntry, NewEntry
from service.settings import Settings
from tests.fakes import ManualClock
from tests.pg import Postgres

ROOT = Path(__file__).parents[3]
WRITER = """
import asyncio, hashlib, os, sys
from itertools import count
from service.clock import SystemClock
from service.domain.ids import VersionId
from service.log import open_log
from service.ports import EntryKind, NewEntry
from service.settings import Settings

async def client(log, numbers):
    for n in numbers:
        key = f"{sys.argv[2]}-{n}"
        body = hashlib.sha256(key.encode()).digest() * (1 + n * 31 % 6000)
        entry = NewEntry(kind=EntryKind.BATCH, version_id=VersionId(1), batch_id=key, rows=1, body=body,
                         idempotency_key=key)
        answer = await log.append(entry)
        os.write(1, f"{key} {answer.position}\\n".encode())

async def main():
    log = open_log(sys.argv[1], Settings(), SystemClock())
    log.start()
    numbers = count()
    await asyncio.gather(*(client(log, numbers) for _ in range(16)))

asyncio.run(main())
"""

DIES_BETWEEN = """
import os, signal, sys
from pathlib import Path
from service.domain.ids import VersionId
from service.log.sqlite import SqliteStorage
from service.ports import EntryKind, NewEntry

def entry(n):
    return NewEntry(kind=EntryKind.BATCH, version_id=VersionId(1), batch_id=str(n), rows=1, body=b"%03d" % n * 60_000)

storage = SqliteStorage(Path(sys.argv[1]), timeout_seconds=5.0)
storage.open()
for n in range(int(sys.argv[2])):
    storage.append([entry(n), entry(n + 100)], n)
write = storage._segments.write
storage._segments.write = lambda *group: (write(*group), os.kill(os.getpid(), signal.SIGKILL))
storage.append([entry(200), entry(201)], 99)
"""


def _run_and_kill(url: str, run: int, acknowledged: int) -> dict[str, int]:
    """Start a writer, kill it after some acknowledgements, and return all that it gave."""
    command = [sys.executable, "-c", WRITER, url, str(run)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as writer:
        assert writer.stdout is not None
        lines = [writer.stdout.readline() for _ in range(acknowledged)]
        writer.send_signal(signal.SIGKILL)
        lines += writer.stdout.readlines()
    assert writer.returncode == -signal.SIGKILL
    pairs = [line.split() for line in lines if line.endswith("\n")]
    return {key: int(position) for key, position in pairs}


def _read_all(url: str) -> list[LogEntry]:
    reader = open_reader(url)
    entries: list[LogEntry] = []
    while page := reader.read(Position(entries[-1].position if entries else 0), max_entries=500, max_bytes=10**7):
        entries += page
    reader.close()
    return entries


@pytest.fixture(params=["sqlite", "postgres"])
def log_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'telemetry.db'}"
    server: Postgres = request.getfixturevalue("postgres")
    return server.database()


def test_every_acknowledged_entry_is_there_once_after_sigkill(log_url: str) -> None:
    given: dict[str, int] = {}
    for run, acknowledged in enumerate((1, 150, 400)):
        given |= _run_and_kill(log_url, run, acknowledged)
    entries = _read_all(log_url)
    by_position = {e.position: e for e in entries}
    assert len(given) >= 551
    assert len(by_position) == len(entries)
    for key, position in given.items():
        digest = hashlib.sha256(key.encode()).digest()
        assert by_position[Position(position)].body == digest * (1 + int(key.split("-")[1]) * 31 % 6000)
    assert all(a.position < b.position and a.arrival_us <= b.arrival_us for a, b in pairwise(entries))
    bodies = [e.body for e in entries if e.kind is EntryKind.BATCH]
    assert len({hashlib.sha256(b).digest() for b in bodies}) == len(bodies)


@pytest.mark.parametrize("committed", [0, 2], ids=["in the first group", "after others"])
def test_a_writer_killed_between_segment_and_commit_leaves_nothing_of_the_group(tmp_path: Path, committed: int) -> None:
    path = tmp_path / "telemetry.db"
    folder = tmp_path / "telemetry.db-segments"
    command = [sys.executable, "-c", DIES_BETWEEN, str(path), str(committed)]
    assert subprocess.run(command, cwd=ROOT, check=False).returncode == -signal.SIGKILL
    assert b"201" * 60_000 in b"".join(file.read_bytes() for file in folder.iterdir())
    expected = [b"%03d" % n * 60_000 for k in range(committed) for n in (k, k + 100)]
    assert [e.body for e in _read_all(f"sqlite:///{path}")] == expected
    storage = SqliteStorage(path, timeout_seconds=5.0)
    storage.open()
    assert sum(file.stat().st_size for file in folder.iterdir()) < (2 * committed + 1) * 180_000
    [answer] = storage.append([replace(_entry(1), body=b"new" * 60_000)], ManualClock().now_us())
    assert isinstance(answer, Appended)
    assert answer.position == 2 * committed + 1
    storage.close()
    assert [e.body for e in _read_all(f"sqlite:///{path}")] == [*expected, b"new" * 60_000]


def _entry(number: int) -> NewEntry:
    return NewEntry(kind=EntryKind.BATCH, version_id=VersionId(1), batch_id=str(number), rows=1, body=b"%d" % number)


def test_two_postgres_writers_never_hide_an_entry_from_a_reader(postgres: Postgres) -> None:
    url = postgres.database()
    seen: list[int] = []
    total = 2 * 8 * 40

    def read() -> None:
        reader = open_reader(url)
        deadline = monotonic() + 60
        while len(seen) < total and monotonic() < deadline:
            page = reader.read(Position(seen[-1] if seen else 0), max_entries=7, max_bytes=10**6)
            seen.extend(e.position for e in page)
        reader.close()

    async def write() -> None:
        logs = [open_log(url, Settings(), SystemClock(), mark_after=1e9) for _ in range(2)]
        for log in logs:
            log.start()

        async def client(number: int) -> None:
            for n in range(40):
                await logs[number % 2].append(_entry(number * 1_000 + n))

        await asyncio.gather(*(client(number) for number in range(16)))
        for log in logs:
            await log.close()

    thread = Thread(target=read)
    thread.start()
    asyncio.run(write())
    thread.join()
    assert seen == list(range(1, total + 1))


def test_a_postgres_log_refuses_while_the_server_is_away_and_goes_on_after(postgres: Postgres) -> None:
    url = postgres.database()
    database = url.split("/")[3].split("?")[0]

    async def scene() -> list[int]:
        log = open_log(url, Settings(), ManualClock(), mark_after=1e9)
        log.start()
        first = await log.append(_entry(1))
        assert log.head() == first.position
        with psycopg.connect(postgres.url("postgres"), autocommit=True) as admin:
            admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (database,))
        with pytest.raises(Unavailable):
            await log.append(_entry(2))
        with pytest.raises(Unavailable):
            log.head()
        second = await log.append(_entry(3))
        assert log.head() == second.position
        assert log.figures().healthy
        await log.close()
        return [first.position, second.position]

    positions = asyncio.run(scene())
    assert [(e.position, e.body) for e in _read_all(url)] == list(zip(positions, [b"1", b"3"], strict=True))


def test_a_postgres_log_trims_by_age_and_by_size_and_keeps_the_newest(postgres: Postgres) -> None:
    url = postgres.database()
    storage = PostgresStorage(url, timeout_seconds=5.0)
    storage.open()
    clock = ManualClock()
    for number in range(4):
        [answer] = storage.append([_entry(number)], clock.now_us())
        assert isinstance(answer, Appended)
        clock.advance(10)
    end = clock.now_us()
    assert not storage.trim(Position(4), before_us=ManualClock().now_us(), bytes_max=10**9)
    assert storage.trim(Position(1), before_us=end, bytes_max=10**9)
    assert [e.position for e in _read_all(url)] == [2, 3, 4]
    assert storage.trim(Position(9), before_us=ManualClock().now_us(), bytes_max=0)
    assert [e.position for e in _read_all(url)] == [4]
    assert not storage.trim(Position(9), before_us=end, bytes_max=0)
    [answer] = storage.append([_entry(5)], ManualClock().now_us())
    assert isinstance(answer, Appended)
    assert answer.position == 5
    storage.close()


def test_a_postgres_log_of_a_newer_format_is_refused_on_both_sides(postgres: Postgres) -> None:
    url = postgres.database()
    storage = PostgresStorage(url, timeout_seconds=5.0)
    storage.open()
    storage.close()
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("UPDATE telemetry_log_head SET format = 99")
    with pytest.raises(LogRefused, match="99"):
        storage.open()
    reader = open_reader(url)
    with pytest.raises(LogRefused, match="99"):
        reader.head()
    reader.close()
