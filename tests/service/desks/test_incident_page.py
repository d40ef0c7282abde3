"""The page of an incident: what stands at its top, what was frozen, what is like it, and every form on it."""

import html
import re
from typing import Any

import pytest

from service.domain.ids import Micros
from service.domain.policy import Cause
from service.domain.records import IncidentStatus, Severity, Verdict
from service.domain.states import Event, State
from service.office import request_transition
from tests.service.desks.desk import HOSTILE, HOUR_US, READER, Desk, text_of


def fold_of(page: str) -> dict[str, str]:
    rows = re.findall(r"<div><dt>(.*?)</dt><dd>(.*?)</dd></div>", page, re.DOTALL)
    return {text_of(name): text_of(said) for name, said in rows}


def test_the_top_says_what_since_when_how_sure_how_far_and_who(desk: Desk) -> None:
    version = desk.version("digits")
    desk.visitor("grace")
    desk.visitor("rita", READER)
    incident = desk.incident(version, "age", "income", "hour", "day")
    page = desk.visitor("ada").page(f"/incidents/{incident.id}")
    said = fold_of(page[: page.index("What was found")])
    assert said["What"] == "Data drift: age (mean up), income (mean up), hour (mean up) and 1 more."
    assert "opened 1 hour ago" in said["Since"]
    assert "open for 1 hour" in said["Since"]
    assert "Evidence 10 9.6 against 10 6.1 : one false alarm in 30 days." in said["How sure"]
    assert "Active: the gate lets its traffic through." in said["Reach"]
    assert "1 of 1 versions of digits serve; in the fleet 0 of 1 are held." in said["Reach"]
    assert said["Who"].startswith("It is with nobody. ada and grace may act on digits.")
    assert "mira" in page


def test_a_quarantine_says_whether_it_is_obeyed_and_what_the_release_needs(desk: Desk) -> None:
    version = desk.version("digits")
    incident = desk.incident(version, "age")
    ada = desk.visitor("ada")
    request_transition(desk.deps.office, "mira", "digits", "1", Event.QUARANTINE, "odd", incident.id)  # type: ignore[arg-type]
    said = fold_of(ada.page(f"/incidents/{incident.id}"))
    assert "Quarantined: its traffic is denied. No gateway has asked since the quarantine." in said["Reach"]
    assert "0 of 1 versions of digits serve" in said["Reach"]
    assert "The release needs 2 people, and not mira, who deployed it, alone." in said["Who"]
    desk.store.enforcements.acknowledge(version.id, version.lock + 1, Micros(desk.clock.now_us() + 400_000), "d1")
    said = fold_of(ada.page(f"/incidents/{incident.id}"))
    assert "A gateway obeys, 1 second after the quarantine." in said["Reach"]


def test_frozen_histograms_show_the_shares_that_were_frozen(desk: Desk) -> None:
    incident = desk.incident(desk.version("digits"), "age")
    page = desk.visitor("ada").page(f"/incidents/{incident.id}")
    frozen = page[page.index('id="frozen"') :]
    digest = desk.store.incidents.evidence(incident.id)
    assert digest is not None
    assert digest[0] in frozen
    rows = re.findall(
        r'<th scope="row">(.*?)</th>\s*<td>.*?<span>(.*?)</span></td>\s*<td>.*?<span>(.*?)</span>',
        frozen,
        re.DOTALL,
    )
    shown = {label: (before, after) for label, before, after in rows}
    # 300 of 975 reference rows, and 40 of 370 events.
    assert shown["2.0 … 3.0"] == ("30.8%", "10.8%")
    assert shown["above"] == ("1.0%", "8.1%")
    assert "invalid" not in shown
    assert "0.62 (0.5 to 0.75)" in frozen


