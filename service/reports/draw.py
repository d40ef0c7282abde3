"""Rows out of the log: those since a change, and those before it.

Arrival times never decrease along the log, so that a time is found by halving. A long time is looked at in parts of
the same size, evenly spread: the work has a bound, and the same log gives the same rows.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from service.domain.ids import Micros, Position, VersionId
from service.domain.reports import Reports
from service.domain.schema import Schema
from service.frames import FrameError, decode_frame
from service.ports import EntryKind, LogEntry, LogReader
from service.reports.samples import Pair, Reservoir, Sample

HOUR_US = 3_600_000_000
ENTRIES_MAX = 16_384
"""Entries of the log, of all versions, that are read for one side of a report."""
BYTES_MAX = 256 * 1024 * 1024
PARTS = 512
PAGE_ENTRIES, PAGE_BYTES = 128, 16 * 1024 * 1024
BEFORE_US_MIN = 6 * HOUR_US
BEFORE_US_MAX = 7 * 24 * HOUR_US
BEFORE_TIMES = 4
"""The traffic before is looked for in so many times the length of what it is compared with, within the bounds above."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """From a time up to another, which has no part in it."""

    from_us: Micros
    to_us: Micros

    def before(self) -> "Span":
        """Return the time before it that stands for what was usual."""
        length = min(BEFORE_US_MAX, max(BEFORE_US_MIN, BEFORE_TIMES * (self.to_us - self.from_us)))
        return Span(from_us=Micros(max(0, self.from_us - length)), to_us=self.from_us)


def draw(log: LogReader, version_id: VersionId, schema: Schema, reports: Reports, span: Span) -> Pair:
    """Return rows of a time and of the time before it."""
    return Pair(
        current=_side(log, version_id, schema, reports, span),
        before=_side(log, version_id, schema, reports, span.before()),
    )


def _side(log: LogReader, version_id: VersionId, schema: Schema, reports: Reports, span: Span) -> Sample:
    reservoir = Reservoir(schema, reports, reports.rows)
    first, last = _before_time(log, span.from_us), _before_time(log, span.to_us)
    room, cut = BYTES_MAX, last - first > ENTRIES_MAX
    for entry in _entries(log, first, last):
        room -= len(entry.body)
        if room < 0:
            cut = True
            break
        if entry.version_id != version_id or entry.kind is not EntryKind.BATCH:
            continue
        try:
            frame = decode_frame(entry.body)
        except FrameError:
            # Whoever counts it says so.
            continue
        reservoir.add(frame, entry.position)
    return reservoir.sample(span.from_us, span.to_us, cut=cut)


def _before_time(log: LogReader, at_us: Micros) -> Position:
    """Return the last position whose entry arrived before a time, or one below it where the log has none any more."""
    low, high = 0, int(log.head())
    # Of all entries up to ``low`` it is known that they arrived before, of those after ``high`` that they did not.
    while low < high:
        middle = (low + high) // 2
        found = log.read(Position(middle), max_entries=1, max_bytes=1)
        if found and found[0].arrival_us < at_us:
            low = max(middle + 1, int(found[0].position))
        else:
            high = middle
    return Position(low)


def _entries(log: LogReader, first: Position, last: Position) -> Iterator[LogEntry]:
    """Yield the entries after a position up to another, in order; of too many, parts evenly spread."""
    number = last - first
    if number <= ENTRIES_MAX:
        yield from _between(log, first, last)
        return
    size = ENTRIES_MAX // PARTS
    for part in range(PARTS):
        start = first + part * (number - size) // (PARTS - 1)
        yield from _between(log, Position(start), Position(start + size))


def _between(log: LogReader, first: Position, last: Position) -> Iterator[LogEntry]:
    after = first
    while after < last:
        page = log.read(after, max_entries=min(PAGE_ENTRIES, last - after), max_bytes=PAGE_BYTES)
        for entry in page:
            if entry.position > last:
                return
            yield entry
        if not page:
            return
        after = page[-1].position
