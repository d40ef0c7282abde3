"""Requests of a few events that wait for the same commit become one entry of the log.

While an entry is on its way to the disk, the next one gathers by itself. When that is how several requests came
together, the entry after it waits until as many have come again, for two milliseconds at most: under load, fewer and
larger entries are worth that. A client that sends one request after the other never waits.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple

from service.domain.errors import LazarettoError, Unavailable
from service.domain.ids import VersionId
from service.frames import FrameError
from service.ingest.few import Few, Make
from service.ingest.prepare import Preparer
from service.ports import Appended, EntryKind, NewEntry, TelemetryLog

GATHER_SECONDS = 0.002
TOGETHER_MAX = 256
"""Requests in one entry."""


class _Waiting(NamedTuple):
    few: Few
    future: "asyncio.Future[Appended | None]"


@dataclass(slots=True)
class _Line:
    """The requests of one version and make that wait, and the task that serves them."""

    version_id: VersionId
    preparer: Preparer
    waiting: list[_Waiting] = field(default_factory=list)
    group: list[_Waiting] = field(default_factory=list)
    """The requests whose entry is on its way."""
    task: "asyncio.Task[None] | None" = None
    wanted: int = 0
    """How many requests the next entry waits for."""
    enough: "asyncio.Future[None] | None" = None
    """Done when they have come, or when they take too long."""


class Gatherer:
    """Appends requests of a few events together. Belongs to one event loop.

    Parameters
    ----------
    log : TelemetryLog
        Where entries go.
    new_batch_id : callable
        Names an entry.
    requests_max, bytes_max : int
        How much may wait, over all versions.
    """

    def __init__(
        self, log: TelemetryLog, new_batch_id: Callable[[], str], *, requests_max: int, bytes_max: int
    ) -> None:
        self._log = log
        self._new_batch_id = new_batch_id
        self._requests_max = requests_max
        self._bytes_max = bytes_max
        self._lines: dict[tuple[VersionId, Make], _Line] = {}
        self._requests = 0
        self._bytes = 0
        self.refused = 0
        """Requests that found too many waiting."""

    def depth(self) -> tuple[int, int]:
        """Return how many requests and bytes wait to be put into an entry."""
        return self._requests, self._bytes

    async def append(self, version_id: VersionId, preparer: Preparer, few: Few) -> Appended | None:
        """Append the events of one request, and return once they are on disk; ``None`` if they have to go alone.

        Raises
        ------
        Unavailable
            At once, when too much waits or the log takes nothing.
        """
        if self._requests >= self._requests_max or self._bytes + few.size > self._bytes_max:
            self.refused += 1
            raise Unavailable(f"too many requests wait for the telemetry log: {self._requests}, {self._bytes} bytes")
        loop = asyncio.get_running_loop()
        waiting = _Waiting(few, loop.create_future())
        name = (version_id, few.make)
        line = self._lines.get(name)
        if line is None:
            line = self._lines[name] = _Line(version_id, preparer)
            line.task = loop.create_task(self._serve(name, line))
            line.task.add_done_callback(partial(self._end, name, line))
        line.waiting.append(waiting)
        if line.enough is not None and len(line.waiting) >= line.wanted:
            _wake(line.enough)
        self._requests += 1
        self._bytes += few.size
        return await waiting.future

    async def _serve(self, name: tuple[VersionId, Make], line: _Line) -> None:
        """Append what waits, until nothing does; the next request begins anew."""
        while line.waiting:
            line.group = self._take(line)
            await self._append(line, line.group)
            if len(line.group) > 1:
                await _gather(line, len(line.group))
        del self._lines[name]

    def _end(self, name: tuple[VersionId, Make], line: _Line, task: "asyncio.Task[None]") -> None:
        """Answer those whom a bug, or the end of the process, has left without an answer."""
        if self._lines.get(name) is line:
            del self._lines[name]
        left = line.group
        while line.waiting:
            left += self._take(line)
        bug = None if task.cancelled() else task.exception()
        _fail(left, lambda: bug or Unavailable("the telemetry log has closed", retry_after_seconds=5))

    def _take(self, line: _Line) -> list[_Waiting]:
        group, line.waiting = line.waiting[:TOGETHER_MAX], line.waiting[TOGETHER_MAX:]
        self._requests -= len(group)
        self._bytes -= sum(waiting.few.size for waiting in group)
        return group

    async def _append(self, line: _Line, group: Sequence[_Waiting]) -> None:
        """Append a group as one entry and answer everyone in it."""
        try:
            body = line.preparer.join([waiting.few for waiting in group])
        except (FrameError, LazarettoError):
            body = None
        if body is None:
            await self._part(line, group)
            return
        entry = NewEntry(
            kind=EntryKind.BATCH,
            version_id=line.version_id,
            batch_id=self._new_batch_id(),
            rows=sum(len(waiting.few.events) for waiting in group),
            body=body,
        )
        try:
            appended = await self._log.append(entry)
        except Unavailable as error:
            detail, seconds = error.detail, error.retry_after_seconds
            _fail(group, lambda: Unavailable(detail, retry_after_seconds=seconds))
            return
        for waiting in group:
            if not waiting.future.done():
                waiting.future.set_result(appended)

    async def _part(self, line: _Line, group: Sequence[_Waiting]) -> None:
        """Find the request that cannot be joined and send it the way that names its fault; the others go on."""
        if len(group) > 1:
            for waiting in group:
                await self._append(line, [waiting])
        elif not group[0].future.done():
            group[0].future.set_result(None)


async def _gather(line: _Line, wanted: int) -> None:
    """Wait until so many requests have come, but not long."""
    loop = asyncio.get_running_loop()
    line.wanted, line.enough = wanted, loop.create_future()
    if len(line.waiting) < wanted:
        timer = loop.call_later(GATHER_SECONDS, _wake, line.enough)
        await line.enough
        timer.cancel()
    line.enough = None


def _wake(future: "asyncio.Future[None]") -> None:
    if not future.done():
        future.set_result(None)


def _fail(group: Sequence[_Waiting], error: Callable[[], BaseException]) -> None:
    for waiting in group:
        if not waiting.future.done():
            waiting.future.set_exception(error())
