"""Notifications as their users meet them: a running service, real receivers, and nothing but HTTP."""

import http.server
import json
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from service.clock import SystemClock
from service.worker.delivery import DEADLINE_SECONDS, LEASE_SPARE_SECONDS
from tests.integration.http.conftest import SCHEMA, Served, eventually, make_key, serving
from tests.service.notify.schemas import WEBHOOK, check
from tests.service.notify.wire import check_signed

KEY = "a key of sixteen bytes and more"
DAYS = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]


@dataclass
class Hooks:
    """A receiver with a path for each channel; a path in ``refusing`` takes nothing.

    The next request to a path in ``holding`` is not answered for as long as its sender is there.
    """

    port: int = 0
    told: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    refusing: set[str] = field(default_factory=set)
    holding: set[str] = field(default_factory=set)
    held: list[str] = field(default_factory=list)
    """Ids of the messages that were not answered."""
    taken: list[str] = field(default_factory=list)
    """Ids of the messages that were."""
    problems: list[str] = field(default_factory=list)

    def url(self, name: str) -> str:
        return f"http://127.0.0.1:{self.port}/{name}"

    def take(self, name: str, headers: dict[str, str], content: bytes) -> int:
        """Look at a request, and remember what it tells."""
        body = json.loads(content)
        try:
            check(body, WEBHOOK)
            check_signed(headers, content, [KEY.encode()], SystemClock().now_us() / 1e6, late=60.0)
        except AssertionError as error:
            self.problems.append(f"{name}: {error}")
        if name in self.refusing:
            return 400
        self.told.setdefault(name, []).append(body)
        self.taken.append(headers["webhook-id"])
        return 200

    def kinds(self, name: str, model: str | None = None) -> list[str]:
        """Return what a channel was told, of one model or of all."""
        about = [one["lazaretto"] for one in self.told.get(name, [])]
        return [one["kind"] for one in about if model is None or one["model"] == model]


@pytest.fixture(scope="module")
def hooks() -> Iterator[Hooks]:
    receiver = Hooks()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            content = self.rfile.read(int(self.headers["content-length"]))
            headers = {name.lower(): text for name, text in self.headers.items()}
            name = self.path.strip("/")
            if name in receiver.holding:
                receiver.holding.discard(name)
                receiver.held.append(headers["webhook-id"])
                with suppress(OSError):
                    self.rfile.read(1)  # there is nothing more until the sender is gone
                return
            self.send_response(receiver.take(name, headers, content))
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    receiver.port = server.server_port
    yield receiver
    server.shutdown()
    server.server_close()


def chosen(hooks: Hooks, secret: Path) -> dict[str, Any]:
    """Return settings that route by severity, owner, model, time and kind."""
    today = DAYS[time.gmtime().tm_wday]
    others = [day for day in DAYS if day not in {today, DAYS[(time.gmtime().tm_wday + 1) % 7]}]

    def hook(name: str) -> dict[str, Any]:
        return {"kind": "webhook", "url": hooks.url(name), "signing": {"file": str(secret)}}

    names = ("grave", "risk", "scorers", "someday", "strict", "rest")
    return {
        "channels": {name: hook(name) for name in names}
        | {"inside": {"kind": "webhook", "url": "http://10.255.255.1/hook", "signing": {"file": str(secret)}}},
        "allow": ["127.0.0.0/8"],
        "external_url": "https://watch.example.org",
        "routes": [
            {"severities": ["high"], "channels": ["grave"], "go_on": True},
            {"hours": {"days": others}, "channels": ["someday"]},
            {"kinds": ["release_*"], "channels": ["strict"]},
            {"owners": ["risk"], "channels": ["risk"]},
            {"models": ["*-scorer"], "channels": ["scorers"]},
            {"channels": ["rest"]},
        ],
    }


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, hooks: Hooks) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("told")
    secret = folder / "signing"
    secret.write_text(KEY)
    secret.chmod(0o600)
    settings = {"notifications": json.dumps(chosen(hooks, secret)), "figures_seconds": "0.5"}
    with serving(folder / "data", **settings) as running:
        yield running


@pytest.fixture(scope="module")
def client(served: Served) -> Iterator[httpx.Client]:
    headers = make_key(served.data_dir, "ingest", "read", "operate", "admin")
    with httpx.Client(base_url=served.url, headers=headers, timeout=30) as asking:
        yield asking


def quarantine(client: httpx.Client, model: str, owner: str) -> str:
    """Register a model, and put its version into quarantine by hand; return the version's path."""
    assert client.post("/v1/models", json={"name": model, "owner": owner}).status_code == 201
    answer = client.post(f"/v1/models/{model}/versions", json={"version": "1", "schema": SCHEMA})
    assert answer.status_code == 201, answer.text
    path = f"/v1/models/{model}/versions/1"
    body = {"event": "quarantine", "reason": "<b>looks</b>\nodd"}
    assert client.post(f"{path}/transitions", json=body).is_success
    return path


