"""Transcripts through the worker: whose requests are kept, which values, and that no restart changes any of it.

What is found is put there by the tests, at chosen entries of the log: no forest and no threshold has a part in it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.detect import transcripts as drawing
from service.detect.principals import Principals
from service.detect.reference import CompiledReference, compile_reference
from service.detect.transcripts import Looker
from service.domain.adversarial import Adversarial, Following, Transcript
from service.domain.evaluation import UseFound
from service.domain.ids import Micros, Position, VersionId
from service.domain.policy import Policy
from service.domain.principals import PrincipalFinding, PrincipalTier
from service.domain.records import Version
from service.domain.schema import Classification, Feature, FeatureKind, Prediction, PredictionKind, Schema, Treatment
from service.domain.transcripts import SAMPLE_BYTES_MAX, Accused, Drawn, TranscriptBody, TranscriptRecord
from service.frames import Coded, Frame, Texts, encode_frame
from service.office import put_baseline, register_model, register_version
from service.ports import EntryKind, LogEntry, LogReader, NewEntry
from service.transcripts import DrawnBefore, SampleState, id_of, open_transcript, seal, unseal
from tests.service.uses import finding
from tests.service.worker.world import ANA, DANA, SMALL_BUDGET, World

EVE, CARL = "e" * 32, "c" * 32
KEY, OTHER = b"t" * 32, b"o" * 32
SCHEMA = Schema(
    features=(
        Feature(name="age", kind=FeatureKind.NUMERIC),
        Feature(name="income", kind=FeatureKind.NUMERIC, classification=Classification.CONFIDENTIAL),
        Feature(name="diagnosis", kind=FeatureKind.CATEGORICAL, classification=Classification.RESTRICTED),
        Feature(name="country", kind=FeatureKind.CATEGORICAL, classification=Classification.PUBLIC),
        Feature(name="name", kind=FeatureKind.CATEGORICAL, treatment=Treatment.DROP),
    ),
    prediction=Prediction(kind=PredictionKind.CLASS, classes=("no", "yes")),
)


def frame_of(seed: int, names: Sequence[str | None], ids: Sequence[str] | None = None) -> Frame:
    """Return requests, one of each name."""
    rng, rows = np.random.default_rng(seed), len(names)
    labels = tuple(dict.fromkeys(name for name in names if name is not None))
    codes = np.array([-1 if name is None else labels.index(name) for name in names], np.int32)
    yes = rng.uniform(0.05, 0.95, rows)
    event_ids: Texts | tuple[str | None, ...] | None = None if ids is None else tuple(ids)
    return Frame(
        rows=rows,
        numeric_names=("age", "income", "probabilities.no", "probabilities.yes"),
        numeric=np.array([rng.normal(40, 9, rows), rng.normal(9, 2, rows), 1 - yes, yes]),
        categorical_names=("diagnosis", "country", "prediction"),
        categorical=(
            Coded(("E10", "E11"), rng.integers(0, 2, rows).astype(np.int32)),
            Coded(("DE", "FR"), rng.integers(0, 2, rows).astype(np.int32)),
            Coded(("no", "yes"), (yes > 0.5).astype(np.int32)),
        ),
        embeddings={},
        principals=Coded(labels, codes),
        event_ids=event_ids,
        timestamps_us=None,
        segments={},
        attributions={},
        fingerprints=b"",
    )


@cache
def reference() -> CompiledReference:
    return compile_reference(SCHEMA, frame_of(0, [None] * 2_000), follow=True)


def world_with(**chosen: object) -> tuple[World, Version]:
    world = World()
    adversarial = msgspec.convert({"follow": Following(), **chosen}, Adversarial)
    policy: Policy = msgspec.structs.replace(SMALL_BUDGET, adversarial=adversarial)
    register_model(world.office, ANA, "m1", "team", "", policy)
    version = register_version(world.office, ANA, "m1", "1", SCHEMA, DANA)
    put_baseline(world.office, ANA, version, reference())
    return world, version


def send(world: World, version: Version, names: Sequence[str | None]) -> None:
    position = world.log.head() + 1
    frame = frame_of(position, names, [f"event-{position}-{row}" for row in range(len(names))])
    body = encode_frame(frame)
    new = NewEntry(kind=EntryKind.BATCH, version_id=version.id, batch_id=str(position), rows=frame.rows, body=body)
    world.log.append_now(new)
    world.clock.advance(1)


def find(monkeypatch: pytest.MonkeyPatch, found: dict[int, list[PrincipalFinding]]) -> None:
    """Let detection find something at entries of the log, by position, and nothing else."""

    def take(self: Principals, entry: LogEntry) -> None:
        self.cadence.took(entry.position, entry.rows, entry.rows)
        own = [
            msgspec.structs.replace(one, since_us=Micros(entry.arrival_us - 10**9), until_us=entry.arrival_us)
            for one in found.get(entry.position, [])
        ]
        if own:
            at_us = entry.arrival_us
            told = UseFound(version_id=self._version_id, position=entry.position, at_us=at_us, principals=tuple(own))
            self._found.append(told)

    monkeypatch.setattr(Principals, "take", take)


def kept(world: World) -> list[TranscriptRecord]:
    return list(world.store.tables.transcripts.values())


def body_of(record: TranscriptRecord) -> TranscriptBody:
    return msgspec.json.decode(record.body, type=TranscriptBody)


def attacked(monkeypatch: pytest.MonkeyPatch, **chosen: object) -> tuple[World, TranscriptRecord]:
    """Send 30 requests of each of two clients, then accuse one at the 20th entry."""
    find(monkeypatch, {20: [finding(EVE)]})
    world, version = world_with(**chosen)
    for _ in range(30):
        send(world, version, [EVE, CARL, None])
    world.catch_up()
    (record,) = kept(world)
    return world, record


def test_of_the_accused_alone_the_requests_up_to_the_finding_are_kept_without_values(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world, record = attacked(monkeypatch)
    body = body_of(record)
    assert (record.principal, record.policy, record.position) == (EVE, Transcript.FINGERPRINTS, 20)
    assert (record.key_id, record.sample, body.cut) == (None, None, False)
    assert [(one.position, one.row) for one in body.requests] == [(place, 0) for place in range(1, 21)]
    assert [one.event_id for one in body.requests] == [f"event-{place}-0" for place in range(1, 21)]
    for one in body.requests:
        frame = frame_of(one.position, [EVE, CARL, None])
        yes = float(frame.numeric[3, 0])
        assert one.label == ("yes" if yes > 0.5 else "no")
        assert one.margin == pytest.approx(abs(2 * yes - 1), abs=1e-5)
        assert (one.matched_by, len(one.hashes)) == ("point", 256)
    assert body.requests[0].nearest is None
    assert all(one.nearest is not None and one.nearest > 0 for one in body.requests[1:])
    assert CARL not in record.body
    assert record.until_us - record.drawn_us == 30 * 24 * 3_600 * 10**6
    assert set(world.store.tables.alerts) == {record.alert_id}


def test_values_are_encrypted_and_none_of_what_is_classified_higher_is_among_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _, record = attacked(monkeypatch, transcript="encrypted_sample", transcript_requests=8)
    assert record.key_id == id_of(KEY)
    assert record.sample is not None
    assert b"country" not in record.sample
    opened = open_transcript(record, [OTHER, KEY])
    assert (opened.state, len(opened.values)) == (SampleState.OPEN, 8)
    for one, values in zip(opened.body.requests, opened.values, strict=True):
        frame = frame_of(one.position, [EVE, CARL, None])
        country = frame.categorical[1]
        assert values == {"age": float(frame.numeric[0, 0]), "country": country.labels[country.codes[0]]}
    assert [one.position for one in opened.body.requests] == list(range(13, 21))


def test_a_key_that_is_missing_is_named_and_a_sample_out_of_place_is_damaged(monkeypatch: pytest.MonkeyPatch) -> None:
    _, record = attacked(monkeypatch, transcript="encrypted_sample")
    opened = open_transcript(record, [OTHER])
    assert (opened.state, opened.values, opened.record.key_id) == (SampleState.MISSING_KEY, (), id_of(KEY))
    assert len(opened.body.requests) == 20
    assert record.sample is not None
    changed = record.sample[:-1] + bytes([record.sample[-1] ^ 1])
    for wrong in (replace(record, sample=changed), replace(record, sample=b""), replace(record, principal=CARL)):
        assert open_transcript(wrong, [KEY]).state is SampleState.DAMAGED


def test_without_a_key_no_values_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    find(monkeypatch, {3: [finding(EVE)]})
    world, version = world_with(transcript="encrypted_sample")
    world.transcript_keys = ()
    for _ in range(3):
        send(world, version, [EVE])
    world.catch_up()
    (record,) = kept(world)
    assert (record.sample, record.key_id, len(body_of(record).requests)) == (None, None, 3)


def test_nobody_is_transcribed_on_whom_a_campaign_has_no_evidence(monkeypatch: pytest.MonkeyPatch) -> None:
    find(monkeypatch, {5: [finding(EVE, campaign="c", members=(CARL,), own=False)]})
    world, version = world_with()
    for _ in range(5):
        send(world, version, [EVE, CARL])
    world.catch_up()
    assert world.store.tables.alerts
    assert kept(world) == []


@settings(max_examples=10, deadline=None)
@given(cuts=st.lists(st.integers(1, 29), max_size=6))
def test_passes_and_restarts_change_no_transcript(cuts: list[int]) -> None:
    with pytest.MonkeyPatch.context() as monkeypatch:
        again = finding(EVE, flips=4)
        find(monkeypatch, {12: [finding(EVE)], 20: [finding(CARL)], 26: [again]})
        seen = []
        for stops in ([], cuts):
            world, version = world_with(transcript="encrypted_sample")
            for number in range(1, 31):
                send(world, version, [EVE, CARL] if number % 3 else [CARL])
                if number in stops:
                    world.catch_up(world.worker(entries_max=7))
            world.catch_up()
            opened = [open_transcript(one, [KEY]) for one in kept(world)]
            seen.append(sorted((o.record.principal, o.record.position, o.record.body, o.values) for o in opened))
        assert seen[0] == seen[1]
        assert [(one[0], one[1]) for one in seen[0]] == [(CARL, 20), (EVE, 26)]


def test_the_search_in_the_log_has_bounds_and_says_when_it_met_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drawing, "ENTRIES_MAX", 6)
    _, record = attacked(monkeypatch)
    assert body_of(record).cut
    assert [one.position for one in body_of(record).requests] == list(range(15, 21))
    monkeypatch.setattr(drawing, "ENTRIES_MAX", 4_096)
    monkeypatch.setattr(drawing, "DECODED_MAX", 4)
    _, record = attacked(monkeypatch)
    assert body_of(record).cut
    assert len(body_of(record).requests) == 4


def test_a_flood_of_findings_in_one_pass_is_looked_for_within_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    many = [f"{number:032x}" for number in range(40)]
    find(monkeypatch, {1: [finding(one) for one in many]})
    world, version = world_with()
    send(world, version, many)
    world.catch_up()
    assert 0 < len(kept(world)) <= drawing.ACCUSED_MAX


def test_values_beyond_the_bound_are_left_out_the_oldest_first() -> None:
    values = [{"n": number, "text": "x" * (SAMPLE_BYTES_MAX // 4)} for number in range(6)]
    sealed = seal(KEY, b"context", values)
    assert len(sealed) <= SAMPLE_BYTES_MAX + 100
    found = unseal(KEY, b"context", sealed)
    assert found is not None
    assert [one["n"] for one in found] == [3, 4, 5]
    assert seal(KEY, b"context", values) != sealed, "no nonce is used twice"
    assert unseal(KEY, b"another", sealed) is None


def test_what_says_nothing_new_is_not_looked_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[int] = []

    def draw(log: LogReader, accused: Sequence[Accused], lookers: Mapping[VersionId, Looker]) -> list[drawing.Draft]:
        looked.append(accused[0].position)
        return drawing.draw(log, accused, lookers)

    monkeypatch.setattr("service.transcripts.draw", draw)
    again = [finding(EVE)]
    find(monkeypatch, {5: again, 8: again, 11: again, 14: [finding(EVE, flips=2)], 17: again})
    world, version = world_with()
    worker = world.worker()
    for _ in range(18):
        send(world, version, [EVE])
        world.catch_up(worker)
    assert looked == [5, 14]
    assert [one.position for one in kept(world)] == [14]
    # Whoever starts anew has forgotten it, and looks once more; what is kept stays as it is.
    find(monkeypatch, {20: again, 22: again})
    worker = world.worker()
    for _ in range(5):
        send(world, version, [EVE])
        world.catch_up(worker)
    assert looked == [5, 14, 20]
    assert [one.position for one in kept(world)] == [14]


def test_what_is_remembered_of_transcripts_has_a_bound_and_an_end() -> None:
    def accused(alert: str, at_us: int) -> Accused:
        return Accused(
            alert_id=alert,
            incident_id="i",
            version_id=VersionId(1),
            principal=EVE,
            tier=PrincipalTier.INTENT,
            policy=Transcript.FINGERPRINTS,
            requests_max=1,
            keep_us=100,
            since_us=Micros(0),
            position=Position(1),
            at_us=Micros(at_us),
            news=False,
        )

    def drawn(one: Accused) -> Drawn:
        record = TranscriptRecord(
            alert_id=one.alert_id,
            principal=one.principal,
            incident_id=one.incident_id,
            version_id=one.version_id,
            tier=one.tier,
            policy=one.policy,
            position=one.position,
            drawn_us=one.at_us,
            until_us=Micros(one.at_us + one.keep_us),
            body="",
            key_id=None,
            sample=None,
        )
        return Drawn(record=record, replaces=False)

    before = DrawnBefore(keys_max=2)
    before.note(drawn(accused(alert, 0)) for alert in ("a", "b", "c"))
    assert len(before) == 2
    told = [accused("a", 99), accused("b", 99), accused("c", 99), accused("c", 100)]
    # The first was forgotten, and the transcript of the last one is over by then.
    assert [(one.alert_id, one.at_us) for one in before.wanted(told)] == [("a", 99), ("c", 100)]
