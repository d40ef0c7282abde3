"""Everything that is slow the first time, done before the first request: imports, kernels, compiled structs."""

import pyarrow as pa
import zstandard

from service.domain.schema import Feature, FeatureKind, Prediction, PredictionKind, Schema
from service.frames import concat_frames, decode_frame, encode_frame
from service.ingest.decode import EventDecoder, Raw
from service.ingest.deidentify import Deidentifier
from service.ingest.limits import Limits
from service.ingest.media import EVENTS, Format

_SCHEMA = Schema(
    features=(
        Feature(name="number", kind=FeatureKind.NUMERIC),
        Feature(name="label", kind=FeatureKind.CATEGORICAL),
        Feature(name="vector", kind=FeatureKind.EMBEDDING, dimension=2),
    ),
    prediction=Prediction(kind=PredictionKind.CLASS, classes=("a", "b")),
)
_EVENT = b'{"event_id": "a", "principal": "b", "features": {"number": 1, "label": "x"}, "embedding": [1, 2]}'


def warm_up(limits: Limits) -> None:
    """Decode one small body of each format, and send a frame through the log's format."""
    bodies = {
        Format.JSON: b'{"events": [%s, {"features": {"number": "odd"}}]}' % _EVENT,
        Format.NDJSON: _EVENT,
        Format.ARROW_STREAM: _stream(),
    }
    decoder = EventDecoder(_SCHEMA, limits)
    deidentifier = Deidentifier(bytes(32))
    for content_type, kind in EVENTS.items():
        for encoding in (None, "zstd"):
            body = bodies[kind] if encoding is None else zstandard.compress(bodies[kind])
            frame = decoder.decode(Raw(body, content_type, encoding)).frame
            stored = decode_frame(encode_frame(deidentifier.apply(_SCHEMA, frame)))
            concat_frames([stored, stored])


def _stream() -> bytes:
    columns = {
        "features.number": pa.array([1.0, None], pa.float32()),
        "features.label": pa.array(["x", "y"]).dictionary_encode(),
        "features.vector": pa.array([[1.0, 2.0], None]),
        "event_id": pa.array(["a", "b"]),
        "principal": pa.array(["a", "b"]),
        "timestamp": pa.array([1, 2], pa.timestamp("us", "UTC")),
    }
    table, sink = pa.table(columns), pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    body: bytes = sink.getvalue().to_pybytes()
    return body
