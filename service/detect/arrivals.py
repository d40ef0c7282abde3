"""Where in the log a time begins."""

from service.domain.ids import Micros, Position
from service.ports import LogReader


def before_time(log: LogReader, at_us: Micros) -> Position:
    """Return the last position whose entry arrived before a time, or one below it where the log has none any more.

    Arrival times never decrease along the log, so that it is found by halving.
    """
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
