"""Rows out of the log: those since a change, and those before it.

A time is looked at in parts of the same size, evenly spread, and each has its share of the bytes: the work has a bound,
much traffic of others leaves no stretch of the time out, and the same log gives the same rows.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from service.detect.arrivals import before_time
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
"""Of them, shared evenly by the parts of the time."""
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
    first, last = before_time(log, span.from_us), before_time(log, span.to_us)
    parts = _parts(first, last)
    cut, used = last - first > ENTRIES_MAX, 0
    for number, (start, end) in enumerate(parts, 1):
        # What a part leaves over the next one may use; an entry larger than its part's share is paid by those after it.
        allowed, reached = BYTES_MAX * number // len(parts), start
        for entry in _between(log, start, end, allowed - used):
            used += len(entry.body)
            reached = entry.position
            if entry.version_id != version_id or entry.kind is not EntryKind.BATCH:
                continue
            try:
                frame = decode_frame(entry.body)
            except FrameError:
                # Whoever counts it says so.
                continue
            reservoir.add(frame, entry.position)
        cut |= used >= allowed and reached < end
    return reservoir.sample(span.from_us, span.to_us, cut=cut)


def _parts(first: Position, last: Position) -> Sequence[tuple[Position, Position]]:
    """Return parts of the positions after one up to another, in order: all, or of too many some, evenly spread."""
    number = last - first
    count = min(PARTS, number)
    if number <= ENTRIES_MAX:
        bounds = [Position(first + part * number // count) for part in range(count)] + [last]
        return list(pairwise(bounds))
    size = ENTRIES_MAX // PARTS
    starts = [first + part * (number - size) // (PARTS - 1) for part in range(PARTS)]
    return [(Position(start), Position(start + size)) for start in starts]


def _between(log: LogReader, first: Position, last: Position, room: int) -> Iterator[LogEntry]:
    """Yield the entries after a position up to another, until they have used up so many bytes."""
    after = first
    while after < last and room > 0:
        page = log.read(after, max_entries=min(PAGE_ENTRIES, last - after), max_bytes=min(PAGE_BYTES, room))
        for entry in page:
            if entry.position > last:
                return
            room -= len(entry.body)
            yield entry
        if not page:
            return
        after = page[-1].position
