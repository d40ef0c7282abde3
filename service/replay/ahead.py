"""Reading ahead: the next part of a file is decoded and counted while the detectors work on the one before."""

from collections.abc import Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

HELD = 2
"""So many parts are made ahead, at most."""

Item = TypeVar("Item")


@contextmanager
def ahead(items: Generator[Item]) -> Iterator[Iterator[Item]]:
    """Make items on another thread, some of them before they are asked for.

    The first ones are begun at once. What goes wrong in the making is raised where the item is taken. When the block is
    left, items are made no more, and ``items`` is closed on the thread that it ran on.
    """
    with ThreadPoolExecutor(1, "replay-ahead") as pool:
        begun = [pool.submit(next, items, None) for _ in range(HELD)]
        try:
            yield _taken(pool, items, begun)
        finally:
            for future in begun:
                future.cancel()
            pool.submit(items.close).result()


def _taken(pool: ThreadPoolExecutor, items: Generator[Item], begun: list[Future[Item | None]]) -> Iterator[Item]:
    while True:
        item = begun.pop(0).result()
        if item is None:
            return
        begun.append(pool.submit(next, items, None))
        yield item
