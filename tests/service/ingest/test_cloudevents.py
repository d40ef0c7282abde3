"""Events of inference loggers: real ones of KServe, the rules of the HTTP binding, and payloads of every known form."""

import base64
import gzip
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.domain.errors import BadRequest, LazarettoError, TooLarge, Unprocessable
from service.domain.schema import Feature, FeatureKind, Prediction, PredictionKind, Schema
from service.ingest.cloudevents import HalfKind, InferenceEvent, decode_cloudevents
from service.ingest.halves import frame_of
from tests.service.comparing import plain, same
from tests.service.ingest.support import LIMITS

IRIS = Schema(
    features=tuple(Feature(name=name, kind=FeatureKind.NUMERIC) for name in ("sl", "sw", "pl", "pw")),
    prediction=Prediction(kind=PredictionKind.CLASS, classes=("setosa", "versicolor", "virginica")),
)
MIXED = Schema(
    features=(Feature(name="age", kind=FeatureKind.NUMERIC), Feature(name="country", kind=FeatureKind.CATEGORICAL)),
    prediction=Prediction(kind=PredictionKind.NUMBER),
)
IMAGE = Schema(
    features=(Feature(name="image", kind=FeatureKind.EMBEDDING, dimension=4),),
    prediction=Prediction(kind=PredictionKind.CLASS),
)
ATTRIBUTES = {
    "specversion": "1.0",
    "type": "org.kubeflow.serving.inference.request",
    "source": "http://localhost:9081/",
    "id": "0009174a",
    "time": "2021-04-10T00:23:26.0789529Z",
    "inferenceservicename": "sklearn-iris",
    "endpoint": "",
}
BODY = b'{"instances": [[6.8, 2.8, 4.8, 1.4], [6.0, 3.4, 4.5, 1.6]]}'


def headers(**changes: str) -> dict[str, str]:
    """Write the attributes as headers of the binary mode."""
    return {"Content-Type": "application/json"} | {
        f"Ce-{name.title()}": v for name, v in (ATTRIBUTES | changes).items()
    }


def frame(payload: bytes | object, schema: Schema = IRIS, kind: str = "request", json_bytes: int | None = None) -> Any:
    """Return the frame of a payload."""
    body = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    event = InferenceEvent(
        model="m", version=None, kind=HalfKind(kind), id="i", source="s", time=None, payload=body, json_bytes=json_bytes
    )
    return frame_of(event, schema, LIMITS)


DATA = Path(__file__).parents[4] / "shared" / "data" / "telemetry" / "kserve_payload_logger_events.jsonl.gz"


@pytest.mark.skipif(not DATA.exists() and os.environ.get("CI") != "true", reason="the shared data sets are not here")
def test_real_events_of_kserve_are_read_in_every_mode() -> None:
    lines = gzip.decompress(DATA.read_bytes()).splitlines()
    whole = b"[" + b",".join(lines) + b"]"
    batch = decode_cloudevents({"content-type": "application/cloudevents-batch+json"}, whole, LIMITS)
    assert [event.kind for event in batch] == [HalfKind.REQUEST, HalfKind.RESPONSE] * 2
    for line, event in zip(lines, batch, strict=True):
        (single,) = decode_cloudevents({"content-type": "application/cloudevents+json; charset=utf-8"}, line, LIMITS)
        assert single == event
        value = json.loads(line)
        binary = {f"ce-{name}": text for name, text in value.items() if isinstance(text, str) and name != "_doc"}
        (third,) = decode_cloudevents(binary, json.dumps(value["data"]).encode(), LIMITS)
        assert third == event
        assert event.model == "sklearn-iris"
        read = frame_of(event, IRIS, LIMITS)
        if event.kind is HalfKind.REQUEST:
            assert read.numeric.tolist() == [[6.8, 6.0], [2.8, 3.4], [4.8, 4.5], [1.4, 1.6]]
            assert read.categorical_names == ()
        else:
            assert (read.numeric_names, plain(read.categorical)) == ((), [["versicolor", "versicolor"]])


def test_both_halves_of_one_inference_carry_the_same_event_id() -> None:
    (request,) = decode_cloudevents(headers(), b'{"instances": [[1, 2, 3, 4]]}', LIMITS)
    response_type = "org.kubeflow.serving.inference.response"
    (response,) = decode_cloudevents(headers(type=response_type), b'{"predictions": [1]}', LIMITS)
    halves = [frame_of(event, IRIS, LIMITS) for event in (request, response)]
    assert [half.event_ids for half in halves] == [("0009174a",), ("0009174a",)]
    assert halves[0].timestamps_us is not None
    assert halves[0].timestamps_us.tolist() == [1_618_014_206_078_953]
    (two,) = decode_cloudevents(headers(), BODY, LIMITS)
    assert frame_of(two, IRIS, LIMITS).event_ids == ("0009174a/0", "0009174a/1")


