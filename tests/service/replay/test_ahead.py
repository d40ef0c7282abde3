"""Parts of a file are made ahead on another thread; what goes wrong there is raised where they are taken."""

import threading
from collections.abc import Generator

import pytest

from service.replay.ahead import HELD, ahead


class Maker:
    """Makes numbers, and remembers what it did."""

    def __init__(self, number: int, fail_at: int | None = None) -> None:
        self.made: list[int] = []
        self.threads: set[int] = set()
        self.closed = False
        self._number, self._fail_at = number, fail_at

    def items(self) -> Generator[int]:
        try:
            for i in range(self._number):
                self.threads.add(threading.get_ident())
                if i == self._fail_at:
                    raise ValueError(f"item {i}")
                self.made.append(i)
                yield i
        finally:
            self.closed = True


def test_all_items_come_in_order_from_another_thread() -> None:
    maker = Maker(100)
    with ahead(maker.items()) as items:
        assert list(items) == list(range(100))
    assert maker.closed
    assert threading.get_ident() not in maker.threads


def test_what_goes_wrong_comes_after_the_items_before_it() -> None:
    maker, taken = Maker(100, fail_at=7), list[int]()
    with pytest.raises(ValueError, match="item 7"), ahead(maker.items()) as items:
        taken.extend(items)
    assert taken == list(range(7))
    assert maker.closed


def test_nothing_more_is_made_once_the_block_is_left() -> None:
    maker = Maker(10**9)
    with ahead(maker.items()) as items:
        assert [next(items), next(items)] == [0, 1]
    assert maker.closed
    assert len(maker.made) <= 2 + HELD
