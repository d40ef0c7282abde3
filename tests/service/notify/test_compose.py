"""State changes to messages: Alertmanager's shape, stable labels, ids that follow from what is told."""

import json
from dataclasses import replace
from typing import Any

import pytest

from service.alert.decide import decide
from service.domain.ids import Actor, Micros, Position
from service.domain.notices import NEVER, Kind
from service.domain.policy import Policy
from service.domain.records import Approvals, TransitionRecord
from service.domain.states import Event, State
from service.notify.compose import (
    TEXT_LENGTH_MAX,
    Notice,
    alert_opened,
    compose,
    held_back,
    release_pending,
    state_changed,
)
from tests.service.alert.test_decide import VERSION, evaluation, finding

AT = Micros(1_795_428_000_250_000)
DECISION = decide(evaluation(finding(), finding("income")), VERSION, (), Policy())


def payload_of(notice: Notice) -> Any:
    return json.loads(compose(notice).payload)


def change(before: State, event: Event, after: State) -> TransitionRecord:
    return TransitionRecord(
        version_id=VERSION.id,
        before=before,
        event=event,
        after=after,
        actor=Actor("ana"),
        reason="looked at it",
        at_us=AT,
        position=Position(3),
    )


def opened_notice() -> Notice:
    assert DECISION.alert is not None
    assert DECISION.incident is not None
    return alert_opened(DECISION.alert, DECISION.incident, VERSION)


def test_an_opened_alert_names_columns_evidence_and_incident() -> None:
    assert DECISION.incident is not None
    payload = payload_of(opened_notice())
    alert = payload["alerts"][0]
    assert payload["version"] == "4"
    assert payload["status"] == alert["status"] == "firing"
    assert alert["endsAt"] == NEVER
    assert alert["startsAt"] == "1970-01-01T00:00:10.000000Z"
    assert alert["labels"] == {
        "alertname": "LazarettoAlertOpened",
        "model": "fraud",
        "version": "1",
        "cause": "data_drift",
    }
    assert alert["annotations"]["columns"] == "age (mean up), income (mean up)"
    assert alert["annotations"]["incident_id"] == DECISION.incident.id
    assert alert["annotations"]["threshold_log10"] == "6.00"


@pytest.mark.parametrize(
    ("before", "event", "after", "status"),
    [
        (State.ACTIVE, Event.SUSPECT, State.SUSPECT, "firing"),
        (State.SUSPECT, Event.QUARANTINE, State.QUARANTINED, "firing"),
        (State.QUARANTINED, Event.START_REVIEW, State.UNDER_REVIEW, "firing"),
        (State.UNDER_REVIEW, Event.RELEASE, State.ACTIVE, "resolved"),
        (State.SUSPECT, Event.CLEAR, State.ACTIVE, "resolved"),
        (State.UNDER_REVIEW, Event.ROLL_BACK, State.ROLLED_BACK, "resolved"),
        (State.ACTIVE, Event.RETIRE, State.RETIRED, "resolved"),
    ],
)
def test_a_state_fires_as_long_as_people_are_needed(before: State, event: Event, after: State, status: str) -> None:
    payload = payload_of(state_changed(change(before, event, after), VERSION))
    assert payload["status"] == status


def test_labels_and_fingerprint_are_the_same_over_the_life_of_a_state() -> None:
    first = payload_of(state_changed(change(State.ACTIVE, Event.SUSPECT, State.SUSPECT), VERSION))
    later = replace(change(State.UNDER_REVIEW, Event.RELEASE, State.ACTIVE), at_us=Micros(AT + 9))
    last = payload_of(state_changed(later, replace(VERSION, lock=3)))
    assert first["commonLabels"] == last["commonLabels"]
    assert first["alerts"][0]["fingerprint"] == last["alerts"][0]["fingerprint"]


def test_a_replay_gives_the_same_message() -> None:
    assert compose(opened_notice()) == compose(opened_notice())


def test_two_changes_of_one_version_are_two_messages() -> None:
    record = change(State.ACTIVE, Event.SUSPECT, State.SUSPECT)
    first = compose(state_changed(record, VERSION))
    second = compose(state_changed(record, replace(VERSION, lock=1)))
    assert first.id != second.id


def test_what_a_policy_did_not_do_is_told_with_the_reason() -> None:
    assert DECISION.alert is not None
    payload = payload_of(held_back(Kind.CAPPED, DECISION.alert, VERSION, "the last one stays", AT))
    assert payload["commonAnnotations"]["summary"] == "fraud 1: the last one stays"


def test_a_pending_release_says_how_many_are_missing_and_who_has_asked() -> None:
    notice = release_pending(VERSION, Approvals(have=1, need=2, by=("ana",)), "fixed", AT, "k")
    annotations = payload_of(notice)["commonAnnotations"]
    assert annotations == {
        "summary": "release of fraud 1 waits for approval: 1 of 2 so far",
        "description": "fixed",
        "approved_by": "ana",
    }


def test_long_texts_are_cut_so_that_a_receiver_takes_the_message() -> None:
    record = replace(change(State.ACTIVE, Event.SUSPECT, State.SUSPECT), reason="x" * 50_000)
    message = compose(state_changed(record, VERSION))
    assert len(message.payload) < 20_000
    assert json.loads(message.payload)["commonAnnotations"]["description"] == "x" * TEXT_LENGTH_MAX
