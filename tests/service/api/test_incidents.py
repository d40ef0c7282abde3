"""Incidents over HTTP: stale views, missing rights, snoozes, maintenance, merging, alert quality."""

import pytest

from service.api.views import iso
from service.domain.ids import Micros
from service.domain.records import Incident, Scope
from service.domain.states import Event
from service.ports import SYSTEM, Outcome
from tests.integration.store import samples as s
from tests.service.api.conftest import World


def opened(world: World, model: str) -> tuple[str, dict[str, str]]:
    """Open an incident of a new model, as the worker would, and return its path."""
    world.model(model)
    api = world.runtime.api
    version = api.read.version(model, "1")
    assert version is not None
    worker = world.runtime.store.worker("w", 10.0, api.clock)
    first = worker.position()
    incident: Incident = s.incident(version, f"i-{model}")
    alert = s.alert(incident, f"a-{model}")
    worker.commit(Outcome(first=first, last=first, revision=worker.revision(), incidents=[incident], alerts=[alert]))
    worker.close()
    return f"/v1/incidents/{incident.id}", world.everything


def in_hours(world: World, hours: float) -> str:
    return iso(Micros(world.runtime.api.clock.now_us() + round(hours * 3.6e9)))


def test_an_action_on_a_stale_view_is_refused_and_told_what_changed(world: World) -> None:
    path, headers = opened(world, "stale")
    tag = world.client.get(path, headers=headers).headers["etag"]
    assert world.client.post(f"{path}/ack", json={}, headers=headers | {"if-match": tag}).status_code == 200
    refused = world.client.post(f"{path}/assign", json={"assignee": "bob"}, headers=headers | {"if-match": tag})
    assert refused.status_code == 409
    assert "ack by ada at " in refused.json()["detail"]
    assert "It is acknowledged now" in refused.json()["detail"]
    lock = refused.json()["lock"]
    assert lock == world.client.get(path, headers=headers).json()["lock"]
    again = world.client.post(f"{path}/assign", json={"assignee": "bob"}, headers=headers | {"if-match": f'"{lock}"'})
    assert (again.status_code, again.json()["assignee"]) == (200, "bob")
    bad = world.client.post(f"{path}/ack", json={}, headers=headers | {"if-match": "yesterday"})
    assert (bad.status_code, bad.json()["errors"][0]["at"]) == (400, "If-Match")


def test_a_missing_right_says_who_has_it_to_those_who_may_read(world: World) -> None:
    path, _ = opened(world, "rights")
    world.key(Scope.OPERATE, name="olga")
    refused = world.client.post(f"{path}/ack", json={}, headers=world.key(Scope.READ, name="rita"))
    assert refused.status_code == 403
    assert "needs a key with scope 'operate'" in refused.json()["detail"]
    assert "olga" in refused.json()["holders"]
    blind = world.client.post(f"{path}/ack", json={}, headers=world.key(Scope.INGEST, name="ingo"))
    assert (blind.status_code, blind.json()["holders"]) == (403, [])


def test_a_resolution_needs_a_verdict(world: World) -> None:
    path, headers = opened(world, "verdict")
    refused = world.client.post(f"{path}/resolve", json={"note": "fine"}, headers=headers)
    assert (refused.status_code, refused.json()["errors"][0]["at"]) == (422, "verdict")
    done = world.client.post(f"{path}/resolve", json={"verdict": "false alarm"}, headers=headers)
    assert (done.status_code, done.json()["verdict"]) == (200, "false alarm")
    quality = world.client.get("/v1/alert-quality?model=verdict&days=400", headers=headers).json()
    assert quality["total"]["verdicts"]["false alarm"] in {0, 1}
    assert set(quality["models"]) <= {"verdict"}


