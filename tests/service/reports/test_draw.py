"""Where in the log rows are looked for."""

from collections.abc import Sequence

import numpy as np
import pytest

from service.domain.ids import Micros, Position, VersionId
from service.domain.reports import Reports
from service.frames import encode_frame
from service.ports import EntryKind, LogEntry, NewEntry
from service.reports import draw as drawing
from service.reports.draw import HOUR_US, Span, draw
from service.reports.samples import Pair, numbers_of
from tests.fakes import InMemoryLog, ManualClock
from tests.service.reports.frames import SCHEMA, frame_of

MINE, OTHER = VersionId(1), VersionId(2)
START = 1_000 * HOUR_US
REPORTS = Reports(rows=10_000)


class Traffic:
    """A log with an entry of ten events each second, whose ages tell the second."""

    def __init__(self) -> None:
        self.clock = ManualClock(Micros(START))
        self.log = InMemoryLog(self.clock)

    def send(self, seconds: int, version: VersionId = MINE) -> None:
        for _ in range(seconds):
            second = (self.clock.now_us() - START) / 1e6
            body = encode_frame(frame_of({"age": np.full(10, second + 0.5)}, {"plan": ["basic"] * 10}))
            self.log.append_now(NewEntry(kind=EntryKind.BATCH, version_id=version, batch_id="", rows=10, body=body))
            self.clock.advance(1.0)

    def draw(self, from_second: float, to_second: float) -> Pair:
        span = Span(from_us=at(from_second), to_us=at(to_second))
        return draw(self.log, MINE, SCHEMA, REPORTS, span)


def at(second: float) -> Micros:
    return Micros(START + round(second * 1e6))


def seconds_of(pair: Pair) -> tuple[set[int], set[int]]:
    current, before = (set(numbers_of(side, "age").astype(int).tolist()) for side in (pair.current, pair.before))
    return current, before


def test_both_sides_come_from_their_own_time_and_version() -> None:
    traffic = Traffic()
    traffic.send(30)
    traffic.log.mark()
    traffic.send(5, OTHER)
    traffic.send(25)
    current, before = seconds_of(traffic.draw(40, 50))
    assert current == set(range(40, 50))
    assert before == {*range(30), *range(35, 40)}


@pytest.mark.parametrize(("first", "last"), [(0.0, 0.5), (3.0, 4.0), (3.2, 3.9), (19.0, 60.0), (50.0, 60.0)])
def test_a_time_is_found_wherever_it_lies(first: float, last: float) -> None:
    traffic = Traffic()
    traffic.send(20)
    pair = traffic.draw(first, last)
    expected = {second for second in range(20) if first <= second < last}
    assert set(numbers_of(pair.current, "age").astype(int).tolist() if pair.current.rows else []) == expected
    assert pair.current.seen == 10 * len(expected)


def test_an_empty_log_gives_no_rows() -> None:
    pair = Traffic().draw(0, 10)
    assert (pair.current.rows, pair.before.rows, pair.current.cut) == (0, 0, False)


def test_a_log_whose_beginning_is_gone_is_read_from_where_it_begins() -> None:
    traffic = Traffic()
    traffic.send(20)
    whole = traffic.log.read

    def trimmed(after: Position, *, max_entries: int, max_bytes: int) -> Sequence[LogEntry]:
        return whole(Position(max(after, 12)), max_entries=max_entries, max_bytes=max_bytes)

    traffic.log.read = trimmed  # type: ignore[method-assign]
    current, before = seconds_of(traffic.draw(15, 20))
    assert (current, before) == (set(range(15, 20)), {12, 13, 14})


def test_of_a_long_time_parts_are_looked_at_that_are_evenly_spread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drawing, "ENTRIES_MAX", 100)
    monkeypatch.setattr(drawing, "PARTS", 10)
    traffic = Traffic()
    traffic.send(1_000)
    pair = traffic.draw(0, 1_000)
    seconds = sorted(set(numbers_of(pair.current, "age").astype(int).tolist()))
    assert (pair.current.cut, pair.before.cut, len(seconds)) == (True, False, 100)
    assert Counted(seconds).of_tenths() == [10] * 10
    assert (seconds[0], seconds[-1]) == (0, 999)


def test_bytes_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    traffic = Traffic()
    traffic.send(50)
    assert traffic.draw(20, 50).current.cut is False
    size = len(traffic.log.read(Position(0), max_entries=1, max_bytes=1)[0].body)
    monkeypatch.setattr(drawing, "BYTES_MAX", 10 * size)
    pair = traffic.draw(20, 50)
    assert (pair.current.cut, pair.current.seen) == (True, 100)
    assert seconds_of(pair)[0] == set(range(20, 50, 3))


def test_much_traffic_of_another_version_takes_nothing_from_the_rest_of_the_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(drawing, "PARTS", 10)
    traffic = Traffic()
    traffic.send(50, OTHER)
    traffic.send(50)
    size = len(traffic.log.read(Position(0), max_entries=1, max_bytes=1)[0].body)
    monkeypatch.setattr(drawing, "BYTES_MAX", 20 * size)
    pair = traffic.draw(0, 100)
    assert pair.current.cut
    assert set(numbers_of(pair.current, "age").astype(int).tolist()) == {50, 51, 60, 61, 70, 71, 80, 81, 90, 91}


def test_damaged_entries_are_passed_over() -> None:
    traffic = Traffic()
    traffic.send(3)
    traffic.log.append_now(NewEntry(kind=EntryKind.BATCH, version_id=MINE, batch_id="", rows=1, body=b"\x01broken"))
    traffic.send(3)
    assert traffic.draw(0, 10).current.seen == 60


@pytest.mark.parametrize(("hours", "before_hours"), [(1, 6), (5, 20), (100, 168)])
def test_the_time_before_is_bounded(hours: float, before_hours: float) -> None:
    span = Span(from_us=Micros(START), to_us=Micros(START + round(hours * HOUR_US)))
    before = span.before()
    assert (before.to_us, before.to_us - before.from_us) == (START, before_hours * HOUR_US)


class Counted:
    """Seconds by the tenth of the time that they lie in."""

    def __init__(self, seconds: list[int]) -> None:
        self._seconds = seconds

    def of_tenths(self) -> list[int]:
        return [sum(second // 100 == tenth for second in self._seconds) for tenth in range(10)]
