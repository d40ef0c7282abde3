"""Pages that stay current: a stream that tells a browser when what it shows has changed.

A stream carries no content, only a mark that moves with the page: the browser asks for the page itself, as it may any
time. So a stream can be lost, ended or refused, and nothing but speed is lost with it.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from dataclasses import dataclass, field

import msgspec
from fastapi import APIRouter, Request, Response
from fastapi.concurrency import run_in_threadpool
from starlette.responses import StreamingResponse

from service.console.access import Access, SignInNeeded
from service.console.deps import ConsoleDeps
from service.domain.errors import Unavailable
from service.domain.ids import VersionId
from service.ports_console import Standing

LOOK_SECONDS = 0.25
BEAT_SECONDS = 5.0
"""So often a mark is told again, with the age of what is known, and so that nobody takes the stream for dead."""
LISTS_SECONDS = 5.0
"""Evidence moves all the time somewhere in a fleet: the mark of a list follows it so often."""
CHECK_SECONDS = 5.0
"""So often a stream asks whether its key still may read."""
STREAM_SECONDS = 600.0
"""Then a stream ends, and the browser opens another one."""
STREAMS_OF_ONE = 8
"""Of one session: a browser holds one for each page that is in sight."""


class _Mark(msgspec.Struct, frozen=True):
    mark: str
    age: float
    """Seconds since the store was last asked."""


@dataclass(slots=True)
class Streams:
    """The streams that are open, by session."""

    most: int
    _open: dict[str, set[asyncio.Event]] = field(default_factory=dict)

    def begin(self, token: str) -> asyncio.Event:
        """Count one more and return what ends it.

        Raises
        ------
        Unavailable
            When there are too many, or too many of this session.
        """
        own = self._open.get(token, set())
        if sum(map(len, self._open.values())) >= self.most:
            raise Unavailable("too many pages are kept current: console_streams_max", retry_after_seconds=15)
        if len(own) >= STREAMS_OF_ONE:
            raise Unavailable("too many pages of this session are kept current", retry_after_seconds=15)
        ended = asyncio.Event()
        self._open.setdefault(token, own).add(ended)
        return ended

    def leave(self, token: str, ended: asyncio.Event) -> None:
        """Count one less."""
        own = self._open.get(token)
        if own is not None:
            own.discard(ended)
            if not own:
                del self._open[token]

    def end(self, token: str) -> None:
        """Let every stream of a session end."""
        for ended in self._open.get(token, ()):
            ended.set()

    @property
    def open(self) -> int:
        """How many there are."""
        return sum(map(len, self._open.values()))


def mark_of(standing: Standing, version_id: VersionId | None, slot: int) -> str:
    """Return a mark that moves when a page has something new to show.

    Parameters
    ----------
    standing
        What is known of every version.
    version_id
        Of the page; ``None`` for a page about more than one version.
    slot
        The time in steps of ``LISTS_SECONDS``: pages about more than one version follow evidence by it.
    """
    if version_id is None:
        return f"{standing.revision}.{slot}"
    snapshot = standing.snapshots.get(version_id)
    return f"{standing.revision}.{snapshot.position if snapshot else 0}"


async def _marks(
    deps: ConsoleDeps, streams: Streams, token: str, mark: Callable[[], str], still_in: Callable[[], bool]
) -> AsyncGenerator[bytes]:
    """Yield a mark whenever it has moved, and now and then when it has not."""
    ended, clock = streams.begin(token), asyncio.get_running_loop().time
    try:
        yield b"retry: 3000\n\n"
        shown, told, checked, ends = "", -BEAT_SECONDS, clock(), clock() + STREAM_SECONDS
        while clock() < ends and not deps.ending.is_set():
            if clock() - checked >= CHECK_SECONDS:
                checked = clock()
                if not await run_in_threadpool(still_in):
                    ended.set()
            if ended.is_set():
                yield b"event: gone\ndata: {}\n\n"
                return
            now = mark()
            if now != shown or clock() - told >= BEAT_SECONDS:
                shown, told = now, clock()
                age = max(0.0, (deps.clock.now_us() - deps.standing().read_us) / 1e6)
                data = msgspec.json.encode(_Mark(now, round(age, 1))).decode()
                yield f"event: mark\ndata: {data}\n\n".encode()
            await asyncio.sleep(LOOK_SECONDS)
    finally:
        streams.leave(token, ended)


def add_live(router: APIRouter, deps: ConsoleDeps, access: Access, streams: Streams) -> None:
    """Add the address of the streams."""

    @router.get("/live")
    async def live(request: Request) -> Response:
        viewer = await run_in_threadpool(access.viewer, request)
        query = request.query_params
        version_id = _version_of(deps.standing(), query.get("model", ""), query.get("version", ""))

        def mark() -> str:
            slot = int(deps.clock.now_us() / (LISTS_SECONDS * 1e6))
            return mark_of(deps.standing(), version_id, slot)

        def still_in() -> bool:
            try:
                access.viewer(request)
            except SignInNeeded:
                return False
            return True

        marks = _marks(deps, streams, viewer.session.token, mark, still_in)
        # The first part tells whether there is room: a refusal is an answer of its own, not a stream that breaks.
        first = await anext(marks)

        async def told() -> AsyncIterator[bytes]:
            try:
                yield first
                async for part in marks:
                    yield part
            finally:
                await marks.aclose()

        headers = {"cache-control": "no-store", "x-accel-buffering": "no", "vary": "Cookie"}
        return StreamingResponse(told(), media_type="text/event-stream", headers=headers)


def _version_of(standing: Standing, model: str, version: str) -> VersionId | None:
    """Return which version a page is of; a stream tells of any no more than that something has come."""
    return next((one.id for one in standing.versions if (one.model, one.version) == (model, version)), None)
