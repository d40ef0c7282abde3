"""Events of inference loggers: real ones of KServe, the rules of the HTTP binding, and payloads of every known form."""

import base64
import gzip
import json
import os
from pathlib import Path

import numpy as np
import pytest

from service.domain.errors import BadRequest, LazarettoError, TooLarge, Unprocessable
from service.domain.schema import Feature, FeatureKind, Prediction, PredictionKind, Schema
from service.ingest.cloudevents import HalfKind, decode_cloudevents
from service.ingest.halves import frame_of
from tests.service.comparing import plain
from tests.service.ingest.inference import ATTRIBUTES, BODY, IRIS, frame, headers
from tests.service.ingest.support import LIMITS

DATA = Path(__file__).parents[4] / "shared" / "data" / "telemetry" / "kserve_payload_logger_events.jsonl.gz"


@pytest.mark.skipif(
    not DATA.exists() and os.environ.get("CI") != "true",
    reason="the data sets are not beside the repository: ../shared/data",
)
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


@pytest.mark.skipif(
    not DATA.exists() and os.environ.get("CI") != "true",
    reason="the data sets are not beside the repository: ../shared/data",
)
def test_real_protobuf_messages_are_read() -> None:
    schema = Schema(
        features=tuple(Feature(name=name, kind=FeatureKind.NUMERIC) for name in "abc"),
        prediction=Prediction(kind=PredictionKind.CLASS, classes=("no", "yes")),
    )
    halves = {}
    for kind in ("request", "response"):
        name = f"trustyai_kserve_v2_{'inputs' if kind == 'request' else 'outputs'}.b64.gz"
        lines = gzip.decompress((DATA.parent / name).read_bytes()).splitlines()
        halves[kind] = [frame(base64.b64decode(line), schema, kind) for line in lines[:500]]
    for request, response in zip(halves["request"], halves["response"], strict=True):
        assert (request.rows, request.numeric_names) == (1, ("a", "b", "c"))
        assert (response.rows, response.categorical_names) == (1, ("prediction",))
        assert np.isfinite([*request.numeric[:, 0], *response.numeric[:, 0]]).all()
    assert halves["request"][0].numeric[:, 0].tolist()[::2] == [2, 0]


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


@pytest.mark.parametrize("length", ["-1", "x", "100000", "9" * 30, ""])
def test_a_wrong_length_of_the_json_is_refused(length: str) -> None:
    with pytest.raises(BadRequest, match="inference-header-content-length"):
        decode_cloudevents(headers() | {"inference-header-content-length": length or " "}, BODY, LIMITS)
