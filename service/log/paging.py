"""How much of the log fits into one read."""

from collections.abc import Iterable


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
