"""The five minutes at three in the morning on a command line: held, looked at together, a new normal, released."""

import httpx

from service.api.views import iso
from service.clock import SystemClock
from tests.integration.http.conftest import Served, make_key, register, run

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
