"""What bad input gets: which answer, and which places it names."""

import dataclasses
import gzip
import json
import sys
from typing import Any

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from service.domain.errors import BadRequest, LazarettoError, TooLarge, Unprocessable, UnsupportedMedia
from service.domain.schema import Feature, FeatureKind, Prediction, PredictionKind, Schema
from service.ingest.decode import EventDecoder, Raw
from service.ingest.guard import check_nesting, first_value_end
from tests.service.ingest.support import ARROW, JSON, LIMITS, NDJSON, SCHEMA, as_lines, as_rows, decode, events

GOOD = {"features": {"age": 1}}


def places(error: LazarettoError) -> dict[str, str]:
    """Return the named places."""
    return {place.at: place.reason for place in error.places}


@pytest.mark.parametrize(
    ("body", "at"),
    [
        (b"", 0),
        (b"{", 1),
        # Python 3.13 points at the comma that should not be there, earlier ones at what stands behind it.
        (b'{"events": [{"features": {}},]}', 28 if sys.version_info >= (3, 13) else 29),
        ('{"größe": x}'.encode(), 12),
        ('{"events": [{"features": {"größe in m": ]}'.encode(), 42),
        (b'{"events": []} trailing', 15),
        (b'{"events": ["\xff"]}', 13),
        (b'\xef\xbb\xbf{"events": []}', 0),
        (b"<html>", 0),
        (b'{"events": [{"features": {"age": 01}}]}', 34),
    ],
)
def test_malformed_json_is_refused_with_the_byte_where_it_breaks(body: bytes, at: int) -> None:
    with pytest.raises(BadRequest, match=f"byte {at}:") as caught:
        decode(body)
    assert list(places(caught.value)) == [f"byte {at}"]


@given(events(), st.data())
def test_the_byte_lies_within_the_body_wherever_it_is_cut(batch: list[dict[str, Any]], data: st.DataObject) -> None:
    body = json.dumps({"events": batch}, ensure_ascii=False).encode()
    cut = body[: data.draw(st.integers(0, len(body) - 1))]
    with pytest.raises(BadRequest) as caught:
        decode(cut)
    assert 0 <= int(caught.value.places[0].at.removeprefix("byte ")) <= len(cut)


def test_malformed_ndjson_names_the_byte_of_the_body_and_the_line() -> None:
    body = '{"features": {"größe in m": 1}}\n\n{"features": }\n'.encode()
    with pytest.raises(BadRequest) as caught:
        decode(body, NDJSON)
    assert list(places(caught.value)) == [f"byte {body.index(b'}', 35)}, line 3"]


def test_an_event_over_two_lines_is_no_ndjson() -> None:
    with pytest.raises(BadRequest, match="line 1"):
        decode(b'{"features":\n{"age": 1}}\n{"features": {}}', NDJSON)


@pytest.mark.parametrize("content_type", [None, "", "text/plain", "application/xml", "multipart/form-data; a=b"])
def test_another_content_type_is_refused_and_the_supported_ones_are_named(content_type: str | None) -> None:
    with pytest.raises(UnsupportedMedia) as caught:
        decode(as_rows([GOOD]), content_type)  # type: ignore[arg-type]
    for supported in (JSON, NDJSON, ARROW):
        assert supported in caught.value.detail


@pytest.mark.parametrize("encoding", ["br", "deflate", "gzip, zstd", "x"])
def test_another_encoding_is_refused_and_the_supported_ones_are_named(encoding: str) -> None:
    with pytest.raises(UnsupportedMedia, match="identity, gzip, zstd"):
        decode(as_rows([GOOD]), JSON, encoding)


