"""The accepting side: what was answered is in the log, once."""

import asyncio
import gzip
import json
from dataclasses import replace

import pytest

from service.domain.errors import BadRequest, Conflict, Unavailable, Unprocessable
from service.domain.ids import Position
from service.domain.receipts import Receipt
from service.domain.records import Version
from service.domain.schema import Schema
from service.frames import decode_frame
from service.ingest.cloudevents import HalfKind, InferenceEvent
from service.ingest.decode import Raw
from service.ingest.deidentify import Deidentifier
from service.ingest.limits import Limits
from service.ingest.prepare import PREPARERS_MAX
from service.pipeline import (
    DECODE_INLINE_BYTES_MAX,
    AcceptStages,
    accept_batch,
    accept_inference_event,
    accept_labels,
    new_batch_id,
)
from service.ports import EntryKind, LogEntry
from service.settings import Settings
from tests.fakes import InMemoryLog, ManualClock
from tests.service.worker.world import KEY, SCHEMA, make_version

EVENT = {"event_id": "e1", "principal": "client-7", "features": {"age": 41, "income": 5.0, "country": "DE"}}


class Api:
    """The accepting side over a log in memory."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.log = InMemoryLog(self.clock)
        limits = Limits.from_settings(Settings())
        self.stages = AcceptStages.over(self.log, self.clock, limits, Deidentifier(KEY))
        self.version: Version = make_version(1)

    def events(self, body: object, key: str | None = None) -> Receipt:
        raw = Raw(json.dumps(body).encode(), "application/json", None)
        return asyncio.run(accept_batch(self.stages, self.version, raw, key))

    def labels(self, body: object, key: str | None = None) -> Receipt:
        raw = Raw(json.dumps(body).encode(), "application/json", None)
        return asyncio.run(accept_labels(self.stages, self.version, raw, key))

    def entries(self) -> list[LogEntry]:
        return list(self.log.read(Position(0), max_entries=1_000, max_bytes=10**9))


def test_a_receipt_says_where_the_batch_is_in_the_log() -> None:
    api = Api()
    receipt = api.events({"events": [EVENT, EVENT]})
    (entry,) = api.entries()
    assert (receipt.accepted, receipt.rejected, receipt.duplicates, receipt.errors) == (2, 0, 0, ())
    assert (receipt.position, entry.kind, entry.rows) == (entry.position, EntryKind.BATCH, 2)


def test_what_identifies_people_is_not_in_the_log() -> None:
    api = Api()
    api.events({"events": [EVENT]})
    body = api.entries()[0].body
    assert b"client-7" not in body
    principals = decode_frame(body).principals
    assert principals is not None
    assert principals.labels == (Deidentifier(KEY).pseudonym("client-7"),)


def test_a_bad_event_is_named_and_the_others_are_taken() -> None:
    receipt = Api().events({"events": [EVENT, {"features": "none"}, EVENT]})
    assert (receipt.accepted, receipt.rejected) == (2, 1)
    assert receipt.errors[0].at.startswith("events[1]")


def test_a_broken_envelope_leaves_nothing_behind() -> None:
    api = Api()
    with pytest.raises(Unprocessable):
        api.events({"event": []})
    with pytest.raises(BadRequest):
        asyncio.run(accept_batch(api.stages, api.version, Raw(b"{", "application/json", None), None))
    assert api.entries() == []


def test_a_repetition_gets_the_first_answer_with_its_duplicates_counted() -> None:
    api = Api()
    body = {"events": [EVENT, {"features": 3}]}
    first = api.events(body, "k")
    api.clock.advance(5)
    again = api.events(body, "k")
    assert (first.accepted, first.rejected, first.duplicates) == (1, 1, 0)
    assert (again.accepted, again.rejected, again.duplicates) == (1, 1, 1)
    assert (again.errors, again.batch_id, again.position) == (first.errors, first.batch_id, first.position)
    assert len(api.entries()) == 1


def test_a_repetition_is_known_by_its_content_not_by_its_encoding() -> None:
    api = Api()
    first = api.events({"events": [EVENT]}, "k")
    packed = Raw(gzip.compress(json.dumps({"events": [EVENT]}).encode()), "application/json", "gzip")
    assert asyncio.run(accept_batch(api.stages, api.version, packed, "k")).position == first.position


def test_other_content_under_the_same_key_is_a_conflict() -> None:
    api = Api()
    api.events({"events": [EVENT]}, "k")
    with pytest.raises(Conflict):
        api.events({"events": [EVENT, EVENT]}, "k")
    assert len(api.entries()) == 1


def test_without_a_key_every_request_counts() -> None:
    api = Api()
    assert api.events({"events": [EVENT]}).position != api.events({"events": [EVENT]}).position


def test_when_the_log_refuses_there_is_no_receipt() -> None:
    api = Api()
    api.log.failing = True
    with pytest.raises(Unavailable):
        api.events({"events": [EVENT]})


def test_a_large_body_is_taken_like_a_small_one() -> None:
    api = Api()
    events = [EVENT] * (DECODE_INLINE_BYTES_MAX // len(json.dumps(EVENT)) + 10)
    assert api.events({"events": events}).accepted == len(events)


def test_labels_are_kept_in_the_log_and_repetitions_are_known() -> None:
    api = Api()
    body = {"labels": [{"event_id": "e1", "label": "fraud"}, {"label": "ok"}]}
    first, again = api.labels(body, "k"), api.labels(body, "k")
    (entry,) = api.entries()
    assert (first.accepted, first.rejected, len(first.errors)) == (1, 1, 1)
    assert (entry.kind, entry.rows) == (EntryKind.LABELS, 1)
    assert (again.duplicates, again.position) == (1, first.position)


def test_a_logged_inference_is_taken_once_however_often_it_is_delivered() -> None:
    api = Api()
    payload = json.dumps({"instances": [[41, 5.0, "DE"]]}).encode()
    event = InferenceEvent(
        model="m1",
        version="1",
        kind=HalfKind.REQUEST,
        id="i1",
        source="s",
        time=None,
        payload=payload,
        json_bytes=None,
    )
    version = replace(make_version(1), schema=Schema(features=SCHEMA.features[:3], prediction=SCHEMA.prediction))
    for _ in range(3):
        asyncio.run(accept_inference_event(api.stages, version, event))
    (entry,) = api.entries()
    assert decode_frame(entry.body).numeric_names == ("age", "income")


def test_batch_ids_sort_by_time_and_never_repeat() -> None:
    clock = ManualClock()
    ids = []
    for _ in range(100):
        ids.append(new_batch_id(clock))
        clock.advance(0.001)
    assert ids == sorted(set(ids))
    assert {len(batch_id) for batch_id in ids} == {32}
    assert new_batch_id(clock) != new_batch_id(clock)


def test_a_decoder_is_compiled_once_for_each_version_and_there_is_an_end_to_them() -> None:
    cache = Api().stages.preparers
    assert cache.of(make_version(1)) is cache.of(make_version(1))
    for number in range(PREPARERS_MAX + 5):
        cache.of(make_version(number))
    assert len(cache._known) <= PREPARERS_MAX
