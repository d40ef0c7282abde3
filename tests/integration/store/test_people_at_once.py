"""Several people, a policy and the clock at once, over the stores of two processes on one database.

Threads begin together and finish in any order, so that no answer is foretold; what must hold is read from the record
alone: the audit chain, replayed link by link. No release without the policy's people and never by the deployer alone,
no change and no broken glass without its link, no policy that takes more than the blast-radius cap, no second change by
one view, no glass that outlives its quarantine, no reminder told twice, no baseline in force by its author alone.
"""

import shutil
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cache, partial
from itertools import count
from pathlib import Path
from random import Random

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from service.detect.reference import CompiledReference
from service.domain.errors import LazarettoError
from service.domain.ids import Actor, Position
from service.domain.policy import BaselineReview, Policy
from service.domain.records import AuditEntry, TransitionRecord, Version
from service.domain.reviews import ProposalStatus
from service.domain.states import TRANSITIONS, Event, State, next_state
from service.gate.refresh import Fleet
from service.office import request_transition
from service.ports import SYSTEM, Outcome, StaleControl
from service.quarantine.decide import decide
from service.review.baselines import offer_baseline, settle_baseline
from service.review.deadline import ReviewRequest, escalate, name_reviewers
from service.review.glass import GlassRequest, break_glass, end_glass
from service.review.stages import ReviewStages
from service.review.watch import ReviewWatch
from service.store import Store, open_store
from service.store.worker import SqlWorkerStore
from tests.integration.store.people import ADA, DANA, EVERYBODY, People
from tests.integration.store.replayed import LINKS, Replay
from tests.integration.store.test_people_machine import CAP, NAMES, VERSIONS, alarm
from tests.service.worker.world import compiled

TIMEOUT_SECONDS = 60.0
AT_ONCE = 6
ROUNDS = 4
THINKING_SECONDS = 0.02
"""Between what the worker reads and what it writes: people act meanwhile."""
REMINDERS = 2


@cache
def reference() -> CompiledReference:
    return compiled(400)


@dataclass(frozen=True)
class Did:
    """What one thread asked for, and what it was told."""

    actor: Actor
    what: str
    name: str
    seen: int | None
    answer: object


class Replica:
    """One API process: a store of its own over the same database."""

    def __init__(self, url: str, people: People) -> None:
        self.store: Store = open_store(url, timeout_seconds=TIMEOUT_SECONDS)
        self.office = replace(people.office, control=self.store.control)
        self.stages = ReviewStages(office=self.office, store=self.store.reviews)
        self.fleet = Fleet(self.store.read, people.clock, self.store.reviews.glasses_open)
        self.watch = ReviewWatch(stages=self.stages, fleet=self.fleet, clock=people.clock)


Deed = Callable[["AtOnce", Replica, Actor, str, int | None], object]


def ask(event: Event, _: "AtOnce", at: Replica, actor: Actor, name: str, seen: int | None) -> object:
    return request_transition(at.office, actor, "m1", name, event, "of a test", None, seen=seen).state


def glass(_: "AtOnce", at: Replica, actor: Actor, name: str, seen: int | None) -> object:
    return break_glass(at.stages, actor, "m1", name, GlassRequest(minutes=10, reason="of a test", seen=seen))


def whole(_: "AtOnce", at: Replica, actor: Actor, name: str, _seen: int | None) -> object:
    return end_glass(at.stages, actor, "m1", name, "enough")


def give(_: "AtOnce", at: Replica, actor: Actor, name: str, seen: int | None) -> object:
    request = ReviewRequest(reviewers=[actor, "ada"], hours=0.5, reason="on call", seen=seen)
    return name_reviewers(at.stages, actor, "m1", name, request)


def offer(world: "AtOnce", at: Replica, actor: Actor, name: str, _: int | None) -> object:
    version = world.version(name)
    return offer_baseline(at.stages, actor, version, reference(), version.baseline_id)


def accept(world: "AtOnce", at: Replica, actor: Actor, name: str, _: int | None) -> object:
    waiting = [
        one for one in at.store.reviews.proposals(world.version(name).id, 10) if one.status is ProposalStatus.PROPOSED
    ]
    if not waiting:
        return None
    return settle_baseline(at.stages, actor, "m1", name, waiting[0].id, "fine", accept=True)


def clock_is_looked_at(_: "AtOnce", at: Replica, _actor: Actor, _name: str, _seen: int | None) -> object:
    at.fleet.refresh()
    at.watch.close()
    at.watch.look()
    return None


