"""What a log needs from the place where it is kept."""

from collections.abc import Sequence
from typing import Protocol

from service.domain.errors import Conflict
from service.domain.ids import Micros, Position
from service.ports import Appended, LogReader, NewEntry


class ClosingLogReader(LogReader, Protocol):
    """A reader that holds a connection until it is closed."""

    def check(self) -> None:
        """Raise Unavailable when a part of the log is missing; entries are not read."""

    def close(self) -> None:
        """Give the connection back; a later read opens another."""


class Storage(Protocol):
    """Where a log is kept. Used by one thread at a time: the one that opens it, then the writer's."""

    def open(self) -> None:
        """Open for writing, create what is missing, or raise LogRefused."""

    def append(self, group: Sequence[NewEntry], now_us: Micros) -> list[Appended | Conflict]:
        """Commit a group and return one answer per entry, or raise AppendFailed with nothing committed."""

    def trim(self, up_to: Position, *, before_us: Micros, bytes_max: int) -> bool:
        """Delete some of the oldest entries up to a position that are too old or too much; True when more may be left.

        The newest entry always stays: positions and arrival times go on from it.
        """

    def tidy(self) -> None:
        """Do what is best done while nobody waits."""

    def reader(self) -> ClosingLogReader:
        """Return a reader of the same log, to be used by any thread."""

    def close(self) -> None:
        """Close; may be called twice."""
