"""Adversarial use on the page of a version and on the page of an incident; letting a contained principal go."""

import html
import re
from dataclasses import replace

import msgspec
import pytest

from service.domain.ids import VersionId
from service.domain.policy import Policy
from service.domain.records import Incident, IncidentStatus, PrincipalTier
from service.domain.states import State
from tests.service.console.conftest import Console, post
from tests.service.console.seeding import READER
from tests.service.uses import ANN, BOB, finding, intent

QUIET = "/models/fraud-scorer/versions/2026-11-02"


def attacked(console: Console, name: str = "2026-11-02") -> Incident:
    """Let one principal probe and then flip a label, and another one be dragged in."""
    version = console.store.read.version("fraud-scorer", name)
    assert version is not None
    reached = intent(techniques=("AML.T0043.001", "AML.T0042"), members=(BOB,), campaign="c1", fidelity=0.25)
    return console.fleet.attack(version, finding(), reached)


def text(page: str) -> str:
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", page)).split())


def test_the_incident_page_shows_the_kill_chain_along_the_tactics(console: Console) -> None:
    incident = attacked(console)
    page = console.signed_in("ada").get(f"/incidents/{incident.id}").text
    shown = text(page)
    chain = page[page.index('class="chain"') : page.index("What was found")]
    assert re.findall(r'class="tactic">([^<]+)', chain) == ["AI Model Access", "AI Attack Staging"]
    assert re.findall(r"<code>([^<]+)", chain) == ["AML.T0040", "AML.T0042", "AML.T0043.001"]
    assert "Craft Adversarial Data: Black-Box Optimization" in chain
    assert page.count('class="reached"') == 2
    assert page.count('<span title="') + page.count('<span class="reached" title="') == 16
    assert "MITRE ATLAS 5.6.0" in shown
    assert "high severity" in shown
    assert "2 of 16 tactics reached" in shown


def test_the_incident_page_tells_what_was_found_and_who_is_affected(console: Console) -> None:
    incident = attacked(console)
    shown = text(console.signed_in("ada").get(f"/incidents/{incident.id}").text)
    for figure in ("Queries 31", "Label flips 1", "Best margin -0.1", "Surrogate's fidelity about 25%"):
        assert figure in shown
    assert "Transcript fingerprints" in shown
    assert ANN[:12] in shown
    assert BOB[:12] in shown
    assert "saw the attacker get further" in shown
    assert "31 of 40 near-duplicates have a margin under the baseline's 5 % quantile" in shown


def test_the_version_page_lists_attacks_and_contained_principals(console: Console) -> None:
    incident = attacked(console)
    page = console.signed_in("ada").get(QUIET).text
    section = page[page.index('data-live="use"') : page.index('data-live="evidence"')]
    assert f'href="/incidents/{incident.id}"' in section
    assert "Adversarial intent in fraud-scorer 2026-11-02" in text(section)
    assert "2 of 16 tactics reached: AI Model Access, AI Attack Staging" in text(section)
    assert f'title="{ANN}"' in section
    assert "it refuses nobody for it" in section
    assert "for another 24 hours" in section
    assert "Someone works against this model; it goes on serving." in page


def test_a_version_that_nobody_attacks_shows_no_section(console: Console) -> None:
    page = console.signed_in("ada").get(QUIET).text
    assert 'id="use-title"' not in page
    assert 'class="nothing" data-live="use"' in page


def test_an_attack_hides_no_drift(console: Console) -> None:
    version = console.store.read.version("digits", "1")
    assert version is not None
    console.fleet.attack(replace(version, state=State.ACTIVE), intent(log_evidence=900.0))
    shown = console.signed_in("ada").get("/models/digits/versions/1").text
    assert "Data drift in digits 1" in shown


def test_enforcement_is_told_where_the_gate_refuses(console: Console) -> None:
    attacked(console)
    models = console.store.tables.models
    for number, model in models.items():
        chosen = msgspec.structs.replace(model.policy.adversarial, enforce_containment=True)
        models[number] = replace(model, policy=msgspec.structs.replace(Policy(), adversarial=chosen))
    assert "The gate refuses them." in console.signed_in("ada").get(QUIET).text


