"""Telemetry that lies: batches sent again, times that were not, principals of others, labels that are wrong."""

from typing import Any

import numpy as np

from redteam.scenarios.base import Checks
from redteam.scenarios.service import (
    ACCEPTED,
    ARROW,
    FOLLOWING,
    QUIET,
    Service,
    arrow_of,
    event,
    ordinary,
    prober,
)

FORBIDDEN, UNAUTHENTICATED, CONFLICT = 403, 401, 409
ROWS, PROBES, COPIES = 60, 240, 40
YESTERDAY = {"from": "2020-01-01T00:00:00Z", "to": "2020-01-01T01:00:00Z"}
SERVING = {"active", "suspect"}


def replayed_batches(service: Service, checks: Checks, rng: np.random.Generator) -> None:
    """Send a batch again: under its key, under its key with another body, under other keys with old times."""
    target = service.model(rng)
    inputs, ids = ordinary(rng, ROWS), [f"{service.run}-{i}" for i in range(ROWS)]
    key = {"idempotency-key": f"batch-{service.run}"}
    first = target.send(inputs, "crowd", ids=ids, headers=key)
    again = target.send(inputs, "crowd", ids=ids, headers=key)
    counted = again.status == ACCEPTED and again.body["duplicates"] == ROWS
    checks.expect("the same batch under the same key", f"{again}: {again.body['duplicates']} duplicates", held=counted)
    checks.expect(
        "its position in the log", again.body["position"], held=again.body["position"] == first.body["position"]
    )
    other = target.send(ordinary(rng, ROWS), "crowd", headers=key)
    checks.expect("another batch under the same key", other, held=other.status == CONFLICT)
    stranger = service.model(rng)
    elsewhere = stranger.send(inputs, "crowd", headers=key)
    checks.expect("the key at another model", elsewhere, held=elsewhere.status in {ACCEPTED, CONFLICT})
    status = target.settled()
    checks.expect("events counted", status["events_total"], held=status["events_total"] == ROWS)
    _replay_as_new(service, checks, rng)


def _replay_as_new(service: Service, checks: Checks, rng: np.random.Generator) -> None:
    """Send one client's near-boundary request again and again, under new keys, with the times of yesterday."""
    target = service.model(rng, {"adversarial": {"follow": FOLLOWING}, "actions": QUIET})
    captured = [event(rng, principal="victim", timestamp="2020-01-01T00:00:00Z") for _ in range(5)]
    for number in range(COPIES):
        target.post(captured, headers={"idempotency-key": f"replay-{service.run}-{number}"})
    status = target.settled()
    checks.expect(
        "copies under other keys are counted, none is lost",
        status["events_total"],
        held=status["events_total"] == target.sent == COPIES * len(captured),
    )
    accused = [use for alert in target.alerts() if (use := alert["adversarial"]) is not None]
    text = f"{len(accused)} accusations, {len(target.contained())} contained"
    checks.expect("whose requests are copied is not accused by the copies", text, held=not accused)
    checks.expect("state", status["state"], held=status["state"] in SERVING)
    old = service.must("GET", f"{target.path}/history", params=YESTERDAY)
    checks.expect("history at the copies' own times", f"{len(old['points'])} points", held=not old["points"])


def forged_principals(service: Service, checks: Checks, rng: np.random.Generator) -> None:
    """Speak for somebody else: without a key, with the key of another model, under another client's pseudonym."""
    target = service.model(rng, {"adversarial": {"follow": FOLLOWING}, "actions": QUIET})
    _strangers(service, checks, rng, target.name, target.path)
    name = f"eve-{service.run}"
    target.send(prober(rng, PROBES), name)
    target.settled()
    held = target.contained()
    checks.expect("a client that probes is contained", f"{len(held)} contained", held=len(held) == 1)
    if not held:
        return
    pseudonym = held[0]["principal"]
    checks.expect("its name is nowhere in the answer", pseudonym, held=name not in str(held))
    other = service.model(rng, {"adversarial": {"follow": FOLLOWING}, "actions": QUIET})
    for forged in (pseudonym, f"pseudonym:{pseudonym}", pseudonym.upper(), f" {pseudonym}"):
        other.send(prober(rng, PROBES), forged)
    other.settled()
    accused = {one["principal"] for one in other.contained()}
    seen = f"{len(accused)} others are contained"
    checks.expect(
        "attacks under the pseudonym of another client", seen, held=bool(accused) and pseudonym not in accused
    )
    gate = f"/v1/gate/v2/models/{target.name}/versions/1/infer"
    for tried, values in (
        ("the contained client at the gate", [name]),
        ("it adds an innocent name before its own", ["innocent", name]),
        ("it adds an innocent name behind its own", [name, "innocent"]),
    ):
        headers = [("x-principal", value) for value in values]
        state = service.ask_gate(gate, headers).headers.get("x-gate-principal-state")
        checks.expect(tried, state, held=state == "contained")
    state = service.ask_gate(gate, [("x-principal", pseudonym)]).headers.get("x-gate-principal-state")
    checks.expect("who names the pseudonym at the gate learns nothing", state, held=state == "normal")


