"""People and policies at random over a fleet in a real store, with views that may be old.

Whatever they do: no release without the policy's people and never by the deployer alone, no change of a state and no
broken glass without its audit record, no policy that quarantines beyond the blast-radius cap, no traffic for a held
version but through a glass that one other person broke and that ends.
"""

import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from service.domain.errors import Conflict, Forbidden
from service.domain.ids import Actor, Micros, Position
from service.domain.policy import BlastRadius, Cause, FailMode, Policy
from service.domain.records import Alert, TransitionRecord, Version
from service.domain.reviews import Glass
from service.domain.states import SERVING, TRANSITIONS, Event, State, next_state
from service.gate.decide import decide as gate
from service.gate.refresh import Fleet
from service.gate.targets import Target
from service.ports import SYSTEM, Control, Outcome, StaleControl
from service.quarantine.decide import decide
from service.review.glass import GlassRequest, break_glass
from service.store import open_store
from service.store.migrate import upgrade
from service.store.worker import SqlWorkerStore
from tests.integration.store.people import DANA, EVERYBODY, People

VERSIONS = 4
NAMES = [str(number + 1) for number in range(VERSIONS)]
CAP = BlastRadius(keep_last_healthy=True, fleet_share=0.5, fleet_minimum=VERSIONS)
OUT = {State.ROLLED_BACK, State.RETIRED}
TEMPLATE = Path(tempfile.mkdtemp()) / "template.db"


def fresh() -> Path:
    """Return a store with its schema; the migrations run once."""
    if not TEMPLATE.exists():
        upgrade(f"sqlite:///{TEMPLATE}")
    path = Path(tempfile.mkdtemp()) / "state.db"
    shutil.copy(TEMPLATE, path)
    return path


