"""One incident as a timeline on a clock that stands still until told: batch, evidence, quarantine, review, release."""

import asyncio
from collections.abc import Sequence

import msgspec
import numpy as np

from service.alert.triage import Act, IncidentAction
from service.detect.reference import compile_reference
from service.domain.ids import Actor
from service.domain.policy import Budget, Policy
from service.domain.receipts import Receipt
from service.domain.records import IncidentStatus, Verdict, Version
from service.domain.schema import Feature, FeatureKind, Prediction, PredictionKind, Schema
from service.domain.states import Event, State
from service.ingest.decode import EventDecoder, Raw
from service.ingest.deidentify import Deidentifier
from service.ingest.limits import Limits
from service.office import (
    OfficeStages,
    act_on_incident,
    put_baseline,
    register_model,
    register_version,
    request_transition,
)
from service.pipeline import AcceptStages, WorkStages, accept_batch
from service.settings import Settings
from service.worker.loop import Worker
from service.worker.stats import WorkerStats
from tests.fakes import InMemoryLog, InMemoryStore, ManualClock

KEY = b"k" * 32
DANA, ANA, BOB = Actor("dana"), Actor("ana"), Actor("bob")
SCHEMA = Schema(
    features=(
        Feature(name="amount", kind=FeatureKind.NUMERIC),
        Feature(name="country", kind=FeatureKind.CATEGORICAL),
    ),
    prediction=Prediction(kind=PredictionKind.CLASS, classes=("fraud", "ok")),
)


class Timeline:
    """Speaks to the product as its users do; ``at`` counts seconds from the start."""

    def __init__(self) -> None:
        self.clock, self.store, self.stats = ManualClock(), InMemoryStore(), WorkerStats()
        self.log = InMemoryLog(self.clock)
        limits = Limits.from_settings(Settings())
        self.accept = AcceptStages.over(self.log, self.clock, limits, Deidentifier(KEY))
        self.office = OfficeStages(
            control=self.store.control,
            clock=self.clock,
            head=self.log.head,
            limits=limits,
            deidentifier=Deidentifier(KEY),
            signing_key=KEY,
        )
        stages = WorkStages(
            store=self.store.worker("worker", 10.0, self.clock), log=self.log, signing_key=KEY, stats=self.stats.to_json
        )
        self.worker = Worker(stages, self.stats)
        self.start_us = self.clock.now_us()
        self.limits = limits

    @property
    def at(self) -> float:
        return (self.clock.now_us() - self.start_us) / 1e6

    def begin(self) -> Version:
        policy = Policy(budget=Budget(false_alarms=1, per_days=1))
        register_model(self.office, DANA, "fraud-scorer", "payments", "scores payments", policy)
        version = register_version(self.office, DANA, "fraud-scorer", "2026-11-02", SCHEMA)
        raw = Raw(msgspec.json.encode({"events": events(0, 3_000)}), "application/json", None)
        reference = EventDecoder(SCHEMA, self.limits).decode(raw).frame
        put_baseline(self.office, DANA, version, compile_reference(SCHEMA, reference))
        return version

    def post(self, version: Version, batch: Sequence[dict[str, object]], key: str | None = None) -> Receipt:
        raw = Raw(msgspec.json.encode({"events": batch}), "application/json", None)
        return asyncio.run(accept_batch(self.accept, version, raw, key))

    def traffic(self, version: Version, seconds: int, *, factor: float = 1.0) -> None:
        """Send 100 events a second, and let the worker follow."""
        for _ in range(seconds):
            self.post(version, events(int(self.at) + 1, 100, factor))
            self.clock.advance(1)
            self.rest()

    def rest(self) -> None:
        while self.worker.step() == 0.0:
            pass

    def state(self, version: Version) -> State:
        return self.store.tables.versions[version.id].state

    def ask(self, actor: Actor, event: Event) -> State:
        return request_transition(
            self.office, actor, "fraud-scorer", "2026-11-02", event, f"{event} by {actor}", None
        ).state


