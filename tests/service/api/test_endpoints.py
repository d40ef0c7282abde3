"""What the endpoints do, over a real store and a real log in one process."""

import base64
import json
import re

import pytest

from service.api.compile import Compiler
from service.api.deps import Api
from service.domain.errors import Unavailable
from service.domain.ids import Actor
from service.domain.records import Scope
from service.gate.fleet import EMPTY
from service.ingest.typed import EVENT_FIELDS
from service.office import put_baseline
from service.pipeline import AcceptStages
from service.ports import Appended, NewEntry
from tests.service.api.conftest import EVENTS, SCHEMA, World
from tests.service.worker.world import compiled

CSV = "age,country,prediction\n" + "".join(
    f"{n % 70},{'DE' if n % 3 else 'FR'},{'ok' if n % 9 else 'fraud'}\n" for n in range(600)
)


class FailingLog:
    """A log that refuses, as a full one or one whose disk fails."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    async def append(self, _: NewEntry) -> Appended:
        raise self.error


def with_log(monkeypatch: pytest.MonkeyPatch, api: Api, error: Exception) -> None:
    stages = api.accept
    broken = AcceptStages.over(
        FailingLog(error),  # type: ignore[arg-type]  # only append is used
        stages.clock,
        stages.limits,
        stages.preparers.deidentifier,
    )
    monkeypatch.setattr(Api, "accept", broken)


def test_a_model_is_registered_read_and_listed(world: World) -> None:
    path = world.model("ends-model")
    shown = world.client.get("/v1/models/ends-model", headers=world.everything).json()
    assert (shown["name"], shown["owner"], shown["created_by"]) == ("ends-model", "risk", "ada")
    assert [version["version"] for version in shown["versions"]] == ["1"]
    version = world.client.get(path, headers=world.everything).json()
    assert version["state"] == "active"
    assert [feature["name"] for feature in version["schema"]["features"]] == ["age", "country"]
    listed = world.client.get("/v1/models?limit=1000", headers=world.everything).json()["models"]
    assert "ends-model" in [model["name"] for model in listed]


def test_a_baseline_is_compiled_signed_and_shown_with_its_bins(world: World) -> None:
    path = f"{world.model('ends-reference')}/baseline"
    headers = world.everything
    assert world.client.get(path, headers=headers).status_code == 404
    put = world.client.put(path, content=CSV, headers={**headers, "content-type": "text/csv"}).json()
    assert {"baseline_id", "digest", "rows", "columns", "warnings"} <= set(put)
    assert put["rows"] == 600
    assert put["columns"] == [
        "age",
        "country",
        "prediction",
        *(f"score.{name}" for name in ("mahalanobis", "typicality", "pairs")),
    ]
    shown = world.client.get(path, headers=headers).json()
    assert shown["digest"] == put["digest"]
    assert sum(item["rows"] for item in shown["details"][0]["bins"]) == 600
    status = world.client.get(path.replace("baseline", "status"), headers=headers).json()
    assert status["baseline_id"] == put["baseline_id"]


def test_a_baseline_says_what_it_tolerates_and_what_its_self_test_saw(world: World) -> None:
    path = f"{world.model('ends-words')}/baseline"
    headers = world.everything
    put = world.client.put(path, content=CSV, headers={**headers, "content-type": "text/csv"}).json()
    assert (put["supports_promise"], put["insufficient"]) == (True, None)
    shown = world.client.get(path, headers=headers).json()
    assert (shown["outdated"], shown["self_test"]) == (False, put["self_test"])
    assert "would have raised" in shown["self_test"]["text"]
    age = shown["details"][0]
    assert age["share"] == pytest.approx(0.8 / 3)
    assert age["why"].startswith("exponent")
    assert any(": may move by" in tolerance["text"] for tolerance in age["tolerances"])


def test_a_baseline_that_supports_no_promise_is_accepted_and_says_what_is_missing(world: World) -> None:
    path = f"{world.model('ends-few')}/baseline"
    few = "\n".join(CSV.splitlines()[:12])
    put = world.client.put(path, content=few, headers={**world.everything, "content-type": "text/csv"})
    assert put.status_code == 200
    for answer in (put.json(), world.client.get(path, headers=world.everything).json()):
        assert answer["supports_promise"] is False
        assert answer["insufficient"].startswith("the reference has 11 rows; a promise about false alarms needs")


def test_another_policy_explains_baselines_anew(world: World) -> None:
    path = f"{world.model('ends-anew')}/baseline"
    headers = world.everything
    world.client.put(path, content=CSV, headers={**headers, "content-type": "text/csv"})
    policy = {"columns": {"age": {"minimum_effect": 0.5, "weight": 4}, "probabilities.x": {"ignore": True}}}
    world.client.put("/v1/models/ends-anew/policy", json=policy, headers=headers)
    record = world.runtime.api.read.baseline(world.runtime.api.version("ends-anew", "1").id)
    assert record is not None
    stored = world.runtime.api.read.calibration(record.id)
    assert stored is not None
    assert stored.columns[0].share == pytest.approx(0.8 * 4 / (3 + 3))
    shown = world.client.get(path, headers=headers).json()
    assert shown["outdated"] is False
    assert shown["details"][0]["tolerances"][0]["by"] >= 0.5
    assert [w["text"].partition(":")[0] for w in shown["warnings"] if w["code"] == "policy"] == [
        "policy.columns.probabilities.x"
    ]


def test_declared_segments_get_a_baseline_of_their_own(world: World) -> None:
    path = f"{world.model('ends-segments')}/baseline"
    headers = world.everything
    policy = {"segments": {"column": "country", "values": ["FR", "DE", "PL"], "share": 0.4}}
    put = world.client.put("/v1/models/ends-segments/policy", json=policy, headers=headers)
    assert put.status_code == 200
    assert put.json()["policy"]["segments"] == policy["segments"]
    shown = world.client.put(path, content=CSV, headers={**headers, "content-type": "text/csv"}).json()
    for answer in (shown, world.client.get(path, headers=headers).json()):
        found = {each["segment"]: each for each in answer["segments"]}
        assert [each["rows"] for each in found.values()] == [400, 200, 0]
        assert [each["share"] for each in found.values()] == pytest.approx([0.2, 0.2, 0.0])
        assert "no rows of country=PL" in found["country=PL"]["insufficient"]
        told = [(w["column"], w["code"]) for w in answer["warnings"] if "country=PL" in w["text"]]
        assert told == [("country", "segment")], "once, of the column that tells the segments apart"
    refused = world.client.put(
        "/v1/models/ends-segments/policy", json={"segments": {"column": "age", "values": ["1"]}}, headers=headers
    )
    assert refused.status_code == 422
    assert [error["at"] for error in refused.json()["errors"]] == [
        "segments.column",
        "versions.1.schema.features.age.kind",
    ]


def test_a_baseline_of_an_earlier_release_is_explained_when_it_is_asked_for(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = f"{world.model('ends-earlier')}/baseline"
    api = world.runtime.api
    put_baseline(api.office, Actor("ada"), api.version("ends-earlier", "1"), compiled(400))

    async def busy(*_: object) -> None:
        raise Unavailable("other baselines are being compiled")

    with monkeypatch.context() as patch:
        patch.setattr(Compiler, "explain", busy)
        shown = world.client.get(path, headers=world.everything).json()
        assert (shown["supports_promise"], shown["outdated"], shown["self_test"]) == (None, None, None)
        assert shown["details"][0]["tolerances"] == []
    assert world.client.get(path, headers=world.everything).json()["supports_promise"] is True


def test_labels_are_accepted_durably(world: World) -> None:
    path = f"{world.model('ends-labels')}/labels"
    before = world.runtime.log.head()
    answer = world.client.post(path, json={"labels": [{"event_id": "e1", "label": "fraud"}]}, headers=world.everything)
    assert answer.status_code == 202
    assert answer.json()["accepted"] == 1
    assert world.runtime.log.head() > before


def test_the_documented_route_and_the_hot_path_are_one(world: World) -> None:
    path = f"{world.model('ends-route')}/events"
    hot = world.client.post(path, json=EVENTS, headers=world.everything)
    app = world.client.app
    ordinary, world.client.app = app.ordinary, app
    world.client.app = ordinary  # type: ignore[assignment]  # the same application without its short cuts
    try:
        slow = world.client.post(path, json=EVENTS, headers=world.everything)
        gate = world.client.get("/v1/gate/ends-route/1")
    finally:
        world.client.app = app
    assert (hot.status_code, slow.status_code) == (202, 202)
    assert set(hot.json()) == set(slow.json())
    assert gate.headers["x-gate-state"] == "active"


def test_a_log_that_cannot_commit_is_503_and_never_202(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    path = world.model("ends-failing")
    headers = world.everything
    failed = world.runtime.api.counters.batches["overloaded"].value
    with_log(monkeypatch, world.runtime.api, Unavailable("the disk is full", retry_after_seconds=5))
    for end, body in (("events", EVENTS), ("labels", {"labels": [{"event_id": "e", "label": "ok"}]})):
        answer = world.client.post(f"{path}/{end}", json=body, headers=headers)
        assert answer.status_code == 503
        assert answer.headers["retry-after"] == "5"
        assert "accepted" not in answer.json()
    assert world.runtime.api.counters.batches["overloaded"].value == failed + 1


def test_a_bug_is_a_500_that_tells_only_its_request_id(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    path = world.model("ends-bug")
    headers = {**world.everything, "x-request-id": "bug-1"}
    with_log(monkeypatch, world.runtime.api, ZeroDivisionError("inside"))
    for end, body in (("events", EVENTS), ("labels", {"labels": [{"event_id": "e", "label": "ok"}]})):
        caplog.clear()
        answer = world.client.post(f"{path}/{end}", json=body, headers=headers)
        assert answer.status_code == 500
        assert answer.headers["content-type"] == "application/problem+json"
        assert "bug-1" in answer.json()["detail"]
        assert "inside" not in answer.text
        assert [record.exc_info[0] for record in caplog.records if record.exc_info] == [ZeroDivisionError]


def test_a_state_change_is_on_the_gate_before_it_is_answered(world: World) -> None:
    path = world.model("ends-gate")
    headers = world.everything
    assert world.client.get("/v1/gate/v2/models/ends-gate/infer").status_code == 200
    asked = {"event": "quarantine", "reason": "looks wrong to me"}
    answer = world.client.post(f"{path}/transitions", json=asked, headers=headers)
    assert answer.json() == {"state": "quarantined", "version": "1", "approvals": {"have": 0, "need": 0, "by": []}}
    for target in ("v2/models/ends-gate/infer", "v1/models/ends-gate:predict", "ends-gate/1"):
        for method in ("GET", "POST", "HEAD", "OPTIONS", "DELETE"):
            gate = world.client.request(method, f"/v1/gate/{target}")
            assert (gate.status_code, gate.headers["x-gate-state"]) == (403, "quarantined")
    assert world.client.get("/v1/gate", headers={"x-original-uri": "/v2/models/ends-gate/infer"}).status_code == 403


def test_a_release_waits_for_a_second_person(world: World) -> None:
    path = f"{world.model('ends-release')}/transitions"
    needs = []
    for event in ("quarantine", "start_review"):
        asked = {"event": event, "reason": "looks wrong to me"}
        needs.append(world.client.post(path, json=asked, headers=world.everything).json()["approvals"])
    assert needs == [{"have": 0, "need": 0, "by": []}, {"have": 0, "need": 2, "by": []}]
    release = {"event": "release", "reason": "it was a test"}
    first = world.client.post(path, json=release, headers=world.key(Scope.OPERATE, name="bob")).json()
    assert (first["state"], first["approvals"]) == ("under_review", {"have": 1, "need": 2, "by": ["bob"]})
    second = world.client.post(path, json=release, headers=world.key(Scope.OPERATE, name="eve")).json()
    assert second["state"] == "active"
    assert world.client.get("/v1/gate/ends-release/1").status_code == 200
    listed = world.client.get(path, headers=world.everything).json()["transitions"]
    assert [item["event"] for item in listed] == ["release", "start_review", "quarantine"]


def test_keys_are_made_used_listed_and_revoked(world: World) -> None:
    headers = world.everything
    made = world.client.post("/v1/keys", json={"name": "temp", "scopes": ["read"]}, headers=headers).json()
    own = {"x-api-key": made["key"]}
    assert world.client.get("/v1/models", headers=own).status_code == 200
    listed = world.client.get("/v1/keys", headers=headers)
    assert made["key"] not in listed.text
    assert made["id"] in listed.text
    assert world.client.request("DELETE", f"/v1/keys/{made['id']}", headers=headers).status_code == 200
    assert world.client.get("/v1/models", headers=own).status_code == 401


def test_cloudevents_are_answered_with_a_bare_200(world: World) -> None:
    world.model("ends-cloud")
    key = world.everything["authorization"].removeprefix("Bearer ")
    headers = {
        "authorization": "Basic " + base64.b64encode(f"key:{key}".encode()).decode(),
        "content-type": "application/json",
        "ce-specversion": "1.0",
        "ce-id": "1",
        "ce-type": "org.kubeflow.serving.inference.request",
        "ce-source": "http://localhost/",
        "ce-inferenceservicename": "ends-cloud",
    }
    body = {"instances": [{"age": 41.0, "country": "DE"}]}
    before = world.runtime.log.head()
    answer = world.client.post("/v1/ingest/cloudevents", json=body, headers=headers)
    assert (answer.status_code, answer.content) == (200, b"")
    assert world.runtime.log.head() > before
    unknown = world.client.post(
        "/v1/ingest/cloudevents", json=body, headers={**headers, "ce-inferenceservicename": "ends-clod"}
    )
    assert unknown.status_code == 404
    assert "ends-cloud" in unknown.json()["nearest"]


def test_the_openapi_document_has_every_path_with_schemas_that_exist(world: World) -> None:
    document = world.client.get("/openapi.json").json()
    events = document["paths"]["/v1/models/{model}/versions/{version}/events"]["post"]
    assert set(re.findall("`([a-z_]+)`", events["description"])) == set(EVENT_FIELDS)
    assert {"/v1/gate", "/v1/gate/{rest}"} <= set(document["paths"])
    text = json.dumps(document)
    used = set(re.findall(r'"#/components/schemas/([^"]+)"', text))
    assert used <= set(document["components"]["schemas"])
    assert "NewModel" in used


def test_metrics_and_health_need_no_key(world: World) -> None:
    assert b"lazaretto_events_total" in world.client.get("/metrics").content
    assert world.client.get("/healthz").json() == {"status": "alive"}
    assert [world.client.request("HEAD", path).status_code for path in ("/healthz", "/readyz")] == [200, 200]
    checks = world.client.get("/readyz").json()["checks"]
    assert (checks["log"], checks["worker"], checks["clock"]) == ("ok", "not seen yet", "ok")


def test_a_version_registered_twice_alike_is_answered_alike(world: World) -> None:
    world.model("ends-same")
    body = {"version": "1", "schema": SCHEMA}
    again = world.client.post("/v1/models/ends-same/versions", json=body, headers=world.everything)
    assert again.status_code == 201
    assert again.json()["version"] == "1"


def test_a_version_that_another_replica_registered_just_now_takes_events_and_labels(world: World) -> None:
    path = world.model("elsewhere")
    fleet = world.runtime.api.fleet
    for what, body in (("events", EVENTS), ("labels", {"labels": [{"event_id": "e1", "label": "ok"}]})):
        fleet.view, fleet.checked_us = EMPTY, 0  # as in a replica that has not heard of it yet
        answer = world.client.post(f"{path}/{what}", json=body, headers=world.everything)
        assert answer.status_code == 202, answer.text
    missing = world.client.post("/v1/models/elsewhere/versions/9/events", json=EVENTS, headers=world.everything)
    assert missing.status_code == 404


def test_readiness_says_that_the_clock_was_set_back(world: World) -> None:
    world.runtime.log._meter.clock_behind_us = 90_000_000
    ready = world.client.get("/readyz")
    world.runtime.log._meter.clock_behind_us = 0
    assert ready.status_code == 200
    assert ready.json()["checks"]["clock"].startswith("90 s behind")
