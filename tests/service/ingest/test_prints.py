"""Fingerprints in every format: the same 256 bytes arrive, and what is none is counted and refuses nothing."""

import base64
import json
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pytest

from detectors.principals.fingerprint import BYTES
from service.frames import PRINT_BYTES, UNREADABLE, decode_printed, encode_frame, join_prints, read_prints, take_prints
from service.ingest.decode import EventDecoder, Raw
from service.ingest.deidentify import Deidentifier
from service.ingest.reference import read_reference
from tests.service.ingest.support import ARROW, JSON, LIMITS, SCHEMA, decode, stream

GOOD = bytes(range(256))
WORDS = np.frombuffer(GOOD, "<u8").tolist()
SIGNED = np.frombuffer(GOOD, "<i8").tolist()
TEXT = base64.b64encode(GOOD).decode()
ODD: list[Any] = ["", "no base64!", TEXT[:-4], TEXT + TEXT, [], [1, 2], WORDS[:-1],
                  [*WORDS[:-1], None], [*WORDS[:-1], 1 << 64], [*WORDS[:-1], True], [*WORDS[:-1], 0.5],
                  7, True, {"a": 1}, "ü" * 344]  # fmt: skip


def kept(frame: Any) -> list[object]:
    found: list[object] = msgspec.msgpack.decode(frame.fingerprints)
    return found


def test_a_frame_holds_the_fingerprints_that_detectors_make() -> None:
    assert PRINT_BYTES == BYTES


@pytest.mark.parametrize(
    "value", [TEXT, TEXT.rstrip("="), WORDS, SIGNED], ids=["base64", "unpadded", "words", "signed"]
)
def test_json_brings_the_same_bytes_in_rows_columns_and_lines(value: Any) -> None:
    event = {"features": {"age": 1}, "fingerprint": value}
    bare = {"features": {"age": 2}}
    rows = json.dumps({"events": [event, bare]}).encode()
    columns = json.dumps({"columns": {"features": {"age": [1, 2]}, "fingerprint": [value, None]}}).encode()
    lines = b"\n".join(json.dumps(one).encode() for one in (event, bare))
    for body, kind in ((rows, JSON), (columns, JSON), (lines, "application/x-ndjson")):
        decoded = decode(body, kind)
        assert kept(decoded.frame) == [GOOD, None]
        assert decoded.rejected == 0


@pytest.mark.parametrize("value", ODD, ids=str)
def test_what_is_no_fingerprint_is_kept_as_that_and_refuses_nothing(value: Any) -> None:
    event = {"features": {"age": 1}, "fingerprint": value}
    for body in ({"events": [event]}, {"columns": {"features": {"age": [1]}, "fingerprint": [value]}}):
        decoded = decode(json.dumps(body).encode())
        assert kept(decoded.frame) == [UNREADABLE]
        assert (decoded.frame.rows, decoded.rejected) == (1, 0)


@pytest.mark.parametrize(
    "array",
    [
        pa.array([GOOD, None, GOOD[:5]], pa.binary()),
        pa.array([GOOD, None, GOOD[:5]], pa.large_binary()),
        pa.array([TEXT, None, "x"], pa.string()),
        pa.array([WORDS, None, [1]], pa.list_(pa.uint64())),
        pa.array([SIGNED, None, [1]], pa.list_(pa.int64())),
    ],
    ids=lambda array: str(array.type),
)
def test_arrow_brings_the_same_bytes(array: pa.Array) -> None:
    table = pa.table({"features.age": pa.array([1.0, 2.0, 3.0]), "fingerprint": array})
    assert kept(decode(stream(table), ARROW).frame) == [GOOD, None, UNREADABLE]


def test_fixed_size_binary_is_read_and_another_size_is_none() -> None:
    for size, found in ((256, GOOD), (128, UNREADABLE)):
        array = pa.array([GOOD[:size]], pa.binary(size))
        table = pa.table({"features.age": pa.array([1.0]), "fingerprint": array})
        assert kept(decode(stream(table), ARROW).frame) == [found]


