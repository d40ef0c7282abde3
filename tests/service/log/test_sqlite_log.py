"""The SQLite log's own promises: one writer, what is on disk, what is deleted, and what stops it."""

import asyncio
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from service.domain.errors import Unavailable
from service.domain.ids import Micros, Position, VersionId
from service.log import LogRefused, open_log, open_reader
from service.log.errors import AppendFailed
from service.log.sqlite import SqliteStorage
from service.log.sqlite_file import FORMAT
from service.log.sqlite_reader import SqliteLogReader
from service.ports import Appended, EntryKind, NewEntry
from service.settings import Settings
from tests.fakes import ManualClock

NOW = Micros(1_000_000)
FOREVER = 10**12


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "new folder" / "tele?metry#.db"


@pytest.fixture
def storage(path: Path) -> Iterator[SqliteStorage]:
    opened = SqliteStorage(path, timeout_seconds=0.2)
    opened.open()
    yield opened
    opened.close()


@pytest.fixture
def reader(path: Path) -> Iterator[SqliteLogReader]:
    opened = SqliteLogReader(path)
    yield opened
    opened.close()


def _entry(body: bytes = b"x", key: str | None = None) -> NewEntry:
    return NewEntry(kind=EntryKind.BATCH, version_id=VersionId(1), batch_id="b", rows=1, body=body, idempotency_key=key)


def _append(storage: SqliteStorage, *entries: NewEntry, now: int = NOW) -> list[int]:
    answers = storage.append(entries, Micros(now))
    return [a.position for a in answers if isinstance(a, Appended)]


def _positions(reader: SqliteLogReader) -> list[int]:
    return [e.position for e in reader.read(Position(0), max_entries=10**6, max_bytes=10**9)]


def test_a_commit_is_synced_to_disk_in_wal_mode(storage: SqliteStorage) -> None:
    connection = storage._connection
    assert connection is not None
    settings = {
        name: connection.execute(f"PRAGMA {name}").fetchone()[0]
        for name in ("journal_mode", "synchronous", "page_size", "trusted_schema", "mmap_size")
    }
    full = 2
    assert settings == {
        "journal_mode": "wal", "synchronous": full, "page_size": 4096, "trusted_schema": 0, "mmap_size": 0,
    }  # fmt: skip


def test_the_files_are_private(storage: SqliteStorage, path: Path) -> None:
    _append(storage, _entry())
    modes = {file.name: file.stat().st_mode & 0o777 for file in path.parent.iterdir()}
    assert len(modes) == 4
    assert set(modes.values()) == {0o600}


def test_a_second_writer_is_refused_by_name(storage: SqliteStorage, path: Path) -> None:
    assert storage is not None
    with pytest.raises(LogRefused, match=r"writer already.*\.lock' is held by process \d+"):
        SqliteStorage(path, timeout_seconds=0.2).open()


def test_the_next_writer_may_open_once_the_first_has_closed(storage: SqliteStorage, path: Path) -> None:
    _append(storage, _entry(), _entry(), now=50)
    storage.close()
    second = SqliteStorage(path, timeout_seconds=0.2)
    second.open()
    [answer] = second.append([_entry()], Micros(10))
    assert isinstance(answer, Appended)
    assert (answer.position, answer.arrival_us) == (3, 50)
    second.close()


def test_a_file_of_a_newer_format_is_refused_on_both_sides(storage: SqliteStorage, path: Path) -> None:
    storage.close()
    with sqlite3.connect(path) as connection:
        connection.execute(f"PRAGMA user_version = {FORMAT + 1}")
    connection.close()
    newer = SqliteStorage(path, timeout_seconds=0.2)
    with pytest.raises(LogRefused, match=f"format {FORMAT + 1}"):
        newer.open()
    with pytest.raises(LogRefused, match=f"format {FORMAT + 1}"):
        SqliteLogReader(path).head()
    with pytest.raises(LogRefused, match="format"):  # and the lock was given back
        newer.open()


def test_a_database_of_something_else_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "other.db"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE entries (x)")
    connection.close()
    before = path.read_bytes()
    with pytest.raises(LogRefused, match="something else"):
        SqliteStorage(path, timeout_seconds=0.2).open()
    assert path.read_bytes() == before


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "text.db"
    path.write_text("not a database at all, " * 100)
    with pytest.raises(LogRefused, match=r"text\.db"):
        SqliteStorage(path, timeout_seconds=0.2).open()


