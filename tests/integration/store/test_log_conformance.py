"""The telemetry log: the same in memory, in SQLite and in PostgreSQL."""

import asyncio
from dataclasses import replace

import pytest

from service.domain.errors import Conflict
from service.domain.ids import Position, VersionId
from service.ports import Appended, EntryKind, NewEntry
from tests.fakes import ManualClock
from tests.integration.store.conftest import LogPair

ALL = Position(0)


def _entry(body: bytes = b"body", *, key: str | None = None, version: int = 1, name: str = "b") -> NewEntry:
    return NewEntry(
        kind=EntryKind.BATCH,
        version_id=VersionId(version),
        batch_id=name,
        rows=3,
        body=body,
        idempotency_key=key,
        digest=b"digest of " + body,
        receipt=b'{"batch": "%b"}' % name.encode(),
    )


def _append(pair: LogPair, *entries: NewEntry) -> list[Appended | BaseException]:
    """Append all at once, so that they meet in one group."""

    async def together() -> list[Appended | BaseException]:
        return await asyncio.gather(*(pair.log.append(e) for e in entries), return_exceptions=True)

    return asyncio.run(together())


def _append_one(pair: LogPair, entry: NewEntry) -> Appended:
    return asyncio.run(pair.log.append(entry))


def _positions(pair: LogPair, after: int = 0, *, max_entries: int = 100, max_bytes: int = 10**6) -> list[int]:
    return [e.position for e in pair.reader.read(Position(after), max_entries=max_entries, max_bytes=max_bytes)]


def test_an_empty_log_has_no_head_and_nothing_to_read(log: LogPair) -> None:
    assert log.log.head() == log.reader.head() == 0
    assert _positions(log) == []


def test_what_is_appended_is_read_as_it_was(log: LogPair, clock: ManualClock) -> None:
    body = bytes(range(256)) * 100
    answer = _append_one(log, replace(_entry(body), kind=EntryKind.LABELS))
    assert (answer.repeated, answer.batch_id, answer.receipt) == (False, "b", b'{"batch": "b"}')
    assert answer.arrival_us == clock.now_us()
    [entry] = log.reader.read(ALL, max_entries=10, max_bytes=1)
    assert (entry.position, entry.arrival_us) == (answer.position, answer.arrival_us)
    assert (entry.kind, entry.version_id, entry.rows, entry.body) == (EntryKind.LABELS, 1, 3, body)
    assert log.log.head() == log.reader.head() == answer.position


def test_an_empty_body_is_kept(log: LogPair) -> None:
    _append_one(log, _entry(b""))
    assert [e.body for e in log.reader.read(ALL, max_entries=1, max_bytes=1)] == [b""]


def test_small_and_large_bodies_of_a_group_are_read_as_they_were(log: LogPair) -> None:
    bodies = [bytes([n]) * size for n, size in enumerate((0, 3, 200_000, 16_384, 450, 1_000_000, 16_383, 70_000))]
    answers = _append(log, *map(_entry, bodies), *map(_entry, reversed(bodies)))
    assert len({a.position for a in answers if isinstance(a, Appended)}) == 16
    read = log.reader.read(ALL, max_entries=100, max_bytes=10**8)
    assert [bytes(e.body) for e in read] == [*bodies, *reversed(bodies)]


def test_a_repeated_large_body_is_kept_once(log: LogPair) -> None:
    large, other = b"large" * 60_000, b"other" * 60_000
    first = _append_one(log, _entry(large, key="k"))
    answers = _append(log, _entry(large, key="k"), _entry(other), _entry(other, key="k"), _entry(large, key="k"))
    assert [a.repeated for a in answers if isinstance(a, Appended)] == [True, False, True]
    assert isinstance(answers[2], Conflict)
    read = log.reader.read(ALL, max_entries=100, max_bytes=10**8)
    assert [(e.position, bytes(e.body)) for e in read] == [(first.position, large), (first.position + 1, other)]


