"""Labels: what arrives late, and what of it is refused."""

import dataclasses
import gzip
import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.domain.errors import BadRequest, TooLarge, Unprocessable, UnsupportedMedia
from service.frames.labels import LabelRow, LabelsError, read_labels, text_of
from service.ingest.decode import Raw
from service.ingest.labels import Labels
from service.ingest.labels import decode_labels as decode_with
from service.ingest.limits import Limits
from tests.service.ingest.support import ARROW, JSON, LIMITS, NDJSON


def decode_labels(body: Raw, limits: Limits) -> Labels:
    return decode_with(body, limits, str.upper)


def raw(value: object, content_type: str = JSON) -> Raw:
    """Write a JSON body."""
    return Raw(json.dumps(value).encode(), content_type, None)


def test_labels_reach_the_log_as_they_were_sent() -> None:
    values: list[Any] = ["fraud", 1, 0.5, True]
    rows = [{"event_id": f"e{i}", "label": value} for i, value in enumerate(values)]
    rows[0]["timestamp"] = "1970-01-01T00:00:01Z"
    labels = decode_labels(raw({"labels": rows}), LIMITS)
    assert (labels.rows, labels.rejected, labels.errors) == (4, 0, ())
    assert read_labels(labels.body) == [
        LabelRow(f"e{i}", value, 1_000_000 if i == 0 else -1) for i, value in enumerate(values)
    ]


def test_who_says_so_is_kept_as_a_pseudonym_and_labels_without_one_as_before() -> None:
    rows = [{"event_id": "a", "label": 1, "principal": "eve"}, {"event_id": "b", "label": 2, "principal": None}]
    assert [row.principal for row in read_labels(decode_labels(raw({"labels": rows}), LIMITS).body)] == ["EVE", ""]
    old = b"\x01" + msgspec.msgpack.encode([("a", 1, -1)])
    assert read_labels(old) == [LabelRow("a", 1, -1, "")]


@pytest.mark.parametrize(
    ("label", "text"), [(True, "true"), (False, "false"), (3, "3"), (3.0, "3"), (0.5, "0.5"), ("cat", "cat")]
)
def test_labels_are_spelled_as_frames_spell_them(label: Any, text: str) -> None:
    assert text_of(label) == text


def test_lines_and_compressed_bodies_hold_the_same_labels() -> None:
    rows = [{"event_id": "a", "label": 1}, {"event_id": "b", "label": 2}]
    body = json.dumps({"labels": rows}).encode()
    lines = b"\n".join(json.dumps(row).encode() for row in rows)
    whole = decode_labels(Raw(body, JSON, None), LIMITS)
    assert decode_labels(Raw(lines, NDJSON, None), LIMITS).body == whole.body
    packed = decode_labels(Raw(gzip.compress(body), JSON, "gzip"), LIMITS)
    assert (packed.body, packed.content) == (whole.body, body)


@pytest.mark.parametrize(
    ("row", "at", "reason"),
    [
        (5, "labels[1]", "object"),
        ({"label": 1}, "labels[1].event_id", "missing"),
        ({"event_id": 3, "label": 1}, "labels[1].event_id", "text"),
        ({"event_id": "", "label": 1}, "labels[1].event_id", "empty"),
        ({"event_id": "a"}, "labels[1].label", "missing"),
        ({"event_id": "a", "label": [1]}, "labels[1].label", "list"),
        ({"event_id": "a", "label": float("nan")}, "labels[1].label", "finite"),
        ({"event_id": "a", "label": 1 << 70}, "labels[1].label", "64 bits"),
        ({"event_id": "a", "label": "x" * 9000}, "labels[1].label", "string_bytes_max"),
        ({"event_id": "a", "label": "\ud800"}, "labels[1].label", "surrogate"),
        ({"event_id": "a", "label": 1, "timestamp": 5}, "labels[1].timestamp", "unit"),
        ({"event_id": "a", "label": 1, "principal": 5}, "labels[1].principal", "text"),
        ({"event_id": "a", "label": 1, "principal": ""}, "labels[1].principal", "empty"),
    ],
)
def test_a_bad_label_is_refused_alone_and_named(row: object, at: str, reason: str) -> None:
    labels = decode_labels(raw({"labels": [{"event_id": "a", "label": 1}, row]}), LIMITS)
    assert (labels.rows, labels.rejected) == (1, 1)
    assert labels.errors[0].at == at
    assert reason in labels.errors[0].reason
    with pytest.raises(Unprocessable, match="no label is acceptable"):
        decode_labels(raw({"labels": [row]}), LIMITS)


@pytest.mark.parametrize("body", [[], {}, {"labels": {}}, {"labels": []}, {"labels": None}])
def test_a_wrong_envelope_is_unprocessable(body: object) -> None:
    with pytest.raises(Unprocessable) as caught:
        decode_labels(raw(body), LIMITS)
    assert caught.value.places[0].at == "labels"


def test_malformed_bodies_other_types_and_too_many_labels_get_their_answers() -> None:
    with pytest.raises(BadRequest, match="byte 11"):
        decode_labels(Raw(b'{"labels": ', JSON, None), LIMITS)
    with pytest.raises(UnsupportedMedia):
        decode_labels(Raw(b"", ARROW, None), LIMITS)
    with pytest.raises(TooLarge, match="labels_max: 1"):
        decode_labels(raw({"labels": [{"event_id": "a", "label": 1}] * 2}), dataclasses.replace(LIMITS, labels_max=1))


@given(st.binary(max_size=40))
def test_other_bytes_are_no_labels(body: bytes) -> None:
    with pytest.raises(LabelsError):
        read_labels(b"\x01\xc1" + body)
    with pytest.raises(LabelsError, match="format"):
        read_labels(b"\x02" + body)
