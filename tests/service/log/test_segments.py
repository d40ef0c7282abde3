"""Large bodies lie in segments beside the database, which alone says what counts."""

import errno
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from service.domain.errors import Unavailable
from service.domain.ids import Micros, Position, VersionId
from service.log import LogRefused, segments
from service.log.errors import AppendFailed
from service.log.segments import FILES_MAX, HEADER_BYTES, LARGE_BYTES, MAPPED_BYTES, WORTH_BYTES
from service.log.sqlite import SqliteStorage
from service.log.sqlite_reader import SqliteLogReader
from service.ports import Appended, EntryKind, NewEntry

NOW = Micros(1_000_000)
FOREVER = 10**12
LARGE = WORTH_BYTES


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "tele?metry#.db"


@pytest.fixture
def folder(path: Path) -> Path:
    return path.with_name(path.name + "-segments")


@pytest.fixture
def storage(path: Path) -> Iterator[SqliteStorage]:
    opened = _opened(path)
    yield opened
    opened.close()


@pytest.fixture
def reader(path: Path) -> Iterator[SqliteLogReader]:
    opened = SqliteLogReader(path)
    yield opened
    opened.close()


def _opened(path: Path) -> SqliteStorage:
    storage = SqliteStorage(path, timeout_seconds=0.2)
    storage.open()
    return storage


