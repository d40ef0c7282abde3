"""One schema, events of it, and every way to write them down."""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
from hypothesis import strategies as st

from service.domain.schema import Feature, FeatureKind, Prediction, PredictionKind, Schema
from service.ingest.decode import Decoded, EventDecoder, Raw
from service.ingest.limits import Limits
from service.settings import Settings

LIMITS = Limits.from_settings(Settings())
NUMERIC = ("age", "größe in m")
CATEGORICAL = ("country", "plan")
CLASSES = ("fraud", "ok")
SCHEMA = Schema(
    features=(
        *[Feature(name=name, kind=FeatureKind.NUMERIC) for name in NUMERIC],
        *[Feature(name=name, kind=FeatureKind.CATEGORICAL) for name in CATEGORICAL],
        Feature(name="text", kind=FeatureKind.EMBEDDING, dimension=2),
    ),
    prediction=Prediction(kind=PredictionKind.CLASS, classes=CLASSES),
)
JSON, NDJSON, ARROW = "application/json", "application/x-ndjson", "application/vnd.apache.arrow.stream"

Event = dict[str, Any]

_numbers = st.none() | st.floats(allow_nan=False, allow_infinity=False, width=32)
_labels = st.none() | st.text(max_size=4)
_scalars = _labels | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)


def _written(micros: int) -> str:
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=micros)).isoformat()


def _fields(labels: st.SearchStrategy[Any]) -> dict[str, st.SearchStrategy[Any]]:
    optional = dict.fromkeys(NUMERIC, _numbers) | dict.fromkeys(CATEGORICAL, labels)
    return {
        "features": st.fixed_dictionaries({}, optional=optional),
        "event_id": st.none() | st.text(min_size=1, max_size=8),
        "timestamp": st.none() | st.integers(0, 7_000_000_000_000_000).map(_written),
        "principal": st.none() | st.text(min_size=1, max_size=4),
        "prediction": labels,
        "probabilities": st.none() | st.fixed_dictionaries({}, optional=dict.fromkeys(CLASSES, _numbers)),
        "latency_ms": _numbers,
        "segment": st.none() | st.dictionaries(st.sampled_from(["region", "tier"]), labels),
        "attributions": st.none() | st.fixed_dictionaries({}, optional={"age": _numbers}),
        "embedding": st.none() | st.lists(st.floats(-1e6, 1e6, width=32), min_size=2, max_size=2),
        "fingerprint": st.none()
        | st.lists(st.integers(-(1 << 63), (1 << 63) - 1), max_size=3)
        | st.integers(-(1 << 63), (1 << 63) - 33).map(lambda first: list(range(first, first + 32))),
        "error": labels,
    }


def events(*, labels: st.SearchStrategy[Any] = _labels) -> st.SearchStrategy[list[Event]]:
    """Draw clean batches."""
    fields = _fields(labels)
    features = fields.pop("features")
    return st.lists(st.fixed_dictionaries({"features": features}, optional=fields), min_size=1, max_size=5)


def scalar_events() -> st.SearchStrategy[list[Event]]:
    """Draw batches whose labels are texts, numbers and booleans in any mixture, which only JSON can hold."""
    return events(labels=_scalars)


def as_rows(batch: Sequence[Event]) -> bytes:
    """Write a batch as JSON rows."""
    return json.dumps({"events": batch}).encode()


def as_lines(batch: Sequence[Event]) -> bytes:
    """Write a batch as NDJSON."""
    return b"\n".join(json.dumps(event, ensure_ascii=False).encode() for event in batch)


def _column(batch: Sequence[Mapping[str, Any] | None], name: str) -> list[Any]:
    return [None if each is None else each.get(name) for each in batch]


def as_columns(batch: Sequence[Event]) -> bytes:
    """Write a batch as JSON columns."""
    return json.dumps({"columns": _columns(batch)}).encode()


def _columns(batch: Sequence[Event]) -> dict[str, Any]:
    columns: dict[str, Any] = {}
    for name in dict.fromkeys(key for event in batch for key in event):
        values = _column(batch, name)
        if name in {"features", "probabilities", "segment", "attributions"}:
            keys = dict.fromkeys(key for value in values for key in value or ())
            columns[name] = {key: _column(values, key) for key in keys}
        else:
            columns[name] = values
    # Events may all have empty features; a column then says how many they are.
    return columns | {"features": {"age": [None] * len(batch)} | columns["features"]}


ARROW_TYPES = {
    "timestamp": pa.string(),
    "event_id": pa.string(),
    "principal": pa.string(),
    "prediction": pa.string(),
    "latency_ms": pa.float64(),
    "embedding": pa.list_(pa.float32()),
    "fingerprint": pa.list_(pa.int64()),
    "error": pa.string(),
    "probabilities": pa.float64(),
    "attributions": pa.float64(),
    "segment": pa.string(),
}


def as_table(batch: Sequence[Event]) -> pa.Table:
    """Write a batch as an Arrow table."""
    arrays = {}
    for name, values in _columns(batch).items():
        if isinstance(values, dict):
            for key, each in values.items():
                kind = ARROW_TYPES.get(name, pa.float64() if key in NUMERIC else pa.string())
                arrays[f"{name}.{key}"] = pa.array(each, kind)
        else:
            arrays[name] = pa.array(values, ARROW_TYPES[name])
    return pa.table(arrays)


def stream(table: pa.Table, *, rows: int | None = None, compression: str | None = None) -> bytes:
    """Write a table as an IPC stream."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema, options=pa.ipc.IpcWriteOptions(compression=compression)) as writer:
        writer.write_table(table, max_chunksize=rows)
    body: bytes = sink.getvalue().to_pybytes()
    return body


DECODER = EventDecoder(SCHEMA, LIMITS)


def decode(body: bytes, content_type: str = JSON, encoding: str | None = None) -> Decoded:
    """Decode a body of the schema above."""
    return DECODER.decode(Raw(body, content_type, encoding))