def remind(world: "AtOnce", at: Replica, _: Actor, name: str, _seen: int | None) -> object:
    return escalate(at.stages, world.version(name))


def policy(world: "AtOnce", _at: Replica, _: Actor, name: str, _seen: int | None) -> object:
    """Judge as the worker does: what it read may be old by the time it writes."""
    with world.one_worker:
        control = world.worker.control()
        version = next(one for one in control.versions.values() if one.version == name)
        ruling = decide(alarm(version), version, world.policy, control.versions.values())
        if ruling.event is None:
            return None
        time.sleep(THINKING_SECONDS)
        record = TransitionRecord(
            version_id=version.id,
            before=version.state,
            event=ruling.event,
            after=next_state(version.state, ruling.event),
            actor=SYSTEM,
            reason=ruling.text,
            at_us=world.people.clock.now_us(),
            position=Position(0),
        )
        at_position = world.worker.position()
        outcome = Outcome(
            first=at_position, last=at_position, revision=control.revision, transitions=[(record, version.lock)]
        )
        world.worker.commit(outcome)
        return ruling.event


DEEDS: dict[str, Deed] = {
    **{str(event): partial(ask, event) for event in Event},
    "glass": glass,
    "whole": whole,
    "give": give,
    "offer": offer,
    "accept": accept,
    "clock": clock_is_looked_at,
    "remind": remind,
    "policy": policy,
}
Step = tuple[Actor, str, str, str]
"""Who, what, to which version, and which view of it."""


@dataclass(frozen=True)
class Theme:
    """Where people meet."""

    deeds: Sequence[str]
    before: Sequence[Event] = ()
    """What has happened to the version that most of them are about."""
    together: float = 0.7
    """The share of them that are about it."""


THEMES = {
    "anything": Theme(sorted(DEEDS)),
    "cap": Theme(["policy", "policy", "quarantine"], (Event.QUARANTINE,), 0.0),
    "release": Theme([*["release"] * 6, "glass"], (Event.QUARANTINE, Event.START_REVIEW), 0.9),
    "glass": Theme(["glass"] * 4 + ["whole", "clock", "start_review"], (Event.QUARANTINE,)),
    "baseline": Theme(["offer", "accept", "accept", "accept"]),
    "deadline": Theme(["remind", "remind", "clock", "give"], (Event.QUARANTINE, Event.START_REVIEW), 0.9),
}


