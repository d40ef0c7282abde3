"""CloudEvents of inference loggers (KServe, Seldon, Knative): binary, structured and batch mode over HTTP."""

import base64
import binascii
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any
from urllib.parse import unquote_to_bytes

from service.domain.errors import BadRequest, Place, TooLarge, Unprocessable
from service.ingest.envelope import bad_name, type_name
from service.ingest.guard import check_nesting
from service.ingest.inflate import inflate
from service.ingest.lenient import parse_json
from service.ingest.limits import Limits

EVENTS_MAX = 1_000
"""CloudEvents of one batch."""
SPEC_VERSIONS = ("1.0", "0.3")
"""MLServer still says 0.3."""


class HalfKind(StrEnum):
    """Which half of an inference an event tells of."""

    REQUEST = "request"
    RESPONSE = "response"
    FEEDBACK = "feedback"


TYPES: Mapping[str, HalfKind] = {
    "org.kubeflow.serving.inference.request": HalfKind.REQUEST,
    "org.kubeflow.serving.inference.response": HalfKind.RESPONSE,
    "io.seldon.serving.inference.request": HalfKind.REQUEST,
    "io.seldon.serving.inference.response": HalfKind.RESPONSE,
    "io.seldon.serving.feedback": HalfKind.FEEDBACK,
}
_REQUIRED = ("specversion", "type", "source", "id")
_BATCH, _STRUCTURED = "application/cloudevents-batch", "application/cloudevents"
_HEADER_LENGTH = "inference-header-content-length"


@dataclass(frozen=True, slots=True, kw_only=True)
class InferenceEvent:
    """One half of an inference, as a logger sent it. The id is the client's to choose: do not trust it to be unique."""

    model: str
    version: str | None
    kind: HalfKind
    id: str
    source: str
    time: str | None
    payload: bytes
    """JSON, possibly followed by raw tensors; or a protobuf message."""
    json_bytes: int | None
    """Where the JSON ends, when the logger said so."""


def decode_cloudevents(headers: Mapping[str, str], body: bytes, limits: Limits) -> list[InferenceEvent]:
    """Return the inference events of one request.

    Raises
    ------
    BadRequest
        If a header or the JSON around an event cannot be parsed.
    TooLarge
        Over a limit.
    Unprocessable
        If required attributes are missing or the type is not known.
    """
    lowered = {name.lower(): value for name, value in headers.items()}
    if len(body) > limits.body_bytes_max:
        raise TooLarge(f"the body has {len(body)} bytes; limit body_bytes_max: {limits.body_bytes_max}")
    content = inflate(body, lowered.get("content-encoding"), limits)
    content_type = lowered.get("content-type", "").lower()
    if content_type.startswith(_BATCH):
        events = _parse(content, limits)
        if not isinstance(events, list) or not events:
            raise Unprocessable("a batch must be a list of events", places=[Place("$", "must be a list, not empty")])
        if len(events) > EVENTS_MAX:
            raise TooLarge(f"{len(events)} events in one batch; at most {EVENTS_MAX}")
        return [_structured(f"$[{i}]", event, limits) for i, event in enumerate(events)]
    if content_type.startswith(_STRUCTURED):
        return [_structured("$", _parse(content, limits), limits)]
    attributes = {name[3:]: _header(name, value) for name, value in lowered.items() if name.startswith("ce-")}
    length = lowered.get(_HEADER_LENGTH) or _from_metadata(attributes.get("metadata"))
    return [_event("ce-", attributes, content, _length(length, len(content)), limits)]


def _parse(content: bytes, limits: Limits) -> Any:
    check_nesting(content, limits)
    return parse_json(content, limits)


def _header(name: str, value: str) -> str:
    """Undo quotes, then one round of percent-encoding, as the HTTP binding says."""
    if len(value) > 1 and value[0] == value[-1] == '"':
        value = re.sub(r"\\(.)", r"\1", value[1:-1])
    try:
        return unquote_to_bytes(value).decode()
    except UnicodeDecodeError:
        reason = "is percent-encoded, but not UTF-8"
        raise BadRequest(f"header {name} {reason}", places=[Place(name, reason)]) from None


def _from_metadata(metadata: str | None) -> str | None:
    # KServe passes request headers on only when it is told to, as JSON: {"Name": ["value"]}.
    try:
        named = json.loads(metadata or "{}")
    except (ValueError, RecursionError):
        return None
    for name, values in named.items() if isinstance(named, dict) else ():
        if name.lower() == _HEADER_LENGTH and isinstance(values, list) and values:
            return str(values[0])
    return None


def _length(value: str | None, size: int) -> int | None:
    if value is None:
        return None
    if not re.fullmatch(r"[0-9]{1,12}", value) or int(value) > size:
        reason = f"must be a number of bytes, at most the {size} of the body"
        raise BadRequest(f"{_HEADER_LENGTH} {reason}", places=[Place(_HEADER_LENGTH, reason)])
    return int(value)


def _structured(at: str, event: object, limits: Limits) -> InferenceEvent:
    if not isinstance(event, dict):
        raise Unprocessable(f"{at} must be an object", places=[Place(at, f"must be an object, not {type_name(event)}")])
    attributes = {name: value for name, value in event.items() if isinstance(value, str)}
    if "data_base64" in event:
        try:
            payload = base64.b64decode(attributes.get("data_base64", ""), validate=True)
        except (binascii.Error, ValueError):
            raise BadRequest("data_base64 is not base64", places=[Place(f"{at}.data_base64", "not base64")]) from None
    elif isinstance(event.get("data"), str):
        payload = event["data"].encode(errors="replace")
    else:
        # Infinity and NaN are written as such and read back as invalid.
        payload = json.dumps(event.get("data")).encode()
    length = _length(_from_metadata(attributes.get("metadata")), len(payload))
    return _event(f"{at}.", attributes, payload, length, limits)


def _event(
    at: str, attributes: Mapping[str, str], payload: bytes, json_bytes: int | None, limits: Limits
) -> InferenceEvent:
    places = [Place(f"{at}{name}", "is missing") for name in _REQUIRED if not attributes.get(name)]
    version = attributes.get("specversion")
    if version and version not in SPEC_VERSIONS:
        places.append(Place(f"{at}specversion", f"must be one of {', '.join(SPEC_VERSIONS)}"))
    kind = TYPES.get(attributes.get("type", ""))
    if kind is None and attributes.get("type"):
        places.append(Place(f"{at}type", f"must be one of {', '.join(TYPES)}"))
    model = attributes.get("inferenceservicename") or attributes.get("modelid")
    if not model:
        places.append(Place(f"{at}inferenceservicename", "is missing, and so is modelid"))
    for name in ("id", "source", "inferenceservicename", "modelid", "modelversion"):
        reason = bad_name(attributes.get(name) or None, limits)
        if reason:
            places.append(Place(f"{at}{name}", reason))
    if places or kind is None or not model:
        raise Unprocessable("the event is not one of an inference", places=places)
    return InferenceEvent(
        model=model,
        version=attributes.get("modelversion") or None,
        kind=kind,
        id=attributes["id"],
        source=attributes["source"],
        time=attributes.get("time"),
        payload=payload,
        json_bytes=json_bytes,
    )
