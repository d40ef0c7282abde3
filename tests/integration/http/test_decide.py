"""The five minutes at three in the morning on a command line: held, looked at together, a new normal, released."""

import html
import re
from datetime import UTC, datetime

import httpx
import msgspec

from service.api.views import iso
from service.clock import SystemClock
from tests.integration.http.conftest import Served, eventually, make_key, register, run

ROWS = "age,country,prediction\n" + "".join(
    f"{20 + i % 40},{'DE' if i % 3 else 'FR'},{'ok' if i % 5 else 'fraud'}\n" for i in range(600)
)


class Desk:
    """People, each with a key of their own, at one version."""

    def __init__(self, served: Served, client: httpx.Client, model: str) -> None:
        self.served, self.client, self.model = served, client, model
        self.path = register(client, model)
        names = {"ben": ("operate", "read"), "cleo": ("operate", "read"), "rita": ("read",)}
        held = {name: make_key(served.data_dir, *scopes, name=name) for name, scopes in names.items()}
        held["ada"] = {"authorization": client.headers["authorization"]}
        self.keys = {name: one["authorization"].removeprefix("Bearer ") for name, one in held.items()}

    def decide(self, who: str, what: str, *more: str, expect: int = 0, reason: str = "of a test") -> str:
        words = ["decide", what, self.model, "1", "--reason", reason, "--key", self.keys[who]]
        return run(*words, "--url", self.served.url, *more, expect=expect).strip()

    def baseline(self, who: str, *words: str, expect: int = 0) -> str:
        options = ["--model", self.model, "--version", "1", "--url", self.served.url, "--key", self.keys[who]]
        return run("baseline", *words, *options, expect=expect).strip()

    def gate(self) -> int:
        return self.client.get(f"/v1/gate/{self.model}/1").status_code


def test_a_version_is_held_looked_at_and_released_by_two(served: Served, client: httpx.Client) -> None:
    desk = Desk(served, client, "decided")
    assert desk.decide("ben", "quarantine", reason="odd ages") == "decided/1: it is quarantined now."
    assert desk.gate() == 403
    told = desk.decide("ada", "break_glass", "--minutes", "5", expect=1)
    assert "refused with 403: 'ada' deployed decided/1 and never lets it serve alone" in told
    told = desk.decide("cleo", "break_glass", "--minutes", "5")
    assert told.startswith("decided/1: the gate lets traffic through until 20")
    assert desk.gate() == 200
    assert "it is never extended" in desk.decide("ben", "break_glass", "--minutes", "5", expect=1)
    assert desk.decide("ben", "end_glass") == "decided/1: the gate is closed again."
    assert desk.gate() == 403
    begun = desk.decide("ben", "start_review", "--change", "1", reason="I look")
    assert begun == "decided/1: it is under_review now; a release needs 2."
    late = desk.decide("cleo", "start_review", "--change", "1", expect=1)
    assert "you saw number 1; look again. What happened: start_review by ben at 20" in late
    assert "(I look)" in late
    told = desk.decide("ben", "assign", "--to", "ben", "--to", "cleo", "--hours", "2")
    assert told.startswith("decided/1: the review is with ben, cleo until 20")
    told = desk.decide("rita", "release", expect=1)
    assert "needs a key with scope 'operate'" in told
    assert "it is held by: ada, ben, cleo" in told
    told = desk.decide("ada", "release")
    assert told == "decided/1: 1 of 2 have asked for the release so far: ada."
    assert desk.decide("ben", "release") == "decided/1: it is active now."
    assert desk.gate() == 200


def test_what_has_changed_is_made_the_new_normal(served: Served, client: httpx.Client) -> None:
    desk = Desk(served, client, "renewed")
    put = client.put(f"{desk.path}/baseline", content=ROWS, headers={"content-type": "text/csv"})
    assert put.status_code == 200, put.text
    since = iso(SystemClock().now_us())
    ages = [80 + i % 40 for i in range(600)]
    columns = {"age": ages, "country": ["DE" if i % 3 else "FR" for i in range(600)]}
    predictions = ["ok" if i % 5 else "fraud" for i in range(600)]
    body = {"columns": {"features": columns, "prediction": predictions}}
    assert client.post(f"{desk.path}/events", json=body).status_code == 202
    told = desk.baseline("ben", "propose", "--from", since, "--reason", "the new sensor")
    assert "of 600 rows" in told
    assert "is proposed: another person must accept it" in told
    assert "made of the 600 events that the log has of" in told
    assert "age: differs from the baseline before" in told
    baseline_id = told.split()[1]
    own = desk.baseline("ben", "accept", baseline_id, "--reason", "mine", expect=1)
    assert "refused with 403: 'ben' has put this baseline" in own
    told = desk.baseline("cleo", "accept", baseline_id, "--reason", "seen")
    assert told == f"Baseline {baseline_id} is in force; signed by ben, cleo (2 of 2)."
    again = desk.baseline("ada", "refuse", baseline_id, "--reason", "late", expect=1)
    assert "is accepted already, by 'cleo'" in again


