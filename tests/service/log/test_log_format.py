"""A log of an older format is brought up to date where it is."""

import sqlite3
from pathlib import Path

import pytest

from service.domain.errors import Unavailable
from service.domain.ids import Micros, Position, VersionId
from service.log import LogRefused
from service.log.sqlite import SqliteStorage
from service.log.sqlite_file import FORMAT, STEPS
from service.log.sqlite_reader import SqliteLogReader
from service.ports import Appended, EntryKind, NewEntry

LARGE = b"large" * 60_000


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "telemetry.db"


def _opened(path: Path) -> SqliteStorage:
    storage = SqliteStorage(path, timeout_seconds=0.2)
    storage.open()
    return storage


def _append(storage: SqliteStorage, body: bytes) -> list[int]:
    entry = NewEntry(kind=EntryKind.BATCH, version_id=VersionId(1), batch_id="b", rows=1, body=body)
    return [a.position for a in storage.append([entry], Micros(7)) if isinstance(a, Appended)]


def _read(reader: SqliteLogReader) -> dict[int, bytes]:
    entries = reader.read(Position(0), max_entries=100, max_bytes=10**9)
    return {entry.position: bytes(entry.body) for entry in entries}


def _format_1(path: Path, *bodies: bytes) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA journal_mode = WAL").fetchall()
        for statement in STEPS[1]:
            connection.execute(statement)
        connection.execute("PRAGMA user_version = 1")
        rows = [(position, 5, "batch", 1, "b", 1, None, b"", b"", body) for position, body in enumerate(bodies, 1)]
        connection.executemany("INSERT INTO entries VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", rows)
    connection.close()


def test_a_file_of_the_first_format_is_brought_up_to_date_where_it_is(path: Path) -> None:
    reader = SqliteLogReader(path)
    _format_1(path, b"small", LARGE)
    assert reader.head() == 2
    with pytest.raises(Unavailable, match="has log format 1; the writer's next start"):
        _read(reader)
    storage = _opened(path)
    assert _append(storage, LARGE) == [3]
    assert _read(reader) == {1: b"small", 2: LARGE, 3: LARGE}
    reader.close()
    storage.close()


def test_a_file_that_was_brought_up_to_date_is_like_a_new_one(tmp_path: Path) -> None:
    def schema(path: Path) -> list[object]:
        storage = _opened(path)
        storage.close()
        with sqlite3.connect(path) as connection:
            tables = connection.execute("SELECT type, name, sql FROM sqlite_master ORDER BY name").fetchall()
            version = connection.execute("PRAGMA user_version").fetchone()[0]
        connection.close()
        return [version, *tables]

    _format_1(tmp_path / "old.db", b"x")
    assert schema(tmp_path / "old.db") == schema(tmp_path / "new.db")
    assert schema(tmp_path / "new.db")[0] == FORMAT


def test_an_upgrade_that_fails_changes_nothing(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _format_1(path, b"x")
    with monkeypatch.context() as patched:
        patched.setitem(STEPS, FORMAT, (*STEPS[FORMAT], "no such statement"))
        with pytest.raises(LogRefused, match="syntax error"):
            _opened(path)
    storage = _opened(path)
    assert _append(storage, LARGE) == [2]
    storage.close()
