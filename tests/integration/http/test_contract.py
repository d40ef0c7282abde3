"""What people and payload loggers ask besides events: labels, CloudEvents, incidents, policies, keys."""

import gzip
import json
from pathlib import Path
from typing import Any

import httpx

from tests.integration.http.conftest import Served, eventually, make_key, register

IRIS = {
    "features": [{"name": name, "kind": "numeric"} for name in ("sepal_l", "sepal_w", "petal_l", "petal_w")],
    "prediction": {"kind": "class", "classes": ["setosa", "versicolor", "virginica"]},
}


def test_labels_are_counted_once_and_bad_ones_are_named(client: httpx.Client) -> None:
    path = register(client, "labelled")
    labels: list[dict[str, Any]] = [{"event_id": f"e-{number}", "label": "ok"} for number in range(20)]
    labels.append({"event_id": "e-20", "label": {"not": "a label"}})
    for duplicates in (0, 20):
        answer = client.post(f"{path}/labels", json={"labels": labels}, headers={"idempotency-key": "labels"})
        assert answer.status_code == 202, answer.text
        receipt = answer.json()
        assert (receipt["accepted"], receipt["rejected"], receipt["duplicates"]) == (20, 1, duplicates)
        assert receipt["errors"][0]["at"] == "labels[20].label"
    lines = "\n".join(json.dumps(label) for label in labels[:3])
    answer = client.post(f"{path}/labels", content=lines, headers={"content-type": "application/x-ndjson"})
    assert answer.json()["accepted"] == 3
    eventually(lambda: client.get(f"{path}/status").json()["labels_total"] == 23, "labels are counted")


def test_logged_inferences_of_kserve_are_taken_in_every_mode(client: httpx.Client, shared_data: Path) -> None:
    body: dict[str, Any] = {"name": "sklearn-iris", "owner": "iris"}
    assert client.post("/v1/models", json=body).status_code == 201
    body = {"version": "1", "schema": IRIS}
    assert client.post("/v1/models/sklearn-iris/versions", json=body).status_code == 201
    lines = gzip.decompress((shared_data / "telemetry" / "kserve_payload_logger_events.jsonl.gz").read_bytes())
    events = [json.loads(line) for line in lines.splitlines()]

    def send(content: object, headers: dict[str, str]) -> None:
        answer = client.post("/v1/ingest/cloudevents", content=json.dumps(content), headers=headers)
        assert (answer.status_code, answer.content) == (200, b"")

    send(events, {"content-type": "application/cloudevents-batch+json"})
    for event in events:
        send(event, {"content-type": "application/cloudevents+json"})
        attributes = {f"ce-{name}": text for name, text in event.items() if isinstance(text, str) and name != "_doc"}
        send(event["data"], {"content-type": "application/json", **attributes})

    # Sent three times, as loggers do that are not sure; two rows a half, counted once.
    status = "/v1/models/sklearn-iris/versions/1/status"
    eventually(lambda: client.get(status).json()["events_total"] == 8, "each half is counted once")
    unknown = [{**events[0], "inferenceservicename": "sklearn-irsi"}]
    refused = client.post(
        "/v1/ingest/cloudevents", json=unknown, headers={"content-type": "application/cloudevents-batch+json"}
    )
    assert refused.status_code == 404
    assert "nearest: 'sklearn-iris'" in refused.json()["detail"]
    assert client.get(status).json()["events_total"] == 8


