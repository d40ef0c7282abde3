"""The service as its users meet it: over HTTP, from the first key to the release."""

import json
import os
import signal
import sqlite3
import time
from pathlib import Path

import httpx
import numpy as np
import psutil
import pytest

from tests.integration.http.conftest import (
    Served,
    eventually,
    make_key,
    register,
    run,
    serving,
)


def events(generator: np.random.Generator, rows: int, age: float) -> dict[str, object]:
    ages = generator.normal(age, 10, rows)
    countries = generator.choice(["DE", "FR"], rows)
    answers = generator.choice(["ok", "fraud"], rows, p=[0.9, 0.1])
    return {
        "columns": {
            "features": {"age": ages.tolist(), "country": countries.tolist()},
            "prediction": answers.tolist(),
        }
    }


def csv_of(batch: dict[str, dict[str, object]]) -> str:
    columns = batch["columns"]
    features: dict[str, list[object]] = columns["features"]  # type: ignore[assignment]  # built above
    rows = zip(features["age"], features["country"], columns["prediction"], strict=True)  # type: ignore[call-overload]  # lists
    return "age,country,prediction\n" + "".join(f"{a},{c},{p}\n" for a, c, p in rows)


def shows_quarantine(metrics: str) -> bool:
    """Tell whether both are there: the state of the fleet's picture, and evidence, which is read less often."""
    state = 'lazaretto_model_state{model="story",state="quarantined",version="1"} 1.0'
    return state in metrics and 'lazaretto_model_evidence_log{model="story",version="1"}' in metrics


def test_from_telemetry_to_quarantine_to_release(served: Served, client: httpx.Client) -> None:
    generator = np.random.default_rng(7)
    path = register(client, "story")
    reference = csv_of(events(generator, 4_000, 40.0))  # type: ignore[arg-type]  # see there
    put = client.put(f"{path}/baseline", content=reference, headers={"content-type": "text/csv"})
    assert put.status_code == 200, put.text

    for _ in range(10):
        assert client.post(f"{path}/events", json=events(generator, 100, 40.0)).status_code == 202
    counted = {"events_total": 1_000, "lag_seconds": 0.0}
    status = eventually(
        lambda: (body := client.get(f"{path}/status").json())["ticks"] > 0 and body.items() >= counted.items() and body,
        "the benign events are counted, and the worker has caught up",
    )
    assert (status["state"], status["monitoring"]) == ("active", "watching")
    assert client.get("/v1/gate/story/1").status_code == 200

    def quarantined() -> bool:
        assert client.post(f"{path}/events", json=events(generator, 100, 70.0)).status_code == 202
        return httpx.get(f"{served.url}/v1/gate/v2/models/story/infer").status_code == 403

    eventually(quarantined, "the drift closes the gate")
    status = client.get(f"{path}/status").json()
    assert status["evidence"] >= status["threshold"]
    assert status["columns"][0]["name"] == "age"
    assert status["columns"][0]["since"] is not None
    (alert,) = client.get("/v1/alerts?model=story").json()["alerts"]
    assert alert["columns"][0]["name"] == "age"
    (incident,) = client.get("/v1/incidents?model=story").json()["incidents"]
    history = client.get(f"{path}/history?column=age").json()["points"]
    assert history[-1]["effects"]["psi"] is not None
    eventually(lambda: shows_quarantine(client.get("/metrics").text), "metrics show the quarantine")

    release = {"event": "release", "reason": "the camera is repaired", "incident_id": incident["id"]}
    for body in ({"event": "start_review", "reason": "looking at it"}, release):
        assert client.post(f"{path}/transitions", json=body).status_code == 200
    second = make_key(served.data_dir, "operate", name="eve")
    answer = client.post(f"{path}/transitions", json=release, headers=second)
    assert answer.json()["state"] == "active"
    assert httpx.get(f"{served.url}/v1/gate/story/1").status_code == 200
    resolved = client.post(f"/v1/incidents/{incident['id']}/resolve", json={"verdict": "real drift"})
    assert resolved.json()["status"] == "resolved"