def events(seed: int, rows: int, factor: float = 1.0) -> list[dict[str, object]]:
    rng = np.random.default_rng(seed)
    amounts = rng.lognormal(3, 0.8, rows) * factor
    countries = rng.choice(["DE", "FR", "PL"], rows)
    return [
        {
            "event_id": f"{seed}-{i}",
            "principal": f"client-{i % 7}",
            "features": {"amount": float(amount), "country": str(country)},
            "prediction": "fraud" if amount > 60 else "ok",
        }
        for i, (amount, country) in enumerate(zip(amounts, countries, strict=True))
    ]


def test_from_a_batch_to_quarantine_to_release_by_a_second_person() -> None:
    story = Timeline()
    version = story.begin()

    # For a minute all is well.
    story.traffic(version, 60)
    assert story.state(version) is State.ACTIVE
    assert story.store.tables.alerts == {}

    # At 60 s the amounts double. Suspect within seconds, quarantined one evaluation later.
    while story.state(version) is State.ACTIVE:
        story.traffic(version, 1, factor=2.0)
        assert story.at < 70
    assert story.state(version) is State.SUSPECT
    story.traffic(version, 1, factor=2.0)
    assert story.state(version) is State.QUARANTINED
    (incident,) = story.store.tables.incidents.values()
    (alert,) = story.store.tables.alerts.values()
    assert incident.title.startswith("Data drift in fraud-scorer 2026-11-02: amount (")
    assert abs((alert.since_us - story.start_us) / 1e6 - 60) <= 1
    effect = alert.columns[0].effects["wasserstein"]
    assert effect is not None
    assert effect > 0.1

    # The gateway is slow to follow: what still comes is counted as a leak.
    story.traffic(version, 1, factor=2.0)
    story.rest()
    assert story.store.tables.snapshots[version.id].leaks_total > 0

    # Ana takes the incident, and looks.
    act_on_incident(story.office, ANA, incident.id, Act(action=IncidentAction.ACK))
    assert story.ask(ANA, Event.START_REVIEW) is State.UNDER_REVIEW

    # She alone cannot release, nor can she by asking twice; with Bob she can.
    assert story.ask(ANA, Event.RELEASE) is State.UNDER_REVIEW
    assert story.ask(ANA, Event.RELEASE) is State.UNDER_REVIEW
    assert story.ask(BOB, Event.RELEASE) is State.ACTIVE
    act_on_incident(story.office, ANA, incident.id, Act(action=IncidentAction.RESOLVE, verdict=Verdict.DATA_BUG))

    # The cause is gone, and evidence has started from zero: a quiet minute.
    story.traffic(version, 60)
    assert story.state(version) is State.ACTIVE
    assert len(story.store.tables.alerts) == 1

    assert_all_of_it_is_on_record(story, version)


def test_a_batch_that_is_sent_again_is_answered_alike_and_counted_once() -> None:
    story = Timeline()
    version = story.begin()
    batch = events(5, 40)
    first = story.post(version, batch, "key-1")
    again = story.post(version, batch, "key-1")
    assert (first.accepted, first.duplicates) == (40, 0)
    assert (again.accepted, again.duplicates) == (40, 40)
    assert (again.batch_id, again.position) == (first.batch_id, first.position)
    story.rest()
    assert story.store.tables.snapshots[version.id].events_total == 40


def assert_all_of_it_is_on_record(story: Timeline, version: Version) -> None:
    tables = story.store.tables
    assert [incident.status for incident in tables.incidents.values()] == [IncidentStatus.RESOLVED]
    assert [(t.event, t.actor) for t in tables.transitions] == [
        (Event.SUSPECT, "lazaretto"),
        (Event.QUARANTINE, "lazaretto"),
        (Event.START_REVIEW, ANA),
        (Event.RELEASE, BOB),
    ]
    assert [queued.message.kind for queued in tables.outbox.values()] == [
        "alert_opened",
        "state_changed",
        "state_changed",
        "incident_acknowledged",
        "state_changed",
        "release_pending",
        "release_pending",
        "state_changed",
        "incident_resolved",
    ]
    assert tables.snapshots[version.id].events_total == 100 * int(story.at)
