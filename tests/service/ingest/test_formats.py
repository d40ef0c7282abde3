"""The same events give the same frame, in whatever way they are written."""

import base64
import gzip
import json
from typing import Any

import msgspec
import numpy as np
import pytest
import zstandard
from hypothesis import given

from service.domain.schema import Feature, FeatureKind, Prediction, PredictionKind, Schema, Treatment
from service.frames import INVALID, MISSING, Frame, decode_frame, encode_frame
from service.ingest import lenient
from service.ingest.decode import Decoded, EventDecoder, Raw
from service.ingest.deidentify import Deidentifier
from service.ingest.layout import Layout
from service.ingest.lenient import read_json
from service.ingest.lists import CHECKED, TYPED, to_frame
from service.ingest.typed import TypedDecoder
from tests.service.comparing import plain, same
from tests.service.ingest.support import (
    ARROW,
    CLASSES,
    JSON,
    LIMITS,
    NDJSON,
    SCHEMA,
    Event,
    as_columns,
    as_lines,
    as_rows,
    as_table,
    decode,
    events,
    scalar_events,
    stream,
)


@given(events())
def test_rows_columns_lines_and_arrow_give_the_same_frame(batch: list[Event]) -> None:
    rows = decode(as_rows(batch))
    assert rows.frame.rows == len(batch)
    assert (rows.rejected, rows.errors, rows.invalid) == (0, (), {})
    for body, kind in ((as_columns(batch), JSON), (as_lines(batch), NDJSON), (stream(as_table(batch)), ARROW)):
        same(decode(body, kind).frame, rows.frame)


@given(events())
def test_several_record_batches_are_one_batch(batch: list[Event]) -> None:
    table = as_table(batch)
    same(decode(stream(table, rows=2), ARROW).frame, decode(stream(table), ARROW).frame)


@given(scalar_events())
def test_the_typed_and_the_lenient_reader_agree_on_clean_events(batch: list[Event]) -> None:
    layout = Layout(SCHEMA, LIMITS)
    for body in (as_rows(batch), as_columns(batch)):
        for exact in (True, False):
            decoder = TypedDecoder(layout, exact=exact)
            parsed = decoder.parse(body)
            assert parsed is not None, "clean events take the fast way"
            typed = decoder.lists(parsed)
            assert typed is not None
            lists, refused = read_json(body, layout)
            assert not refused.rows
            same(to_frame(layout, typed, TYPED), to_frame(layout, lists, CHECKED))


@given(scalar_events())
def test_what_was_decoded_survives_de_identification_and_the_log(batch: list[Event]) -> None:
    frame = decode(as_rows(batch)).frame
    stored = Deidentifier(b"k" * 32).apply(SCHEMA, frame)
    same(decode_frame(encode_frame(stored)), stored)


@pytest.mark.parametrize("content_type", ["application/json; charset=utf-8", "Application/JSON"])
def test_parameters_and_case_of_the_content_type_do_not_matter(content_type: str) -> None:
    assert decode(b'{"events": [{"features": {}}]}', content_type).frame.rows == 1


@pytest.mark.parametrize("content_type", ["application/x-ndjson", "application/ndjson", "application/jsonl"])
def test_blank_lines_of_ndjson_are_skipped(content_type: str) -> None:
    body = b'\n{"features": {"age": 1}}\r\n\n  \n{"features": {"age": 2}}\n'
    assert numbers(decode(body, content_type), "age") == [1, 2]


def numbers(decoded: Decoded, name: str) -> list[float]:
    """Return a numeric column."""
    frame = decoded.frame
    column: list[float] = frame.numeric[frame.numeric_names.index(name)].tolist()
    return column


def labels(frame: Frame, name: str) -> object:
    """Return a categorical column as text."""
    return plain(frame.categorical[frame.categorical_names.index(name)])


def one(features: dict[str, Any], **rest: Any) -> bytes:
    """Write a batch of one event."""
    return json.dumps({"events": [{"features": features, **rest}]}).encode()


@pytest.mark.parametrize("value", ["41", True, [41], {"v": 41}, float("nan"), float("inf"), -float("inf"), 10**400])
def test_what_is_no_finite_number_is_invalid_and_counted(value: Any) -> None:
    decoded = decode(one({"age": value}))
    assert numbers(decoded, "age") == [float("inf")]
    assert decoded.invalid == {"age": 1}
    assert (decoded.rejected, decoded.errors) == (0, ())


@pytest.mark.parametrize("token", [b"1e999", b"-1e999", b"NaN", b"Infinity", b"-Infinity", b"9" * 400, b"9" * 5000])
def test_numbers_that_no_float_holds_are_invalid_in_rows_lines_and_columns(token: bytes) -> None:
    event = b'{"features": {"age": %s, "country": %s}}' % (token, token)
    columns = b'{"columns": {"features": {"age": [%s], "country": [%s]}}}' % (token, token)
    for body, kind in ((b'{"events": [%s]}' % event, JSON), (event, NDJSON), (columns, JSON)):
        decoded = decode(body, kind)
        assert numbers(decoded, "age") == [float("inf")]
        assert decoded.invalid["age"] == 1