def test_the_log_keeps_them_and_events_without_cost_nothing() -> None:
    body = json.dumps({"events": [{"features": {"age": 1}, "fingerprint": TEXT}, {"features": {"age": 2}}]}).encode()
    frame = Deidentifier(b"k" * 32).apply(SCHEMA, decode(body).frame)
    prints = read_prints(decode_printed(encode_frame(frame)).fingerprints, 2)
    assert prints.values[0].tobytes() == GOOD
    assert (prints.sent.tolist(), prints.readable.tolist()) == ([True, False], [True, False])
    bare = decode(b'{"events": [{"features": {"age": 1}}]}').frame
    assert bare.fingerprints == b""


def test_those_of_several_batches_are_joined_and_picked_in_order() -> None:
    one, two = msgspec.msgpack.encode([GOOD, None]), msgspec.msgpack.encode([UNREADABLE])
    joined = join_prints([(one, 2), (b"", 1), (two, 1)])
    assert msgspec.msgpack.decode(joined) == [GOOD, None, None, UNREADABLE]
    assert msgspec.msgpack.decode(take_prints(joined, [3, 0])) == [UNREADABLE, GOOD]
    assert (join_prints([(b"", 2), (b"", 3)]), take_prints(b"", [0])) == (b"", b"")


@pytest.mark.parametrize("packed", [b"\xc1", msgspec.msgpack.encode([GOOD]), msgspec.msgpack.encode(7), b"x"])
def test_fingerprints_of_another_number_of_events_are_all_unreadable(packed: bytes) -> None:
    prints = read_prints(packed, 3)
    assert prints.sent.tolist() == [True] * 3
    assert not prints.readable.any()


def test_a_reference_brings_them_in_every_format_and_in_the_order_of_time() -> None:
    plain = [
        {"age": 1, "fingerprint": TEXT, "timestamp": "2026-01-02T00:00:00Z"},
        {"age": 2, "timestamp": "2026-01-01T00:00:00Z"},
    ]
    nested = [{"features": {"age": one["age"]}} | {k: v for k, v in one.items() if k != "age"} for one in plain]
    schema = msgspec.structs.replace(SCHEMA, features=tuple(f for f in SCHEMA.features if f.name == "age"))
    csv = f"age,fingerprint,timestamp\n1,{TEXT},2026-01-02 00:00:00\n2,,2026-01-01 00:00:00\n".encode()
    times = pa.array(["2026-01-02T00:00:00Z", "2026-01-01T00:00:00Z"])
    table = pa.table({"age": pa.array([1, 2]), "fingerprint": pa.array([GOOD, None], pa.binary()), "timestamp": times})
    bodies = [
        (b"\n".join(json.dumps(one).encode() for one in plain), "application/x-ndjson"),
        (b"\n".join(json.dumps(one).encode() for one in nested), "application/x-ndjson"),
        (csv, "text/csv"),
        (stream(table), ARROW),
    ]
    for body, kind in bodies:
        found = read_reference(body, kind, schema, LIMITS)
        assert kept(found.frame) == [None, GOOD], kind
        assert [warning for warning in found.warnings if warning[0] == "fingerprint"] == []


def test_where_all_features_are_dropped_a_fingerprint_is_enough_in_arrow() -> None:
    dropped = tuple(msgspec.structs.replace(f, treatment="drop") for f in SCHEMA.features)
    schema = msgspec.convert(msgspec.to_builtins(msgspec.structs.replace(SCHEMA, features=dropped)), type(SCHEMA))
    table = pa.table({"fingerprint": pa.array([GOOD], pa.binary()), "prediction": pa.array(["ok"])})
    decoded = EventDecoder(schema, LIMITS).decode(Raw(stream(table), ARROW, None))
    assert kept(decoded.frame) == [GOOD]