def test_what_a_decision_lacks_is_said(served: Served, client: httpx.Client) -> None:
    desk = Desk(served, client, "lacking")
    assert "--to is needed" in desk.decide("ben", "assign", expect=1)
    assert "--minutes is needed" in desk.decide("ben", "break_glass", expect=1)
    assert "possible events: suspect, quarantine, retire" in desk.decide("ben", "release", expect=1)
    assert "reason: must" in desk.decide("ben", "quarantine", expect=1, reason=" ")


def test_incidents_are_looked_at_and_acted_on(served: Served, client: httpx.Client) -> None:
    """Two versions with broken data: an incident each, of which one becomes part of the other."""
    desk = Desk(served, client, "triaged")

    def incidents(who: str, *words: str, expect: int = 0) -> str:
        return run("incidents", *words, "--url", served.url, "--key", desk.keys[who], expect=expect).strip()

    body = {"version": "2", "schema": client.get(desk.path).json()["schema"]}
    assert client.post("/v1/models/triaged/versions", json=body).status_code == 201
    found = [opened(client, desk.path), opened(client, desk.path.replace("/1", "/2"))]
    whole, part = found
    assert whole in incidents("rita", "list", "--model", "triaged", "--status", "open")
    listed = msgspec.json.decode(incidents("rita", "list", "--model", "triaged", "--json"))
    assert {one["id"] for one in listed["incidents"]} == set(found)
    lock = next(one["lock"] for one in listed["incidents"] if one["id"] == whole)
    assert incidents("ben", "ack", whole, "--note", "on it", "--seen", str(lock)).endswith("is acknowledged.")
    late = incidents("cleo", "assign", whole, "--to", "cleo", "--seen", str(lock), expect=1)
    assert "has changed since you looked: ack by ben at 20" in late
    assert incidents("cleo", "assign", whole, "--to", "cleo").endswith("is acknowledged, with cleo.")
    assert "until: is required" in incidents("ben", "snooze", whole, expect=1)
    assert "is snoozed until 20" in incidents("ben", "snooze", whole, "--hours", "2", "--until-worse")
    said = incidents("rita", "show", whole)
    assert "or until it is worse" in said
    assert "ben ack: on it" in said
    incidents("ben", "wake", whole)
    incidents("ben", "comment", whole, "--note", "the sender says sorry")
    assert incidents("ben", "merge", part, "--into", whole).endswith("is resolved.")
    refused = incidents("rita", "ack", whole, expect=1)
    assert "it is held by: ada, ben, cleo" in refused
    assert "verdict: must be one of" in incidents("ben", "resolve", whole, "--verdict", "fine", expect=1)
    ended = incidents("ben", "resolve", whole, "--verdict", "data bug", "--note", "a join")
    assert ended.endswith("is resolved, data bug, with cleo.")
    said = incidents("rita", "show", whole)
    assert "cleo assign: " in said
    assert f"{part} merged: {whole}" in said


def opened(client: httpx.Client, path: str) -> str:
    """Break the data of a version and return the incident that comes of it."""
    put = client.put(f"{path}/baseline", content=ROWS, headers={"content-type": "text/csv"})
    assert put.status_code == 200, put.text
    columns = {"age": [None] * 300, "country": ["XX"] * 300}
    found: list[str] = []

    def there() -> bool:
        body = {"columns": {"features": columns, "prediction": ["ok"] * 300}}
        client.post(f"{path}/events", json=body)
        params = dict(zip(("model", "version"), path.split("/")[3::2], strict=True))
        found[:] = [one["id"] for one in client.get("/v1/incidents", params=params).json()["incidents"]]
        return bool(found)

    eventually(there, "an incident")
    return found[0]


def test_a_new_normal_is_drafted_in_the_console(served: Served, client: httpx.Client) -> None:
    desk = Desk(served, client, "drawn")
    put = client.put(f"{desk.path}/baseline", content=ROWS, headers={"content-type": "text/csv"})
    assert put.status_code == 200, put.text
    begun = datetime.fromtimestamp(SystemClock().now_us() / 1e6 - 60, UTC).strftime("%Y-%m-%dT%H:%M")
    columns = {"age": [80 + i % 40 for i in range(600)], "country": ["DE" if i % 3 else "FR" for i in range(600)]}
    body = {"columns": {"features": columns, "prediction": ["ok" if i % 5 else "fraud" for i in range(600)]}}
    assert client.post(f"{desk.path}/events", json=body).status_code == 202
    with httpx.Client(base_url=served.url, timeout=60.0) as browser:

        def send(page: str, path: str, **fields: str) -> httpx.Response:
            token = re.search(r'name="form_token" value="([^"]+)"', browser.get(page).text)
            assert token is not None
            return browser.post(path, data={"form_token": token[1], **fields})

        assert send("/login", "/login", key=desk.keys["ben"]).status_code == 303
        page = "/models/drawn/versions/1/draft"
        assert "start: is required" in html.unescape(send(page, page, reason="since when?").text)
        drafted = send(page, page, start=begun, reason="the new sensor")
        assert drafted.status_code == 303, drafted.text
        shown = browser.get(drafted.headers["location"])
        assert "Put by ben" in shown.text
    baseline_id = drafted.headers["location"].rsplit("/", maxsplit=1)[1]
    told = desk.baseline("cleo", "accept", baseline_id, "--reason", "I agree")
    assert told == f"Baseline {baseline_id} is in force; signed by ben, cleo (2 of 2)."
