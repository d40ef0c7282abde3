"""The work that everything here is timed on: one seeded stream of telemetry, as request bodies in each format.

20 numeric features (normal, lognormal, uniform and gamma in turn, rounded to five decimals as a JSON client would send
them), 5 categorical ones (3 to 200 values, Zipf), a prediction with two probabilities, a time, a principal (Zipf over
20,000) and an event id.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import msgspec
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

NUMERIC = tuple(f"f{i:02d}" for i in range(20))
CATEGORICAL = tuple(f"c{i}" for i in range(5))
CARDINALITY = (3, 8, 20, 50, 200)
CLASSES = ("fraud", "ok")
MODEL, VERSION = "bench", "1"
ROWS = 64_000
"""Distinct rows in rotation: enough that sending them over and over is no drift from the baseline."""
BODIES_MAX = 4_096

_START = datetime(2026, 11, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Stream:
    """Columns of equal length."""

    numeric: dict[str, NDArray[np.float64]]
    categorical: dict[str, list[str]]
    fraud: NDArray[np.float64]
    microseconds: NDArray[np.int64]
    principal: list[str]
    event_id: list[str]


def make_stream(rows: int, seed: int) -> Stream:
    """Draw the stream; the same seed gives the same stream on every machine with this numpy."""
    rng = np.random.default_rng(seed)
    draw: tuple[Callable[[], NDArray[np.float64]], ...] = (
        lambda: rng.normal(0.0, 1.0, rows),
        lambda: rng.lognormal(0.0, 0.7, rows),
        lambda: rng.uniform(0.0, 1.0, rows),
        lambda: rng.gamma(2.0, 3.0, rows),
    )
    numeric = {name: np.round(draw[i % 4](), 5) for i, name in enumerate(NUMERIC)}
    categorical = {}
    for name, size in zip(CATEGORICAL, CARDINALITY, strict=True):
        weights = 1.0 / np.arange(1, size + 1)
        categorical[name] = [f"v{code}" for code in rng.choice(size, rows, p=weights / weights.sum()).tolist()]
    fraud = np.round(rng.beta(2.0, 3.0, rows), 5)
    principal = [f"p-{who:06d}" for who in np.minimum(rng.zipf(1.3, rows), 20_000).tolist()]
    text = rng.bytes(16 * rows).hex()
    return Stream(
        numeric=numeric,
        categorical=categorical,
        fraud=fraud,
        microseconds=np.cumsum(rng.integers(1, 2_000, rows)),
        principal=principal,
        event_id=[text[32 * i : 32 * i + 32] for i in range(rows)],
    )


def schema() -> dict[str, object]:
    """Return the schema of the model version that the stream belongs to."""
    features = [{"name": name, "kind": "numeric"} for name in NUMERIC]
    features += [{"name": name, "kind": "categorical"} for name in CATEGORICAL]
    return {"features": features, "prediction": {"kind": "class", "classes": list(CLASSES)}}


def _texts(stream: Stream, rows: slice) -> list[str]:
    return [
        (_START + timedelta(microseconds=us)).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        for us in stream.microseconds[rows].tolist()
    ]


def _predictions(stream: Stream, rows: slice) -> list[str]:
    return ["fraud" if chance > 0.5 else "ok" for chance in stream.fraud[rows].tolist()]


def _columns(stream: Stream, rows: slice) -> dict[str, object]:
    fraud = stream.fraud[rows]
    features: dict[str, object] = {name: values[rows].tolist() for name, values in stream.numeric.items()}
    features |= {name: values[rows] for name, values in stream.categorical.items()}
    return {
        "event_id": stream.event_id[rows],
        "timestamp": _texts(stream, rows),
        "principal": stream.principal[rows],
        "features": features,
        "prediction": _predictions(stream, rows),
        "probabilities": {"fraud": fraud.tolist(), "ok": np.round(1.0 - fraud, 5).tolist()},
    }


def columnar_json(stream: Stream, rows: slice) -> bytes:
    """Return a JSON object of columns."""
    return msgspec.json.encode({"columns": _columns(stream, rows)})


def row_json(stream: Stream, rows: slice) -> bytes:
    """Return a JSON object of rows."""
    columns = msgspec.convert(_columns(stream, rows), type=dict)
    features, probabilities = columns.pop("features"), columns.pop("probabilities")
    events = [
        {
            **dict(zip(columns, meta, strict=True)),
            "features": dict(zip(features, values, strict=True)),
            "probabilities": dict(zip(probabilities, chances, strict=True)),
        }
        for meta, values, chances in zip(
            zip(*columns.values(), strict=True),
            zip(*features.values(), strict=True),
            zip(*probabilities.values(), strict=True),
            strict=True,
        )
    ]
    return msgspec.json.encode({"events": events})


def arrow(stream: Stream, rows: slice) -> bytes:
    """Return an Arrow IPC stream: float32 numbers, dictionary-encoded categories."""
    times = np.datetime64(_START.replace(tzinfo=None), "us") + stream.microseconds[rows].astype("timedelta64[us]")
    fraud = stream.fraud[rows].astype(np.float32)
    table = {
        "event_id": pa.array(stream.event_id[rows]),
        "timestamp": pa.array(times, type=pa.timestamp("us", tz="UTC")),
        "principal": pa.array(stream.principal[rows]),
    }
    table |= {f"features.{name}": pa.array(values[rows].astype(np.float32)) for name, values in stream.numeric.items()}
    table |= {
        f"features.{name}": pa.array(values[rows]).dictionary_encode() for name, values in stream.categorical.items()
    }
    table["prediction"] = pa.array(_predictions(stream, rows)).dictionary_encode()
    table |= {"probabilities.fraud": pa.array(fraud), "probabilities.ok": pa.array(np.float32(1.0) - fraud)}
    batch = pa.record_batch(table)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)
    body: bytes = sink.getvalue().to_pybytes()
    return body


@dataclass(frozen=True, slots=True)
class Format:
    """One way to write a body."""

    name: str
    content_type: str
    write: Callable[[Stream, slice], bytes]


ROW_JSON = Format("row JSON", "application/json", row_json)
COLUMNAR_JSON = Format("columnar JSON", "application/json", columnar_json)
ARROW = Format("Arrow", "application/vnd.apache.arrow.stream", arrow)
FORMATS = (ROW_JSON, COLUMNAR_JSON, ARROW)


def bodies(stream: Stream, form: Format, rows: int) -> list[bytes]:
    """Cut the stream into distinct bodies of ``rows`` rows each."""
    count = min(len(stream.principal) // rows, BODIES_MAX)
    return [form.write(stream, slice(i * rows, (i + 1) * rows)) for i in range(count)]