def _body(number: int, size: int = LARGE) -> bytes:
    return number.to_bytes(4, "big") * (size // 4)


def _entry(body: bytes, key: str | None = None) -> NewEntry:
    return NewEntry(kind=EntryKind.BATCH, version_id=VersionId(1), batch_id="b", rows=1, body=body, idempotency_key=key)


def _append(storage: SqliteStorage, *bodies: bytes) -> list[int]:
    answers = storage.append([_entry(body) for body in bodies], NOW)
    return [a.position for a in answers if isinstance(a, Appended)]


def _read(reader: SqliteLogReader) -> dict[int, bytes]:
    entries = reader.read(Position(0), max_entries=10**6, max_bytes=10**9)
    return {entry.position: bytes(entry.body) for entry in entries}


def _segment(folder: Path, number: int = 1) -> Path:
    return folder / f"{number:020d}.seg"


def _files(folder: Path) -> list[str]:
    return [file.name.lstrip("0") for file in sorted(folder.iterdir())]


def test_a_group_without_a_large_body_touches_no_segment(
    storage: SqliteStorage, reader: SqliteLogReader, folder: Path
) -> None:
    _append(storage, *[b"x" * (LARGE_BYTES - 1)] * 20)
    _append(storage, b"x" * (WORTH_BYTES - 1), b"")
    assert not folder.exists()
    assert len(_read(reader)) == 22


def test_large_bodies_lie_in_a_private_segment_and_not_in_the_database(
    storage: SqliteStorage, reader: SqliteLogReader, path: Path, folder: Path
) -> None:
    bodies = [_body(1), b"small", _body(2), b"", _body(3)]
    _append(storage, *bodies)
    storage.close()
    assert list(_read(reader).values()) == bodies
    assert folder.stat().st_mode & 0o777 == 0o700
    [segment] = folder.iterdir()
    assert segment.stat().st_mode & 0o777 == 0o600
    assert segment.read_bytes()[HEADER_BYTES:] == _body(1) + _body(2) + _body(3)
    assert _body(1) not in path.read_bytes()


def test_neighbours_in_a_segment_are_read_at_once(storage: SqliteStorage, reader: SqliteLogReader) -> None:
    for _ in range(3):
        _append(storage, *[_body(n) for n in range(4)])
    entries = reader.read(Position(0), max_entries=100, max_bytes=FOREVER)
    views = [entry.body for entry in entries if isinstance(entry.body, memoryview)]
    assert len(views) == 12
    assert len({id(view.obj) for view in views}) == -(-12 * LARGE // MAPPED_BYTES)
    assert all(view.readonly for view in views)


def test_a_page_counts_the_bytes_in_segments(storage: SqliteStorage, reader: SqliteLogReader) -> None:
    _append(storage, *[_body(n) for n in range(4)])
    for room, expected in ((1, 1), (2 * LARGE - 1, 1), (2 * LARGE, 2), (4 * LARGE, 4)):
        assert len(reader.read(Position(0), max_entries=100, max_bytes=room)) == expected


def test_bodies_are_on_disk_before_the_rows_that_name_them(
    storage: SqliteStorage, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    opened: dict[int, str] = {}
    real_open, real_fsync, real_fdatasync = os.open, os.fsync, os.fdatasync

    def named_open(path: Path, flags: int, mode: int = 0o777) -> int:
        opened[file := real_open(path, flags, mode)] = Path(path).name
        return file

    def synced(real: Callable[[int], None]) -> Callable[[int], None]:
        def sync(file: int) -> None:
            real(file)
            done.append(f"sync {opened[file]}")

        return sync

    monkeypatch.setattr("service.log.segments.os.open", named_open)
    monkeypatch.setattr("service.log.segments.os.fsync", synced(real_fsync))
    monkeypatch.setattr("service.log.segments.os.fdatasync", synced(real_fdatasync))
    assert storage._connection is not None
    storage._connection.set_trace_callback(lambda text: done.append(text.split()[0]))
    _append(storage, _body(1), _body(2))
    segment = _segment(folder).name
    made = [folder.parent.name, folder.name, segment]
    assert done == ["BEGIN", *[f"sync {name}" for name in made], "INSERT", "INSERT", "INSERT", "COMMIT"]
    done.clear()
    _append(storage, _body(3))
    assert done == ["BEGIN", f"sync {segment}", "INSERT", "INSERT", "COMMIT"]
    done.clear()
    _append(storage, b"small")
    assert done == ["BEGIN", "INSERT", "COMMIT"]


def test_a_repeated_entry_does_not_write_its_body(storage: SqliteStorage, reader: SqliteLogReader) -> None:
    first = storage.append([_entry(_body(1), "k"), _entry(_body(1), "k")], NOW)
    used = storage._segments.used_bytes
    again = storage.append([_entry(_body(1), "k")], NOW)
    assert [a.repeated for a in (*first, *again) if isinstance(a, Appended)] == [False, True, True]
    assert storage._segments.used_bytes == used == HEADER_BYTES + LARGE
    assert _read(reader) == {1: _body(1)}


def test_a_segment_is_named_by_its_first_position_and_followed_when_full(
    storage: SqliteStorage, reader: SqliteLogReader, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(segments, "SEGMENT_BYTES", 3 * LARGE)
    _append(storage, b"small", _body(2))
    _append(storage, _body(3))
    _append(storage, b"small")
    _append(storage, b"small", _body(6), _body(7), _body(8), _body(9))
    _append(storage, _body(10))
    assert _files(folder) == ["1.seg", "5.seg", "10.seg"]
    assert _segment(folder).stat().st_size == HEADER_BYTES + 2 * LARGE
    read = _read(reader)
    assert list(read) == list(range(1, 11))
    assert {p: b for p, b in read.items() if b != b"small"} == {p: _body(p) for p in (2, 3, 6, 7, 8, 9, 10)}


def test_a_reader_keeps_few_segments_open(
    storage: SqliteStorage, reader: SqliteLogReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(segments, "SEGMENT_BYTES", 0)
    for number in range(1, 11):
        _append(storage, _body(number))
    assert _read(reader) == {n: _body(n) for n in range(1, 11)}
    assert reader._segments is not None
    assert list(reader._segments._files) == list(range(11 - FILES_MAX, 11))
    reader.close()
    assert _read(reader)[1] == _body(1)


def _fail(monkeypatch: pytest.MonkeyPatch, call: str, number: int) -> None:
    def fail(*_: object) -> int:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(f"service.log.segments.os.{call}", fail)


@pytest.mark.parametrize("before", [(), (_body(1),)], ids=["in a new segment", "behind others"])
def test_a_full_disk_refuses_a_group_with_large_bodies_and_the_log_goes_on(
    storage: SqliteStorage, reader: SqliteLogReader, folder: Path, before: Sequence[bytes]
) -> None:
    _append(storage, *before)
    real = os.pwritev

    def half(file: int, buffers: Sequence[bytes], offset: int) -> int:
        if offset > HEADER_BYTES + len(before) * LARGE:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(file, [memoryview(b"".join(buffers))[: HEADER_BYTES + 100]], offset)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("service.log.segments.os.pwritev", half)
        with pytest.raises(AppendFailed, match="No space left") as failure:
            _append(storage, b"small", _body(2))
    assert not failure.value.fatal
    sizes = [file.stat().st_size for file in folder.iterdir()]
    assert sizes == [HEADER_BYTES + LARGE for _ in before]
    positions = _append(storage, _body(3), b"small")
    expected = dict(enumerate([*before, _body(3), b"small"], 1))
    assert positions == list(expected)[len(before) :]
    assert _read(reader) == expected


@pytest.mark.parametrize(
    ("call", "number"),
    [("pwritev", errno.EIO), ("fdatasync", errno.EIO), ("fdatasync", errno.ENOSPC), ("fsync", errno.EIO)],
)
def test_a_failed_write_or_sync_of_a_segment_is_fatal(
    storage: SqliteStorage, path: Path, monkeypatch: pytest.MonkeyPatch, call: str, number: int
) -> None:
    _fail(monkeypatch, call, number)
    with pytest.raises(AppendFailed, match=r"cannot (write|sync)") as failure:
        _append(storage, _body(1))
    assert failure.value.fatal
    monkeypatch.undo()
    storage.close()
    again = _opened(path)
    assert _append(again, _body(1)) == [1]
    again.close()


def test_a_row_that_cannot_be_committed_takes_its_bytes_with_it(
    storage: SqliteStorage, reader: SqliteLogReader, folder: Path
) -> None:
    _append(storage, _body(1))
    impossible = NewEntry(kind=EntryKind.BATCH, version_id=VersionId(1), batch_id="b", rows=-1, body=_body(2))
    with pytest.raises(AppendFailed, match="CHECK"):
        storage.append([_entry(_body(3)), impossible], NOW)
    [segment] = folder.iterdir()
    assert segment.stat().st_size == HEADER_BYTES + LARGE
    assert _append(storage, _body(4)) == [2]
    assert _read(reader) == {1: _body(1), 2: _body(4)}


def test_short_writes_and_file_systems_that_reserve_nothing_are_fine(
    storage: SqliteStorage, reader: SqliteLogReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.pwritev

    def short(file: int, buffers: Sequence[bytes], offset: int) -> int:
        return real(file, [memoryview(b"".join(buffers))[:50_000]], offset)

    monkeypatch.setattr("service.log.segments.os.pwritev", short)
    _fail(monkeypatch, "posix_fallocate", errno.EOPNOTSUPP)
    bodies = [_body(1), _body(2), _body(3, 40_000)]
    _append(storage, *bodies)
    assert list(_read(reader).values()) == bodies


def test_a_missing_or_short_segment_is_named_and_nothing_is_made_up(
    storage: SqliteStorage, reader: SqliteLogReader, folder: Path
) -> None:
    _append(storage, _body(1), _body(2))
    storage.close()
    reader.check()
    segment = _segment(folder)
    content = segment.read_bytes()
    segment.write_bytes(content[:-1])
    for ask in (lambda: _read(reader), reader.check):
        with pytest.raises(Unavailable, match=rf"{segment.name}' ends before byte {len(content)}"):
            ask()
    assert len(reader.read(Position(0), max_entries=1, max_bytes=1)) == 1
    reader.close()
    segment.unlink()
    for ask in (lambda: _read(reader), reader.check):
        with pytest.raises(Unavailable, match=rf"{segment.name}' cannot be read: No such file"):
            ask()
    segment.write_bytes(content)
    assert _read(reader) == {1: _body(1), 2: _body(2)}


def test_a_segment_that_the_disk_does_not_give_back_is_unavailable(
    storage: SqliteStorage, reader: SqliteLogReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Broken:
        def __init__(self, *_: object, **__: object) -> None:
            pass

        def madvise(self, _: int) -> None:
            raise OSError(errno.EFAULT, "Bad address")

    _append(storage, _body(1))
    monkeypatch.setattr(segments, "mmap", Broken)
    with pytest.raises(Unavailable, match=r"\.seg' cannot be read: Bad address"):
        _read(reader)


def test_segments_of_another_log_are_refused_and_left_alone(
    storage: SqliteStorage, reader: SqliteLogReader, path: Path, folder: Path
) -> None:
    _append(storage, _body(1))
    storage.close()
    path.rename(path.with_name("away.db"))
    before = _segment(folder).read_bytes()
    with pytest.raises(LogRefused, match="belongs to another telemetry log"):
        _opened(path)
    assert _segment(folder).read_bytes() == before
    folder.rename(folder.with_name("other"))
    fresh = _opened(path)
    _append(fresh, _body(2))
    fresh.close()
    _segment(folder).write_bytes(before)
    with pytest.raises(Unavailable, match="no segment of the telemetry log"):
        _read(reader)
    with pytest.raises(LogRefused, match="belongs to another telemetry log"):
        _opened(path)


@pytest.mark.parametrize("left", [b"", b"\0" * 100, b"whole"], ids=["empty", "zeros", "written"])
def test_what_a_crash_left_behind_goes_when_the_log_is_opened(
    storage: SqliteStorage, reader: SqliteLogReader, path: Path, folder: Path, left: bytes
) -> None:
    _append(storage, _body(1))
    storage.close()
    segment = _segment(folder)
    size = segment.stat().st_size
    content = segment.read_bytes()
    segment.write_bytes(content + b"garbage")
    _segment(folder, 2).write_bytes(content if left == b"whole" else left)
    again = _opened(path)
    assert segment.stat().st_size == size
    assert _files(folder) == ["1.seg"]
    assert _append(again, _body(2)) == [2]
    assert _read(reader) == {1: _body(1), 2: _body(2)}
    again.close()


@pytest.mark.parametrize("damage", ["missing", "short"])
def test_a_damaged_segment_is_not_written_to_any_more(
    storage: SqliteStorage, reader: SqliteLogReader, path: Path, folder: Path, damage: str
) -> None:
    _append(storage, _body(1))
    storage.close()
    _segment(folder).unlink() if damage == "missing" else os.truncate(_segment(folder), 100)
    again = _opened(path)
    assert _append(again, _body(2)) == [2]
    assert _segment(folder, 2).exists()
    assert [bytes(e.body) for e in reader.read(Position(1), max_entries=9, max_bytes=FOREVER)] == [_body(2)]
    again.close()


def test_segments_go_with_their_last_entry_but_never_the_newest(
    storage: SqliteStorage, reader: SqliteLogReader, path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(segments, "SEGMENT_BYTES", 3 * LARGE)
    for number in range(1, 7):
        _append(storage, _body(number))
    assert _files(folder) == ["1.seg", "3.seg", "5.seg"]
    old = reader.read(Position(0), max_entries=1, max_bytes=1)[0]

    def trim(up_to: int) -> list[str]:
        assert storage.trim(Position(up_to), before_us=Micros(10**15), bytes_max=FOREVER)
        return _files(folder)

    assert trim(1) == ["1.seg", "3.seg", "5.seg"]
    assert storage._segments.used_bytes == 5 * LARGE + 2 * HEADER_BYTES
    assert trim(2) == ["3.seg", "5.seg"]
    assert storage._segments.used_bytes == 4 * LARGE + 2 * HEADER_BYTES
    assert old.body == _body(1)
    assert trim(5) == ["5.seg"]
    assert storage._segments.used_bytes == LARGE
    assert _read(reader) == {6: _body(6)}
    storage.close()
    again = _opened(path)
    _append(again, b"small")
    assert again.trim(Position(7), before_us=Micros(10**15), bytes_max=FOREVER)
    assert _files(folder) == ["5.seg"]
    assert again._segments.used_bytes == 0
    assert _append(again, _body(8)) == [8]
    assert _read(reader) == {7: b"small", 8: _body(8)}
    again.close()


def test_a_log_over_its_size_counts_what_lies_in_segments(storage: SqliteStorage, reader: SqliteLogReader) -> None:
    for number in range(1, 41):
        _append(storage, _body(number, 1_000_000))
    while storage.trim(Position(40), before_us=Micros(0), bytes_max=20_000_000):
        pass
    assert list(_read(reader)) == list(range(22, 41)), "the excess goes, not more"