def test_a_reader_may_be_there_before_the_file(reader: SqliteLogReader, path: Path) -> None:
    assert reader.head() == 0
    assert _positions(reader) == []
    path.parent.mkdir()
    path.touch()
    assert _positions(reader) == []
    storage = SqliteStorage(path, timeout_seconds=0.2)
    storage.open()
    _append(storage, _entry())
    assert _positions(reader) == [1]
    storage.close()
    assert _positions(reader) == [1]


def test_a_reader_can_neither_write_nor_checkpoint(storage: SqliteStorage, reader: SqliteLogReader, path: Path) -> None:
    _append(storage, _entry())
    assert reader.head() == 1
    assert reader._connection is not None
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        reader._connection.execute("DELETE FROM entries")
    wal = path.with_name(path.name + "-wal")
    size = wal.stat().st_size
    reader.close()
    assert wal.stat().st_size == size > 0


def test_a_full_disk_refuses_one_group_and_the_log_goes_on(storage: SqliteStorage, reader: SqliteLogReader) -> None:
    connection = storage._connection
    assert connection is not None
    _append(storage, _entry())
    pages = connection.execute("PRAGMA page_count").fetchone()[0]
    connection.execute(f"PRAGMA max_page_count = {pages + 2}").fetchall()
    small = [_entry(b"x" * 10_000) for _ in range(20)]
    with pytest.raises(AppendFailed, match="full") as failure:
        _append(storage, *small)
    assert not failure.value.fatal
    connection.execute("PRAGMA max_page_count = 100000").fetchall()
    assert _append(storage, *small) == list(range(2, 22))
    assert _positions(reader) == list(range(1, 22))


def test_one_impossible_entry_loses_its_group_only(storage: SqliteStorage, reader: SqliteLogReader) -> None:
    impossible = NewEntry(kind=EntryKind.BATCH, version_id=VersionId(1), batch_id="b", rows=-1, body=b"")
    with pytest.raises(AppendFailed, match="CHECK") as failure:
        _append(storage, _entry(), impossible)
    assert not failure.value.fatal
    assert _append(storage, _entry()) == [1]
    assert _positions(reader) == [1]


def test_a_corrupt_file_is_fatal(storage: SqliteStorage, path: Path) -> None:
    for _ in range(20):
        _append(storage, _entry(b"x" * 100_000))
    storage.close()
    content = bytearray(path.read_bytes())
    content[16384 * 2 :] = b"\xff" * (len(content) - 16384 * 2)
    path.write_bytes(content)
    broken = SqliteStorage(path, timeout_seconds=0.2)
    with pytest.raises((LogRefused, AppendFailed)):
        _open_and_append(broken)
    broken.close()


def test_a_reader_of_a_corrupt_file_says_unavailable(
    storage: SqliteStorage, reader: SqliteLogReader, path: Path
) -> None:
    _append(storage, *[_entry(b"x" * 1000) for _ in range(50)])
    storage.close()
    content = bytearray(path.read_bytes())
    for start in range(4096, len(content), 4096):
        content[start : start + 100] = b"\xff" * 100
    path.write_bytes(content)
    with pytest.raises(Unavailable, match=r"cannot be read: .*malformed"):
        _positions(reader)
    with pytest.raises(Unavailable, match=r"cannot be read: .*malformed"):
        reader.head()


def _open_and_append(storage: SqliteStorage) -> None:
    storage.open()
    for _ in range(10):
        _append(storage, _entry(key="k"))


def test_entries_are_deleted_once_processed_and_old(storage: SqliteStorage, reader: SqliteLogReader) -> None:
    for now in (10, 20, 30, 40):
        _append(storage, _entry(), now=now)
    assert not storage.trim(Position(4), before_us=Micros(10), bytes_max=FOREVER)
    assert storage.trim(Position(1), before_us=Micros(31), bytes_max=FOREVER)
    assert _positions(reader) == [2, 3, 4]
    assert storage.trim(Position(4), before_us=Micros(31), bytes_max=FOREVER)
    assert _positions(reader) == [4]


