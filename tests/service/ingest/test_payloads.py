"""Payloads of model servers, in every known form."""

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.domain.errors import BadRequest, LazarettoError, TooLarge, Unprocessable
from service.ingest.cloudevents import decode_cloudevents
from tests.service.comparing import plain, same
from tests.service.ingest.inference import IMAGE, MIXED, frame, headers
from tests.service.ingest.support import LIMITS


def tensor(name: str, shape: list[int], data: Any, datatype: str = "FP32") -> dict[str, Any]:
    """Write one tensor of the Open Inference Protocol."""
    return {"name": name, "shape": shape, "datatype": datatype, "data": data}


@pytest.mark.parametrize(
    "payload",
    [
        {"instances": [[1, 2, 3, 4], [5, 6, 7, 8]]},
        {"instances": [{"sl": 1, "sw": 2, "pl": 3, "pw": 4}, {"pw": 8, "pl": 7, "sw": 6, "sl": 5}]},
        {"inputs": [[1, 2, 3, 4], [5, 6, 7, 8]]},
        {"inputs": [tensor("x", [2, 4], [1, 2, 3, 4, 5, 6, 7, 8])]},
        {"inputs": [tensor("x", [2, 4], [[1, 2, 3, 4], [5, 6, 7, 8]])], "id": "42", "parameters": {}},
        {"inputs": [tensor(n, [2], [i, i + 4]) for i, n in ((3, "pl"), (4, "pw"), (1, "sl"), (2, "sw"))]},
        {"inputs": [tensor(n, [2, 1], [[i], [i + 4]]) for i, n in enumerate(("a", "b", "c", "d"), 1)]},
        {"dataframe_split": {"columns": ["pw", "pl", "sw", "sl"], "data": [[4, 3, 2, 1], [8, 7, 6, 5]]}},
        {"dataframe_records": [{"sl": 1, "sw": 2, "pl": 3, "pw": 4}, {"sl": 5, "sw": 6, "pl": 7, "pw": 8}]},
        {"data": {"names": ["a", "b", "c", "d"], "ndarray": [[1, 2, 3, 4], [5, 6, 7, 8]]}},
        {"data": {"tensor": {"shape": [2, 4], "values": [1, 2, 3, 4, 5, 6, 7, 8]}}},
    ],
    ids=lambda payload: json.dumps(payload)[:50],
)
def test_requests_of_every_known_form_give_the_same_features(payload: object) -> None:
    read = frame(payload)
    assert read.numeric_names == ("sl", "sw", "pl", "pw")
    assert read.numeric.T.tolist() == [[1, 2, 3, 4], [5, 6, 7, 8]]


def test_odd_values_of_a_request_are_signal() -> None:
    read = frame(b'{"instances": [[NaN, "x", null, 1e999]]}')
    np.testing.assert_equal(read.numeric[:, 0], [np.inf, np.inf, np.nan, np.inf])


def test_labels_and_numbers_of_one_instance_keep_their_kinds() -> None:
    read = frame({"instances": [[41, "DE"]]}, MIXED)
    assert (read.numeric.tolist(), plain(read.categorical)) == ([[41]], [["DE"]])
    one_row = frame({"inputs": [tensor("x", [4], [1, 2, 3, 4])]})
    assert one_row.numeric[:, 0].tolist() == [1, 2, 3, 4]


@pytest.mark.parametrize(
    "payload",
    [
        {"instances": [[[1, 2], [3, 4]]]},
        {"instances": [[1, 2, 3, 4]]},
        {"inputs": [tensor("image", [1, 2, 2], [1, 2, 3, 4])]},
        {"inputs": [tensor("x", [1, 4], [1, 2, 3, 4])]},
        {"instances": [{"image": [1, 2, 3, 4]}]},
    ],
    ids=json.dumps,
)
def test_an_image_is_one_embedding(payload: object) -> None:
    assert frame(payload, IMAGE).embeddings["image"].tolist() == [[1, 2, 3, 4]]


KINDS = {"BOOL": "?", "INT8": "<i1", "UINT16": "<u2", "INT64": "<i8", "FP16": "<f2", "FP32": "<f4", "FP64": "<f8"}


