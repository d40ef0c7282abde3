"""Feature flags over OFREP 0.3: kill switches for whoever has no gateway in front."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import msgspec
from fastapi import APIRouter, Request, Response
from starlette.responses import StreamingResponse

from service.api.asgi import Scope, header
from service.api.bodies import decode_json
from service.api.deps import Api, ApiDep, Reader, SmallBody, documented_answer
from service.api.flag_desk import FlagDesk
from service.domain.errors import LazarettoError, Unauthenticated, Unavailable
from service.domain.keys import Identity
from service.gate.decide import Asking
from service.gate.flags import Flag, evaluate, parse_key
from service.gate.jitter import Jitter
from service.observability import request_id

router = APIRouter(prefix="/ofrep/v1", tags=["flags"])

EVENTS = "/ofrep/v1/events"
INACTIVITY_SECONDS = 120
LOOK_SECONDS = 0.1
BEAT_SECONDS = 15.0
"""A comment so often, so that whoever is between does not take the stream for dead."""
STREAM_SECONDS = 3_600.0
"""Then a stream ends and the client comes back."""
KEY_SHOWN = 300
TARGETING_KEY_MAX = 1_000


class Bulk(msgspec.Struct, frozen=True, kw_only=True):
    """Every flag that the key reaches, and where changes are told."""

    flags: list[Flag]
    eventStreams: list[dict[str, Any]]  # noqa: N815 - the protocol's own name
    metadata: dict[str, str]


class Failed(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An evaluation that failed."""

    errorCode: str  # noqa: N815 - the protocol's own name
    errorDetails: str  # noqa: N815 - the protocol's own name
    key: str | None = None


@router.post("/evaluate/flags/{key:path}", responses=documented_answer(Flag, "The flag."))
async def evaluate_one(api: ApiDep, who: Reader, key: str, content: SmallBody) -> Response:
    """Evaluate one flag; ``targetingKey`` is the principal, as at the gate."""
    name = key[:KEY_SHOWN]
    targeting, misfit = _targeting(content)
    if misfit is not None:
        return _json(msgspec.structs.replace(misfit, key=name), 400)
    wanted = parse_key(key)
    found = None
    if wanted is not None and who.sees(wanted.target.model):
        found = evaluate(api.fleet.view, wanted, _asking(api, targeting))
    if found is None:
        details = "no such flag: model.{model}[/{version}].serving or .mode, of what is registered and the key reaches"
        return _json(Failed(key=name, errorCode="FLAG_NOT_FOUND", errorDetails=details), 404)
    flag, ruling = found
    if ruling.held is not None:
        api.heard.note(ruling.held, f"flag-{request_id.get()}")
    return _json(msgspec.structs.replace(flag, cacheable=False), 200)


def _asking(api: Api, targeting: str | None) -> Asking | None:
    if not targeting:
        return None
    pseudonym = api.office.deidentifier.pseudonym(targeting)
    return Asking(principals=[pseudonym], now_us=api.clock.now_us(), jitter=Jitter(api.secrets.jitter))


@router.post("/evaluate/flags", responses=documented_answer(Bulk, "Every flag that the key reaches."))
async def evaluate_all(request: Request, who: Reader, content: SmallBody) -> Response:
    """Evaluate every flag; 304 when the ``ETag`` in ``If-None-Match`` still holds."""
    _, misfit = _targeting(content)
    if misfit is not None:
        return _json(misfit, 400)
    sheet = await _desk(request).sheet()
    etag = sheet.etag(who.models)
    headers = {"etag": etag, "cache-control": "no-cache"}
    asked = (header(request.scope, b"if-none-match") or b"").decode("latin-1")
    if etag in {one.strip().removeprefix("W/") for one in asked.split(",")}:
        return Response(status_code=304, headers=headers)
    stream = {"type": "sse", "endpoint": {"requestUri": EVENTS}, "inactivityDelaySec": INACTIVITY_SECONDS}
    body = {
        "flags": msgspec.Raw(sheet.body(who.models)),
        "eventStreams": [stream],
        "metadata": {"source": "lazaretto"},
    }
    return _json(body, 200, headers)


@router.get("/events", responses={200: {"description": "Server-sent events.", "content": {"text/event-stream": {}}}})
async def events(request: Request, api: ApiDep, who: Reader) -> Response:
    """Tell at once when a flag that the key reaches has changed."""
    desk = _desk(request)
    if len(desk.streams) >= api.settings.flag_streams_max:
        raise Unavailable("too many event streams of flags: flag_streams_max", retry_after_seconds=5)
    return StreamingResponse(
        _changes(api, who, desk, request.scope),
        media_type="text/event-stream",
        headers={"cache-control": "no-cache", "x-accel-buffering": "no"},
    )


def _desk(request: Request) -> FlagDesk:
    desk: FlagDesk = request.app.state.flag_desk
    return desk


async def _changes(api: Api, who: Identity, desk: FlagDesk, scope: Scope) -> AsyncIterator[bytes]:
    """Yield an event for each change of the flags, and a comment while there is none.

    The first event comes at once, unless the client says that it has seen these flags in a stream before: what changes
    between its evaluation and its stream is told like this.
    """
    own = object()
    desk.streams.add(own)
    clock = asyncio.get_running_loop().time
    try:
        mark, told = None, (header(scope, b"last-event-id") or b"").decode("latin-1")
        ends, beat = clock() + STREAM_SECONDS, clock()
        yield b"retry: 1000\n\n"
        while clock() < ends and not api.ending.is_set():
            due = clock() - beat >= BEAT_SECONDS
            if due or desk.mark != mark:
                if not await _still_known(api, scope):
                    return
                sheet = await desk.sheet()
                mark, etag = sheet.mark, sheet.etag(who.models)
                if etag.strip('"') != told:
                    told = etag.strip('"')
                    data = msgspec.json.encode({"type": "refetchEvaluation", "etag": etag}).decode()
                    yield f"id: {told}\nevent: message\ndata: {data}\n\n".encode()
            if due:
                beat = clock()
                yield b": still here\n\n"
            await asyncio.sleep(LOOK_SECONDS)
    finally:
        desk.streams.discard(own)


async def _still_known(api: Api, scope: Scope) -> bool:
    """Tell whether the key of a stream is still good: a revoked one learns no more."""
    try:
        await api.keyring.identify(scope["headers"])
    except Unauthenticated:
        return False
    except LazarettoError:  # the store is away, and the key was forgotten meanwhile: nothing says that it is bad
        return True
    return True


def _targeting(content: bytes) -> tuple[str | None, Failed | None]:
    """Return the targeting key of a request's context, or what is wrong with the request."""
    try:
        raw = decode_json(content or b"{}")
    except LazarettoError as error:
        return None, Failed(errorCode="PARSE_ERROR", errorDetails=error.detail)
    context = raw.get("context", {}) if isinstance(raw, dict) else None
    if not isinstance(context, dict):
        return None, Failed(errorCode="INVALID_CONTEXT", errorDetails="context: must be an object")
    targeting = context.get("targetingKey")
    if targeting is not None and not (isinstance(targeting, str) and len(targeting) <= TARGETING_KEY_MAX):
        details = f"context.targetingKey: must be a text of at most {TARGETING_KEY_MAX} characters"
        return None, Failed(errorCode="INVALID_CONTEXT", errorDetails=details)
    return targeting, None


def _json(content: Any, status: int, headers: dict[str, str] | None = None) -> Response:
    return Response(msgspec.json.encode(content), status, headers, media_type="application/json")