def test_earlier_incidents_of_the_same_columns_come_first_with_what_people_said(desk: Desk) -> None:
    digits, fraud, churn = desk.version("digits"), desk.version("fraud"), desk.version("churn")
    over: dict[str, Any] = {"status": IncidentStatus.RESOLVED, "resolved_us": desk.clock.now_us()}
    near = desk.incident(digits, "age", "hour", ago_hours=50, verdict=Verdict.DATA_BUG, note="dirty lens", **over)
    desk.incident(digits, "country", ago_hours=40, verdict=Verdict.FALSE_ALARM, **over)
    other = desk.incident(fraud, "age", ago_hours=30, verdict=Verdict.DATA_BUG, **over)
    desk.incident(churn, "tenure", ago_hours=20, verdict=Verdict.ATTACK, **over)
    desk.incident(digits, "age", "hour", cause=Cause.DATA_QUALITY, ago_hours=10, **over)
    incident = desk.incident(digits, "age", "hour")
    page = desk.visitor("ada").page(f"/incidents/{incident.id}")
    assert "Like it: 3 are on record; of 3 judged: 2 data bugs, 1 false alarm." in text_of(page)
    past = page[page.index('id="past-title"') : page.index("<h2", page.index('id="past-title"'))]
    found = re.findall(r'href="/incidents/(\w+)"', past)
    assert found[0] == near.id
    assert found[-1] == other.id
    assert "blames 2 of these 2 columns: dirty lens" in text_of(past)
    fred = desk.visitor("fred", models=frozenset({"digits"}))
    assert other.id not in fred.page(f"/incidents/{incident.id}")


def test_every_form_does_what_it_says(desk: Desk) -> None:
    version = desk.version("digits")
    incident, whole = desk.incident(version, "age"), desk.incident(version, "age", cause=Cause.LATENCY)
    ada, path = desk.visitor("ada"), f"/incidents/{incident.id}"

    def do(action: str, **fields: str) -> str:
        page = ada.page(path)
        lock = re.findall(r'name="lock" value="(\d+)"', page)
        answer = ada.post(f"{path}/{action}", page, back="incident", lock=lock[0], **fields)
        assert answer.status_code == 303, text_of(answer.text)
        return answer.headers["location"]

    assert do("ack") == f"{path}?done=ack"
    do("take")
    found = desk.store.read.incident(incident.id)
    assert found is not None
    assert (found.status, found.assignee) == (IncidentStatus.ACKNOWLEDGED, "ada")
    do("assign", assignee="grace", note="you know the lens")
    do("comment", note="the client was deployed at two")
    do("snooze", hours="4", until_worse="yes", note="waiting for them")
    assert "Snoozed until" in ada.page(path)
    do("wake")
    assert do("decide", event="quarantine", reason="it gets worse", change="0") == f"{path}?done=quarantine"
    assert "Done: quarantined." in ada.page(f"{path}?done=quarantine")
    kinds = [item.kind for item in desk.store.read.timeline(incident.id)]
    assert [kind for kind in kinds if kind in {"ack", "assign", "comment", "snooze", "wake"}] == [
        "ack", "assign", "assign", "comment", "snooze", "wake",
    ]  # fmt: skip
    assert do("merge", into=whole.id, note="one thing") == f"/incidents/{whole.id}?done=merge"
    page = ada.page(f"/incidents/{whole.id}")
    answer = ada.post(f"/incidents/{whole.id}/resolve", page, back="incident", verdict="data bug", note="dirty lens")
    assert answer.status_code == 303
    found = desk.store.read.incident(whole.id)
    assert found is not None
    assert (found.verdict, found.note) == (Verdict.DATA_BUG, "dirty lens")
    assert "Verdict: data bug" in text_of(ada.page(f"/incidents/{whole.id}"))


@pytest.mark.parametrize(
    ("action", "fields"),
    [
        ("resolve", {"verdict": "data bug", "note": "I was sure of it"}),
        ("comment", {"note": "I was sure of it"}),
        ("assign", {"assignee": "grace", "note": "I was sure of it"}),
        ("snooze", {"hours": "24", "note": "I was sure of it"}),
    ],
)
def test_who_comes_too_late_is_told_what_changed_and_keeps_what_they_typed(
    desk: Desk, action: str, fields: dict[str, str]
) -> None:
    incident = desk.incident(desk.version("digits"), "age")
    ada, grace, path = desk.visitor("ada"), desk.visitor("grace"), f"/incidents/{incident.id}"
    seen = ada.page(path)
    assert grace.post(f"{path}/ack", grace.page(path), back="incident").status_code == 303
    answer = ada.post(f"{path}/{action}", seen, back="incident", lock="0", **fields)
    assert answer.status_code == 409
    assert "has changed since you looked: ack by grace" in html.unescape(answer.text)
    assert "What you typed is still in its form below" in answer.text
    form = answer.text[answer.text.index(f'<details id="{action}" open>') :]
    form = form[: form.index("</form>")]
    for value in fields.values():
        if value in {"data bug", "24"}:
            assert re.search(f'value="{value}" required checked', form)
        else:
            assert value in form
    # Nothing may take it away again: such a page is not kept current.
    assert "data-poll" not in answer.text
    lock = re.findall(r'name="lock" value="(\d+)"', form)
    assert ada.post(f"{path}/{action}", answer.text, back="incident", lock=lock[0], **fields).status_code == 303