@pytest.mark.parametrize("datatype", KINDS)
def test_binary_tensors_follow_the_json_with_and_without_its_length(datatype: str) -> None:
    values = np.array([[1, 0, 1, 1], [0, 1, 0, 1]]).astype(KINDS[datatype])
    raw = values.tobytes()
    parameters = {"binary_data_size": len(raw)}
    head = {"inputs": [{"name": "x", "shape": [2, 4], "datatype": datatype, "parameters": parameters}]}
    body = json.dumps(head).encode()
    read = frame(body + raw)
    expected = np.full((4, 2), np.inf) if datatype == "BOOL" else values.T.astype(float)
    np.testing.assert_equal(read.numeric, expected)
    same(frame(body + raw, json_bytes=len(body)), read)
    (event,) = decode_cloudevents(headers() | {"Inference-Header-Content-Length": str(len(body))}, body + raw, LIMITS)
    assert event.json_bytes == len(body)
    metadata = json.dumps({"Inference-Header-Content-Length": [str(len(body))]})
    (event,) = decode_cloudevents(headers(metadata=metadata), body + raw, LIMITS)
    assert event.json_bytes == len(body)


def test_binary_texts_are_read_and_those_that_are_not_utf8_are_invalid() -> None:
    ages = np.array([1, 2], "<f8").tobytes()
    texts = b"\x02\0\0\0DE" + b"\x01\0\0\0\xff"
    head = {
        "inputs": [
            {"name": "age", "shape": [2], "datatype": "FP64", "parameters": {"binary_data_size": len(ages)}},
            {"name": "country", "shape": [2], "datatype": "BYTES", "parameters": {"binary_data_size": len(texts)}},
        ]
    }
    read = frame(json.dumps(head).encode() + ages + texts, MIXED)
    assert (read.numeric.tolist(), plain(read.categorical)) == ([[1, 2]], [["DE", "<invalid>"]])


@pytest.mark.parametrize(
    ("payload", "labels", "shares"),
    [
        ({"predictions": [1, 2]}, ["versicolor", "virginica"], None),
        ({"predictions": ["setosa", "other"]}, ["setosa", "other"], None),
        ({"predictions": [[1], [7]]}, ["versicolor", "7"], None),
        ({"predictions": [[0.1, 0.7, 0.2]]}, ["versicolor"], [[0.1], [0.7], [0.2]]),
        ({"predictions": [{"prediction": "setosa", "probabilities": {"setosa": 1}}]}, ["setosa"], [[1]]),
        ({"outputs": [tensor("y", [2], [0, 1], "INT64")], "model_name": "m"}, ["setosa", "versicolor"], None),
        ({"outputs": [tensor("y", [1, 3], [0.1, 0.7, 0.2])]}, ["versicolor"], [[0.1], [0.7], [0.2]]),
        (
            {"outputs": [tensor("p", [1, 3], [0.5, 0.3, 0.2]), tensor("y", [1, 1], [[2]], "INT64")]},
            ["virginica"],
            [[0.5], [0.3], [0.2]],
        ),
    ],
    ids=lambda value: json.dumps(value)[:50],
)
def test_responses_of_every_known_form(payload: object, labels: list[str], shares: list[list[float]] | None) -> None:
    read = frame(payload, kind="response")
    assert (read.categorical_names, plain(read.categorical)) == (("prediction",), [labels])
    assert read.numeric.tolist() == (shares or [])


def test_a_number_is_answered_as_a_number() -> None:
    read = frame({"predictions": [[1.5], 2.5]}, MIXED, "response")
    assert (read.numeric_names, read.numeric.tolist()) == (("prediction",), [[1.5, 2.5]])


BINARY = {"name": "x", "shape": [2, 4], "datatype": "FP32", "parameters": {"binary_data_size": 32}}


def binary(tail: int, **changes: Any) -> bytes:
    """Write a binary tensor with a tail of some bytes."""
    return json.dumps({"inputs": [BINARY | changes]}).encode() + bytes(tail)


