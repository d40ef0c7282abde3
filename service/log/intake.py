"""The bounded queue between the requests and the log's thread, and the way back for the answers."""

import asyncio
from collections import deque
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from threading import Condition

from service.domain.errors import Conflict, Unavailable
from service.ports import Appended, NewEntry

Answer = Appended | Conflict | Unavailable


@dataclass(frozen=True, slots=True)
class Waiting:
    """An entry, and the request that waits for it."""

    entry: NewEntry
    size: int
    loop: asyncio.AbstractEventLoop
    future: asyncio.Future[Appended]


class Intake:
    """A queue with two bounds. An entry that alone is over the byte bound is taken when nothing else waits."""

    def __init__(self, *, entries_max: int, bytes_max: int) -> None:
        self._entries_max = entries_max
        self._bytes_max = bytes_max
        self._queue: deque[Waiting] = deque()
        self._bytes = 0
        self._closed: str | None = "it has not been started"
        self._changed = Condition()
        self.refused = 0

    @property
    def closed(self) -> bool:
        """True once nothing more is taken."""
        return self._closed is not None

    def open(self) -> None:
        """Take entries from now on."""
        with self._changed:
            self._closed = None

    def depth(self) -> tuple[int, int]:
        """Return how many entries and bytes wait."""
        return len(self._queue), self._bytes

    def put(self, waiting: Waiting) -> None:
        """Add an entry, or raise Unavailable at once."""
        with self._changed:
            if self._closed is not None:
                raise Unavailable(f"the telemetry log takes nothing: {self._closed}", retry_after_seconds=5)
            full = len(self._queue) >= self._entries_max or self._bytes + waiting.size > self._bytes_max
            if full and self._queue:
                self.refused += 1
                raise Unavailable(f"the telemetry log's queue is full: {len(self._queue)} entries, {self._bytes} bytes")
            self._queue.append(waiting)
            self._bytes += waiting.size
            if len(self._queue) == 1:
                self._changed.notify()

    def take(self, *, entries_max: int, bytes_max: int, wait_seconds: float) -> list[Waiting] | None:
        """Return the next group, an empty one when nothing came in time, or None when closed and drained."""
        with self._changed:
            if not self._queue and self._closed is None:
                self._changed.wait(wait_seconds)
            if not self._queue:
                return None if self._closed is not None else []
            group = [self._pop()]
            room = bytes_max - group[0].size
            while self._queue and len(group) < entries_max and self._queue[0].size <= room:
                group.append(self._pop())
                room -= group[-1].size
            return group

    def close(self, reason: str) -> None:
        """Take nothing more; what waits can still be taken out. The first reason stands."""
        with self._changed:
            self._closed = self._closed or reason
            self._changed.notify()

    def drop_all(self) -> list[Waiting]:
        """Empty the queue and return what waited."""
        with self._changed:
            left = list(self._queue)
            self._queue.clear()
            self._bytes = 0
            return left

    def _pop(self) -> Waiting:
        waiting = self._queue.popleft()
        self._bytes -= waiting.size
        return waiting


def answer(group: Sequence[Waiting], answers: Iterable[Answer]) -> None:
    """Wake the requests of a group: one call per event loop, however many wait in it."""
    by_loop: dict[asyncio.AbstractEventLoop, list[tuple[asyncio.Future[Appended], Answer]]] = {}
    for waiting, result in zip(group, answers, strict=True):
        by_loop.setdefault(waiting.loop, []).append((waiting.future, result))
    for loop, pairs in by_loop.items():
        with suppress(RuntimeError):  # the loop has ended, and with it everyone who waited
            loop.call_soon_threadsafe(_resolve, pairs)


def _resolve(pairs: Sequence[tuple[asyncio.Future[Appended], Answer]]) -> None:
    for future, result in pairs:
        if future.done():  # the request was cancelled
            continue
        if isinstance(result, Appended):
            future.set_result(result)
        else:
            future.set_exception(result)
