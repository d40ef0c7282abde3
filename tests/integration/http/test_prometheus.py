"""A real Prometheus and Alertmanager, as they are shipped, over a running service: panels, rules, one alert."""

import json
import time
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass
from functools import partial
from itertools import count
from typing import Any

import httpx
import numpy as np
import pytest

from scripts.dashboards.__main__ import DASHBOARDS
from scripts.dashboards.panels import Panel
from tests.integration.http.conftest import PATIENCE_SECONDS, SCHEMA, Served, eventually, make_key, serving
from tests.integration.http.observed import DEPLOY, Hook, alerting, ask, listening, query, scraping
from tests.service.api.test_redteam import SUMMARY

pytestmark = pytest.mark.slow

PANELS = [(board.uid, panel) for board in DASHBOARDS for row in board.rows for panel in row.panels]
NUMBERS = count(1)
EMPTY_HERE = {
    ("lazaretto-model", "Adversarial use by tier"): "nobody attacks the model of this test",
    ("lazaretto-red-team", "Adversarial use by tier"): "nobody attacks the model of this test",
    ("lazaretto-red-team", "Runs that the service started"): "no red team is scheduled here: a run takes minutes",
    ("lazaretto-red-team", "Running"): "as above",
    ("lazaretto-red-team", "Overdue"): "as above",
    ("lazaretto-red-team", "Since a run ended well"): "as above",
    ("lazaretto-on-call", "Waiting by channel"): "what is told here is delivered at once",
    ("lazaretto-on-call", "Verdicts of 30 days"): "nobody judges an incident here",
    ("lazaretto-on-call", "Worth it"): "as above",
    ("lazaretto-on-call", "Time until people act"): "as above",
    ("lazaretto-on-call", "Reviews past their deadline"): "no version is under review here",
}
CHOSEN = {
    **dict.fromkeys(("$job", "$instance", "$model", "$version"), ".+"),
    # A busy machine lets the worker rest for longer than a panel would look back.
    "$__rate_interval": "10m",
    "$__range": "10m",
}


@dataclass
class Scene:
    """Everything that runs."""

    served: Served
    client: httpx.Client
    prometheus: httpx.Client
    hook: Hook