@pytest.mark.parametrize(
    ("body", "at"),
    [
        ([], "$"),
        ("x", "$"),
        (None, "$"),
        ({}, "$"),
        ({"event": []}, "$"),
        ({"events": [GOOD], "columns": {"features": {"age": [1]}}}, "$"),
        ({"events": {}}, "events"),
        ({"events": []}, "events"),
        ({"columns": []}, "columns"),
        ({"columns": {}}, "columns.features"),
        ({"columns": {"features": {}}}, "columns"),
        ({"columns": {"features": []}}, "columns.features"),
        ({"columns": {"features": {"age": 1}}}, "columns.features.age"),
        ({"columns": {"features": {"age": []}}}, "events"),
        ({"columns": {"features": {"age": [1]}, "event_id": "x"}}, "columns.event_id"),
        ({"columns": {"features": {"age": [1]}, "probabilities": [1]}}, "columns.probabilities"),
    ],
    ids=lambda value: json.dumps(value)[:60],
)
def test_a_wrong_envelope_is_unprocessable_and_says_where(body: object, at: str) -> None:
    with pytest.raises(Unprocessable) as caught:
        decode(json.dumps(body).encode())
    assert at in places(caught.value)


def test_unequal_columns_are_all_named() -> None:
    columns = {
        "features": {"age": [1, 2, 3], "country": ["a", "b"], "unknown": [1]},
        "event_id": ["a", "b", "c"],
        "timestamp": [],
        "segment": {"region": ["eu"]},
    }
    with pytest.raises(Unprocessable) as caught:
        decode(json.dumps({"columns": columns}).encode())
    assert set(places(caught.value)) == {"columns.features.country", "columns.timestamp", "columns.segment.region"}


BAD_FIELDS: list[tuple[dict[str, Any], str, str]] = [
    ({"event_id": 7}, "event_id", "text"),
    ({"event_id": ""}, "event_id", "empty"),
    ({"event_id": "x" * 8193}, "event_id", "8192"),
    ({"event_id": "ü" * 4097}, "event_id", "8194 bytes"),
    ({"event_id": "\ud800"}, "event_id", "surrogate"),
    ({"principal": ["a"]}, "principal", "text"),
    ({"principal": "x" * 8193}, "principal", "8192"),
    ({"timestamp": 1_700_000_000}, "timestamp", "unit"),
    ({"timestamp": 1.5}, "timestamp", "unit"),
    ({"timestamp": "yesterday"}, "timestamp", "ISO 8601"),
    ({"timestamp": "2026-11-23T10:00:00"}, "timestamp", "zone"),
    ({"timestamp": "1969-12-31T23:59:59Z"}, "timestamp", "1970"),
    ({"timestamp": True}, "timestamp", "text"),
    ({"timestamp": "2026\ud800"}, "timestamp", "text"),
    ({"segment": "eu"}, "segment", "object"),
    ({"segment": {"region": ["eu"]}}, "segment.region", "list"),
    ({"segment": {"region": "x" * 8193}}, "segment.region", "8192"),
]


@pytest.mark.parametrize(("fields", "at", "reason"), BAD_FIELDS, ids=[f"{at}-{reason}" for _, at, reason in BAD_FIELDS])
def test_an_event_with_a_bad_envelope_is_refused_alone_and_named(fields: dict[str, Any], at: str, reason: str) -> None:
    batch = [GOOD, GOOD | fields, GOOD]
    for decoded in (decode(as_rows(batch)), decode(json.dumps(batch[1]).encode() + b"\n" + as_lines([GOOD]), NDJSON)):
        assert decoded.rejected == 1
        assert decoded.frame.rows == (2 if len(decoded.errors) and "[1]" in decoded.errors[0].at else 1)
        assert decoded.errors[0].at in {f"events[1].{at}", f"events[0].{at}"}
        assert reason in decoded.errors[0].reason


