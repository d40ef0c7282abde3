"""Attacks on Lazaretto itself, over its own interface: what a key may do wrong, and what follows from it."""

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from redteam.attacks import ATTACKS, session_of
from redteam.lazaretto import POLICY
from redteam.telemetry import ARROW, INPUT, arrow_of, schema_of
from redteam.victims import Victim
from tests.integration.http.conftest import Served, eventually, make_key, serving
from tests.redteam.toys import Rows, toy_victim

VICTIM = toy_victim((8, 8), low=0.0, high=1.0, count=900)
FUZZED = 10_000
BODY = 500


@dataclass
class Watched:
    """A version with a baseline that follows principals."""

    http: httpx.Client
    model: str
    posted: int = 0

    @property
    def path(self) -> str:
        return f"/v1/models/{self.model}/versions/1"

    def register(self, **adversarial: Any) -> None:
        use = POLICY["adversarial"] | {"quarantine": True} | adversarial
        body = {"name": self.model, "owner": "risk", "policy": POLICY | {"adversarial": use, "tick_seconds": 0.1}}
        assert self.http.post("/v1/models", json=body).status_code == 201
        body = {"version": "1", "schema": schema_of(VICTIM)}
        assert self.http.post(f"/v1/models/{self.model}/versions", json=body).status_code == 201
        inputs = VICTIM.reference[0]
        content = arrow_of(VICTIM, inputs, VICTIM.predict(inputs))
        put = self.http.put(f"{self.path}/baseline", content=content, headers={"content-type": ARROW})
        assert put.status_code == 200, put.text
        assert not [one for one in put.json()["warnings"] if one["code"] == "principals"], put.text

    def send(self, inputs: Rows, principal: str, batch: str) -> httpx.Response:
        """Send requests of one principal, in order."""
        ids = [f"{batch}-{i}" for i in range(len(inputs))]
        content = arrow_of(VICTIM, inputs, VICTIM.predict(inputs), ids, [principal] * len(inputs))
        headers = {"content-type": ARROW, "idempotency-key": batch}
        answer = self.http.post(f"{self.path}/events", content=content, headers=headers)
        if answer.status_code == 202:
            self.posted += answer.json()["accepted"]
        return answer

    def status(self) -> Any:
        return self.http.get(f"{self.path}/status").json()

    def settled(self) -> Any:
        """Return the status once everything that was sent is worked off."""

        def done() -> Any:
            status = self.status()
            return status if status.get("events_total", -1) >= self.posted else None

        return eventually(done, "the worker has done everything")

    def contained(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.http.get(f"{self.path}/principals").json()["principals"]
        return found


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serving(tmp_path_factory.mktemp("attacked")) as running:
        yield running


@pytest.fixture
def watched(served: Served, request: pytest.FixtureRequest) -> Iterator[Watched]:
    headers = make_key(served.data_dir, "ingest", "read", "operate", "admin")
    with httpx.Client(base_url=served.url, headers=headers, timeout=60.0) as http:
        version = Watched(http, f"m{abs(hash(request.node.name)) % 10**9}")
        version.register()
        yield version


def _ordinary(seed: int, count: int) -> Rows:
    """Requests as ordinary ones are, none of them a row of the reference: who asks about those is told of."""
    inputs, rng = VICTIM.reference[0], np.random.default_rng(seed)
    chosen = inputs[rng.choice(len(inputs), count, replace=False)]
    rows: Rows = np.clip(chosen + 0.05 * rng.normal(size=chosen.shape), VICTIM.low, VICTIM.high)
    return rows


def _probes(seed: int, count: int) -> Rows:
    """Feel around the line between two inputs of different classes."""
    rng = np.random.default_rng(seed)
    inputs, classes = VICTIM.reference
    one, other = inputs[classes == 0][0], inputs[classes == 1][0]
    share = 0.5 + 0.05 * rng.normal(size=(count, 1))
    rows: Rows = np.clip(one + share * (other - one) + 0.01 * rng.normal(size=(count, len(one))), 0.0, 1.0)
    return rows


def _attack(source: int) -> Rows:
    """Walk along the boundary, by the labels."""
    session = session_of(ATTACKS["hopskipjump-l2-own"], VICTIM, VICTIM.confirmation, source, 1, 200)
    rows: Rows = session.inputs.astype(np.float64)
    return rows


def test_a_tampered_baseline_is_refused_and_nothing_alarms_by_it(tmp_path: Path) -> None:
    with serving(tmp_path) as running:
        headers = make_key(tmp_path, "ingest", "read", "admin")
        with httpx.Client(base_url=running.url, headers=headers, timeout=60.0) as http:
            Watched(http, "m").register()
        running.end()
    with sqlite3.connect(tmp_path / "state.db") as store:
        [(artefact,)] = store.execute("SELECT artefact FROM baselines").fetchall()
        changed = bytes([*artefact[:-9], artefact[-9] ^ 1, *artefact[-8:]])
        assert store.execute("UPDATE baselines SET artefact = ?", (changed,)).rowcount == 1
    store.close()
    with serving(tmp_path) as running, httpx.Client(base_url=running.url, headers=headers, timeout=60.0) as http:
        version = Watched(http, "m")
        for number in range(4):
            assert version.send(_probes(number, 200), "mallory", f"b{number}").status_code == 202
        status = version.settled()
        assert status["monitoring"] == "insufficient"
        assert "signature" in status["insufficient"]
        assert status["state"] == "active"
        assert version.contained() == []


def test_a_replayed_batch_counts_once(watched: Watched) -> None:
    rows = _ordinary(1, 50)
    assert watched.send(rows, "client", "batch").status_code == 202
    for _ in range(20):
        again = watched.send(rows, "client", "batch")
        assert again.status_code == 202
        watched.posted = 50
    assert watched.send(_ordinary(2, 50), "client", "batch").status_code == 409
    assert watched.send(_ordinary(3, 1), "client", "last").status_code == 202
    watched.posted = 51
    assert watched.settled()["events_total"] == 51


def test_a_key_of_another_model_writes_nothing(watched: Watched, served: Served) -> None:
    body = {"name": "stranger", "scopes": ["ingest", "read"], "models": ["another-model"]}
    key = watched.http.post("/v1/keys", json=body).json()["key"]
    with httpx.Client(base_url=served.url, headers={"authorization": f"Bearer {key}"}) as http:
        assert Watched(http, watched.model).send(_probes(0, 50), "client", "forged").status_code == 403
    assert watched.send(_ordinary(1, 10), "client", "own").status_code == 202
    assert watched.settled()["events_total"] == 10


def test_who_forges_a_name_harms_that_name_and_no_other(watched: Watched) -> None:
    # A model server says who asked: one that lies can blame a client, but not the clients beside it, nor the model.
    for number in range(4):
        watched.send(_attack(number), "blamed", f"forged-{number}")
        for client in range(5):
            watched.send(_ordinary(10 * number + client, 4), f"client-{client}", f"own-{number}-{client}")
    status = watched.settled()
    contained = watched.contained()
    assert len(contained) == 1
    assert "blamed" not in str(contained)
    assert status["state"] == "active"
    asked = {"x-original-uri": f"/{watched.model}/1", "x-principal": "blamed"}

    def is_contained() -> bool:
        return watched.http.post("/v1/gate", headers=asked).headers["x-gate-principal-state"] == "contained"

    eventually(is_contained, "the gate, which reads the store now and then, knows of it")
    other = watched.http.post("/v1/gate", headers={"x-original-uri": f"/{watched.model}/1", "x-principal": "client-1"})
    assert other.status_code == 200
    assert other.headers.get("x-gate-principal-state") != "contained"


def test_poisoned_labels_move_no_state_and_are_counted(watched: Watched) -> None:
    watched.send(_ordinary(1, 100), "mallory", "batch")
    labels = [{"event_id": f"batch-{i}", "label": "c0002"} for i in range(100)]
    for _ in range(5):
        assert watched.http.post(f"{watched.path}/labels", json={"labels": labels}).status_code == 202
    status = eventually(lambda: s if (s := watched.status())["labels_total"] >= 500 else None, "labels are counted")
    assert status["state"] == "active"
    assert watched.contained() == []


def test_travel_in_event_time_moves_no_tick(watched: Watched) -> None:
    rows, times = _ordinary(1, 200), ("1970-01-01T00:00:00Z", "2026-11-26T00:00:00Z", "9999-12-31T23:59:59Z")
    events = [
        {
            "event_id": f"t{i}",
            "timestamp": times[i % 3],
            "principal": f"client-{i % 40}",
            "features": {INPUT: row.tolist()},
            "probabilities": {f"c{k:04d}": float(p) for k, p in enumerate(VICTIM.predict(row[None])[0])},
        }
        for i, row in enumerate(rows)
    ]
    sent = watched.http.post(f"{watched.path}/events", json={"events": events})
    assert sent.status_code == 202, sent.text
    watched.posted = sent.json()["accepted"]
    status = watched.settled()
    assert status["events_total"] == 200
    # Ticks are of arrival: one body is in one of them, two when it is read across a border.
    assert status["ticks"] <= 2
    assert status["state"] == "active"
    assert status["monitoring"] != "stale"


def _fuzz(victim: Victim, rng: np.random.Generator, count: int) -> Rows:
    """Whatever one client may send: noise, probes, copies, extremes, inputs whose label flips."""
    kinds = rng.integers(5, size=count)
    noise = rng.uniform(victim.low, victim.high, size=(count, victim.dimension))
    rows = np.where((kinds == 0)[:, None], noise, _probes(int(rng.integers(2**31)), count))
    rows[kinds == 2] = np.round(rows[kinds == 2])
    rows[kinds == 3] = rows[0]
    rows[kinds == 4] = _ordinary(int(rng.integers(2**31)), count)[kinds == 4]
    return rows


@pytest.mark.slow
def test_no_single_principal_quarantines_a_model_by_what_it_asks(watched: Watched) -> None:
    rng = np.random.default_rng(0)
    for number in range(FUZZED // BODY):
        assert watched.send(_fuzz(VICTIM, rng, BODY), "mallory", f"fuzz-{number}").status_code == 202
    status = watched.settled()
    assert status["events_total"] == FUZZED
    assert status["state"] == "active"
    history = watched.http.get(f"{watched.path}/transitions").json()["transitions"]
    assert [one for one in history if one["after"] in {"suspect", "quarantined"}] == []
    # It was seen all the same, and it alone.
    assert len(watched.contained()) == 1
    alerts = watched.http.get("/v1/alerts", params={"model": watched.model}).json()["alerts"]
    assert {"adversarial"} <= {alert["cause"] for alert in alerts}
