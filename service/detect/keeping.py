"""What is known of single principals, as bytes beside the snapshot: kept now and then, at a position of the log.

Everything after that position is learnt again from the log when a worker starts, so how often it is kept changes no
finding. It is kept when about as much has been looked at as it costs to write it, so a version writes at most
``BYTES_PER_REQUEST`` for each request that is looked at, however many principals it remembers; and a worker that starts
has at most that much to look at again.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from detectors.errors import StateError
from service.detect.rations import Turn
from service.domain.ids import Position

FORMAT = 5
WORK_MIN = 5_000
"""Requests, so many of which at least lie between two times: half a second of work."""
BYTES_PER_REQUEST = 2_048
ROWS_PER_REQUEST = 50
"""Events that are only read cost about as much as one that is looked at."""
SPAN_MIN = 4_096
BYTES_PER_ENTRY = 2_048
"""So many entries of the log, of whichever version, may come after what is kept before it is kept anew."""
BYTES_MAX = 128 * 1024 * 1024
"""Whoever was not seen for longest and does not fit begins anew when the worker starts."""
_logger = logging.getLogger("lazaretto.detect")


class Kept(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    """All that must be known to go on bit for bit; objects are packed by ``detectors.principals.packing``."""

    format: int
    layout: list[list[str]]
    position: int
    began_us: int
    tag: int
    ration: Turn
    counts: dict[str, int]
    flips: Any
    index: Any
    names: list[str]
    stories: list[tuple[int, bytes]]
    """By cluster, the one that grew last at the end."""
    known: list[tuple[str, bytes]]
    """By name, the one seen last at the end."""


@dataclass(slots=True)
class Cadence:
    """When to keep what is known."""

    position: int = 0
    """Of the last entry that was taken."""
    kept: int | None = None
    """How far the log was read when it was kept; ``None``: never."""
    size: int = 0
    """Of what was kept, in bytes."""
    work: float = 0.0
    """Requests that were looked at since."""

    def took(self, position: Position, looked_at: int, rows: int) -> None:
        """Note that an entry was taken."""
        self.position = position
        self.work += looked_at + rows / ROWS_PER_REQUEST

    def due(self, last: Position) -> bool:
        """Tell whether it is time, with the log read up to ``last``."""
        if self.kept is None:
            return True
        if self.position <= self.kept:
            return False
        return self.work >= max(WORK_MIN, self.size / BYTES_PER_REQUEST) or self.is_old(last)

    def is_old(self, last: Position) -> bool:
        """Tell whether so much has come since, also of other versions, that reading it again would take long."""
        behind = self.kept is not None and self.position > self.kept
        return behind and last - int(self.kept or 0) >= max(SPAN_MIN, self.size / BYTES_PER_ENTRY)

    def keep(self, last: Position, size: int) -> None:
        """Note that all that was taken up to ``last`` is kept."""
        self.kept, self.size, self.work = last, size, 0.0


def fitting(packed: Sequence[tuple[str, bytes]], room: int) -> tuple[list[tuple[str, bytes]], int]:
    """Return the last ones that fit into so many bytes, in order, and how many do not."""
    kept = 0
    for name, content in reversed(packed):
        room -= len(name) + len(content)
        if room < 0:
            break
        kept += 1
    lost = len(packed) - kept
    return list(packed[lost:]), lost


def kept_from(content: bytes, layout: list[list[str]]) -> Kept:
    """Read what was kept.

    Raises
    ------
    StateError
        When it is of another release, or no such thing.
    """
    try:
        kept = msgspec.msgpack.decode(content, type=Kept)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise StateError(f"not what is known of principals: {error}") from error
    if kept.format != FORMAT or kept.layout != layout:
        raise StateError("what is known of principals was kept by another release")
    return kept


def unreadable(version_id: int, error: StateError) -> None:
    """Say that principals begin anew."""
    extra = {"version_id": version_id, "reason": str(error)}
    _logger.error("principals not understood: they begin anew", extra=extra)
