"""How much of the log fits into one read, and what stands at one place of it."""

from collections.abc import Iterable

from service.domain.ids import Micros, Position
from service.ports import LogReader


def last_that_fits(sizes: Iterable[tuple[int, int]], max_bytes: int) -> int | None:
    """Return the last of the positions whose sizes together fit, the first one in any case, or None without any.

    Parameters
    ----------
    sizes
        Position and size in bytes, by position.
    """
    last = None
    room = max_bytes
    for position, size in sizes:
        room -= size
        if last is not None and room < 0:
            break
        last = position
    return last


def arrival_of(log: LogReader, position: Position) -> Micros | None:
    """Return when the entry at a position arrived; ``None`` for position 0, and when the log has the entry no more."""
    if not position:
        return None
    found = log.read(Position(position - 1), max_entries=1, max_bytes=1)
    return found[0].arrival_us if found and found[0].position == position else None