class AtOnce(RuleBasedStateMachine):
    """Four versions, four people one of whom deployed them all, two API processes and a worker."""

    url: Callable[[], str]

    @initialize(reviewers=st.sampled_from([1, 1, 2, 3]))
    def open(self, reviewers: int) -> None:
        url = type(self).url()
        self.store = open_store(url, timeout_seconds=TIMEOUT_SECONDS)
        self.policy = Policy(
            reviewers=reviewers,
            confirmations=1,
            blast_radius=CAP,
            review_hours=0.5,
            review_reminders=REMINDERS,
            baseline_review=BaselineReview.ALWAYS,
        )
        self.people = People(self.store, self.policy, VERSIONS)
        self.worker: SqlWorkerStore = self.store.worker("w", 1e6, self.people.clock)
        self.worker.position()
        self.one_worker = threading.Lock()
        self.replicas = [Replica(url, self.people) for _ in range(2)]
        self.pool = ThreadPoolExecutor(AT_ONCE)
        self.done: list[Did] = []

    def teardown(self) -> None:
        if hasattr(self, "pool"):
            self.pool.shutdown()
            for replica in self.replicas:
                replica.store.close()
            self.store.close()

    def version(self, name: str) -> Version:
        return self.people.version(name)

    @rule(seconds=st.sampled_from([1.0, 700.0, 2_000.0]))
    def time_passes(self, seconds: float) -> None:
        self.people.clock.advance(seconds)

    @rule(seed=st.integers(0, 2**32), theme=st.sampled_from(sorted(THEMES)))
    def they_all_act(self, seed: int, theme: str) -> None:
        """Let six threads act; a theme says where they meet."""
        draw = Random(seed)
        for _ in range(ROUNDS):
            focus = draw.choice(NAMES)
            if theme == "cap":
                self._release_all()
            self.one_after_another(focus, THEMES[theme].before)
            self._at_once([self._step(draw, THEMES[theme], focus) for _ in range(AT_ONCE)])

    def _step(self, draw: Random, theme: Theme, focus: str) -> Step:
        name = focus if draw.random() < theme.together else draw.choice(NAMES)
        what, view = draw.choice(theme.deeds), draw.choice(["no view", "fresh", "fresh", "old"])
        return draw.choice([*EVERYBODY, DANA, DANA]), what, name, view

    def _release_all(self) -> None:
        """Let every held version serve again, so that the cap has room for exactly one more after the next one."""
        for name in NAMES:
            if self.version(name).state in {State.QUARANTINED, State.UNDER_REVIEW}:
                self.one_after_another(name, [Event.START_REVIEW])
                for actor in EVERYBODY[: max(2, self.policy.reviewers)]:
                    if self.version(name).state is State.UNDER_REVIEW:
                        answer = ask(Event.RELEASE, self, self.replicas[0], actor, name, None)
                        self.done.append(Did(actor, "release", name, None, answer))

    def one_after_another(self, name: str, events: Sequence[Event]) -> None:
        """Bring a version to where people meet, as far as it goes."""
        for event in events:
            if (self.version(name).state, event) in TRANSITIONS:
                answer = ask(event, self, self.replicas[0], ADA, name, None)
                self.done.append(Did(ADA, str(event), name, None, answer))

    def _at_once(self, steps: Sequence[Step]) -> None:
        barrier = threading.Barrier(len(steps))
        seen = {name: self.version(name).lock for name in NAMES}

        def act(number: int, step: Step) -> Did:
            actor, what, name, view = step
            looked = {"no view": None, "fresh": seen[name], "old": seen[name] - 1}[view]
            barrier.wait(TIMEOUT_SECONDS)
            answer: object
            try:  # also a store that is too busy: then nothing may have been written
                answer = DEEDS[what](self, self.replicas[number % 2], actor, name, looked)
            except (LazarettoError, StaleControl) as refused:
                answer = refused
            return Did(actor, what, name, looked, answer)

        self.done += self.pool.map(act, range(len(steps)), steps)

    @invariant()
    def the_record_alone_tells_that_nobody_went_too_far(self) -> None:
        if not hasattr(self, "people"):
            return
        assert self.store.read.verify_chain() is None
        chain = self.people.audit()
        assert len(chain) < LINKS
        told = Replay(self.store, self.policy, REMINDERS)
        for link in chain:
            told.take(link)
        told.agrees_with_the_tables()
        self._every_success_has_its_link(chain)

    def _every_success_has_its_link(self, chain: Sequence[AuditEntry]) -> None:
        found = Counter((link.action, link.actor, link.subject) for link in chain)
        wanted: Counter[tuple[str, str, str]] = Counter()
        for did in self.done:
            if isinstance(did.answer, Exception) or did.answer is None:
                continue
            subject = f"m1/{did.name}"
            if did.what in set(Event):
                pending = did.what == "release" and did.answer is State.UNDER_REVIEW
                action = "release.ask" if pending else f"transition.{did.what}"
                wanted[action, did.actor, subject] += 1
            elif did.what == "glass":
                wanted["quarantine.break_glass", did.actor, subject] += 1
            elif did.what == "policy":
                wanted[f"transition.{did.answer}", SYSTEM, subject] += 1
        kept = {key: number for key, number in found.items() if key[0].startswith(("transition.", "release."))}
        kept |= {key: number for key, number in found.items() if key[0] == "quarantine.break_glass"}
        assert kept == dict(wanted)
        # Of those who saw the same change and changed something, one was first.
        firsts = Counter(
            (did.name, did.seen)
            for did in self.done
            if did.seen is not None
            and did.what in set(Event)
            and isinstance(did.answer, State)
            and not (did.what == "release" and did.answer is State.UNDER_REVIEW)
        )
        assert not firsts or max(firsts.values()) == 1


LIMITS = settings(
    max_examples=10,
    stateful_step_count=10,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.generate],  # threads finish as they like: what was found once cannot be made smaller
)


@pytest.fixture(params=["sqlite", "postgres"])
def new_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[[], str]]:
    """Give a function that makes a fresh store and returns its URL."""
    if request.param == "postgres":
        server, template = request.getfixturevalue("postgres"), request.getfixturevalue("postgres_template")
        yield partial(server.database, template)
        return
    template = request.getfixturevalue("sqlite_template")
    numbers = count()

    def fresh() -> str:
        path = tmp_path / f"state-{next(numbers)}.db"
        shutil.copy(template, path)
        return f"sqlite:///{path}"

    yield fresh


def test_whatever_people_do_at_once_nobody_goes_too_far(new_url: Callable[[], str]) -> None:
    machine = type("AtOnceHere", (AtOnce,), {"url": staticmethod(new_url)})
    run_state_machine_as_test(machine, settings=LIMITS)
