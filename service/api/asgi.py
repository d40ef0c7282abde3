"""The little of ASGI that the two hot paths need."""

import re
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, NamedTuple

from service.api.problems import Headers
from service.domain.errors import BadRequest, Place, TooLarge
from service.entropy import random_hex

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

REQUEST_ID = re.compile(rb"[A-Za-z0-9._:-]{1,64}")
REQUEST_ID_HEADER = b"x-request-id"
HEADERS = "lazaretto.headers"
"""Where a scope keeps its headers by name."""


class Most(NamedTuple):
    """How long a body may be, and the setting that says so."""

    setting: str
    size: int
    """In bytes."""


class ClientGone(Exception):
    """The client closed the connection before its request was complete: there is nobody to answer."""


def header(scope: Scope, name: bytes) -> bytes | None:
    """Return the first value of a header."""
    known: dict[bytes, bytes] | None = scope.get(HEADERS)
    if known is None:  # several are asked for in each request
        known = scope[HEADERS] = dict(reversed(scope["headers"]))
    return known.get(name)


def request_id_of(scope: Scope) -> str:
    """Return the client's request id when it is sane, else a new one."""
    given = header(scope, REQUEST_ID_HEADER)
    if given is not None and REQUEST_ID.fullmatch(given):
        return given.decode("ascii")
    return random_hex(8)


def declared_length(scope: Scope) -> int | None:
    """Return the ``Content-Length``, if there is one."""
    text = header(scope, b"content-length")
    if text is None:
        return None
    digits = 18
    if not text.isdigit() or len(text) > digits:
        raise BadRequest("the header Content-Length is not a number")
    return int(text)


def check_length(scope: Scope, most: Most) -> None:
    """Raise TooLarge before a byte of the body is read, when the client says how long it is."""
    length = declared_length(scope)
    if length is not None and length > most.size:
        raise too_large(most, length)


async def read_body(scope: Scope, receive: Receive, most: Most) -> bytes:
    """Return the whole body.

    Raises
    ------
    TooLarge
        As soon as it is longer than ``most``; before a byte is read when the client says so.
    ClientGone
        When the connection ends first.
    """
    check_length(scope, most)
    chunks: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGone
        chunk = message.get("body", b"")
        size += len(chunk)
        if size > most.size:
            raise too_large(most)
        chunks.append(chunk)
        if not message.get("more_body", False):
            return chunks[0] if len(chunks) == 1 else b"".join(chunks)


def too_large(most: Most, length: int | None = None) -> TooLarge:
    """Return the error for a body over its limit, with its length where the client has said it."""
    has = f"more than {most.size}" if length is None else str(length)
    reason = f"has {has} bytes; limit {most.setting}: {most.size}"
    value = {} if length is None else {"value": length}
    return TooLarge(f"the body {reason}", places=[Place("body", reason)], extra={"limit": most.size, **value})


async def respond(send: Send, status: int, headers: Headers, body: bytes) -> None:
    """Send one whole answer."""
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