def test_what_a_policy_says_of_columns_reaches_the_evidence_and_an_insufficient_baseline_accuses_nobody(
    client: httpx.Client,
) -> None:
    generator = np.random.default_rng(8)
    path = register(client, "words")
    kind = {"content-type": "text/csv"}
    few = csv_of(events(generator, 30, 40.0))  # type: ignore[arg-type]  # see there
    put = client.put(f"{path}/baseline", content=few, headers=kind).json()
    assert put["supports_promise"] is False

    def drifted(count: int) -> dict[str, object]:
        assert client.post(f"{path}/events", json=events(generator, 100, 90.0)).status_code == 202
        answer: dict[str, object] = client.get(f"{path}/status").json()
        return answer if answer["ticks"] >= count else {}  # type: ignore[operator]  # a number

    status = eventually(lambda: drifted(3), "the drift is counted")
    assert status["monitoring"] == "insufficient"
    assert status["insufficient"] == put["insufficient"]
    assert client.get("/v1/alerts?model=words").json()["alerts"] == []

    policy = client.get("/v1/models/words/policy").json() | {"columns": {"age": {"ignore": True}}}
    assert client.put("/v1/models/words/policy", json=policy).status_code == 200
    enough = csv_of(events(generator, 4_000, 40.0))  # type: ignore[arg-type]  # see there
    assert client.put(f"{path}/baseline", content=enough, headers=kind).json()["supports_promise"] is True
    status = eventually(lambda: (s := drifted(3)) and s["monitoring"] == "watching" and s, "it is watched")
    columns = {column["name"]: column for column in status["columns"]}
    assert (columns["age"]["evidence"], columns["country"]["evidence"] > 0) == (0.0, True)
    assert columns["age"]["effects"]["psi"] > 1
    assert (status["state"], status["insufficient"]) == ("active", None)


def test_a_key_made_on_the_command_line_works_at_once_and_a_revoked_one_stops(served: Served) -> None:
    words = ("keys", "create", "--name", "ada", "--scopes", "read,ingest", "--json")
    made = json.loads(run(*words, data_dir=served.data_dir))
    assert made["scopes"] == ["ingest", "read"]
    headers = {"x-api-key": made["key"]}
    assert httpx.get(f"{served.url}/v1/models", headers=headers).status_code == 200
    run("keys", "revoke", made["id"], data_dir=served.data_dir)
    eventually(
        lambda: httpx.get(f"{served.url}/v1/models", headers=headers).status_code == 401, "the revoked key is refused"
    )


def test_the_gate_answers_while_the_store_is_locked(served: Served, client: httpx.Client) -> None:
    path = register(client, "locked")
    asked = {"event": "quarantine", "reason": "looks wrong to me"}
    assert client.post(f"{path}/transitions", json=asked).status_code == 200
    with sqlite3.connect(served.data_dir / "state.db", isolation_level=None) as holder:
        holder.execute("BEGIN EXCLUSIVE")
        try:
            for _ in range(20):
                assert httpx.get(f"{served.url}/v1/gate/locked/1").headers["x-gate-state"] == "quarantined"
            sent = client.post(f"{path}/events", json={"events": [{"features": {"age": 1, "country": "DE"}}]})
            assert sent.status_code == 202
            refused = client.get(f"{path}/status")
            assert refused.status_code == 503
            assert int(refused.headers["retry-after"]) > 0
        finally:
            holder.execute("ROLLBACK")
    holder.close()
    eventually(lambda: client.get(f"{path}/status").status_code == 200, "the store is back")


def test_a_killed_worker_is_replaced_and_nothing_is_lost(served: Served, client: httpx.Client) -> None:
    path = register(client, "killed")
    body = {"events": [{"features": {"age": 1, "country": "DE"}}] * 10}
    for _ in range(5):
        assert client.post(f"{path}/events", json=body).status_code == 202
    first = eventually(served.worker_pid, "there is a worker")
    os.kill(first, signal.SIGKILL)
    for _ in range(5):
        assert client.post(f"{path}/events", json=body).status_code == 202
    eventually(lambda: client.get(f"{path}/status").json()["events_total"] == 100, "every event is counted once")
    assert eventually(served.worker_pid, "there is a new worker") != first