def test_a_snooze_shows_and_ends(world: World) -> None:
    path, headers = opened(world, "snooze")
    for body, at in (({}, "until"), ({"until": "soon"}, "until"), ({"until": in_hours(world, 24 * 8)}, "until")):
        refused = world.client.post(f"{path}/snooze", json=body, headers=headers)
        assert (refused.status_code, refused.json()["errors"][0]["at"]) == (422, at)
    done = world.client.post(f"{path}/snooze", json={"until": in_hours(world, 1), "until_worse": True}, headers=headers)
    assert (done.status_code, done.json()["until_worse"], done.json()["by"]) == (200, True, "ada")
    assert world.client.get(path, headers=headers).json()["snooze"] == done.json()
    assert world.client.post(f"{path}/wake", json={}, headers=headers).status_code == 200
    shown = world.client.get(path, headers=headers).json()
    assert shown["snooze"] is None
    assert [item["kind"] for item in shown["timeline"]][-2:] == ["snooze", "wake"]
    assert world.client.post(f"{path}/wake", json={}, headers=headers).status_code == 409


def test_maintenance_is_planned_listed_and_cancelled(world: World) -> None:
    world.model("works")
    path, headers = "/v1/models/works/maintenance", world.everything
    refused = world.client.post(path, json={"end": in_hours(world, 24 * 8), "reason": ""}, headers=headers)
    assert refused.status_code == 422
    assert {one["at"] for one in refused.json()["errors"]} == {"end", "reason"}
    made = world.client.post(path, json={"end": in_hours(world, 2), "reason": "new sensors"}, headers=headers)
    assert (made.status_code, made.json()["quarantine"]) == (201, True)
    assert world.client.get(path, headers=headers).json()["maintenance"] == [made.json()]
    one = f"{path}/{made.json()['id']}"
    assert world.client.request("DELETE", one, headers=headers).status_code == 204
    assert world.client.request("DELETE", one, headers=headers).status_code == 404
    assert world.client.get(path, headers=headers).json()["maintenance"] == []
    actions = [entry.action for entry in world.runtime.api.read.audit(2)]
    assert actions == ["maintenance.cancel", "maintenance.plan"]


def test_incidents_of_different_models_are_not_merged(world: World) -> None:
    first, headers = opened(world, "merge-a")
    opened(world, "merge-b")
    refused = world.client.post(f"{first}/merge", json={"into": "i-merge-b"}, headers=headers)
    assert (refused.status_code, refused.json()["errors"][0]["at"]) == (422, "into")
    assert world.client.post(f"{first}/merge", json={"into": "nothing"}, headers=headers).status_code == 404


def test_without_frozen_evidence_the_answer_says_why(world: World) -> None:
    path, headers = opened(world, "bare")
    missing = world.client.get(f"{path}/evidence", headers=headers)
    assert missing.status_code == 404
    assert "no frozen evidence" in missing.json()["detail"]


@pytest.mark.parametrize("query", ["days=0", "days=401", "model=nothing"])
def test_quality_of_nonsense_is_refused(world: World, query: str) -> None:
    assert world.client.get(f"/v1/alert-quality?{query}", headers=world.everything).status_code in {404, 422}


def test_the_timeline_has_what_a_policy_did_and_each_act_of_a_person_once(world: World) -> None:
    path, headers = opened(world, "policed")
    api = world.runtime.api
    version = api.read.version("policed", "1")
    assert version is not None
    for event, incident_id in ((Event.SUSPECT, "i-policed"), (Event.QUARANTINE, None)):
        worker = world.runtime.store.worker("w", 10.0, api.clock)
        first, current = worker.position(), api.read.version("policed", "1")
        assert current is not None
        record = s.transition(current, event, actor=SYSTEM, incident_id=incident_id)
        changed = Outcome(first=first, last=first, revision=worker.revision(), transitions=[(record, current.lock)])
        worker.commit(changed)
        worker.close()
    asked = {"event": "start_review", "reason": "I look", "incident_id": "i-policed"}
    reviewed = world.client.post("/v1/models/policed/versions/1/transitions", json=asked, headers=headers)
    assert reviewed.status_code == 200, reviewed.text
    shown = world.client.get(path, headers=headers).json()["timeline"]
    told = [(item["kind"], item["actor"], item["body"]) for item in shown if item["kind"] in set(Event)]
    assert told == [("suspect", "lazaretto", "suspect it"), ("start_review", "ada", "I look")], (
        "the quarantine was for another reason"
    )
    assert [item["at"] for item in shown] == sorted(item["at"] for item in shown)
