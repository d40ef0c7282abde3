"""One half of an inference to a frame: a request carries features only, a response the prediction only."""

from collections.abc import Mapping, Sequence
from typing import Any

from service.domain.errors import Place, Unprocessable
from service.domain.schema import PREDICTION, FeatureKind, PredictionKind, Schema
from service.frames import Frame
from service.ingest.cloudevents import HalfKind, InferenceEvent
from service.ingest.layout import Layout
from service.ingest.lenient import read_rows
from service.ingest.limits import Limits
from service.ingest.lists import CHECKED, to_frame
from service.ingest.tensors import Instances, Tensor, parse_payload
from service.ingest.tensors_proto import NotProtobuf, parse_message
from service.ingest.values import BadTimestamp, parse_timestamp, text

Event = dict[str, Any]


def frame_of(event: InferenceEvent, schema: Schema, limits: Limits) -> Frame:
    """Return the frame of an inference event: one row per instance.

    Raises
    ------
    BadRequest, TooLarge, Unprocessable
        If the payload cannot be parsed, is over a limit, or does not fit the schema.
    """
    if event.kind is HalfKind.FEEDBACK:
        raise Unprocessable("feedback has no features and no prediction", places=[Place("type", "is feedback")])
    payload = _parse(event, limits)
    if event.kind is HalfKind.REQUEST:
        layout = Layout(schema, limits)
        events = _requests(payload, schema)
    else:
        layout = Layout(Schema(features=(), prediction=schema.prediction), limits)
        events = _responses(payload, schema)
    named = [each | {"event_id": event.id if len(events) == 1 else f"{event.id}/{i}"} for i, each in enumerate(events)]
    try:
        parse_timestamp(event.time)
    except BadTimestamp:
        pass  # the logger's own time; the arrival counts
    else:
        named = [each | {"timestamp": event.time} for each in named]
    return to_frame(layout, read_rows(named, layout)[0], CHECKED)


def _parse(event: InferenceEvent, limits: Limits) -> list[Tensor] | Instances:
    if event.json_bytes is None and not event.payload.lstrip().startswith(b"{"):
        try:
            return parse_message(event.payload, limits, response=event.kind is HalfKind.RESPONSE)
        except NotProtobuf:
            pass  # then the place where it stops being JSON is the better answer
    return parse_payload(event.payload, event.json_bytes, limits)


def _wrong(reason: str) -> Unprocessable:
    return Unprocessable(f"the payload does not fit the schema: {reason}", places=[Place("data", reason)])


def _requests(payload: list[Tensor] | Instances, schema: Schema) -> list[Event]:
    if isinstance(payload, Instances):
        return [{"features": _features(row, payload.names, schema)} for row in payload.rows]
    return [{"features": features} for features in _by_tensor(payload, schema)]


def _features(row: Any, names: Sequence[str] | None, schema: Schema) -> Mapping[str, Any]:
    if isinstance(row, dict):
        return row
    own = [feature.name for feature in schema.features]
    if len(own) == 1:
        embedding = schema.features[0].kind is FeatureKind.EMBEDDING
        return {own[0]: _flatten(row) if embedding else row[0] if isinstance(row, list) and len(row) == 1 else row}
    if names is not None and isinstance(row, list) and set(names) & set(own):
        return dict(zip(names, row, strict=False))
    if not isinstance(row, list) or len(row) != len(own):
        got = f"{len(row)} values" if isinstance(row, list) else "one value"
        raise _wrong(f"an instance has {got}; the schema has {len(own)} features")
    return dict(zip(own, row, strict=True))


def _flatten(value: Any) -> Any:
    if not isinstance(value, list):
        return value
    return [inner for each in value for inner in (_flatten(each) if isinstance(each, list) else [each])]


def _by_tensor(tensors: Sequence[Tensor], schema: Schema) -> list[Mapping[str, Any]]:
    own = [feature.name for feature in schema.features]
    named = {tensor.name: tensor for tensor in tensors if tensor.name in own}
    if not named and len(tensors) == 1 and len(own) > 1:
        return _by_position(tensors[0], own)
    if not named:
        if len(tensors) != len(own):
            raise _wrong(f"{len(tensors)} tensors, none named like a feature; the schema has {len(own)} features")
        named = dict(zip(own, tensors, strict=True))
    rows = {tensor.rows for tensor in named.values()}
    if len(rows) != 1:
        raise _wrong("the tensors differ in their first dimension")
    embeddings = {feature.name for feature in schema.features if feature.kind is FeatureKind.EMBEDDING}
    for name, tensor in named.items():
        if name not in embeddings and tensor.width != 1:
            raise _wrong(f"tensor {name[:64]!r} has {tensor.width} values a row where the feature has one")
    return [
        {name: tensor.row(i) if name in embeddings else tensor.values[i] for name, tensor in named.items()}
        for i in range(rows.pop())
    ]


def _by_position(tensor: Tensor, own: Sequence[str]) -> list[Mapping[str, Any]]:
    if len(tensor.shape) == 1 and tensor.rows == len(own):
        return [dict(zip(own, tensor.values, strict=True))]
    if tensor.width != len(own):
        raise _wrong(f"the tensor has {tensor.width} values a row; the schema has {len(own)} features")
    return [dict(zip(own, tensor.row(i), strict=True)) for i in range(tensor.rows)]


def _responses(payload: list[Tensor] | Instances, schema: Schema) -> list[Event]:
    if isinstance(payload, Instances):
        return [_answer(row, schema) for row in payload.rows]
    width = len(schema.prediction.classes or ())
    labels = next((tensor for tensor in payload if tensor.width == 1), None)
    shares = next((tensor for tensor in payload if tensor.width == width and tensor is not labels), None)
    if labels is None and shares is None:
        raise _wrong(f"no tensor has one value a row, or one for each of {width} classes")
    if labels is None or shares is None:
        only = labels or shares
        return [_answer(only.row(i), schema) for i in range(only.rows)] if only is not None else []
    if labels.rows != shares.rows:
        raise _wrong("the tensors differ in their first dimension")
    # A class that the model names itself stands before the one that its probabilities imply.
    return [_answer(shares.row(i), schema) | _answer(labels.row(i), schema) for i in range(labels.rows)]


def _answer(row: Any, schema: Schema) -> Event:
    """Return what one row of a response says: a prediction, probabilities, or both."""
    classes = schema.prediction.classes
    if isinstance(row, dict):
        known = {key: row[key] for key in (PREDICTION, "probabilities") if key in row}
        return {"features": {}} | known
    if isinstance(row, list) and len(row) == 1:
        row = row[0]
    answer: Event = {"features": {}}
    if not isinstance(row, list):
        return answer | {PREDICTION: _class(row, classes) if schema.prediction.kind is PredictionKind.CLASS else row}
    if classes is not None and len(row) == len(classes):
        answer["probabilities"] = dict(zip(classes, row, strict=True))
        numbers = [each if isinstance(each, int | float) else float("-inf") for each in row]
        answer[PREDICTION] = classes[numbers.index(max(numbers))]
        return answer
    raise _wrong(f"a prediction has {len(row)} values; the schema has {len(classes or ())} classes")


def _class(value: Any, classes: Sequence[str] | None) -> Any:
    """Return the class: an integer that is no class itself is the position of one."""
    if classes is None or text(value) in classes or type(value) is not int:
        return value
    return classes[value] if 0 <= value < len(classes) else value
