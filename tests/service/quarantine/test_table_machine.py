"""People at random: no version ever leaves the table, and every change is on record exactly once."""

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from service.domain.errors import Conflict
from service.domain.ids import Actor, Position
from service.domain.policy import Policy
from service.domain.records import TransitionRecord
from service.domain.states import TRANSITIONS, Event, State, possible_events
from service.ports import SYSTEM
from tests.service.worker.world import DANA, World

PEOPLE = [DANA, Actor("ana"), Actor("bob"), Actor("cleo")]


class Life(RuleBasedStateMachine):
    """One version, four people (one of whom deployed it), and a policy that acts in between."""

    @initialize(reviewers=st.integers(1, 3))
    def register(self, reviewers: int) -> None:
        self.world = World()
        self.reviewers = reviewers
        self.version = self.world.add_version(policy=Policy(reviewers=reviewers), reference=None)
        self.expected = State.ACTIVE
        self.changes = 0
        self.asked: set[Actor] = set()

    @rule(actor=st.sampled_from(PEOPLE), event=st.sampled_from(list(Event)))
    def ask(self, actor: Actor, event: Event) -> None:
        if (self.expected, event) not in TRANSITIONS:
            with pytest.raises(Conflict) as refused:
                self.world.ask(actor, event)
            assert refused.value.extra["possible"] == [str(e) for e in possible_events(self.expected)]
            return
        answer = self.world.ask(actor, event)
        if event is Event.RELEASE and not self._released_by(actor):
            assert answer.state is self.expected is State.UNDER_REVIEW
            assert answer.approvals is not None
            assert answer.approvals.have == len(self.asked) < answer.approvals.need
            return
        self._moved(event)
        assert answer.state is self.expected

    @rule(event=st.sampled_from([Event.SUSPECT, Event.QUARANTINE]))
    def policy_acts(self, event: Event) -> None:
        """Write a change as the worker would, with the lock it read."""
        if (self.expected, event) in TRANSITIONS:
            self._write(event, self.changes)
            self._moved(event)

    @rule(event=st.sampled_from(list(Event)), behind=st.integers(1, 3))
    def somebody_acts_on_what_is_past(self, event: Event, behind: int) -> None:
        if (self.expected, event) in TRANSITIONS:
            with pytest.raises(Conflict):
                self._write(event, self.changes - behind)

    @invariant()
    def the_state_and_its_record_agree(self) -> None:
        if not hasattr(self, "world"):
            return
        tables = self.world.store.tables
        stored = tables.versions[self.version.id]
        assert stored.state is self.expected
        assert stored.lock == self.changes == len(tables.transitions)
        audited = [link for link in tables.chain if link.action.startswith("transition.")]
        assert len(audited) == self.changes
        path = [State.ACTIVE, *(record.after for record in tables.transitions)]
        assert [record.before for record in tables.transitions] == path[:-1]
        assert all(TRANSITIONS[record.before, record.event] is record.after for record in tables.transitions)

    def _released_by(self, actor: Actor) -> bool:
        """Count approvals in the plainest way."""
        self.asked.add(actor)
        return len(self.asked) >= self.reviewers and bool(self.asked - {DANA})

    def _moved(self, event: Event) -> None:
        self.expected = TRANSITIONS[self.expected, event]
        self.changes += 1
        self.asked.clear()

    def _write(self, event: Event, lock: int) -> None:
        record = TransitionRecord(
            version_id=self.version.id,
            before=self.expected,
            event=event,
            after=TRANSITIONS[self.expected, event],
            actor=SYSTEM,
            reason="evidence",
            at_us=self.world.clock.now_us(),
            position=Position(0),
        )
        with self.world.store.control.write() as tx:
            tx.transition(record, lock=lock, restart=None)


Life.TestCase.settings = settings(max_examples=60, stateful_step_count=40)
TestLife = Life.TestCase