def test_reading_is_bounded_by_the_bytes_of_large_bodies(log: LogPair) -> None:
    positions = [_append_one(log, _entry(b"x" * size)).position for size in (300_000, 10, 300_000, 300_000)]
    assert _positions(log, max_bytes=1) == positions[:1]
    assert _positions(log, max_bytes=300_010) == positions[:2]
    assert _positions(log, max_bytes=600_009) == positions[:2]
    assert _positions(log, max_bytes=600_010) == positions[:3]
    assert _positions(log, positions[1], max_bytes=10**7) == positions[2:]


def test_positions_grow_in_the_order_of_appending(log: LogPair) -> None:
    positions = [_append_one(log, _entry()).position for _ in range(5)]
    assert positions == sorted(set(positions))
    assert _positions(log) == positions


def test_arrival_never_goes_back_with_the_clock(log: LogPair, clock: ManualClock) -> None:
    first = _append_one(log, _entry())
    clock.advance(-100)
    second = _append_one(log, _entry())
    assert second.arrival_us == first.arrival_us
    later = clock.advance(200)
    assert _append_one(log, _entry()).arrival_us == later


def test_a_repeated_key_gets_the_first_answer_and_adds_nothing(log: LogPair) -> None:
    first = _append_one(log, _entry(key="k", name="first"))
    again = _append_one(log, _entry(key="k", name="second"))
    assert again == replace(first, repeated=True)
    assert (again.batch_id, again.receipt) == ("first", b'{"batch": "first"}')
    assert _positions(log) == [first.position]


def test_a_repeated_key_with_another_body_is_a_conflict(log: LogPair) -> None:
    _append_one(log, _entry(b"one", key="k"))
    with pytest.raises(Conflict, match="'k'"):
        _append_one(log, _entry(b"two", key="k"))
    assert len(_positions(log)) == 1


def test_a_key_belongs_to_one_version(log: LogPair) -> None:
    answers = _append(log, _entry(b"one", key="k", version=1), _entry(b"two", key="k", version=2))
    assert [isinstance(a, Appended) and a.repeated for a in answers] == [False, False]


def test_entries_without_a_key_are_never_repeated(log: LogPair) -> None:
    answers = _append(log, _entry(), _entry())
    assert [isinstance(a, Appended) and a.repeated for a in answers] == [False, False]
    assert len(_positions(log)) == 2


def test_the_same_key_twice_in_one_group_is_one_entry(log: LogPair) -> None:
    answers = _append(log, *[_entry(key="k", name=f"b{n}") for n in range(4)], _entry(b"other", key="k"))
    assert [a.repeated for a in answers if isinstance(a, Appended)] == [False, True, True, True]
    assert len({a.position for a in answers if isinstance(a, Appended)}) == 1
    assert isinstance(answers[4], Conflict)
    assert len(_positions(log)) == 1


def test_reading_goes_on_after_a_position(log: LogPair) -> None:
    positions = [_append_one(log, _entry()).position for _ in range(4)]
    assert _positions(log, positions[1]) == positions[2:]
    assert _positions(log, positions[3]) == []
    assert _positions(log, positions[3] + 10) == []


def test_reading_is_bounded_by_entries_and_bytes_but_gives_at_least_one(log: LogPair) -> None:
    positions = [_append_one(log, _entry(b"x" * 10)).position for _ in range(4)]
    assert _positions(log, max_entries=3) == positions[:3]
    assert _positions(log, max_bytes=20) == positions[:2]
    assert _positions(log, max_bytes=29) == positions[:2]
    assert _positions(log, max_bytes=1) == positions[:1]


def test_many_at_once_are_all_there_in_order(log: LogPair) -> None:
    answers = _append(log, *[_entry(b"%d" % n, key=str(n)) for n in range(500)])
    placed = {a.position: n for n, a in enumerate(answers) if isinstance(a, Appended)}
    assert len(placed) == 500
    read = log.reader.read(ALL, max_entries=1000, max_bytes=10**6)
    assert [(e.position, int(e.body)) for e in read] == sorted(placed.items())
