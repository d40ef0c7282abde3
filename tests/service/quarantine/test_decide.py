"""What an alert does to the state, and what a person may do: one table, one sentence a row."""

from collections.abc import Sequence

import pytest

from service.domain.errors import Conflict, Unprocessable
from service.domain.ids import Actor, Micros, ModelId, Position, VersionId
from service.domain.policy import Action, Actions, BlastRadius, Cause, Policy
from service.domain.records import Alert, Approvals, Version
from service.domain.schema import Feature, FeatureKind, Prediction, PredictionKind, Schema
from service.domain.states import TRANSITIONS, Event, State
from service.quarantine.decide import (
    REASON_LENGTH_MAX,
    Granted,
    Pending,
    Why,
    check_request,
    count_approvals,
    decide,
    decide_request,
    held_back,
)

DANA, ANA, BOB, CLEO = Actor("dana"), Actor("ana"), Actor("bob"), Actor("cleo")
SCHEMA = Schema(
    features=(Feature(name="age", kind=FeatureKind.NUMERIC),), prediction=Prediction(kind=PredictionKind.NUMBER)
)
SUSPECT_ONLY = Policy(actions=Actions(data_drift=Action.SUSPECT))


def version(number: int = 1, state: State = State.ACTIVE, model: int = 1) -> Version:
    return Version(
        id=VersionId(number),
        model_id=ModelId(model),
        model=f"m{model}",
        version=str(number),
        schema=SCHEMA,
        deployed_by=DANA,
        state=state,
        since_us=Micros(0),
        reason="",
        lock=0,
        restart_position=Position(0),
        baseline_id=None,
        created_us=Micros(0),
    )


def alert(confirmations: int, cause: Cause = Cause.DATA_DRIFT) -> Alert:
    return Alert(
        id="a",
        version_id=VersionId(1),
        cause=cause,
        status="open",
        reason="drift",
        evidence_log=20.0,
        threshold_log=14.0,
        confirmations=confirmations,
        columns=(),
        since_us=Micros(0),
        opened_us=Micros(0),
        closed_us=None,
        position=Position(1),
        incident_id="i",
    )


@pytest.mark.parametrize(
    ("confirmations", "state", "policy", "event", "why"),
    [
        pytest.param(1, State.ACTIVE, Policy(), Event.SUSPECT, Why.SUSPECT, id="the first crossing makes suspect"),
        pytest.param(2, State.SUSPECT, Policy(), Event.QUARANTINE, Why.CONFIRMED, id="the second one in a row acts"),
        pytest.param(2, State.ACTIVE, Policy(), Event.QUARANTINE, Why.CONFIRMED, id="also from active, if cleared"),
        pytest.param(1, State.SUSPECT, Policy(), None, Why.WAITING, id="suspect already waits for confirmation"),
        pytest.param(1, State.ACTIVE, Policy(confirmations=1), Event.QUARANTINE, Why.CONFIRMED, id="one may be enough"),
        pytest.param(9, State.ACTIVE, SUSPECT_ONLY, Event.SUSPECT, Why.SUSPECT, id="a suspect policy never goes on"),
        pytest.param(
            9,
            State.ACTIVE,
            Policy(actions=Actions(data_drift=Action.NOTIFY)),
            None,
            Why.NOTIFY,
            id="notify changes nothing",
        ),
        pytest.param(
            9,
            State.ACTIVE,
            Policy(actions=Actions(data_drift=Action.RECORD)),
            None,
            Why.RECORD,
            id="record changes nothing",
        ),
        pytest.param(2, State.SUSPECT, Policy(dry_run=True), None, Why.DRY_RUN, id="a dry run changes nothing"),
        pytest.param(2, State.QUARANTINED, Policy(), None, Why.NOT_SERVING, id="quarantined stays so"),
        pytest.param(2, State.UNDER_REVIEW, Policy(), None, Why.NOT_SERVING, id="people who review are left alone"),
        pytest.param(2, State.ROLLED_BACK, Policy(), None, Why.NOT_SERVING, id="rolled back gets no traffic"),
        pytest.param(2, State.RETIRED, Policy(), None, Why.NOT_SERVING, id="retired is final"),
    ],
)
def test_what_the_policy_does(confirmations: int, state: State, policy: Policy, event: Event | None, why: Why) -> None:
    current = version(state=state)
    ruling = decide(alert(confirmations), current, policy, [current])
    assert (ruling.event, ruling.why) == (event, why)
    assert ruling.text


def test_each_cause_has_its_own_action() -> None:
    assert decide(alert(2, Cause.LATENCY), version(), Policy(), [version()]).why is Why.NOTIFY


def test_a_dry_run_says_what_it_would_have_done() -> None:
    policy = Policy(dry_run=True)
    assert "would now be suspect" in decide(alert(1), version(), policy, []).text
    assert "would now be quarantined" in decide(alert(2), version(), policy, []).text


def fleet_of(*states: State, model: int = 1) -> list[Version]:
    return [version(i + 1, state, model) for i, state in enumerate(states)]