def test_the_log_is_json_and_holds_no_key(served: Served, client: httpx.Client) -> None:
    secret = client.headers["authorization"].removeprefix("Bearer ")
    client.get(f"/v1/models/{secret}")
    lines = eventually(lambda: [line for line in served.lines() if line["message"] == "request"], "requests are logged")
    assert {"at", "level", "request_id", "method", "path", "status", "milliseconds"} <= set(lines[-1])
    assert secret not in served.log.read_text()


def test_ending_in_order_answers_what_was_begun(tmp_path: Path) -> None:
    with serving(tmp_path / "data") as served:
        worker = eventually(served.worker_pid, "there is a worker")
        headers = make_key(served.data_dir, "admin", "ingest")
        with httpx.Client(base_url=served.url, headers=headers) as client:
            path = register(client, "ending")
            body = {"events": [{"features": {"age": 1, "country": "DE"}}]}
            assert client.post(f"{path}/events", json=body).status_code == 202
        assert served.end() == 0
        with pytest.raises(ProcessLookupError):
            os.kill(worker, 0)
    shown = run("models", "list", "--json", data_dir=served.data_dir)
    assert '"ending"' in shown


def test_the_worker_ends_when_its_parent_is_killed(tmp_path: Path) -> None:
    with serving(tmp_path / "data") as served:
        worker = psutil.Process(eventually(served.worker_pid, "there is a worker"))
        served.process.kill()
        worker.wait(30)


def test_the_gate_goes_on_when_the_store_is_gone(tmp_path: Path) -> None:
    with serving(tmp_path / "data") as served:
        headers = make_key(served.data_dir, "admin", "operate")
        with httpx.Client(base_url=served.url, headers=headers) as client:
            path = register(client, "gone")
            asked = {"event": "quarantine", "reason": "looks wrong to me"}
            assert client.post(f"{path}/transitions", json=asked).status_code == 200
        # On a busy disk the picture may be late by a round.
        eventually(lambda: httpx.get(f"{served.url}/v1/gate/gone/1").status_code == 403, "the gate has closed")
        (served.data_dir / "state.db").rename(served.data_dir / "moved.db")
        before = time.monotonic()
        while time.monotonic() - before < 1.0:
            answer = httpx.get(f"{served.url}/v1/gate/gone/1")
            assert (answer.status_code, answer.headers["x-gate-state"]) == (403, "quarantined")


def test_two_services_on_one_data_directory_are_refused_in_a_sentence(served: Served) -> None:
    text = run("api", "--port", "0", data_dir=served.data_dir, expect=1)
    assert text.count("\n") == 1
    assert text.startswith("lazaretto: ")


def test_a_port_that_is_taken_is_named(served: Served, tmp_path: Path) -> None:
    port = served.url.rsplit(":", 1)[1]
    text = run("serve", "--port", port, data_dir=tmp_path, expect=1)
    assert f"cannot listen on 127.0.0.1:{port}" in text


def test_a_bad_setting_is_named_without_a_traceback(tmp_path: Path) -> None:
    text = run("serve", "--port", "99999", data_dir=tmp_path, expect=1)
    assert "setting 'port'" in text
    assert "Traceback" not in text


def test_doctor_says_what_is_there_and_what_is_not(served: Served, tmp_path: Path) -> None:
    fresh = run("doctor", data_dir=tmp_path / "none")
    assert "is empty" in fresh
    running = run("doctor", data_dir=served.data_dir)
    assert "its schema is current" in running
    assert "FAILED" not in running


def test_status_on_the_command_line_needs_no_server(tmp_path: Path, served: Served, client: httpx.Client) -> None:
    register(client, "shell")
    assert "shell 1: active" in run("status", "shell", data_dir=served.data_dir)
    assert "effects over 1d" in run("status", "shell", "--window", "1d", data_dir=served.data_dir)
    assert "nearest: 'shell'" in run("status", "shel", data_dir=served.data_dir, expect=1)
    assert "there is none yet" in run("status", "shell", data_dir=tmp_path / "none", expect=1)
