"""Events from before a version's first label, read again from the log.

Most versions never get a label, and remembering their answers would cost the worker for each event. So nothing is
remembered until a label comes; then the log tells what was answered before it.
"""

from collections import deque
from dataclasses import dataclass

from service.detect.recall import ReadEntries
from service.domain.ids import Position, VersionId
from service.ports import EntryKind, LogEntry

ENTRIES_MAX = 4_096
"""Entries of the log, of all versions, that are looked through."""
BYTES_MAX = 64 * 1024 * 1024
"""Of the bodies of those; and of those of a page, the newest are kept."""
PAGE_ENTRIES, PAGE_BYTES = 32, 16 * 1024 * 1024
"""Pages begin at fixed places of the log, so that versions which get their first labels together share them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Neighbouring entries."""

    batches: dict[VersionId, list[LogEntry]]
    """By version, in the order of the log."""
    size: int
    """Bytes of all of them, batches or not."""
    known: bool
    """Whether the log has any of them."""


class LookBack:
    """Reads the log for the first labels of versions, each page once in a pass."""

    def __init__(self, read: ReadEntries) -> None:
        self._read = read
        self._pages: dict[int, Page] = {}
        """By their first position; the longest known first."""
        self._size = 0

    def batches(self, entry: LogEntry, events: int) -> list[LogEntry]:
        """Return the batches of a version before one of its entries, oldest first.

        Looks back until they hold so many events, until it has seen ``BYTES_MAX``, and no further than the page that
        is ``ENTRIES_MAX`` entries away.
        """
        found: list[list[LogEntry]] = []
        held = size = 0
        stop = int(entry.position)
        while stop > 1 and entry.position - stop < ENTRIES_MAX and held < events and size < BYTES_MAX:
            page = self._page(stop)
            if not page.known:
                break
            own = page.batches.get(entry.version_id, [])
            found.append(own)
            held += sum(one.rows for one in own)
            size += page.size
            stop = _start_of(stop)
        return [one for own in reversed(found) for one in own]

    def forget(self) -> None:
        """Forget the pages: a pass is over."""
        self._pages, self._size = {}, 0

    def _page(self, stop: int) -> Page:
        """Return the entries of a page before a position; those of a whole one stay known."""
        start = _start_of(stop)
        if stop - start < PAGE_ENTRIES:
            return _read_page(self._read, start, stop)
        page = self._pages.get(start)
        if page is None:
            page = self._pages[start] = _read_page(self._read, start, stop)
            self._size += page.size
            while self._size > 2 * BYTES_MAX:
                self._size -= self._pages.pop(next(iter(self._pages))).size
        return page


def _start_of(stop: int) -> int:
    """Return where the page of the entry before a position begins."""
    return (stop - 2) // PAGE_ENTRIES * PAGE_ENTRIES + 1


def _read_page(read: ReadEntries, start: int, stop: int) -> Page:
    """Return the entries from one position on and before another; of more than ``BYTES_MAX`` the newest."""
    kept: deque[LogEntry] = deque()
    size, at = 0, start - 1
    while at < stop - 1:
        entries = read(Position(at), max_entries=stop - 1 - at, max_bytes=PAGE_BYTES)
        for one in entries:
            if one.position < stop:
                kept.append(one)
                size += len(one.body)
            while size > BYTES_MAX and len(kept) > 1:
                size -= len(kept.popleft().body)
        if not entries:
            break
        at = entries[-1].position
    batches: dict[VersionId, list[LogEntry]] = {}
    for one in kept:
        if one.kind is EntryKind.BATCH:
            batches.setdefault(one.version_id, []).append(one)
    return Page(batches=batches, size=size, known=bool(kept))
