"""Pages that stay current: a stream that tells a browser when what it shows has changed.

A stream carries no content, only a mark that moves with the page: the browser asks for the page itself, as it may any
time. So a stream can be lost, ended or refused, and nothing but speed is lost with it.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from functools import partial

import msgspec
from fastapi import APIRouter, Request, Response
from fastapi.concurrency import run_in_threadpool
from starlette.responses import StreamingResponse

from service.console.access import Access, SignInNeeded
from service.console.deps import ConsoleDeps
from service.console.pages import SECURITY_HEADERS
from service.console.streams import Seen, Streams
from service.domain.errors import LazarettoError
from service.domain.ids import VersionId
from service.domain.keys import Identity
from service.ports_console import Standing

BEAT_SECONDS = 5.0
"""So often a mark is told again, with the age of what is known, and so that nobody takes the stream for dead."""
LISTS_SECONDS = 5.0
"""Evidence moves all the time somewhere in a fleet: the mark of a list follows it so often."""
CHECK_SECONDS = 5.0
"""So often a session is asked whether its key still may read."""
STREAM_SECONDS = 600.0
"""Then a stream ends, and the browser opens another one."""


class _Mark(msgspec.Struct, frozen=True):
    mark: str
    age: float
    """Seconds since the store was last asked."""
    now: int
    """What the clock of the service says, in milliseconds: 'a minute ago' is said by it."""


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
    look = partial(_seen, deps)
    streams.due(token, clock(), 0.0)
    try:
        yield b"retry: 3000\n\n"
        shown, told, ends = mark(), -BEAT_SECONDS, clock() + STREAM_SECONDS
        while clock() < ends and not deps.ending.is_set():
            streams.watch(look)  # the one that looks may have ended by an error
            if streams.due(token, clock(), CHECK_SECONDS) and not await run_in_threadpool(still_in):
                streams.end(token)
            if ended.is_set():
                yield b"event: gone\ndata: {}\n\n"
                return
            if clock() - told >= BEAT_SECONDS:
                told = clock()
                yield _line(deps, shown)
            if await streams.news(ended, max(0.0, min(told + BEAT_SECONDS, ends) - clock())):
                now = mark()
                if now != shown:
                    shown, told = now, -BEAT_SECONDS
    finally:
        streams.leave(token, ended)


def _seen(deps: ConsoleDeps) -> Seen:
    return Seen(deps.standing(), int(deps.clock.now_us() / (LISTS_SECONDS * 1e6)), deps.ending.is_set())


def _line(deps: ConsoleDeps, mark: str) -> bytes:
    now_us = deps.clock.now_us()
    age = max(0.0, (now_us - deps.standing().read_us) / 1e6)
    data = msgspec.json.encode(_Mark(mark, round(age, 1), now_us // 1_000)).decode()
    return f"event: mark\ndata: {data}\n\n".encode()


def add_live(router: APIRouter, deps: ConsoleDeps, access: Access) -> None:
    """Add the address of the streams."""

    @router.get("/live")
    async def live(request: Request) -> Response:
        viewer = await run_in_threadpool(access.viewer, request)
        query = request.query_params
        version_id = _version_of(deps.standing(), viewer.identity, query.get("model", ""), query.get("version", ""))

        def mark() -> str:
            slot = int(deps.clock.now_us() / (LISTS_SECONDS * 1e6))
            return mark_of(deps.standing(), version_id, slot)

        def still_in() -> bool:
            return may_still_read(access, request)

        marks = _marks(deps, deps.streams, viewer.session.token, mark, still_in)
        # The first part tells whether there is room: a refusal is an answer of its own, not a stream that breaks.
        first = await anext(marks)

        async def told() -> AsyncIterator[bytes]:
            try:
                yield first
                async for part in marks:
                    yield part
            finally:
                await marks.aclose()

        headers = SECURITY_HEADERS | {"cache-control": "no-store", "x-accel-buffering": "no", "vary": "Cookie"}
        return StreamingResponse(told(), media_type="text/event-stream", headers=headers)


def may_still_read(access: Access, request: Request) -> bool:
    """Tell whether a session still may read; while the store is away nobody knows better, and the stream goes on."""
    try:
        access.viewer(request)
    except SignInNeeded:
        return False
    except LazarettoError:
        return True
    return True


def _version_of(standing: Standing, who: Identity, model: str, version: str) -> VersionId | None:
    """Return which version a page is of; one that the key may not see is as good as none."""
    if not who.sees(model):
        return None
    return next((one.id for one in standing.versions if (one.model, one.version) == (model, version)), None)
