"""Transcripts in the store: bounded, erased for good, over in time, and every look at them on record."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import msgspec
import pytest

from service.domain.adversarial import Transcript
from service.domain.ids import Actor, Micros, Position
from service.domain.principals import PrincipalTier
from service.domain.records import Incident
from service.domain.transcripts import KEPT_OF_TIER, Drawn, TranscriptBody, TranscriptRecord
from service.ports import Outcome, WorkerStore
from service.store import Store
from tests.fakes import ManualClock
from tests.integration.store import samples as s
from tests.integration.store.test_adversarial_conformance import ANN, BOB, accusation, attack

ADA = Actor("ada")
HOUR_US = 3_600_000_000
EMPTY = msgspec.json.encode(TranscriptBody(requests=(), cut=False)).decode()


@dataclass
class Kept:
    """A store with one incident, and its worker."""

    store: Store
    worker: WorkerStore
    incident: Incident
    base: TranscriptRecord

    def save(self, records: Sequence[TranscriptRecord], *, replaces: bool = True) -> None:
        first = self.worker.position()
        drawn = [Drawn(record=record, replaces=replaces) for record in records]
        last = Position(first + 1)
        self.worker.commit(Outcome(first=first, last=last, revision=self.worker.revision(), transcripts=drawn))

    def read(self, now_us: int | None = None, limit: int = 500) -> Sequence[TranscriptRecord]:
        return self.store.transcripts.read(self.incident, ADA, Micros(now_us or self.base.drawn_us), limit)

    def actions(self) -> list[tuple[str, str]]:
        return [(e.action, e.detail) for e in self.store.read.audit(100) if e.action.startswith("transcript")]


@pytest.fixture
def kept(sql_store: Store, clock: ManualClock) -> Iterator[Kept]:
    with sql_store.control.write() as tx:
        version = s.registered(tx)
    worker = sql_store.worker("w", 10.0, clock)
    incident = attack(version)
    alert = accusation(incident)
    first = worker.position()
    outcome = Outcome(first=first, last=Position(first + 1), revision=worker.revision())
    worker.commit(replace(outcome, incidents=[incident], alerts=[alert]))
    base = TranscriptRecord(
        alert_id=alert.id,
        principal=ANN,
        incident_id=incident.id,
        version_id=version.id,
        tier=PrincipalTier.INTENT,
        policy=Transcript.SAMPLE,
        position=Position(5),
        drawn_us=s.at(10),
        until_us=Micros(s.at(10) + HOUR_US),
        body=EMPTY,
        key_id="k",
        sample=b"sealed",
    )
    yield Kept(sql_store, worker, incident, base)
    worker.close()


def changed(base: TranscriptRecord, **changes: Any) -> TranscriptRecord:
    return replace(base, **changes)


def test_what_is_written_is_read_and_each_look_is_on_record_with_who_and_how_many(kept: Kept) -> None:
    other = changed(kept.base, principal=BOB, policy=Transcript.FINGERPRINTS, key_id=None, sample=None)
    kept.save([kept.base, other])
    assert list(kept.read()) == [kept.base, other]
    assert [one.principal for one in kept.read(limit=1)] == [ANN]
    entries = [e for e in kept.store.read.audit(10) if e.action == "transcript.read"]
    assert [e.actor for e in entries] == [ADA, ADA]
    assert msgspec.json.decode(entries[-1].detail) == {
        "incident_id": kept.incident.id, "samples": 1, "transcripts": 2,
    }  # fmt: skip


def test_only_news_replaces_what_is_there(kept: Kept) -> None:
    later = changed(kept.base, position=Position(9))
    kept.save([kept.base])
    kept.save([later], replaces=False)
    assert [one.position for one in kept.read()] == [5]
    kept.save([later])
    assert [one.position for one in kept.read()] == [9]


def test_what_was_erased_is_gone_and_nothing_takes_its_place(kept: Kept) -> None:
    kept.save([kept.base, changed(kept.base, principal=BOB)])
    now_us = Micros(kept.base.drawn_us + 1)
    assert kept.store.transcripts.erase(kept.incident, ADA, "they asked", now_us) == 2
    assert kept.store.transcripts.erase(kept.incident, ADA, "again", now_us) == 0
    kept.save([changed(kept.base, position=Position(9))])
    found = kept.read()
    assert {(one.body, one.sample, one.key_id, one.erased_by, one.erased_us) for one in found} == {
        ("", None, None, ADA, now_us)
    }
    assert len(found) == 2
    details = [msgspec.json.decode(detail) for action, detail in kept.actions() if action == "transcript.erase"]
    assert [(one["transcripts"], one["reason"]) for one in details] == [(0, "again"), (2, "they asked")]


def test_what_is_over_is_not_read_any_more_and_is_deleted_on_record_in_bounded_pieces(kept: Kept) -> None:
    names = [f"{number:032x}" for number in range(5)]
    kept.save([changed(kept.base, principal=name) for name in names])
    over_us = Micros(kept.base.until_us)
    assert len(kept.read(over_us - 1)) == 5
    assert kept.read(over_us) == []
    assert kept.store.transcripts.expire(Micros(over_us - 1), 3) == 0
    assert [kept.store.transcripts.expire(over_us, 3) for _ in range(3)] == [3, 2, 0]
    assert kept.read(over_us - 1) == []
    assert sum(action == "transcript.expire" for action, _ in kept.actions()) == 2


def test_of_each_tier_a_version_keeps_so_many_and_no_tier_pushes_out_another(kept: Kept) -> None:
    kept.save([kept.base])
    names = [f"{number:032x}" for number in range(KEPT_OF_TIER + 10)]
    for number, name in enumerate(names):
        record = changed(kept.base, principal=name, tier=PrincipalTier.PROBING, drawn_us=s.at(20 + number))
        kept.save([replace(record, until_us=Micros(record.drawn_us + HOUR_US))])
    found = kept.read()
    assert {one.principal for one in found} == {ANN, *names[10:]}