def test_an_incident_is_taken_given_discussed_and_closed(client: httpx.Client) -> None:
    path = register(client, "incident")
    rows = "".join(f"{20 + number % 50},{'DE' if number % 2 else 'FR'},ok\n" for number in range(999))
    reference = f"age,country,prediction\n{rows}"
    assert client.put(f"{path}/baseline", content=reference, headers={"content-type": "text/csv"}).status_code == 200
    strange = {"events": [{"features": {"age": 900, "country": "XX"}, "prediction": "fraud"}] * 50}

    def quarantined() -> bool:
        assert client.post(f"{path}/events", json=strange).status_code == 202
        return client.get("/v1/gate/incident/1").status_code == 403

    eventually(quarantined, "strange values close the gate")
    (found,) = client.get("/v1/incidents?model=incident&status=open").json()["incidents"]
    address = f"/v1/incidents/{found['id']}"
    assert client.post(f"{address}/ack").json()["status"] == "acknowledged"
    assert client.post(f"{address}/assign", json={"assignee": "grace"}).json()["assignee"] == "grace"
    assert client.post(f"{address}/comment", json={"note": "the form was changed"}).status_code == 200
    refused = client.post(f"{address}/resolve", json={"verdict": "whatever"})
    assert (refused.status_code, refused.json()["errors"][0]["at"]) == (422, "verdict")
    resolved = client.post(f"{address}/resolve", json={"verdict": "data bug", "note": "unit changed"}).json()
    assert (resolved["status"], resolved["verdict"], resolved["note"]) == ("resolved", "data bug", "unit changed")
    assert client.post(f"{address}/resolve", json={"verdict": "attack"}).status_code == 409
    shown = client.get(address).json()
    assert "the form was changed" in json.dumps(shown["timeline"])
    assert [alert["incident_id"] for alert in shown["alerts"]] == [found["id"]] * len(shown["alerts"])
    assert client.get("/v1/incidents?model=incident&status=open").json()["incidents"] == []

    for window in ("1m", "5m", "1h", "1d"):
        points = client.get(f"{path}/history", params={"window": window, "column": "age"}).json()["points"]
        assert sum(point["events"] for point in points) >= 50, window
        assert points[-1]["evidence"] > 1, window
        rolling = client.get(f"{path}/status", params={"window": window}).json()
        assert rolling["window"] == window
        assert rolling["windows"][window]["events"] >= 50, window
        (age,) = [column for column in rolling["columns"] if column["name"] == "age"]
        low, high = age["intervals"]["js"]
        assert 0 <= low <= high <= 1, window
        assert age["effects"]["js"] > 0.5, window
    moving = client.get(f"{path}/history", params={"window": "1h", "step": "5m", "column": "age"}).json()
    assert moving["step"] == "5m"
    assert moving["points"][-1]["events"] >= sum(point["events"] for point in moving["points"][:1])
    assert moving["points"][-1]["effects"]["js"] > 0.5
    assert moving["points"][-1]["intervals"]["js"][1] <= 1
    for bad, at in (({"window": "2m"}, "query.window"), ({"window": "5m", "step": "1h"}, "step")):
        refused = client.get(f"{path}/history", params=bad)
        assert (refused.status_code, refused.json()["errors"][0]["at"]) == (422, at)
    assert client.get(f"{path}/status?window=2m").status_code == 422


def test_a_policy_is_replaced_and_promises_anew(client: httpx.Client) -> None:
    path = register(client, "policy")
    assert client.get(f"{path}/status").json()["budget"]["ticks"] == 30 * 86_400 / 0.1
    policy = {"budget": {"false_alarms": 2, "per_days": 1}, "tick_seconds": 1.0, "reviewers": 3}
    assert client.put("/v1/models/policy/policy", json=policy).status_code == 200
    assert client.get("/v1/models/policy/policy").json()["reviewers"] == 3
    assert client.get(f"{path}/status").json()["threshold"] == 43_200
    refused = client.put("/v1/models/policy/policy", json={"reviewers": 0, "budget": {"per_days": -1}, "color": "red"})
    assert refused.status_code == 422
    assert {place["at"] for place in refused.json()["errors"]} == {"reviewers", "budget.per_days", "color"}


def test_a_revoked_key_is_refused_at_the_very_next_request(client: httpx.Client, served: Served) -> None:
    made = client.post("/v1/keys", json={"name": "temp", "scopes": ["read", "ingest"]}).json()
    path = register(client, "revoking")
    event = {"events": [{"features": {"age": 1, "country": "DE"}}]}
    with httpx.Client(base_url=served.url, headers={"x-api-key": made["key"]}) as temporary:
        assert temporary.get("/v1/models").status_code == 200
        assert temporary.post(f"{path}/events", json=event).status_code == 202
        assert client.delete(f"/v1/keys/{made['id']}").status_code == 200
        assert temporary.get("/v1/models").status_code == 401
        assert temporary.post(f"{path}/events", json=event).status_code == 401
    listed = {key["id"]: key for key in client.get("/v1/keys").json()["keys"]}
    assert listed[made["id"]]["revoked"] is not None


def test_a_key_reaches_no_further_than_its_scope_and_models(client: httpx.Client, served: Served) -> None:
    path = register(client, "reach")
    register(client, "beyond")
    body = {"name": "narrow", "scopes": ["ingest", "read"], "models": ["reach"]}
    key = client.post("/v1/keys", json=body).json()["key"]
    event = {"events": [{"features": {"age": 1, "country": "DE"}}]}
    with httpx.Client(base_url=served.url, headers={"authorization": f"Bearer {key}"}) as narrow:
        assert narrow.post(f"{path}/events", json=event).status_code == 202
        assert narrow.post("/v1/models/beyond/versions/1/events", json=event).status_code == 403
        assert narrow.get("/v1/models/beyond").status_code == 403
        assert [model["name"] for model in narrow.get("/v1/models").json()["models"]] == ["reach"]
        assert narrow.post(f"{path}/transitions", json={"event": "quarantine", "reason": "no"}).status_code == 403
    ingest_only = make_key(served.data_dir, "ingest")
    assert httpx.get(f"{served.url}{path}/status", headers=ingest_only).status_code == 403
