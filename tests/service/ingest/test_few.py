"""Requests of a few events: what may be joined, and that joining changes nothing but the number of frames."""

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.domain.schema import ERROR
from service.frames import Frame, concat_frames
from service.ingest.decode import EventDecoder, Raw
from service.ingest.failures import no_errors
from service.ingest.few import BYTES_MAX, EVENTS_MAX, Few
from tests.service.comparing import same
from tests.service.ingest.support import JSON, LIMITS, NDJSON, SCHEMA, Event, events

DECODER = EventDecoder(SCHEMA, LIMITS)
PLAIN: Event = {"features": {"age": 4.0, "country": "DE"}, "embedding": [0.5, 1.0], "event_id": "a"}


def few(batch: object, kind: str = JSON, encoding: str | None = None) -> Few | None:
    return DECODER.few(Raw(json.dumps(batch).encode(), kind, encoding))


def alone(batch: list[Event]) -> Frame:
    return DECODER.decode(Raw(json.dumps({"events": batch}).encode(), JSON, None)).frame


def alike(frames: Sequence[Frame]) -> list[Frame]:
    """Let frames that tell of no error say so, where another one tells of some."""
    if not any(ERROR in frame.categorical_names for frame in frames):
        return list(frames)
    return [
        frame
        if ERROR in frame.categorical_names
        else replace(
            frame,
            categorical_names=(*frame.categorical_names, ERROR),
            categorical=(*frame.categorical, no_errors(frame.rows)),
        )
        for frame in frames
    ]


@given(st.lists(events(), min_size=1, max_size=6))
def test_joined_requests_are_the_frames_of_each_one_after_the_other(batches: list[list[Event]]) -> None:
    by_make: dict[Any, list[tuple[Few, Frame]]] = {}
    for batch in batches:
        request = few({"events": batch})
        if request is not None:
            by_make.setdefault(request.make, []).append((request, alone(batch)))
    for together in by_make.values():
        joined = DECODER.join([request for request, _ in together])
        frames = concat_frames(alike([frame for _, frame in together]))
        assert joined is not None
        assert len(frames) == 1
        same(joined, frames[0])


@pytest.mark.parametrize(
    "change",
    [
        {"segment": {"region": "eu"}},
        {"attributions": {"age": 0.5}},
        {"fingerprint": [1, 2]},
        {"timestamp": "1970-01-01T00:30:00+01:00"},
        {"probabilities": {"fraud": None, "ok": 1.0}},
        {"features": {"age": "old"}},
        {"principal": ""},
        {"surprise": 1},
    ],
)
def test_what_needs_a_closer_look_is_not_taken(change: Event) -> None:
    assert few({"events": [PLAIN]}) is not None
    assert few({"events": [PLAIN | change]}) is None


def test_only_small_plain_json_of_rows_is_taken() -> None:
    assert few({"events": [PLAIN] * EVENTS_MAX}) is not None
    assert few({"events": [PLAIN] * (EVENTS_MAX + 1)}) is None
    assert few({"events": []}) is None
    assert few({"events": [PLAIN | {"event_id": "x" * BYTES_MAX}]}) is None
    assert few({"columns": {"features": {"age": [1.0]}}}) is None
    assert few({"events": [PLAIN]}, kind=NDJSON) is None
    assert few({"events": [PLAIN]}, encoding="gzip") is None
    assert few([]) is None


@pytest.mark.parametrize("field", ["prediction", "latency_ms", "principal", "event_id", "timestamp", "probabilities"])
def test_a_field_that_only_some_requests_carry_keeps_them_apart(field: str) -> None:
    full: Event = PLAIN | {
        "prediction": "ok",
        "latency_ms": 3.0,
        "principal": "p",
        "timestamp": "2026-11-01T00:00:00Z",
        "probabilities": {"ok": 0.5, "fraud": 0.5},
    }
    without = {name: value for name, value in full.items() if name != field}
    one, two = few({"events": [full]}), few({"events": [without]})
    assert one is not None
    assert two is not None
    assert one.make != two.make
    assert few({"events": [full, without]}) is None