def test_a_resolution_needs_a_verdict_and_a_decision_a_reason(desk: Desk) -> None:
    incident = desk.incident(desk.version("digits"), "age")
    ada, path = desk.visitor("ada"), f"/incidents/{incident.id}"
    answer = ada.post(f"{path}/resolve", ada.page(path), back="incident", note="no idea what it was")
    assert answer.status_code == 422
    assert "no idea what it was" in answer.text
    assert ada.post(f"{path}/decide", ada.page(path), back="incident", event="quarantine").status_code == 422
    found = desk.store.read.version("digits", "1")
    assert found is not None
    assert found.state is State.ACTIVE


def test_a_reader_sees_everything_no_form_and_who_may_act(desk: Desk) -> None:
    incident = desk.incident(desk.version("digits"), "age")
    desk.visitor("ada")
    rita, path = desk.visitor("rita", READER), f"/incidents/{incident.id}"
    page = rita.page(path)
    assert "What was found" in page
    assert "Your key may read but not act" in page
    assert "ada may act on digits." in text_of(page)
    assert f"{path}/ack" not in page
    assert rita.post(f"{path}/ack", page, back="incident").status_code == 403
    found = desk.store.read.incident(incident.id)
    assert found is not None
    assert found.status is IncidentStatus.OPEN


def test_an_unknown_incident_is_a_page_that_helps(desk: Desk) -> None:
    incident = desk.incident(desk.version("digits"), "age")
    hidden = desk.incident(desk.version("fraud"), "age")
    fred = desk.visitor("fred", models=frozenset({"digits"}))
    for path in ("/incidents/nothing", f"/incidents/{hidden.id}"):
        answer = fred.get(path)
        assert answer.status_code == 404
        assert f'href="/incidents/{incident.id}"' in answer.text
        assert 'href="/incidents?status=all"' in answer.text
        assert "fraud" not in answer.text


def test_hostile_names_titles_and_comments_are_text_on_every_page(desk: Desk) -> None:
    version = desk.version("digits")
    incident = desk.incident(version, HOSTILE, title=HOSTILE, severity=Severity.HIGH)
    ada, path = desk.visitor("ada"), f"/incidents/{incident.id}"
    ada.post(f"{path}/comment", ada.page(path), back="incident", note=HOSTILE)
    ada.post(f"{path}/decide", ada.page(path), back="incident", event="quarantine", reason=HOSTILE)
    for page in (path, "/incidents", "/reviews", "/audit", f"/audit?actor={HOSTILE}", f"/incidents?model={HOSTILE}"):
        text = ada.page(page)
        assert "<img" not in text, page
        assert html.escape(HOSTILE) in text.replace("&#34;", "&quot;"), page


def test_each_cause_has_a_runbook_and_an_unknown_one_names_them(desk: Desk) -> None:
    ada = desk.visitor("ada")
    for cause in Cause:
        assert "Look at" in ada.page(f"/runbooks/{cause}")
    answer = ada.get("/runbooks/weather")
    assert answer.status_code == 404
    assert "data_drift" in answer.text


def test_an_old_incident_says_that_it_is_over(desk: Desk) -> None:
    now = desk.clock.now_us()
    incident = desk.incident(
        desk.version("digits"), "age", ago_hours=5, status=IncidentStatus.RESOLVED,
        verdict=Verdict.BENIGN, resolved_us=Micros(now - 2 * HOUR_US),
    )  # fmt: skip
    page = desk.visitor("ada").page(f"/incidents/{incident.id}")
    assert "over after 3 hours" in text_of(page)
    assert f"/incidents/{incident.id}/resolve" not in page
    assert f"/incidents/{incident.id}/comment" in page