@pytest.mark.parametrize(
    ("fleet", "why"),
    [
        pytest.param(fleet_of(State.SUSPECT), Why.CONFIRMED, id="a model's only version is not protected"),
        pytest.param(fleet_of(State.SUSPECT, State.ACTIVE), Why.CONFIRMED, id="a healthy sibling takes over"),
        pytest.param(fleet_of(State.SUSPECT, State.SUSPECT), Why.CONFIRMED, id="a suspect sibling still serves"),
        pytest.param(fleet_of(State.SUSPECT, State.QUARANTINED), Why.LAST_HEALTHY, id="the last one that serves stays"),
        pytest.param(fleet_of(State.SUSPECT, State.UNDER_REVIEW), Why.LAST_HEALTHY, id="a sibling in review is away"),
        pytest.param(fleet_of(State.SUSPECT, State.RETIRED), Why.CONFIRMED, id="a retired sibling is no sibling"),
        pytest.param(
            [version(1, State.SUSPECT), *(version(i, State.QUARANTINED, model=i) for i in range(2, 5))],
            Why.CONFIRMED,
            id="a small fleet has no share",
        ),
        pytest.param(
            [version(1, State.SUSPECT)]
            + [version(i, State.QUARANTINED, model=i) for i in range(2, 7)]
            + [version(i, State.ACTIVE, model=i) for i in range(7, 11)],
            Why.FLEET_SHARE,
            id="six of ten would be more than half",
        ),
        pytest.param(
            [version(1, State.SUSPECT)]
            + [version(i, State.QUARANTINED, model=i) for i in range(2, 6)]
            + [version(i, State.ACTIVE, model=i) for i in range(6, 11)],
            Why.CONFIRMED,
            id="five of ten are half, not more",
        ),
    ],
)
def test_automatic_quarantine_does_not_take_away_too_much(fleet: Sequence[Version], why: Why) -> None:
    ruling = decide(alert(2), fleet[0], Policy(), fleet)
    assert ruling.why is why
    assert ruling.event is (Event.QUARANTINE if why is Why.CONFIRMED else None)


def test_a_capped_version_that_was_active_becomes_suspect_and_says_why() -> None:
    fleet = fleet_of(State.ACTIVE, State.QUARANTINED)
    ruling = decide(alert(2), fleet[0], Policy(), fleet)
    assert (ruling.event, ruling.why) == (Event.SUSPECT, Why.LAST_HEALTHY)
    assert "last version of m1 that still serves" in ruling.text


def test_what_holds_a_policy_back_is_told_while_it_does() -> None:
    fleet = fleet_of(State.SUSPECT, State.QUARANTINED)
    told = held_back([alert(2)], fleet[0], Policy(), fleet)
    assert told is not None
    assert "last version of m1 that still serves" in told
    assert "dry run" in (held_back([alert(2)], fleet[0], Policy(dry_run=True), fleet) or "")
    serving = fleet_of(State.SUSPECT, State.ACTIVE)
    assert held_back([alert(2)], serving[0], Policy(), serving) is None
    assert held_back([alert(0)], fleet[0], Policy(dry_run=True), fleet) is None, "evidence has fallen below meanwhile"
    assert held_back([], fleet[0], Policy(dry_run=True), fleet) is None


def test_an_operator_may_switch_the_caps_off() -> None:
    fleet = fleet_of(State.SUSPECT, State.QUARANTINED)
    policy = Policy(blast_radius=BlastRadius(keep_last_healthy=False))
    assert decide(alert(2), fleet[0], policy, fleet).event is Event.QUARANTINE


@pytest.mark.parametrize(
    ("asked_by", "reviewers", "have", "need", "granted"),
    [
        pytest.param([ANA], 2, 1, 2, False, id="one of two is pending"),
        pytest.param([ANA, BOB], 2, 2, 2, True, id="two different people release"),
        pytest.param([ANA, ANA], 2, 1, 2, False, id="the same person counts once"),
        pytest.param([DANA, ANA], 2, 2, 2, True, id="the deployer may be one of two"),
        pytest.param([ANA], 1, 1, 1, True, id="one reviewer is enough where the policy says so"),
        pytest.param([DANA], 1, 1, 2, False, id="but never the deployer alone"),
        pytest.param([DANA, BOB], 1, 2, 1, True, id="the deployer with somebody else"),
        pytest.param([ANA, BOB], 3, 2, 3, False, id="two of three are pending"),
        pytest.param([ANA, BOB, CLEO], 3, 3, 3, True, id="three of three release"),
    ],
)
def test_a_release_needs_different_people(
    asked_by: list[Actor], reviewers: int, have: int, need: int, *, granted: bool
) -> None:
    current, policy = version(state=State.UNDER_REVIEW), Policy(reviewers=reviewers)
    answer = decide_request(current, Event.RELEASE, policy, asked_by)
    assert isinstance(answer, Granted) is granted
    assert answer.approvals is not None
    assert (answer.approvals.have, answer.approvals.need) == (have, need)
    assert count_approvals(current, policy, asked_by) == answer.approvals


@pytest.mark.parametrize(("state", "event"), [pair for pair in TRANSITIONS if pair[1] is not Event.RELEASE])
def test_every_other_event_happens_at_once(state: State, event: Event) -> None:
    needs = Approvals(have=0, need=2, by=()) if event is Event.START_REVIEW else None
    assert decide_request(version(state=state), event, Policy(), ()) == Granted(TRANSITIONS[state, event], needs)


def test_a_pending_release_leaves_the_state_out() -> None:
    assert isinstance(decide_request(version(state=State.UNDER_REVIEW), Event.RELEASE, Policy(), [ANA]), Pending)


def test_a_quarantined_version_is_retired_through_review() -> None:
    with pytest.raises(Conflict, match="possible events: start_review"):
        check_request(version(state=State.QUARANTINED), Event.RETIRE, "old")


@pytest.mark.parametrize("reason", ["", "  \n", "x" * (REASON_LENGTH_MAX + 1)])
def test_a_reason_is_required_and_bounded(reason: str) -> None:
    with pytest.raises(Unprocessable) as refused:
        check_request(version(), Event.QUARANTINE, reason)
    assert [place.at for place in refused.value.places] == ["reason"]


def test_the_longest_reason_is_taken() -> None:
    assert check_request(version(), Event.QUARANTINE, "x" * REASON_LENGTH_MAX) is State.QUARANTINED
