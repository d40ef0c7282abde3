"""What model servers and their loggers send, and what gateways ask.

Events and the gate are documented here and answered by plain ASGI callables: ``service/app.py`` sends them there before
any middleware. A request that reaches the routes below all the same is handed to the same callables.
"""

from typing import Any

import anyio.to_thread
from fastapi import APIRouter, Request, Response

from service.api.asgi import Application, Most, Receive, Scope, Send, read_body
from service.api.deps import Api, ApiDep, Ingester, answer, documented_answer
from service.api.events import find_version, idempotency_key_of, read_raw
from service.domain.errors import LazarettoError, Place, Unprocessable
from service.domain.keys import Identity
from service.domain.receipts import Receipt
from service.domain.records import Version
from service.gate.fleet import unknown
from service.ingest.cloudevents import InferenceEvent, decode_cloudevents
from service.ingest.media import EVENTS, LABELS
from service.pipeline import accept_inference_event, accept_labels

router = APIRouter(prefix="/v1")
ACCEPTED = 202
GATE_METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
GATE_ANSWERS: dict[int | str, dict[str, Any]] = {
    200: {"description": "May pass; `x-gate-state` tells the state."},
    403: {"description": "May not pass; `retry-after` and `x-gate-route` tell what else to do."},
}


class Handed(Response):
    """Hands the request to a plain ASGI callable, which answers it."""

    def __init__(self, application: Application) -> None:
        super().__init__()
        self._application = application

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer."""
        await self._application(scope, receive, send)


def _body(kinds: Any) -> dict[str, Any]:
    return {"requestBody": {"required": True, "content": {kind: {} for kind in kinds}}}


@router.post(
    "/models/{model}/versions/{version}/events",
    tags=["telemetry"],
    status_code=ACCEPTED,
    openapi_extra=_body(EVENTS),
    responses=documented_answer(Receipt, "Durable.", ACCEPTED),
)
async def events(request: Request, who: Ingester, model: str, version: str) -> Response:  # noqa: ARG001 - documented
    """Take the events of one batch: JSON rows or columns, NDJSON or an Arrow stream, plain, gzip or zstd.

    An event has `features`, and may have `event_id`, `timestamp`, `principal`, `prediction`, `probabilities`,
    `latency_ms`, `error` (a boolean, or a short name of its kind), `segment`, `attributions`, `embedding` and
    `fingerprint`. A column of JSON or Arrow is named like the field.
    """
    return Handed(request.app.state.events)


@router.post(
    "/models/{model}/versions/{version}/labels",
    tags=["telemetry"],
    status_code=ACCEPTED,
    openapi_extra=_body(LABELS),
    responses=documented_answer(Receipt, "Durable.", ACCEPTED),
)
async def labels(request: Request, api: ApiDep, who: Ingester, model: str, version: str) -> Response:  # noqa: ARG001 - asks for a key
    """Take the true labels of earlier events."""
    found = await find_version(api, model, version)
    idempotency_key = idempotency_key_of(request.scope)
    raw = await read_raw(request.scope, request.receive, Most("body_bytes_max", api.settings.body_bytes_max))
    receipt = await accept_labels(api.accept, found, raw, idempotency_key)
    counted = api.counters.labels
    counted["duplicate" if receipt.duplicates else "accepted"].inc(receipt.accepted)
    counted["rejected"].inc(receipt.rejected)
    return answer(receipt, ACCEPTED)


@router.post("/ingest/cloudevents", tags=["telemetry"], responses={200: {"description": "Durable."}})
async def cloudevents(request: Request, api: ApiDep, who: Ingester) -> Response:
    """Take logged inferences of KServe, Seldon or Knative: binary, structured or batch."""
    body = await read_body(request.scope, request.receive, Most("body_bytes_max", api.settings.body_bytes_max))
    headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in request.scope["headers"]}
    received = await anyio.to_thread.run_sync(decode_cloudevents, headers, body, api.accept.limits)
    refused: list[tuple[int, LazarettoError]] = []
    for number, event in enumerate(received):
        try:
            await accept_inference_event(api.accept, _version(api, who, event), event)
            api.counters.cloudevents["accepted"].inc()
        except LazarettoError as error:
            api.counters.cloudevents["refused"].inc()
            refused.append((number, error))
    if refused:
        raise _refusal(refused, len(received))
    # KServe takes any other success than a bare 200 for an error.
    return Response(status_code=200)


async def gate(request: Request) -> Response:
    """May this request go to the model? Exactly 200 or 403."""
    return Handed(request.app.state.gate)


for _method in GATE_METHODS:
    for _path in ("/gate", "/gate/{rest:path}", "/gate-route", "/gate-route/{rest:path}"):
        _id = f"{'gate_route' if '-route' in _path else 'gate'}_{_method.lower()}{'_path' if 'rest' in _path else ''}"
        router.add_api_route(_path, gate, methods=[_method], operation_id=_id, tags=["gate"], responses=GATE_ANSWERS)


def _version(api: Api, who: Identity, event: InferenceEvent) -> Version:
    who.require_model(event.model)
    view = api.fleet.view
    if event.version is not None:
        return view.find(event.model, event.version)
    found = view.default_version(event.model)
    if found is None:
        if event.model not in view.models:
            raise view.unknown_model(event.model)
        raise unknown(f"version of model '{event.model}'", "", [])
    return found


def _refusal(refused: list[tuple[int, LazarettoError]], total: int) -> LazarettoError:
    """Return one error for a whole request; sending it again is harmless, because events carry their own ids."""
    if total == 1:
        return refused[0][1]
    places = [Place(f"[{number}]", error.detail) for number, error in refused]
    unavailable = next((error for _, error in refused if error.status >= 500), None)  # noqa: PLR2004 - HTTP
    return unavailable or Unprocessable(f"{len(refused)} of {total} events were refused", places=places)