def _strangers(service: Service, checks: Checks, rng: np.random.Generator, name: str, path: str) -> None:
    content, headers = arrow_of(ordinary(rng, 5), ["eve"] * 5), {"content-type": ARROW}
    other = service.model(rng)
    for tried, key, wanted in (
        ("telemetry without a key", None, UNAUTHENTICATED),
        ("telemetry with a key that is none", "lzk_" + "A" * 44, UNAUTHENTICATED),
        ("telemetry with a key that may read", service.key("read"), FORBIDDEN),
        ("telemetry with a key of another model", service.key("ingest", models=[other.name]), FORBIDDEN),
    ):
        answer = service.ask_as(key, "POST", f"{path}/events", content=content, headers=headers)
        checks.expect(tried, answer, held=answer.status == wanted)
    key = service.key("ingest", models=[name])
    for field in ("x-lazaretto-actor", "x-forwarded-user", "x-remote-user", "x-key-id"):
        answer = service.ask_as(key, "GET", f"{path}/status", headers={field: "admin"})
        checks.expect(f"more rights by the header {field}", answer, held=answer.status == FORBIDDEN)


def poisoned_labels(service: Service, checks: Checks, rng: np.random.Generator) -> None:
    """Send labels that contradict the model, one another, and events that never were."""
    target = service.model(rng)
    ids = [f"{service.run}-{i}" for i in range(ROWS)]
    target.send(ordinary(rng, ROWS), "crowd", ids=ids)
    before = target.settled()
    digest = service.must("GET", f"{target.path}/baseline")["digest"]
    lies: list[dict[str, Any]] = [{"event_id": one, "label": "yes"} for one in ids]
    lies += [{"event_id": one, "label": "no"} for one in ids]
    lies += [{"event_id": f"never-{i}", "label": "yes", "timestamp": "1970-01-01T00:00:00Z"} for i in range(ROWS)]
    sent = service.ask("POST", f"{target.path}/labels", json={"labels": lies})
    checks.expect("labels that contradict everything are kept and counted", sent, held=sent.status == ACCEPTED)
    odd = [{"event_id": "a", "label": {"$gt": ""}}, {"event_id": 7, "label": "yes"}, {"label": "yes"}, "yes", None]
    refused = service.ask("POST", f"{target.path}/labels", json={"labels": odd})
    checks.expect("labels that are none", refused, held=refused.status == 422)  # noqa: PLR2004 - unprocessable
    for scopes in (("read",), ("operate",)):
        answer = service.ask_as(service.key(*scopes), "POST", f"{target.path}/labels", json={"labels": lies[:1]})
        checks.expect(f"labels with the scope {scopes[0]}", answer, held=answer.status == FORBIDDEN)
    target.send(ordinary(rng, ROWS), "crowd")
    after = target.settled()
    same = service.must("GET", f"{target.path}/baseline")["digest"] == digest
    checks.expect("the baseline", "the same" if same else "another", held=same)
    checks.expect("state", after["state"], held=after["state"] == before["state"] == "active")
    raised = target.alerts()
    checks.expect("alerts by labels alone", len(raised), held=not raised)


def event_times(service: Service, checks: Checks, rng: np.random.Generator) -> None:
    """Send events from long ago, from years ahead, and from times that no calendar has."""
    target = service.model(rng)
    for time in ("1970-01-01T00:00:00Z", "0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z", "2999-01-01T00:00:00+14:00"):
        answer = target.post([event(rng, principal="crowd", timestamp=time) for _ in range(20)])
        checks.expect(f"events of {time}", answer, held=answer.status == ACCEPTED or answer.refused)
    for odd in ("yesterday", "", -1, 1e308, "2024-13-45T99:99:99Z", None, {"at": 1}):
        answer = target.post([event(rng, principal="crowd", timestamp=odd) for _ in range(5)])
        checks.expect(f"events of {odd!r}", answer, held=answer.status == ACCEPTED or answer.refused)
    status = target.settled()
    checks.expect("what is counted", status["events_total"], held=status["events_total"] == target.sent)
    checks.expect("how late the worker is", status["lag_seconds"], held=0 <= status["lag_seconds"] < 60)  # noqa: PLR2004 - a minute
    checks.expect("state", status["state"], held=status["state"] == "active")
    checks.expect("monitoring", status["monitoring"], held=status["monitoring"] == "watching")
    for tried, since, until in (
        ("the past is not rewritten", "1970-01-01T00:00:00Z", "1970-01-01T01:00:00Z"),
        ("the future is not written", "2998-12-31T09:30:00Z", "2998-12-31T10:30:00Z"),
    ):
        found = service.ask("GET", f"{target.path}/history", params={"from": since, "to": until})
        empty = found.refused or (found.status == 200 and not found.body["points"])  # noqa: PLR2004 - OK
        checks.expect(tried, found if found.refused else f"{len(found.body['points'])} points", held=empty)