class Office(RuleBasedStateMachine):
    """Four versions, four people one of whom deployed them all, and a worker that read the store some time ago."""

    @initialize(reviewers=st.integers(1, 3))
    def open(self, reviewers: int) -> None:
        self.path = fresh()
        self.store = open_store(f"sqlite:///{self.path}", timeout_seconds=30.0)
        self.policy = Policy(reviewers=reviewers, confirmations=1, blast_radius=CAP)
        self.people = People(self.store, self.policy, VERSIONS)
        self.worker: SqlWorkerStore = self.store.worker("w", 1e6, self.people.clock)
        self.worker.position()
        self.seen: dict[str, int] = dict.fromkeys(NAMES, 0)
        self.read = self.worker.control()
        self.asked: dict[tuple[str, int], set[Actor]] = {}
        self.broken: list[Glass] = []

    def teardown(self) -> None:
        if hasattr(self, "store"):
            self.store.close()
            shutil.rmtree(self.path.parent)

    @rule(name=st.sampled_from(NAMES))
    def look(self, name: str) -> None:
        self.seen[name] = self.people.version(name).lock

    @rule()
    def the_worker_reads(self) -> None:
        self.read = self.worker.control()

    @rule(seconds=st.floats(1, 1_200))
    def time_passes(self, seconds: float) -> None:
        self.people.clock.advance(seconds)

    @rule(actor=st.sampled_from(EVERYBODY), event=st.sampled_from(list(Event)), name=st.sampled_from(NAMES))
    def somebody_asks(self, actor: Actor, event: Event, name: str) -> None:
        before = self.people.version(name)
        if self.seen[name] != before.lock:
            with pytest.raises(Conflict, match="has changed since you looked"):
                self.people.ask(actor, event, name, seen=self.seen[name])
            return
        if (before.state, event) not in TRANSITIONS:
            with pytest.raises(Conflict):
                self.people.ask(actor, event, name, seen=self.seen[name])
            return
        answer = self.people.ask(actor, event, name, seen=self.seen[name])
        if event is not Event.RELEASE:
            assert answer.state is next_state(before.state, event)
            return
        people = self.asked.setdefault((name, before.lock), set())
        people.add(actor)
        enough = len(people) >= self.policy.reviewers and people != {DANA}
        assert (answer.state is State.ACTIVE) == enough

    @rule(actor=st.sampled_from(EVERYBODY), name=st.sampled_from(NAMES), minutes=st.integers(1, 60))
    def somebody_breaks_the_glass(self, actor: Actor, name: str, minutes: int) -> None:
        request = GlassRequest(minutes=minutes, reason="of a test", seen=self.seen[name])
        try:
            glass = break_glass(self.people.stages, actor, "m1", name, request)
        except (Conflict, Forbidden):
            return
        assert actor != DANA
        assert glass.until_us - glass.opened_us <= 60 * 60e6
        self.broken.append(glass)

    @rule(name=st.sampled_from(NAMES))
    def the_policy_judges_by_what_the_worker_read(self, name: str) -> None:
        control = self.read
        version = next(one for one in control.versions.values() if one.version == name)
        ruling = decide(alarm(version), version, self.policy, control.versions.values())
        if ruling.event is None:
            return
        now = self.worker.control()
        serving = serving_of(now)
        try:
            self.worker.commit(self._outcome(control, version, ruling.event, ruling.text))
        except StaleControl:
            assert now.revision != control.revision
            return
        assert now.revision == control.revision, "what was decided about an old view was written"
        if ruling.event is Event.QUARANTINE:
            in_service = [one for one in now.versions.values() if one.state not in OUT]
            assert len(in_service) == 1 or len(serving) > 1, "the last healthy version was taken"
            held = len(in_service) - len(serving) + 1
            assert len(in_service) < VERSIONS or held <= CAP.fleet_share * len(in_service)
        self.read = self.worker.control()

    def _outcome(self, control: Control, version: Version, event: Event, text: str) -> Outcome:
        record = TransitionRecord(
            version_id=version.id,
            before=version.state,
            event=event,
            after=next_state(version.state, event),
            actor=SYSTEM,
            reason=text,
            at_us=self.people.clock.now_us(),
            position=Position(0),
        )
        at = self.worker.position()
        return Outcome(first=at, last=at, revision=control.revision, transitions=[(record, version.lock)])

    @invariant()
    def every_change_is_on_record_once(self) -> None:
        if not hasattr(self, "people"):
            return
        changes = [self.people.version(name).lock for name in NAMES]
        assert len(self.people.actions("transition.")) == sum(changes)
        assert self.people.actions("quarantine.").count("quarantine.break_glass") == len(self.broken)
        assert self.store.read.verify_chain() is None

    @invariant()
    def a_held_version_serves_through_a_glass_that_lasts_or_not_at_all(self) -> None:
        if not hasattr(self, "people"):
            return
        fleet = Fleet(self.store.read, self.people.clock, self.store.reviews.glasses_open)
        fleet.refresh()
        now_us = self.people.clock.now_us()
        for name in NAMES:
            version = self.people.version(name)
            lets = gate(fleet.view, [Target("m1", name)], FailMode.CLOSED).allowed
            if version.state in SERVING or version.state in OUT:
                assert lets == (version.state in SERVING)
                continue
            quarantined_us = self._quarantined_us(version)
            mine = [one for one in self.broken if one.version_id == version.id and one.opened_us >= quarantined_us]
            known = {one.id for one in self.store.reviews.glasses(version.id, 100) if one.ended_us is None}
            assert lets == any(one.id in known and now_us < one.until_us for one in mine)

    def _quarantined_us(self, version: Version) -> Micros:
        changes: Sequence[TransitionRecord] = self.store.read.transitions(version.id, 100)
        return next(change.at_us for change in changes if change.event is Event.QUARANTINE)


def alarm(version: Version) -> Alert:
    """Return evidence that calls for quarantine."""
    return Alert(
        id="a",
        version_id=version.id,
        cause=Cause.DATA_DRIFT,
        status="open",
        reason="drift",
        evidence_log=99.0,
        threshold_log=1.0,
        confirmations=1,
        columns=(),
        since_us=Micros(0),
        opened_us=Micros(0),
        closed_us=None,
        position=Position(0),
        incident_id="i",
    )


def serving_of(control: Control) -> list[Version]:
    return [one for one in control.versions.values() if one.state in SERVING]


Office.TestCase.settings = settings(
    max_examples=15,
    stateful_step_count=20,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
TestOffice = Office.TestCase