@pytest.mark.parametrize(("fields", "at", "reason"), [each for each in BAD_FIELDS if each[1] != "segment"])
def test_a_row_of_columns_with_a_bad_envelope_is_refused_alone(fields: dict[str, Any], at: str, reason: str) -> None:
    name, value = next(iter(fields.items()))
    column: Any = [None, value, None]
    if name == "segment":
        column = {"region": [None, value["region"], None]}
    decoded = decode(json.dumps({"columns": {"features": {"age": [1, 2, 3]}, name: column}}).encode())
    assert decoded.frame.numeric[0].tolist() == [1, 3]
    assert decoded.rejected == 1
    assert decoded.errors[0].at == f"columns.{at}[1]"
    assert reason in decoded.errors[0].reason


@pytest.mark.parametrize(
    ("event", "at"),
    [
        ("x", "events[1]"),
        (None, "events[1]"),
        ([], "events[1]"),
        ({}, "events[1].features"),
        ({"features": None}, "events[1].features"),
        ({"features": [1]}, "events[1].features"),
        ({"features": None, "embedding": [1, 2]}, "events[1].features"),
        ({"embedding": "x"}, "events[1].features"),
    ],
)
def test_what_is_no_event_or_has_no_features_is_refused_alone(event: object, at: str) -> None:
    decoded = decode(json.dumps({"events": [GOOD, event]}).encode())
    assert (decoded.frame.rows, decoded.rejected, decoded.errors[0].at) == (1, 1, at)


def test_every_bad_place_is_named_when_no_event_is_acceptable() -> None:
    with pytest.raises(Unprocessable) as caught:
        decode(json.dumps({"events": [{"event_id": 1, "timestamp": 2}, 3]}).encode())
    found = {"events[0].features", "events[0].event_id", "events[0].timestamp", "events[1]"}
    assert set(places(caught.value)) == found


def test_all_refused_events_are_counted_but_only_so_many_are_named() -> None:
    decoded = decode(json.dumps({"events": [GOOD, *[{"event_id": 1}] * 200]}).encode())
    assert decoded.rejected == 200
    assert len(decoded.errors) == LIMITS.errors_max


def limited(body: bytes, content_type: str = JSON, encoding: str | None = None, **limits: Any) -> None:
    """Decode under other limits."""
    EventDecoder(SCHEMA, dataclasses.replace(LIMITS, **limits)).decode(Raw(body, content_type, encoding))


