"""Principals as they were when the worker stopped: from what was kept, and from the log since then."""

import logging
from collections.abc import Mapping, Sequence
from typing import Protocol

from service.detect.principals import Principals
from service.domain.ids import Position, VersionId
from service.ports import EntryKind, LogEntry

ENTRIES_MAX = 2_048
READ_BYTES_MAX = 32 * 1024 * 1024
_logger = logging.getLogger("lazaretto.detect")


class ReadEntries(Protocol):
    """Reads the log."""

    def __call__(self, after: Position, *, max_entries: int, max_bytes: int) -> Sequence[LogEntry]:
        """Return the entries after a position, in order, at least one if there is one."""


def recall(known: Mapping[VersionId, Principals], read: ReadEntries, last: Position) -> None:
    """Take the entries again that came after each version's principals were kept, up to ``last``.

    What they tell of was written when they were taken first. Of a log that lacks some of them, what is left is taken.
    """
    kept = {v: own.cadence.kept for v, own in known.items()}
    since = {v: position for v, position in kept.items() if position is not None and position < last}
    if not since:
        return
    at = Position(min(since.values()))
    first = True
    while at < last:
        entries = read(at, max_entries=ENTRIES_MAX, max_bytes=READ_BYTES_MAX)
        if not entries:
            break
        if first and entries[0].position != at + 1:
            _logger.warning("the log lacks what came since principals were kept", extra={"position": at + 1})
        first = False
        for entry in entries:
            after = since.get(entry.version_id)
            if after is None or not after < entry.position <= last or entry.kind is not EntryKind.BATCH:
                continue
            known[entry.version_id].take(entry)
        at = entries[-1].position
    for version_id in since:
        known[version_id].take_found()