@pytest.mark.parametrize("path", [QUIET, "incident"])
def test_a_principal_is_let_go_with_a_reason(console: Console, path: str) -> None:
    incident = attacked(console)
    ada = console.signed_in("ada")
    page = ada.get(f"/incidents/{incident.id}" if path == "incident" else path).text
    action = f"{QUIET}/principals/{ANN}/lift"
    assert f'action="{action}"' in page
    answer = post(ada, action, page, reason="our own robustness test")
    assert (answer.status_code, answer.headers["location"]) == (303, f"{QUIET}?done=lift")
    assert "The principal is let go" in ada.get(f"{QUIET}?done=lift").text
    (kept,) = console.store.tables.containments.values()
    assert (kept.state, kept.lifted_by) == ("lifted", "ada")
    assert console.told.times == 1
    newest = console.store.read.audit(1)[0]
    assert (newest.action, newest.detail) == ("principal.lift", "our own robustness test")


def test_letting_go_twice_or_without_a_reason_is_told_on_the_page(console: Console) -> None:
    attacked(console)
    ada = console.signed_in("ada")
    page = ada.get(QUIET).text
    action = f"{QUIET}/principals/{ANN}/lift"
    assert post(ada, action, page, reason=" ").status_code == 422
    post(ada, action, page, reason="fine")
    answer = post(ada, action, page, reason="again")
    assert answer.status_code == 409
    assert "is not contained" in answer.text


def test_who_may_only_read_sees_no_way_to_let_go(console: Console) -> None:
    incident = attacked(console)
    rita = console.signed_in("rita", READER)
    for path in (QUIET, f"/incidents/{incident.id}"):
        page = rita.get(path).text
        assert "/lift" not in page
        assert "Resolve" not in page
    assert post(rita, f"{QUIET}/principals/{ANN}/lift", rita.get(QUIET).text, reason="x").status_code == 403
    assert all(one.holds(console.fleet.clock.now_us()) for one in console.store.tables.containments.values())


def test_an_incident_is_worked_on_from_its_own_page(console: Console) -> None:
    incident = attacked(console)
    path = f"/incidents/{incident.id}"
    ada = console.signed_in("ada")
    answer = post(ada, f"{path}/ack", ada.get(path).text, back="incident")
    assert answer.headers["location"] == f"{path}?done=ack"
    page = ada.get(f"{path}?done=ack").text
    assert "others see that you are on it" in page
    refused = post(ada, f"{path}/resolve", page, back="incident")
    assert refused.status_code == 422
    assert "Kill chain" in refused.text
    post(ada, f"{path}/resolve", page, back="incident", verdict="attack", note="blocked the client")
    shown = text(ada.get(path).text)
    assert "Verdict: attack" in shown
    assert console.store.tables.incidents[incident.id].status is IncidentStatus.RESOLVED
    assert console.store.tables.versions[VersionId(incident.version_id)].restart_position == 0


def test_an_incident_of_drift_has_a_page_without_a_kill_chain(console: Console) -> None:
    page = console.signed_in("ada").get("/incidents/01jd9").text
    assert "Kill chain" not in page
    assert "evidence above the budget" in page


def test_an_incident_that_is_not_there_or_not_to_be_seen_is_404(console: Console) -> None:
    incident = attacked(console)
    assert console.signed_in("ada").get("/incidents/nothing").status_code == 404
    stranger = console.signed_in("olga", models=frozenset({"digits"}))
    assert stranger.get(f"/incidents/{incident.id}").status_code == 404


def test_a_page_that_has_not_changed_is_not_sent_again(console: Console) -> None:
    path = f"/incidents/{attacked(console).id}"
    ada = console.signed_in("ada")
    tag = ada.get(path).headers["etag"]
    assert ada.get(path, headers={"if-none-match": tag}).status_code == 304


def test_signing_in_leads_back_to_the_incident(console: Console) -> None:
    path = f"/incidents/{attacked(console).id}"
    answer = console.browser().get(path)
    assert (answer.status_code, answer.headers["location"]) == (303, f"/login?next={path}")


def test_what_a_principal_sends_is_shown_as_text(console: Console) -> None:
    version = console.store.read.version("churn", "7")
    assert version is not None
    hostile = finding(tier=PrincipalTier.COST, reasons=("<script>alert(1)</script>",))
    incident = console.fleet.attack(version, hostile)
    page = console.signed_in("ada").get(f"/incidents/{incident.id}").text
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert" in page