def deliveries(client: httpx.Client, **query: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = client.get("/v1/notifications", params=query).json()["notifications"]
    return found


def channel(client: httpx.Client, name: str) -> dict[str, Any]:
    found = client.get("/v1/notifications/channels").json()["channels"]
    return next(one for one in found if one["name"] == name)


def test_messages_go_where_severity_owner_model_and_time_lead(client: httpx.Client, hooks: Hooks) -> None:
    models = {"fraud": "risk", "price-scorer": "growth", "churn": "growth"}
    for model, owner in models.items():
        quarantine(client, model, owner)
    eventually(lambda: all(hooks.kinds("grave", model) for model in models), "the grave ones")
    eventually(lambda: hooks.kinds("rest", "churn"), "the rest")
    eventually(lambda: hooks.kinds("scorers", "price-scorer"), "by model")
    eventually(lambda: hooks.kinds("risk", "fraud"), "by owner")
    # The other tests' models are told of at the same receivers, in whatever order the tests run.
    heard = {model: {name for name in hooks.told if hooks.kinds(name, model)} for model in models}
    assert heard == {"fraud": {"grave", "risk"}, "price-scorer": {"grave", "scorers"}, "churn": {"grave", "rest"}}
    (one,) = (one for one in hooks.told["risk"] if one["lazaretto"]["model"] == "fraud")
    assert one["lazaretto"]["description"] == "<b>looks</b>\nodd"
    assert one["externalURL"] == "https://watch.example.org"
    assert hooks.problems == []


def test_whoever_heard_of_a_quarantine_hears_of_its_end_and_who_was_asked_hears_what_came_of_it(
    client: httpx.Client, hooks: Hooks
) -> None:
    path = quarantine(client, "loans", "risk")
    assert client.post(f"{path}/transitions", json={"event": "start_review", "reason": "look"}).is_success
    assert client.post(f"{path}/transitions", json={"event": "release", "reason": "fine"}).is_success
    eventually(lambda: hooks.kinds("strict", "loans"), "the release waits")
    body = {"event": "roll_back", "reason": "not fine"}
    assert client.post(f"{path}/transitions", json=body).is_success
    eventually(lambda: hooks.kinds("strict", "loans") == ["release_pending", "state_changed"], "what came of it")
    ended = hooks.told["strict"][-1]
    assert (ended["status"], ended["lazaretto"]["over"]) == ("resolved", ["LazarettoReleasePending/loans/1"])

    def over(name: str) -> bool:
        last = [one for one in hooks.told[name] if one["lazaretto"]["model"] == "loans"][-1]
        return bool(last["status"] == "resolved" and last["lazaretto"]["kind"] == "state_changed")

    eventually(lambda: over("grave") and over("risk"), "the end, where the beginning was told")
    assert hooks.problems == []


def test_a_test_arrives_signed_past_every_route(client: httpx.Client, hooks: Hooks) -> None:
    answer = client.post("/v1/notifications/channels/someday/test")
    assert answer.status_code == 202
    sent = answer.json()["message_id"]

    def arrived() -> list[str]:
        told = hooks.told.get("someday", [])
        return [one["lazaretto"]["kind"] for one in told if one["groupKey"] == f"test/{sent}"]

    eventually(lambda: arrived() == ["test"], "the test")
    (one,) = eventually(lambda: deliveries(client, message=sent, status="delivered"), "it is on record")
    assert (one["channel"], one["attempts"]) == ("someday", 0)
    assert hooks.problems == []


def test_a_dead_letter_is_told_elsewhere_listed_and_replayed(client: httpx.Client, hooks: Hooks) -> None:
    hooks.refusing.add("scorers")
    sent = client.post("/v1/notifications/channels/scorers/test").json()["message_id"]
    (dead,) = eventually(lambda: deliveries(client, status="dead", channel="scorers"), "a dead letter")
    assert (dead["message_id"], dead["detail"]) == (sent, "the receiver answered 400")
    eventually(lambda: "notifications_failing" in hooks.kinds("rest"), "told elsewhere")
    eventually(lambda: "notifications_failing" in hooks.kinds("grave"), "as grave as it is")
    assert "notifications_failing" not in hooks.kinds("scorers")
    seen = channel(client, "scorers")
    assert (seen["dead"], seen["circuit"]) == (1, "closed")
    assert seen["failing_since"] is not None
    hooks.refusing.clear()
    assert client.post("/v1/notifications/replay", json={"channel": "scorers"}).json() == {"replayed": 1}
    eventually(lambda: "test" in hooks.kinds("scorers"), "replayed")
    last = eventually(
        lambda: [
            one for one in hooks.told["rest"] if one["status"] == "resolved" and "failing" in one["lazaretto"]["kind"]
        ],
        "it works again",
    )
    assert last[0]["lazaretto"]["summary"] == "notifications to 'scorers' arrive again"
    assert channel(client, "scorers")["failing_since"] is None
    assert hooks.problems == []


def test_an_address_inside_is_not_connected_to_and_holds_up_nobody(client: httpx.Client, hooks: Hooks) -> None:
    client.post("/v1/notifications/channels/inside/test")
    before = len(hooks.kinds("someday"))
    client.post("/v1/notifications/channels/someday/test")
    eventually(lambda: len(hooks.kinds("someday")) == before + 1, "the others go on")
    (one,) = eventually(
        lambda: [one for one in deliveries(client, channel="inside") if one["attempts"]], "the refusal is on record"
    )
    assert one["status"] == "pending"
    assert "10.255.255.1 is a private address" in one["detail"]


def test_a_worker_that_dies_loses_nothing(served: Served, client: httpx.Client, hooks: Hooks) -> None:
    import os
    import signal

    pid = served.worker_pid()
    assert pid is not None
    hooks.holding.add("someday")
    sent = client.post("/v1/notifications/channels/someday/test").json()["message_id"]
    eventually(lambda: hooks.held == [sent], "it is in a delivery")
    os.kill(pid, signal.SIGKILL)
    lease_seconds = DEADLINE_SECONDS + LEASE_SPARE_SECONDS
    eventually(lambda: sent in hooks.taken, "another worker delivers it after the lease", lease_seconds + 30)
    (one,) = eventually(lambda: deliveries(client, message=sent, status="delivered"), "it is on record")
    assert one["channel"] == "someday"
    assert hooks.taken.count(sent) == 1
    assert hooks.problems == []