@pytest.fixture(scope="module")
def scene(program: Callable[[str], str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    folder = tmp_path_factory.mktemp("observed")
    with listening() as hook:
        channels = {"own": {"kind": "webhook", "url": f"{hook.url}/own"}}
        own = json.dumps({"allow": ["127.0.0.0/8"], "channels": channels})
        with (
            serving(folder / "data", notifications=own) as served,
            alerting(program, folder / "alertmanager", hook) as alertmanager,
            scraping(program, folder / "prometheus", served.url, alertmanager) as prometheus,
        ):
            headers = make_key(served.data_dir, "ingest", "read", "operate", "admin")
            with httpx.Client(base_url=served.url, headers=headers, timeout=PATIENCE_SECONDS) as client:
                yield Scene(served, client, prometheus, hook)


def answers(scene: Scene, panel: Panel) -> list[bool]:
    """Return of each query of a panel whether it has data."""
    found = []
    for one in panel.queries:
        expression = one.expression
        for name, value in CHOSEN.items():
            expression = expression.replace(name, value)
        found.append(bool(query(scene.prometheus, expression)))
    return found


def register(client: httpx.Client, model: str, policy: dict[str, Any]) -> str:
    """Register a model with a reference; return its path."""
    body = {"name": model, "owner": "risk", "policy": {"tick_seconds": 0.1, **policy}}
    assert client.post("/v1/models", json=body).status_code == 201
    body = {"version": "1", "schema": SCHEMA}
    assert client.post(f"/v1/models/{model}/versions", json=body).status_code == 201
    generator = np.random.default_rng(5)
    ages = enumerate(generator.normal(40, 10, 2_000))
    rows = [f"{age:.3f},{'DE' if age > 40 else 'FR'},ok,{'ok' if i % 10 else 'fraud'}" for i, age in ages]
    reference = "\n".join(["age,country,prediction,outcome", *rows])
    path = f"/v1/models/{model}/versions/1"
    answer = client.put(f"{path}/baseline?label=outcome", content=reference, headers={"content-type": "text/csv"})
    assert answer.status_code == 200, answer.text
    return path


def send(client: httpx.Client, path: str) -> None:
    event = f"event-{next(NUMBERS)}"
    batch = [
        {"event_id": event, "features": {"age": 41, "country": "DE"}, "prediction": "ok"},
        {"features": {"age": 39, "country": "FR"}},
    ]
    assert client.post(f"{path}/events", json={"events": batch}).status_code == 202
    labels = [{"event_id": event, "label": "ok"}]
    assert client.post(f"{path}/labels", json={"labels": labels}).status_code == 202


def ask_to(client: httpx.Client, path: str, event: str, headers: dict[str, str] | None = None) -> None:
    body = {"event": event, "reason": "this is a test"}
    answer = client.post(f"{path}/transitions", json=body, headers=headers)
    assert answer.status_code == 200, answer.text


def scraped(scene: Scene) -> None:
    """Wait for the first scrape: a counter that has counted before it tells of no gain."""

    def up() -> bool:
        targets = ask(scene.prometheus, "/targets")["activeTargets"]
        return [(target["health"], target["lastError"]) for target in targets] == [("up", "")]

    eventually(up, "the target is up")


def test_on_a_fresh_service_every_panel_has_data_or_says_why_not(scene: Scene) -> None:
    scraped(scene)
    silent = [(board, panel) for board, panel in PANELS if not panel.empty]
    assert len(silent) > 20

    def missing() -> list[str]:
        return [f"{board}: {panel.title}" for board, panel in silent if not all(answers(scene, panel))]

    until = time.monotonic() + PATIENCE_SECONDS
    while (left := missing()) and time.monotonic() < until:
        time.sleep(0.2)
    assert left == []


def test_with_traffic_every_panel_has_data_and_every_rule_evaluates(scene: Scene) -> None:
    scraped(scene)
    client = scene.client
    requests: dict[str, dict[str, object]] = {"adversarial": {"requests": {}}}
    lively = register(client, "lively", requests)
    fallen = register(client, "fallen", {})
    silent = register(client, "silent", {"traffic": {"stale_after_seconds": 1}})
    summary = deepcopy(SUMMARY)
    assert client.post(f"{lively}/redteam", json=summary).status_code == 200
    for path in (lively, fallen, silent):
        send(client, path)
    ask_to(client, fallen, "quarantine")
    day = {"from": "2020-01-01T00:00:00Z", "to": "2020-01-02T00:00:00Z"}
    asked = client.post(f"{lively}/reports", json=day)
    assert asked.status_code == 202, asked.text  # it will find no events; that takes time all the same
    left = [(board, panel) for board, panel in PANELS if (board, panel.title) not in EMPTY_HERE]
    assert len(left) == len(PANELS) - len(EMPTY_HERE)
    # A busy machine needs a minute to ask all panels once; what is a rate takes two rounds at least.
    until = time.monotonic() + 4 * PATIENCE_SECONDS
    while left and time.monotonic() < until:
        send(client, lively)
        send(client, fallen)
        assert httpx.get(f"{scene.served.url}/v1/gate/fallen/1", trust_env=False).status_code == 403
        left = [(board, panel) for board, panel in left if not all(answers(scene, panel))]
    assert [f"{board}: {panel.title}" for board, panel in left] == []

    groups = ask(scene.prometheus, "/rules")["groups"]
    rules = [rule for group in groups for rule in group["rules"]]
    assert len(rules) > 35
    assert {(rule["health"], rule.get("lastError", "")) for rule in rules} == {("ok", "")}
    for rule in rules:
        if rule["type"] == "recording":
            eventually(partial(query, scene.prometheus, rule["name"]), rule["name"])


def test_an_alert_arrives_at_its_webhook_and_is_resolved(scene: Scene) -> None:
    path = register(scene.client, "taken", {})
    send(scene.client, path)
    ask_to(scene.client, path, "quarantine")

    def told(status: str) -> list[dict[str, Any]]:
        return [
            alert
            for alert in scene.hook.alerts("/pager", status)
            if alert["labels"].get("model") == "taken" and alert["labels"]["alertname"] == "LazarettoModelQuarantined"
        ]

    (alert, *_) = eventually(lambda: told("firing"), "the page arrives")
    assert alert["labels"] == {
        "alertname": "LazarettoModelQuarantined",
        "job": "lazaretto",
        "model": "taken",
        "version": "1",
        "severity": "page",
    }
    assert alert["annotations"]["summary"] == "taken 1 is out of service: its gate answers 403"
    assert (DEPLOY / "runbooks" / alert["annotations"]["runbook_url"].rpartition("/")[2]).is_file()
    assert told("resolved") == []
    eventually(lambda: scene.hook.alerts("/dead-man", "firing"), "the dead-man's switch is told that all is well")

    ask_to(scene.client, path, "start_review")
    others = [make_key(scene.served.data_dir, "read", "operate", name=name) for name in ("bob", "eve")]
    assert told("resolved") == [], "a review is no release"
    body = {"event": "release", "reason": "this is a test"}
    asked = [scene.client.post(f"{path}/transitions", json=body, headers=headers) for headers in others]
    assert [answer.is_success for answer in asked] == [True, True], [answer.text for answer in asked]
    eventually(lambda: told("resolved"), "its end arrives")
    every = [alert for _, message in scene.hook.came for alert in message.get("alerts", [])]
    assert [alert for alert in every if "<no value>" in str(alert["annotations"]) or "<error" in str(alert)] == []
