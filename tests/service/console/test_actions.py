"""What people do on a page: state changes by two people, incidents, and what they are told when it does not go."""

from service.domain.records import IncidentStatus, Verdict
from service.domain.states import State
from tests.service.console.conftest import Console, post
from tests.service.console.seeding import READER

PAGE = "/models/digits/versions/1"
TO = f"{PAGE}/transitions"


def state(console: Console) -> State:
    version = console.store.read.version("digits", "1")
    assert version is not None
    return version.state


def test_two_people_review_and_release_through_forms(console: Console) -> None:
    ada, grace = console.signed_in("ada"), console.signed_in("grace")
    answer = post(ada, TO, ada.get(PAGE).text, event="start_review", reason="looking")
    assert (answer.status_code, answer.headers["location"]) == (303, f"{PAGE}?done=start_review")
    assert state(console) is State.UNDER_REVIEW
    page = ada.get(f"{PAGE}?done=start_review").text
    assert "Done: review started." in page
    assert "Approvals for the release: 0 of 2." in page

    answer = post(ada, TO, page, event="release", reason="the lens was cleaned")
    assert answer.headers["location"] == f"{PAGE}?done=asked"
    assert state(console) is State.UNDER_REVIEW
    page = ada.get(f"{PAGE}?done=asked").text
    assert "Approvals for the release: 1 of 2, by ada." in page
    assert "You have asked for the release. One more person must ask too" in page
    assert "Someone has asked for the release. Ask too if you agree" in grace.get(PAGE).text

    answer = post(grace, TO, grace.get(PAGE).text, event="release", reason="pictures are sharp")
    assert answer.headers["location"] == f"{PAGE}?done=release"
    assert state(console) is State.ACTIVE
    assert console.told.times == 3
    assert "Under review → Active" in grace.get(PAGE).text


def test_asking_twice_does_not_count_twice(console: Console) -> None:
    ada = console.signed_in("ada")
    post(ada, TO, ada.get(PAGE).text, event="start_review", reason="looking")
    for _ in range(2):
        console.fleet.clock.advance(1)
        assert post(ada, TO, ada.get(PAGE).text, event="release", reason="fine").status_code == 303
    assert state(console) is State.UNDER_REVIEW


def test_an_impossible_event_is_told_as_a_sentence_on_the_page(console: Console) -> None:
    ada = console.signed_in("ada")
    answer = post(ada, TO, ada.get(PAGE).text, event="release", reason="hurry")
    assert answer.status_code == 409
    assert (
        "&#39;release&#39; is not possible in state &#39;quarantined&#39;; possible events: start_review" in answer.text
    )
    assert "What to do next" in answer.text
    assert console.told.times == 0


def test_a_missing_reason_and_an_unknown_event_are_told(console: Console) -> None:
    ada = console.signed_in("ada")
    page = ada.get(PAGE).text
    assert "a reason is required" in post(ada, TO, page, event="start_review", reason="  ").text
    answer = post(ada, TO, page, event="explode", reason="x")
    assert answer.status_code == 422
    assert "&#39;explode&#39; is not something that can be asked for" in answer.text
    assert state(console) is State.QUARANTINED


def test_a_reader_cannot_act_even_with_a_form_of_their_own(console: Console) -> None:
    rita = console.signed_in("rita", READER)
    answer = post(rita, TO, rita.get(PAGE).text, event="start_review", reason="x")
    assert answer.status_code == 403
    assert "needs a key with scope &#39;operate&#39;" in answer.text
    assert state(console) is State.QUARANTINED
    assert post(rita, "/incidents/01jd9/ack", rita.get(PAGE).text).status_code == 403


def test_a_key_for_other_models_cannot_act_here(console: Console) -> None:
    fred = console.signed_in("fred", models=frozenset({"fraud-scorer"}))
    page = fred.get("/").text
    assert post(fred, TO, page, event="start_review", reason="x").status_code == 404
    assert post(fred, "/incidents/01jd9/ack", page).status_code == 404
    assert state(console) is State.QUARANTINED


def test_an_incident_is_acknowledged_and_resolved_with_a_verdict(console: Console) -> None:
    ada = console.signed_in("ada")
    answer = post(ada, "/incidents/01jd9/ack", ada.get(PAGE).text)
    assert answer.headers["location"] == f"{PAGE}?done=ack"
    page = ada.get(PAGE).text
    assert "Acknowledge: I am on it" not in page
    assert post(ada, "/incidents/01jd9/resolve", page, verdict="nonsense").status_code == 422
    assert post(ada, "/incidents/01jd9/resolve", page, verdict="data bug", note="dirty lens").status_code == 303
    incident = console.store.read.incident("01jd9")
    assert incident is not None
    assert (incident.status, incident.verdict) == (IncidentStatus.RESOLVED, Verdict.DATA_BUG)
    assert "Resolve the incident" not in ada.get(PAGE).text


def test_an_unknown_incident_or_action_is_not_found(console: Console) -> None:
    ada = console.signed_in("ada")
    page = ada.get(PAGE).text
    assert post(ada, "/incidents/nothing/ack", page).status_code == 404
    assert post(ada, "/incidents/01jd9/explode", page).status_code == 404


def test_a_version_can_be_quarantined_by_hand_and_retired(console: Console) -> None:
    ada = console.signed_in("ada")
    page = "/models/churn/versions/7"
    shown = ada.get(page).text
    assert "Quarantine by hand" in shown
    assert post(ada, f"{page}/transitions", shown, event="quarantine", reason="odd answers").status_code == 303
    assert "odd answers" in ada.get(page).text


def test_what_was_done_is_said_only_in_our_own_words(console: Console) -> None:
    assert "evil" not in console.signed_in("ada").get(f"{PAGE}?done=evil").text
