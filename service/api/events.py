"""``POST /v1/models/{model}/versions/{version}/events``: a plain ASGI callable, reached before any middleware."""

import anyio.to_thread
import msgspec

from service.api.asgi import (
    REQUEST_ID_HEADER,
    ClientGone,
    Most,
    Receive,
    Scope,
    Send,
    header,
    read_body,
    request_id_of,
    respond,
)
from service.api.deps import Api
from service.api.problems import let_go, render_error
from service.domain.errors import BadRequest, LazarettoError, NotFound, Unauthenticated, Unavailable
from service.domain.receipts import Receipt
from service.domain.records import Scope as KeyScope
from service.domain.records import Version
from service.ingest.decode import Raw
from service.pipeline import accept_batch

IDEMPOTENCY_KEY_LENGTH_MAX = 200
PATH_PARTS = 7
ACCEPTED = 202

_encode = msgspec.json.Encoder().encode


class EventsEndpoint:
    """Answers 202 once the batch is durable."""

    def __init__(self, api: Api) -> None:
        self._api = api

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        outcome = "failed"
        request_id = request_id_of(scope).encode()
        try:
            receipt = await self._accept(scope, receive)
            outcome = self._count(receipt)
            body = _encode(receipt)
            status, headers = ACCEPTED, [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
        except LazarettoError as error:
            outcome = "overloaded" if isinstance(error, Unavailable) else "refused"
            if isinstance(error, Unauthenticated):
                self._api.counters.authentication_failures.inc()
            status, headers, body = render_error(error)
            let_go(error)
        except ClientGone:
            outcome = "refused"
            return
        finally:
            self._api.counters.batches[outcome].inc()
        headers.append((REQUEST_ID_HEADER, request_id))
        await respond(send, status, headers, body)

    async def _accept(self, scope: Scope, receive: Receive) -> Receipt:
        api = self._api
        model, name = _names(scope["path"])
        identity = await api.keyring.identify(scope["headers"])
        identity.require(KeyScope.INGEST)
        identity.require_model(model)
        version = await find_version(api, model, name)
        idempotency_key = idempotency_key_of(scope)
        raw = await read_raw(scope, receive, Most("body_bytes_max", api.settings.body_bytes_max))
        return await accept_batch(api.accept, version, raw, idempotency_key)

    def _count(self, receipt: Receipt) -> str:
        events = self._api.counters.events
        if receipt.duplicates:
            events["duplicate"].inc(receipt.duplicates)
            return "repeated"
        events["accepted"].inc(receipt.accepted)
        if receipt.rejected:
            events["rejected"].inc(receipt.rejected)
        return "accepted"


def _names(path: str) -> tuple[str, str]:
    """Return model and version of ``/v1/models/{model}/versions/{version}/events``."""
    parts = path.split("/")
    if len(parts) != PATH_PARTS or parts[4] != "versions":
        raise NotFound(
            f"there is nothing at '{path[:200]}'; events go to /v1/models/{{model}}/versions/{{version}}/events"
        )
    return parts[3], parts[5]


async def find_version(api: Api, model: str, version: str) -> Version:
    """Return a version from memory, or from the store when another replica may have registered it just now.

    Raises
    ------
    NotFound
        Naming the nearest names.
    """
    found = api.fleet.view.versions.get((model, version))
    if found is None and api.fleet.may_be_late:
        await anyio.to_thread.run_sync(api.fleet.look_again)
    return found or api.fleet.view.find(model, version)


async def read_raw(scope: Scope, receive: Receive, most: Most) -> Raw:
    """Return the body as it came, with what its headers say about it."""
    content_type, content_encoding = header(scope, b"content-type"), header(scope, b"content-encoding")
    return Raw(
        body=await read_body(scope, receive, most),
        content_type=None if content_type is None else content_type.decode("latin-1"),
        content_encoding=None if content_encoding is None else content_encoding.decode("latin-1"),
    )


def idempotency_key_of(scope: Scope) -> str | None:
    """Return the ``Idempotency-Key``, or raise BadRequest when it is empty, too long or not printable ASCII."""
    given = header(scope, b"idempotency-key")
    if given is None:
        return None
    text = given.strip().decode("latin-1")
    if not 0 < len(text) <= IDEMPOTENCY_KEY_LENGTH_MAX or not (text.isascii() and text.isprintable()):
        limit = IDEMPOTENCY_KEY_LENGTH_MAX
        raise BadRequest(f"the header Idempotency-Key must have 1 to {limit} printable ASCII characters")
    return text