@pytest.mark.parametrize(
    ("value", "label"),
    [
        ("DE", "DE"),
        ("", ""),
        (3, "3"),
        (3.0, "3"),
        (-0.0, "0"),
        (0.5, "0.5"),
        (True, "true"),
        (False, "false"),
        (10**20, "100000000000000000000"),
        (None, "<missing>"),
        ([1], "<invalid>"),
        ({}, "<invalid>"),
        (float("nan"), "<invalid>"),
        ("\ud800", "<invalid>"),
    ],
)
def test_labels_have_one_canonical_text(value: Any, label: str) -> None:
    decoded = decode(one({"country": value}))
    assert labels(decoded.frame, "country") == [label]
    assert decoded.invalid == ({"country": 1} if label == "<invalid>" else {})


def test_true_and_one_are_different_labels() -> None:
    body = json.dumps({"columns": {"features": {"country": [1, True, "1", 1.0, 0, False]}}}).encode()
    assert labels(decode(body).frame, "country") == ["1", "true", "1", "1", "0", "false"]


def test_absent_and_null_are_missing_and_not_invalid() -> None:
    decoded = decode(b'{"events": [{"features": {}}, {"features": {"age": null, "country": null}}]}')
    assert np.isnan(decoded.frame.numeric).all()
    assert decoded.frame.categorical[0].codes.tolist() == [MISSING, MISSING]
    assert decoded.invalid == {}


def test_optional_things_are_carried_only_when_an_event_has_them() -> None:
    bare = decode(b'{"events": [{"features": {}, "latency_ms": null, "probabilities": {}}]}').frame
    assert bare.numeric_names == ("age", "größe in m")
    assert bare.categorical_names == ("country", "plan")
    assert (bare.principals, bare.event_ids, bare.timestamps_us, bare.fingerprints) == (None, None, None, b"")
    assert (bare.segments, bare.attributions) == ({}, {})
    full = decode(b'{"events": [{"features": {}}, {"features": {}, "latency_ms": 2, "prediction": "ok"}]}').frame
    assert full.numeric_names == ("age", "größe in m", "latency_ms")
    np.testing.assert_equal(full.numeric[2], [np.nan, 2])
    assert labels(full, "prediction") == ["<missing>", "ok"]


def test_everything_of_the_contract_arrives() -> None:
    event = {
        "event_id": "7f3a",
        "timestamp": "2026-11-23T10:00:00.000Z",
        "principal": "client-7",
        "features": {"age": 41, "country": "DE"},
        "prediction": "fraud",
        "probabilities": {"fraud": 0.91, "ok": 0.09, "other": 1},
        "latency_ms": 12.4,
        "segment": {"region": "eu"},
        "attributions": {"age": 0.2, "unknown": 1},
        "embedding": [0.5, 0.25],
        "fingerprint": base64.b64encode(bytes(range(256))).decode(),
    }
    frame = decode(as_rows([event])).frame
    assert frame.numeric_names == ("age", "größe in m", "probabilities.fraud", "probabilities.ok", "latency_ms")
    np.testing.assert_equal(frame.numeric[:, 0], [41, np.nan, 0.91, 0.09, 12.4])
    assert frame.event_ids == ("7f3a",)
    assert frame.timestamps_us is not None
    assert frame.timestamps_us.tolist() == [1_795_428_000_000_000]
    assert plain(frame.principals) == ["client-7"]
    assert plain(frame.segments) == {"region": ["eu"]}
    assert frame.attributions["age"].tolist() == [np.float32(0.2)]
    assert frame.embeddings["text"].tolist() == [[0.5, 0.25]]
    assert msgspec.msgpack.decode(frame.fingerprints) == [bytes(range(256))]


@pytest.mark.parametrize(
    ("vector", "row"),
    [
        ([1, 2.5], [1, 2.5]),
        (None, [np.nan, np.nan]),
        ([1], [np.inf, np.inf]),
        ([1, 2, 3], [np.inf, np.inf]),
        ([1, None], [np.inf, np.inf]),
        ([1, "2"], [np.inf, np.inf]),
        ([1, float("nan")], [np.inf, np.inf]),
        ([1, 1e300], [np.inf, np.inf]),
        ("12", [np.inf, np.inf]),
    ],
)
def test_an_embedding_that_does_not_fit_is_invalid_as_a_whole(vector: Any, row: list[float]) -> None:
    top = decode(one({}, embedding=vector))
    inner = decode(one({"text": vector}))
    columns = decode(json.dumps({"columns": {"features": {"text": [vector]}}}).encode())
    for decoded in (top, inner, columns):
        np.testing.assert_equal(decoded.frame.embeddings["text"], [row])
        assert decoded.invalid == ({"text": 1} if row[0] == np.inf else {})