@pytest.mark.parametrize(
    ("payload", "error"),
    [
        (b"", BadRequest),
        (b"not json", BadRequest),
        (b'{"instances": [[1, 2', BadRequest),
        (b"[1]", Unprocessable),
        (b"{}", Unprocessable),
        (b'{"error": "model failed"}', Unprocessable),
        (b'{"instances": []}', Unprocessable),
        (b'{"instances": [[1, 2, 3]]}', Unprocessable),
        (b'{"instances": [1]}', Unprocessable),
        (b'{"instances": [[1, 2, 3, 4]]} tail', Unprocessable),
        (b'{"data": {"tensor": {"shape": [2, 4], "values": [1]}}}', Unprocessable),
        (b'{"inputs": [{"shape": "x"}]}', Unprocessable),
        (b'{"inputs": [{"name": "x", "shape": [2, 4], "data": [1]}]}', Unprocessable),
        (b'{"inputs": [{"name": "x", "shape": [-1, 4], "data": []}]}', Unprocessable),
        (b'{"inputs": [{"name": "x", "shape": [99999999, 0], "data": []}]}', TooLarge),
        (b'{"inputs": [{"name": "x", "shape": [2, 99999999], "data": []}]}', TooLarge),
        (b'{"inputs": [{"name": "x", "shape": [1, 3], "data": [1, 2, 3]}]}', Unprocessable),
        (binary(31), Unprocessable),
        (binary(33), Unprocessable),
        (binary(32, datatype="FP64"), Unprocessable),
        (binary(32, datatype="FP99"), Unprocessable),
        (binary(32, datatype="BYTES", shape=[9]), Unprocessable),
        (binary(32, parameters={"binary_data_size": -1}), Unprocessable),
        (binary(32, parameters={"binary_data_size": "32"}), Unprocessable),
        (b'{"instances": ' + b"[" * 50_000, TooLarge),
    ],
    ids=lambda value: value[:60].decode() if isinstance(value, bytes) else "",
)
def test_a_payload_that_does_not_fit_gets_its_answer(payload: bytes, error: type[LazarettoError]) -> None:
    with pytest.raises(error):
        frame(payload)


def field(number: int, value: bytes) -> bytes:
    """Write a field with a length."""
    return bytes([number << 3 | 2, len(value)]) + value


def proto(contents: bytes = b"", raw: bytes = b"", shape: bytes = b"\x01\x04", datatype: bytes = b"FP32") -> bytes:
    """Write a request of one tensor."""
    one = field(1, b"x") + field(2, datatype) + field(3, shape) + field(5, contents)
    return field(1, b"model") + field(5, one) + (field(7, raw) if raw else b"")


NUMBERS = np.array([1, 2, 3, 4])


@pytest.mark.parametrize(
    "payload",
    [
        proto(field(6, NUMBERS.astype("<f4").tobytes())),
        proto(field(7, NUMBERS.astype("<f8").tobytes())),
        proto(field(3, bytes([1, 2, 3, 4]))),
        proto(b"\x18\x01\x18\x02\x18\x03\x18\x04"),
        proto(raw=NUMBERS.astype("<f4").tobytes()),
        proto(raw=NUMBERS.astype("<i8").tobytes(), datatype=b"INT64"),
    ],
)
def test_protobuf_tensors_of_every_kind(payload: bytes) -> None:
    assert frame(payload).numeric[:, 0].tolist() == [1, 2, 3, 4]


def test_negative_integers_and_texts_of_protobuf() -> None:
    minus_one = b"\xff" * 9 + b"\x01"
    read = frame(proto(field(3, minus_one + b"\x02\x03\x04")))
    assert read.numeric[:, 0].tolist() == [-1, 2, 3, 4]
    texts = proto(field(8, b"1") + field(8, b"\xff") * 3, datatype=b"BYTES")
    assert np.isinf(frame(texts).numeric).all()


@given(st.binary(max_size=60), st.integers(0, 59))
def test_damaged_protobuf_gets_a_frame_or_an_answer(noise: bytes, at: int) -> None:
    good = proto(field(6, NUMBERS.astype("<f4").tobytes()))
    for body in (noise, good[:at] + noise, good[:at] + noise[:1] + good[at + 1 :]):
        try:
            assert frame(body).rows
        except LazarettoError:
            continue


@given(st.binary(max_size=100), st.sampled_from(["request", "response"]))
def test_any_payload_gets_a_frame_or_an_answer(payload: bytes, kind: str) -> None:
    for body in (payload, json.dumps({"inputs": [BINARY]}).encode() + payload):
        try:
            assert frame(body, kind=kind).rows
        except LazarettoError:
            continue