def test_the_logger_s_clock_is_not_needed() -> None:
    (event,) = decode_cloudevents(headers(time="now"), BODY, LIMITS)
    assert frame_of(event, IRIS, LIMITS).timestamps_us is None


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("plain", "plain"),
        ("Euro%20%E2%82%AC%20%F0%9F%98%80", "Euro € 😀"),
        ('"quoted \\" value"', 'quoted " value'),
        ("%2561", "%61"),
        ("100%", "100%"),
        ("%61", "a"),
    ],
)
def test_header_values_are_unquoted_and_decoded_once(written: str, meant: str) -> None:
    (event,) = decode_cloudevents(headers(inferenceservicename=written), BODY, LIMITS)
    assert event.model == meant


@pytest.mark.parametrize("written", ["%FF", "%C0%80", "%ED%A0%80"])
def test_a_header_that_is_not_utf8_is_refused_by_name(written: str) -> None:
    with pytest.raises(BadRequest, match="ce-id"):
        decode_cloudevents(headers(id=written), BODY, LIMITS)


@pytest.mark.parametrize(
    ("changes", "place"),
    [
        ({"specversion": ""}, "ce-specversion"),
        ({"specversion": "2.0"}, "ce-specversion"),
        ({"type": "org.example.other"}, "ce-type"),
        ({"type": ""}, "ce-type"),
        ({"source": ""}, "ce-source"),
        ({"id": ""}, "ce-id"),
        ({"id": "x" * 9000}, "ce-id"),
        ({"inferenceservicename": ""}, "ce-inferenceservicename"),
    ],
)
def test_a_missing_or_wrong_attribute_is_named(changes: dict[str, str], place: str) -> None:
    with pytest.raises(Unprocessable) as caught:
        decode_cloudevents(headers(**changes), BODY, LIMITS)
    assert [each.at for each in caught.value.places] == [place]


@pytest.mark.parametrize(
    ("kind", "half"),
    [
        ("org.kubeflow.serving.inference.request", "request"),
        ("org.kubeflow.serving.inference.response", "response"),
        ("io.seldon.serving.inference.request", "request"),
        ("io.seldon.serving.inference.response", "response"),
        ("io.seldon.serving.feedback", "feedback"),
    ],
)
def test_kserve_and_seldon_types_are_known(kind: str, half: str) -> None:
    changes = {
        "type": kind,
        "specversion": "0.3",
        "inferenceservicename": "",
        "modelid": "classifier",
        "modelversion": "7",
    }
    (event,) = decode_cloudevents(headers(**changes), BODY, LIMITS)
    assert (event.kind, event.model, event.version) == (half, "classifier", "7")


def test_feedback_has_no_frame() -> None:
    with pytest.raises(Unprocessable, match="feedback"):
        frame(BODY, kind="feedback")


def test_compressed_and_base64_bodies_are_opened() -> None:
    (packed,) = decode_cloudevents(headers() | {"content-encoding": "gzip"}, gzip.compress(BODY), LIMITS)
    assert packed.payload == BODY
    value = ATTRIBUTES | {"data_base64": base64.b64encode(BODY).decode()}
    content_type = {"content-type": "application/cloudevents+json"}
    (structured,) = decode_cloudevents(content_type, json.dumps(value).encode(), LIMITS)
    assert structured == packed
    with pytest.raises(BadRequest, match="base64"):
        decode_cloudevents(content_type, json.dumps(value | {"data_base64": "?"}).encode(), LIMITS)


@pytest.mark.parametrize(
    ("content_type", "body", "error"),
    [
        ("application/cloudevents+json", b"{", BadRequest),
        ("application/cloudevents+json", b"[]", Unprocessable),
        ("application/cloudevents-batch+json", b"{}", Unprocessable),
        ("application/cloudevents-batch+json", b"[]", Unprocessable),
        ("application/cloudevents-batch+json", b"[1]", Unprocessable),
        ("application/cloudevents-batch+json", b"[" + b"{}," * 1000 + b"{}]", TooLarge),
        ("application/cloudevents+json", b"[" * 10_000, TooLarge),
    ],
)
def test_broken_structured_bodies_get_their_answers(
    content_type: str, body: bytes, error: type[LazarettoError]
) -> None:
    with pytest.raises(error):
        decode_cloudevents({"content-type": content_type}, body, LIMITS)


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


@pytest.mark.parametrize("length", ["-1", "x", "100000", "9" * 30, ""])
def test_a_wrong_length_of_the_json_is_refused(length: str) -> None:
    with pytest.raises(BadRequest, match="inference-header-content-length"):
        decode_cloudevents(headers() | {"inference-header-content-length": length or " "}, BODY, LIMITS)


@given(st.binary(max_size=100), st.sampled_from(["request", "response"]))
def test_any_payload_gets_a_frame_or_an_answer(payload: bytes, kind: str) -> None:
    for body in (payload, json.dumps({"inputs": [BINARY]}).encode() + payload):
        try:
            assert frame(body, kind=kind).rows
        except LazarettoError:
            continue