@pytest.mark.parametrize(
    ("limit", "body"),
    [
        ({"body_bytes_max": 1024}, as_rows([GOOD] * 100)),
        ({"rows_max": 3}, as_rows([GOOD] * 4)),
        ({"rows_max": 3}, b'{"columns": {"features": {"age": [1, 2, 3, 4]}}}'),
        ({"string_bytes_max": 16}, as_rows([GOOD, {"features": {"country": "x" * 17}}])),
        ({"string_bytes_max": 16}, as_rows([{"features": {}, "prediction": "ü" * 9}])),
        ({"json_depth_max": 8}, b'{"events": [{"features": {"age": [[[[[[1]]]]]]}}]}'),
        ({"json_depth_max": 8}, b'{"events": [{"features": {}, "x": ' + b"[" * 90 + b"]" * 90 + b"}]}"),
        ({"embedding_dimension_max": 2}, as_rows([{"features": {}, "embedding": [1, 2, 3]}])),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_over_a_limit_is_too_large_and_the_limit_is_named(limit: dict[str, Any], body: bytes) -> None:
    name, value = next(iter(limit.items()))
    with pytest.raises(TooLarge, match=name) as caught:
        limited(body, **limit)
    assert str(value) in caught.value.detail


def test_a_long_label_names_its_event() -> None:
    with pytest.raises(TooLarge, match=r"events\[1\]\.features\.country"):
        limited(as_rows([GOOD, {"features": {"country": "x" * 17}}]), string_bytes_max=16)


@pytest.mark.parametrize("depth", [1_000, 100_000])
def test_deep_nesting_ends_in_an_answer_not_in_a_crash(depth: int) -> None:
    for start, end in ((b"[", b"]"), (b'{"a":', b"}")):
        for body in (start * depth, start * depth + b"1" + end * depth):
            for kind in (JSON, NDJSON):
                with pytest.raises(TooLarge, match="json_depth_max"):
                    decode(body, kind)


def test_brackets_in_strings_are_not_nesting() -> None:
    text = '[[[[{{{{"\\' * 20
    decoded = decode(json.dumps({"events": [{"features": {"country": text}, "more": 1, "event_id": text}]}).encode())
    assert decoded.frame.event_ids == (text,)


JSON_VALUES = st.recursive(
    st.none() | st.text() | st.integers(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)
)


@given(JSON_VALUES)
def test_the_depth_is_that_of_the_parsed_value(value: object) -> None:
    body = json.dumps(value).encode()
    depth = depth_of(value)
    check_nesting(body, dataclasses.replace(LIMITS, json_depth_max=max(depth, 1)))
    if depth > 1:
        with pytest.raises(TooLarge):
            check_nesting(body, dataclasses.replace(LIMITS, json_depth_max=depth - 1))


def depth_of(value: object) -> int:
    """Count the levels of arrays and objects."""
    if isinstance(value, dict):
        return 1 + max(map(depth_of, value.values()), default=0)
    return 1 + max(map(depth_of, value), default=0) if isinstance(value, list) else 0


@given(st.dictionaries(st.text(), st.text() | st.lists(st.text())), st.binary())
def test_the_first_value_ends_where_it_was_written(value: object, tail: bytes) -> None:
    head = json.dumps(value).encode()
    assert first_value_end(head + tail) == len(head)


def test_few_bytes_do_not_unfold_into_much_memory() -> None:
    features = tuple(Feature(name=f"f{i}", kind=FeatureKind.NUMERIC) for i in range(2_000))
    decoder = EventDecoder(Schema(features=features, prediction=Prediction(kind=PredictionKind.NUMBER)), LIMITS)
    empty = b'{"features":{}}'
    for body in (b'{"events":[' + b",".join([empty] * 20_000) + b"]}",):
        with pytest.raises(TooLarge, match="rows_max"):
            decoder.decode(Raw(body, JSON, None))
    with pytest.raises(TooLarge, match="rows_max"):
        decoder.decode(Raw(b"\n".join([empty] * 20_000), NDJSON, None))
    with pytest.raises(TooLarge, match="arrays and objects"):
        decode(b'{"events":[' + b"[]," * 2_000_000 + b"[]]}")


def test_classes_and_segments_that_nobody_declared_are_bounded() -> None:
    decoder = EventDecoder(Schema(features=SCHEMA.features, prediction=Prediction(kind=PredictionKind.CLASS)), LIMITS)
    many = {f"c{i}": 0.5 for i in range(300)}
    with pytest.raises(TooLarge, match="300 classes; at most 256"):
        decoder.decode(Raw(as_rows([GOOD | {"probabilities": many}]), JSON, None))
    with pytest.raises(TooLarge, match="300 segment keys"):
        decode(as_rows([GOOD | {"segment": many}]))


@pytest.mark.parametrize("compress", [gzip.compress, zstandard.compress], ids=["gzip", "zstd"])
def test_a_bomb_is_refused_by_its_ratio_and_by_its_size(compress: Any) -> None:
    encoding = "gzip" if compress is gzip.compress else "zstd"
    bomb = compress(b" " * 20_000_000)
    with pytest.raises(TooLarge, match="compression_ratio_max"):
        limited(bomb, encoding=encoding)
    with pytest.raises(TooLarge, match="decompressed_bytes_max"):
        limited(bomb, encoding=encoding, compression_ratio_max=1e9, decompressed_bytes_max=1_000_000)


@given(st.binary(max_size=200))
def test_any_bytes_get_an_answer(body: bytes) -> None:
    for kind in (JSON, NDJSON, ARROW):
        for encoding in (None, "gzip", "zstd"):
            with pytest.raises(LazarettoError):
                decode(body, kind, encoding)
