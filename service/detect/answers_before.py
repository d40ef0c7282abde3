"""Events from before a version's first label, read again from the log.

Most versions never get a label, and remembering their answers would cost the worker for each event. So nothing is
remembered until a label comes; then the log tells what was answered before it.
"""

from service.detect.recall import ReadEntries
from service.domain.ids import Position
from service.ports import EntryKind, LogEntry

ENTRIES_MAX = 4_096
"""Entries of the log, of all versions, that are looked through."""
BYTES_MAX = 64 * 1024 * 1024
PAGE_ENTRIES, PAGE_BYTES = 128, 16 * 1024 * 1024


def batches_before(read: ReadEntries, entry: LogEntry, events: int) -> list[LogEntry]:
    """Return the batches of a version before one of its entries, oldest first.

    Looks back until they hold so many events, and no further than ``ENTRIES_MAX`` entries or some more than
    ``BYTES_MAX`` of the log.
    """
    found: list[LogEntry] = []
    held = size = 0
    stop = entry.position
    while stop > 1 and entry.position - stop < ENTRIES_MAX and held < events and size < BYTES_MAX:
        start = max(0, stop - 1 - PAGE_ENTRIES)
        page = _between(read, start, stop)
        own = [one for one in page if one.version_id == entry.version_id and one.kind is EntryKind.BATCH]
        found = own + found
        held += sum(one.rows for one in own)
        size += sum(len(one.body) for one in page)
        stop = Position(start + 1)
    return found


def _between(read: ReadEntries, start: int, stop: int) -> list[LogEntry]:
    """Return the entries after one position and before another."""
    found: list[LogEntry] = []
    at = start
    while at < stop - 1:
        entries = read(Position(at), max_entries=stop - 1 - at, max_bytes=PAGE_BYTES)
        found += [one for one in entries if one.position < stop]
        if not entries:
            break
        at = entries[-1].position
    return found