def test_the_newest_entry_always_stays_and_the_next_goes_on_from_it(
    storage: SqliteStorage, reader: SqliteLogReader, path: Path
) -> None:
    _append(storage, _entry(), _entry(), now=77)
    assert storage.trim(Position(99), before_us=Micros(10**15), bytes_max=FOREVER)
    assert _positions(reader) == [2]
    assert not storage.trim(Position(99), before_us=Micros(10**15), bytes_max=0)
    storage.close()
    again = SqliteStorage(path, timeout_seconds=0.2)
    again.open()
    [answer] = again.append([_entry()], Micros(1))
    assert isinstance(answer, Appended)
    assert (answer.position, answer.arrival_us) == (3, 77)
    again.close()


def test_a_log_over_its_size_loses_its_oldest_processed_entries_in_small_steps(
    storage: SqliteStorage, reader: SqliteLogReader
) -> None:
    for _ in range(30):
        _append(storage, *[_entry(b"x" * 10_000) for _ in range(100)])
    size = 16_000_000
    assert storage.trim(Position(2_800), before_us=Micros(0), bytes_max=size)
    first = _positions(reader)[0]
    assert 700 < first < 1_700, "the excess, or what may be deleted from the file at once"
    while storage.trim(Position(2_800), before_us=Micros(0), bytes_max=size):
        pass
    left = _positions(reader)
    assert left[-2:] == [2_999, 3_000]
    assert size // 2 <= len(left) * 10_000 <= size


def test_the_file_stops_growing_once_entries_are_deleted(storage: SqliteStorage, path: Path) -> None:
    for _ in range(100):
        _append(storage, _entry(b"x" * 100_000))
    while storage.trim(Position(80), before_us=Micros(10**15), bytes_max=FOREVER):
        pass
    storage.tidy()
    high = path.stat().st_size
    for _ in range(50):
        _append(storage, _entry(b"x" * 100_000))
    storage.tidy()
    assert path.stat().st_size == high


def test_a_reader_of_a_locked_file_says_unavailable(
    storage: SqliteStorage, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.log.sqlite_reader.TIMEOUT_SECONDS", 0.05)
    _append(storage, _entry())
    storage.close()
    holder = sqlite3.connect(path, isolation_level=None)
    holder.execute("PRAGMA locking_mode = EXCLUSIVE").fetchall()
    holder.execute("BEGIN EXCLUSIVE")
    reader = SqliteLogReader(path)
    with pytest.raises(Unavailable, match="locked"):
        reader.head()
    reader.close()
    holder.close()


def test_large_bodies_are_read_on_kernels_that_cannot_populate_a_mapping(
    storage: SqliteStorage, reader: SqliteLogReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.log.segments.POPULATE", 9_999)
    _append(storage, _entry(b"large" * 60_000))
    assert [e.body for e in reader.read(Position(0), max_entries=1, max_bytes=1)] == [b"large" * 60_000]


def test_the_running_log_trims_what_the_worker_has_read(tmp_path: Path) -> None:
    clock = ManualClock()
    url = f"sqlite:///{tmp_path / 'telemetry.db'}"

    async def scene() -> list[int]:
        log = open_log(url, Settings(log_retention_hours=1.0), clock, mark_after=1e9)
        log.start()
        for _ in range(5):
            await log.append(_entry())
        clock.advance(3_601)
        last = await log.append(_entry())
        log.trim(Position(3))
        reader = open_reader(url)
        left: list[int] = []
        for _ in range(400):
            left = [e.position for e in reader.read(Position(0), max_entries=99, max_bytes=9_999)]
            if left[0] == 4:
                break
            await asyncio.sleep(0.01)
        reader.close()
        assert log.head() == last.position
        await log.close()
        return left

    assert asyncio.run(scene()) == [4, 5, 6]


@pytest.mark.parametrize("url", ["mysql://x", "sqlite://", "sqlite:///", "sqlite:///:memory:"])
def test_a_url_that_cannot_be_a_log_is_refused(url: str) -> None:
    with pytest.raises(LogRefused):
        open_log(url, Settings(), ManualClock())
    with pytest.raises(LogRefused):
        open_reader(url)
