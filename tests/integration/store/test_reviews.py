"""Broken glass, reviews with a deadline and proposed baselines: on SQLite and on PostgreSQL."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import cache

import pytest

from service.detect.baselines import verify
from service.detect.reference import CompiledReference
from service.domain.errors import Conflict, Forbidden, LazarettoError, NotFound, Unprocessable
from service.domain.ids import Actor, Micros
from service.domain.policy import BaselineReview, FailMode, Policy
from service.domain.reviews import ProposalStatus
from service.domain.states import Event, State
from service.gate.decide import decide
from service.gate.refresh import Fleet
from service.gate.targets import Target
from service.office import put_baseline, set_policy
from service.quarantine.proposals import PROPOSALS_MAX
from service.review.baselines import offer_baseline, settle_baseline
from service.review.deadline import ReviewRequest, name_reviewers
from service.review.glass import GlassRequest, break_glass, end_glass
from service.review.watch import ReviewWatch
from service.store import Store, open_store
from service.store.reviews import SETTLED_KEPT
from tests.integration.store.people import ADA, BEN, CLEO, DANA, People
from tests.service.worker.world import KEY, compiled

TEN = GlassRequest(minutes=10, reason="the shop is closed without it")


@pytest.fixture
def store(store_url: str) -> Iterator[Store]:
    opened = open_store(store_url, timeout_seconds=30.0)
    yield opened
    opened.close()


@pytest.fixture
def people(store: Store) -> People:
    return People(store)


@cache
def reference() -> CompiledReference:
    return compiled(400)


@cache
def other() -> CompiledReference:
    """Return a baseline whose comparison found a difference."""
    return replace(reference(), warnings=({"column": "age", "code": "moved", "text": "differs"},))


def gate_of(people: People) -> Fleet:
    return Fleet(people.store.read, people.clock, people.store.reviews.glasses_open)


def allowed(fleet: Fleet, name: str | None = "1") -> bool:
    return decide(fleet.view, [Target("m1", name)], FailMode.CLOSED).allowed


def watch_of(people: People, fleet: Fleet) -> ReviewWatch:
    return ReviewWatch(stages=people.stages, fleet=fleet, clock=people.clock)


def test_one_person_lets_a_held_version_serve_and_it_ends_by_the_gates_own_clock(people: People) -> None:
    people.ask(ADA, Event.QUARANTINE)
    fleet = gate_of(people)
    fleet.refresh()
    assert not allowed(fleet)
    glass = break_glass(people.stages, ADA, "m1", "1", TEN)
    fleet.refresh()
    assert allowed(fleet)
    assert allowed(fleet, None), "the model's name alone means this version"
    assert decide(fleet.view, [Target("m1", "1")], FailMode.CLOSED).held is None, "nothing was refused"
    assert people.version().state is State.QUARANTINED
    people.clock.advance(599.999)
    assert allowed(fleet)
    people.clock.advance(0.001)
    assert people.clock.now_us() == glass.until_us
    assert not allowed(fleet), "no store, no watch and no newer picture is needed"


def test_it_is_loud_and_its_end_is_told_once(people: People) -> None:
    people.ask(ADA, Event.QUARANTINE)
    break_glass(people.stages, BEN, "m1", "1", TEN)
    (told,) = people.told("break_glass")
    assert (told.status, told.annotations["severity"]) == ("firing", "high")
    assert "ben lets m1 1 serve although it is quarantined" in told.annotations["summary"]
    fleet = gate_of(people)
    fleet.refresh()
    watch, second = watch_of(people, fleet), gate_of(people)
    second.refresh()
    watch.close()
    assert people.actions("quarantine.") == ["quarantine.break_glass"]
    people.clock.advance(700)
    watch.close()
    watch_of(people, second).close()
    assert people.actions("quarantine.") == ["quarantine.break_glass", "quarantine.glass_over"]
    assert [alert.status for alert in people.told("break_glass")] == ["firing", "resolved"]
    assert people.store.reviews.glasses_open() == []
    assert (
        watch.let_through_until(people.version().id) == people.store.reviews.glasses(people.version().id, 1)[0].until_us
    )
    assert people.store.reviews.figures().broken_total == {people.version().id: 1}


def test_it_is_never_extended_and_never_twice_by_the_same_person(people: People) -> None:
    people.ask(ADA, Event.QUARANTINE)
    break_glass(people.stages, ADA, "m1", "1", TEN)
    with pytest.raises(Conflict, match=r"broken already, by .ada., until .*: it is never extended"):
        break_glass(people.stages, BEN, "m1", "1", TEN)
    end_glass(people.stages, BEN, "m1", "1", "enough")
    with pytest.raises(Conflict, match="'ada' has broken the glass of m1/1 in this quarantine before"):
        break_glass(people.stages, ADA, "m1", "1", TEN)
    people.ask(BEN, Event.START_REVIEW)
    with pytest.raises(Conflict, match="in this quarantine before"):
        break_glass(people.stages, ADA, "m1", "1", TEN)
    break_glass(people.stages, BEN, "m1", "1", TEN)


def test_a_time_that_is_over_is_no_excuse_for_another_one_before_it_is_written_down(people: People) -> None:
    people.ask(ADA, Event.QUARANTINE)
    break_glass(people.stages, ADA, "m1", "1", TEN)
    people.clock.advance(3_600)
    with pytest.raises(Conflict):
        break_glass(people.stages, ADA, "m1", "1", TEN)
    fleet = gate_of(people)
    fleet.refresh()
    assert not allowed(fleet)


@pytest.mark.parametrize("minutes", [0, -1, 60.01, float("nan"), float("inf")])
def test_the_policy_bounds_the_time(people: People, minutes: float) -> None:
    people.ask(ADA, Event.QUARANTINE)
    with pytest.raises(Unprocessable) as refused:
        break_glass(people.stages, ADA, "m1", "1", GlassRequest(minutes=minutes, reason=" "))
    assert {place.at for place in refused.value.places} == {"reason", "minutes"}
    assert people.told("break_glass") == []


def test_the_deployer_never_and_nobody_where_the_policy_says_so(people: People) -> None:
    people.ask(ADA, Event.QUARANTINE)
    with pytest.raises(Forbidden, match=r"'dana' deployed m1/1 .* anybody else with scope 'operate' may"):
        break_glass(people.stages, DANA, "m1", "1", TEN)
    set_policy(people.office, ADA, "m1", Policy(break_glass_minutes_max=0))
    with pytest.raises(Forbidden, match="lets nobody break the glass"):
        break_glass(people.stages, ADA, "m1", "1", TEN)
    with pytest.raises(NotFound):
        break_glass(people.stages, ADA, "m1", "2", TEN)


def test_a_version_that_serves_has_no_glass(people: People) -> None:
    with pytest.raises(Conflict, match="is 'active'"):
        break_glass(people.stages, ADA, "m1", "1", TEN)
    with pytest.raises(Conflict, match="no glass of m1/1 is broken"):
        end_glass(people.stages, ADA, "m1", "1", "enough")


def test_the_next_quarantine_begins_with_a_whole_glass(people: People) -> None:
    people.ask(ADA, Event.QUARANTINE)
    break_glass(people.stages, ADA, "m1", "1", GlassRequest(minutes=60, reason="x"))
    people.ask(ADA, Event.START_REVIEW)
    fleet = gate_of(people)
    fleet.refresh()
    assert allowed(fleet), "that somebody looks changes nothing"
    people.ask(ADA, Event.RELEASE)
    people.ask(BEN, Event.RELEASE)
    people.ask(BEN, Event.QUARANTINE)
    fleet.refresh()
    assert not allowed(fleet)
    break_glass(people.stages, ADA, "m1", "1", TEN)


def test_a_version_that_is_rolled_back_does_not_serve(people: People) -> None:
    people.ask(ADA, Event.QUARANTINE)
    break_glass(people.stages, ADA, "m1", "1", TEN)
    people.ask(ADA, Event.START_REVIEW)
    people.ask(BEN, Event.ROLL_BACK)
    fleet = gate_of(people)
    fleet.refresh()
    assert not allowed(fleet)
    (ended,) = people.store.reviews.glasses(people.version().id, 5)
    assert ended.ended_by == BEN


def test_of_two_people_at_once_one_breaks_it(people: People) -> None:
    people.ask(ADA, Event.QUARANTINE)

    def attempt(actor: Actor) -> object:
        try:
            return break_glass(people.stages, actor, "m1", "1", TEN).actor
        except LazarettoError as error:
            return type(error)

    with ThreadPoolExecutor(3) as pool:
        outcomes = list(pool.map(attempt, [ADA, BEN, CLEO]))
    assert outcomes.count(Conflict) == 2
    assert len(people.told("break_glass")) == 1


def test_a_review_has_people_and_a_deadline_and_silence_is_told_so_often(people: People) -> None:
    set_policy(people.office, ADA, "m1", Policy(review_hours=2, review_reminders=2))
    people.ask(ADA, Event.QUARANTINE)
    people.ask(ADA, Event.START_REVIEW)
    fleet = gate_of(people)
    fleet.refresh()
    watch = watch_of(people, fleet)
    people.clock.advance(2 * 3_600 - 1)
    watch.look()
    assert people.told("review_overdue") == []
    people.clock.advance(1)
    watch.look()
    watch.look()
    watch_of(people, fleet).look()
    (told,) = people.told("review_overdue")
    assert told.annotations["severity"] == "high"
    assert "nobody has decided; no reviewer is named; reminder 1 of 2" in told.annotations["summary"]
    for _ in range(5):
        people.clock.advance(3_600)
        watch.look()
    assert len(people.told("review_overdue")) == 2
    assert people.actions("review.") == ["review.overdue"] * 2


def test_a_deadline_of_its_own_is_watched_anew(people: People) -> None:
    people.ask(ADA, Event.QUARANTINE)
    with pytest.raises(Conflict, match="is 'quarantined'"):
        name_reviewers(people.stages, ADA, "m1", "1", ReviewRequest(reviewers=["ben"], hours=1, reason="on call"))
    people.ask(ADA, Event.START_REVIEW)
    request = ReviewRequest(reviewers=["ben", "cleo", "ben"], hours=0.5, reason="on call")
    review = name_reviewers(people.stages, ADA, "m1", "1", request)
    assert review.reviewers == (BEN, CLEO)
    assert people.told("review_assigned")[0].annotations["reviewers"] == "ben, cleo"
    fleet = gate_of(people)
    fleet.refresh()
    people.clock.advance(1_800)
    watch_of(people, fleet).look()
    assert "it is with ben and cleo" in people.told("review_overdue")[0].annotations["summary"]
    longer = name_reviewers(people.stages, ADA, "m1", "1", replace(request, hours=3))
    assert (longer.escalations, longer.due_us) == (0, Micros(people.clock.now_us() + 3 * 3_600_000_000))
    people.ask(ADA, Event.ROLL_BACK)
    fleet.refresh()
    people.clock.advance(1e6)
    watch_of(people, fleet).look()
    assert len(people.told("review_overdue")) == 1


@pytest.mark.parametrize(
    ("names", "said"),
    [
        ([], "must name 1 to 10 people"),
        (["dana"], "name somebody else, too"),
        (["rita"], "'rita' is no key that may decide about m1; these may: ada, ben, cleo, dana"),
        (["nobody"], "is no key that may decide"),
        (["\x00"], "control character"),
    ],
)
def test_reviewers_are_people_who_may_decide(people: People, names: list[str], said: str) -> None:
    people.ask(ADA, Event.QUARANTINE)
    people.ask(ADA, Event.START_REVIEW)
    with pytest.raises(Unprocessable) as refused:
        name_reviewers(people.stages, ADA, "m1", "1", ReviewRequest(reviewers=names, hours=None, reason="x"))
    assert said in refused.value.places[0].reason


def test_an_old_view_is_told_what_has_changed(people: People) -> None:
    seen = people.version().lock
    people.ask(ADA, Event.QUARANTINE, seen=seen)
    with pytest.raises(Conflict, match=r"is 'quarantined' by change number 1 \(of a test\), and you saw number 0"):
        people.ask(BEN, Event.START_REVIEW, seen=seen)
    with pytest.raises(Conflict, match="has changed since you looked"):
        break_glass(people.stages, ADA, "m1", "1", replace(TEN, seen=seen))
    with pytest.raises(Conflict, match="has changed since you looked"):
        name_reviewers(people.stages, ADA, "m1", "1", ReviewRequest(reviewers=["ben"], hours=1, reason="x", seen=0))


def test_a_baseline_that_moved_waits_for_another_person(people: People) -> None:
    first = offer_baseline(people.stages, ADA, people.version(), reference(), None)
    assert first.need is None
    again = offer_baseline(people.stages, ADA, people.version(), reference(), first.record.id)
    assert again.need is None, "nothing has moved"
    offered = offer_baseline(people.stages, ADA, people.version(), other(), again.record.id)
    assert offered.need == 2
    assert people.version().baseline_id == again.record.id
    assert "differs in age" in people.told("baseline_proposed")[0].annotations["description"]
    with pytest.raises(Forbidden, match="'ada' has put this baseline: somebody else"):
        settle_baseline(people.stages, ADA, "m1", "1", offered.record.id, "mine", accept=True)
    settled = settle_baseline(people.stages, BEN, "m1", "1", offered.record.id, "the new sensor", accept=True)
    assert settled.proposal.status is ProposalStatus.ACCEPTED
    in_force = people.store.read.baseline(people.version().id)
    assert in_force is not None
    assert (in_force.id, in_force.created_by, in_force.from_position) == (offered.record.id, ADA, 9)
    assert verify(KEY, in_force.artefact, in_force.signature)
    assert people.actions("baseline.") == ["baseline.put", "baseline.put", "baseline.propose", "baseline.accept"]
    assert "signed by ben: the new sensor" in people.audit()[-1].detail
    with pytest.raises(Conflict, match="is accepted already, by 'ben'"):
        settle_baseline(people.stages, CLEO, "m1", "1", offered.record.id, "late", accept=False)


def test_more_reviewers_sign_more_often(people: People) -> None:
    set_policy(people.office, ADA, "m1", Policy(reviewers=3, baseline_review=BaselineReview.ALWAYS))
    first = put_baseline(people.office, ADA, people.version(), reference())
    offered = offer_baseline(people.stages, ADA, people.version(), reference(), first.id)
    one = settle_baseline(people.stages, BEN, "m1", "1", offered.record.id, "fine", accept=True)
    assert (one.proposal.status, one.need) == (ProposalStatus.PROPOSED, 3)
    with pytest.raises(Forbidden, match="'ben' has accepted this baseline"):
        settle_baseline(people.stages, BEN, "m1", "1", offered.record.id, "fine", accept=True)
    assert people.version().baseline_id == first.id
    two = settle_baseline(people.stages, CLEO, "m1", "1", offered.record.id, "fine", accept=True)
    assert two.proposal.signed_by == (ADA, BEN, CLEO)
    assert people.version().baseline_id == offered.record.id


def test_a_held_version_gets_no_new_normal_from_one_person(people: People) -> None:
    first = put_baseline(people.office, ADA, people.version(), reference())
    people.ask(ADA, Event.QUARANTINE)
    assert offer_baseline(people.stages, ADA, people.version(), reference(), first.id).need == 2
    set_policy(people.office, ADA, "m1", Policy(baseline_review=BaselineReview.NEVER))
    assert offer_baseline(people.stages, ADA, people.version(), other(), first.id).need is None


def test_what_was_compared_with_another_baseline_is_put_again(people: People) -> None:
    first = put_baseline(people.office, ADA, people.version(), reference())
    offered = offer_baseline(people.stages, ADA, people.version(), other(), first.id)
    second = put_baseline(people.office, CLEO, people.version(), reference())
    with pytest.raises(Conflict) as refused:
        settle_baseline(people.stages, BEN, "m1", "1", offered.record.id, "fine", accept=True)
    assert refused.value.extra == {"in_force": second.id, "compared_with": first.id}
    with pytest.raises(Conflict, match="another baseline came into force meanwhile"):
        offer_baseline(people.stages, ADA, people.version(), reference(), first.id)
    with pytest.raises(NotFound):
        settle_baseline(people.stages, BEN, "m1", "1", "nothing", "fine", accept=False)


def test_proposals_are_few_and_settled_ones_keep_no_artefact(people: People) -> None:
    first = put_baseline(people.office, ADA, people.version(), reference())
    version = people.version()
    for _ in range(SETTLED_KEPT + 3):
        people.clock.advance(1)
        offered = offer_baseline(people.stages, ADA, version, other(), first.id)
        settle_baseline(people.stages, ADA, "m1", "1", offered.record.id, "taken back", accept=False)
    waiting = [offer_baseline(people.stages, ADA, version, other(), first.id) for _ in range(PROPOSALS_MAX)]
    with pytest.raises(Conflict, match="4 baselines of m1/1 wait already"):
        offer_baseline(people.stages, ADA, version, other(), first.id)
    listed = people.store.reviews.proposals(version.id, 100)
    assert {one.id for one in listed[:PROPOSALS_MAX]} == {offered.record.id for offered in waiting}
    assert len(listed) == PROPOSALS_MAX + SETTLED_KEPT
    with people.store.reviews.write() as tx:
        kept = [tx.proposal(one.id) for one in listed]
    assert [bool(one and one.artefact) for one in kept] == [True] * PROPOSALS_MAX + [False] * SETTLED_KEPT
    assert people.store.reviews.figures().proposed == {version.id: PROPOSALS_MAX}


def test_who_asks_for_a_release_again_is_on_record_and_nobody_else(people: People) -> None:
    set_policy(people.office, ADA, "m1", Policy(reviewers=3))
    people.ask(ADA, Event.QUARANTINE)
    people.ask(ADA, Event.START_REVIEW)
    *_, last = [people.ask(actor, Event.RELEASE) for actor in (ADA, BEN, ADA)]
    assert last.approvals is not None
    assert last.approvals.by == (ADA, BEN)
    asked = [(link.actor, link.detail) for link in people.audit() if link.action == "release.ask"]
    assert asked == [(ADA, "1 of 3: of a test"), (BEN, "2 of 3: of a test"), (ADA, "2 of 3: of a test")]


def test_two_assignments_of_one_moment_are_both_told(people: People) -> None:
    people.ask(ADA, Event.QUARANTINE)
    people.ask(ADA, Event.START_REVIEW)
    for name in ("ben", "cleo"):
        name_reviewers(people.stages, ADA, "m1", "1", ReviewRequest(reviewers=[name], hours=1, reason="x"))
    assert [alert.annotations["reviewers"] for alert in people.told("review_assigned")] == ["ben", "cleo"]


def test_a_glass_that_ends_with_its_quarantine_is_over_on_record(people: People) -> None:
    people.ask(ADA, Event.QUARANTINE)
    break_glass(people.stages, ADA, "m1", "1", TEN)
    people.ask(ADA, Event.START_REVIEW)
    assert people.actions("quarantine.") == ["quarantine.break_glass"], "that somebody looks ends nothing"
    people.ask(BEN, Event.ROLL_BACK)
    assert people.actions("quarantine.") == ["quarantine.break_glass", "quarantine.glass_over"]
    assert people.audit()[-1].actor == BEN