def test_the_only_embedding_may_come_without_features() -> None:
    assert decode(b'{"events": [{"embedding": [1, 2]}]}').frame.embeddings["text"].tolist() == [[1, 2]]
    assert decode(b'{"columns": {"embedding": [[1, 2], null]}}').frame.rows == 2


def test_with_two_embeddings_the_top_level_one_means_neither() -> None:
    two = [Feature(name=name, kind=FeatureKind.EMBEDDING, dimension=1) for name in "ab"]
    decoder = EventDecoder(Schema(features=tuple(two), prediction=SCHEMA.prediction), LIMITS)
    body = b'{"events": [{"embedding": [1], "features": {"b": [2]}}]}'
    frame = decoder.decode(Raw(body, JSON, None)).frame
    np.testing.assert_equal(frame.embeddings, {"a": np.array([[np.nan]]), "b": np.array([[2]])})


def test_a_number_is_predicted_as_a_numeric_column() -> None:
    schema = Schema(features=SCHEMA.features, prediction=Prediction(kind=PredictionKind.NUMBER))
    decoder = EventDecoder(schema, LIMITS)
    decoded = decoder.decode(Raw(b'{"events": [{"features": {}, "prediction": 2.5}]}', JSON, None))
    assert numbers(decoded, "prediction") == [2.5]
    decoded = decoder.decode(Raw(b'{"events": [{"features": {}, "prediction": "high"}]}', JSON, None))
    assert decoded.invalid == {"prediction": 1}


def test_without_classes_in_the_schema_those_present_are_columns_in_order() -> None:
    schema = Schema(features=SCHEMA.features, prediction=Prediction(kind=PredictionKind.CLASS))
    decoder = EventDecoder(schema, LIMITS)
    bodies = (
        b'{"events": [{"features": {}, "probabilities": {"b": 1}}, {"features": {}, "probabilities": {"a": 0}}]}',
        b'{"columns": {"features": {}, "probabilities": {"b": [1, null], "a": [null, 0]}}}',
    )
    for body in bodies:
        frame = decoder.decode(Raw(body, JSON, None)).frame
        assert frame.numeric_names[2:] == ("probabilities.a", "probabilities.b")
        np.testing.assert_equal(frame.numeric[2:], [[np.nan, 0], [1, np.nan]])


@pytest.mark.parametrize("wrong", ["x", [1], 7, True])
def test_probabilities_that_are_no_object_are_invalid(wrong: Any) -> None:
    decoded = decode(one({}, probabilities=wrong))
    assert decoded.invalid == {f"probabilities.{name}": 1 for name in CLASSES}


def test_unknown_fields_and_features_are_ignored_and_stay_on_the_fast_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lenient, "read_json", None)
    decoded = decode(b'{"events": [{"features": {"age": 1, "shoe": [1]}, "trace": {"a": 1}}], "sent": 1}')
    assert numbers(decoded, "age") == [1]


def test_dropped_features_have_no_column() -> None:
    dropped = [msgspec.structs.replace(feature, treatment=Treatment.DROP) for feature in SCHEMA.features]
    decoder = EventDecoder(Schema(features=tuple(dropped), prediction=SCHEMA.prediction), LIMITS)
    frame = decoder.decode(Raw(one({"age": 1, "country": "DE", "text": [1, 2]}, embedding=[1, 2]), JSON, None)).frame
    assert (frame.numeric_names, frame.categorical_names, frame.embeddings) == ((), (), {})


@pytest.mark.parametrize(
    ("encoding", "compress"),
    [
        (None, bytes),
        ("identity", bytes),
        ("gzip", gzip.compress),
        ("GZIP", gzip.compress),
        ("zstd", zstandard.compress),
        ("zstd", lambda body: zstandard.ZstdCompressor(write_content_size=False).compress(body)),
    ],
)
def test_compressed_bodies_are_decoded_and_their_content_is_the_same(encoding: str | None, compress: Any) -> None:
    body = as_rows([{"features": {"age": i}} for i in range(100)])
    decoded = decode(compress(body), JSON, encoding)
    assert decoded.frame.rows == 100
    assert decoded.content == body


def test_a_schema_with_names_of_every_kind_decodes() -> None:
    names = ["features", "class", "f0", "a.b", "ключ", "event", "x" * 200, "__init__", "1"]
    features = tuple(Feature(name=name, kind=FeatureKind.NUMERIC) for name in names)
    decoder = EventDecoder(Schema(features=features, prediction=SCHEMA.prediction), LIMITS)
    decoded = decoder.decode(Raw(one({name: i for i, name in enumerate(names)}), JSON, None))
    assert decoded.frame.numeric[:, 0].tolist() == list(range(len(names)))
    assert decoded.frame.numeric_names == tuple(names)


def test_codes_of_invalid_labels_are_marked() -> None:
    frame = decode(b'{"columns": {"features": {"plan": ["a", [], null, "a"]}}}').frame
    assert frame.categorical[1].codes.tolist() == [0, INVALID, MISSING, 0]
