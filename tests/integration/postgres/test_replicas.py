"""Two API replicas and one worker over one PostgreSQL, as processes of their own."""

import json
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import numpy as np
import pytest

from tests.pg import run_postgres

PATIENCE_SECONDS = 120.0
SCHEMA = {
    "features": [{"name": "age", "kind": "numeric"}, {"name": "country", "kind": "categorical"}],
    "prediction": {"kind": "class", "classes": ["fraud", "ok"]},
}
VERSION = "/v1/models/shared/versions/1"
GATE = "/v1/gate/v2/models/shared/versions/1/infer"


@dataclass
class Fleet:
    """What runs, and how to speak to it."""

    folder: Path
    settings: dict[str, str]
    urls: list[str] = field(default_factory=list)

    def environment(self, name: str) -> dict[str, str]:
        """Return the environment of a process that shares only the databases and the secret key."""
        clean = {key: value for key, value in os.environ.items() if not key.startswith("LAZARETTO_")}
        own = {"LAZARETTO_DATA_DIR": str(self.folder / name), "PYTHONUNBUFFERED": "1"}
        return {**clean, **self.settings, **own}

    def run(self, *words: str) -> str:
        """Run a command to its end and return what it printed."""
        command = [sys.executable, "-m", "service", *words]
        result = subprocess.run(
            command, env=self.environment("shell"), capture_output=True, text=True, timeout=60, check=False
        )
        assert result.returncode == 0, result.stdout + result.stderr
        return result.stdout

    def client(self, replica: int, name: str, scopes: str) -> httpx.Client:
        """Return a client of one replica with a key of its own."""
        made = json.loads(self.run("keys", "create", "--name", name, "--scopes", scopes, "--json"))
        headers = {"authorization": f"Bearer {made['key']}"}
        return httpx.Client(base_url=self.urls[replica], headers=headers, timeout=PATIENCE_SECONDS)

    @contextmanager
    def process(self, name: str, *words: str) -> Iterator["subprocess.Popen[str]"]:
        """Run a process until the block ends; it must end in order."""
        with (
            (self.folder / f"{name}.log").open("w") as log,
            subprocess.Popen(
                [sys.executable, "-m", "service", *words],
                env=self.environment(name),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            ) as process,
        ):
            try:
                yield process
            finally:
                process.send_signal(signal.SIGTERM)
                try:
                    code = process.wait(PATIENCE_SECONDS)
                except subprocess.TimeoutExpired:
                    process.kill()
                    raise
            assert code == 0, (self.folder / f"{name}.log").read_text()[-2_000:]


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    with run_postgres() as server, ExitStack() as running:
        settings = {
            "LAZARETTO_DATABASE_URL": server.database(),
            "LAZARETTO_LOG_URL": server.database(),
            "LAZARETTO_SECRET_KEY": secrets.token_hex(32),
        }
        fleet = Fleet(tmp_path_factory.mktemp("fleet"), settings)
        assert "now it is current" in fleet.run("migrate")
        for name in ("first", "second"):
            api = running.enter_context(fleet.process(name, "api", "--port", "0"))
            assert api.stdout is not None
            line = api.stdout.readline()
            assert "listens on http://" in line, (fleet.folder / f"{name}.log").read_text()
            fleet.urls.append(line.split()[-1])
        running.enter_context(fleet.process("worker", "worker"))
        yield fleet


def until(check: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not check():
        assert time.monotonic() < deadline, f"never: {what}"
        time.sleep(0.05)


def batch(generator: np.random.Generator, rows: int, age: float) -> dict[str, object]:
    features = {
        "age": generator.normal(age, 10, rows).tolist(),
        "country": generator.choice(["DE", "FR"], rows).tolist(),
    }
    answers = generator.choice(["ok", "fraud"], rows, p=[0.9, 0.1]).tolist()
    return {"columns": {"features": features, "prediction": answers}}


def prepare(client: httpx.Client, generator: np.random.Generator) -> None:
    policy = {"tick_seconds": 0.1}
    assert client.post("/v1/models", json={"name": "shared", "owner": "risk", "policy": policy}).status_code == 201
    body = {"version": "1", "schema": SCHEMA}
    assert client.post("/v1/models/shared/versions", json=body).status_code == 201
    lines = ["age,country,prediction"]
    for age, country, answer in zip(
        generator.normal(40, 10, 4_000),
        generator.choice(["DE", "FR"], 4_000),
        generator.choice(["ok", "fraud"], 4_000, p=[0.9, 0.1]),
        strict=True,
    ):
        lines.append(f"{age},{country},{answer}")
    put = client.put(f"{VERSION}/baseline", content="\n".join(lines), headers={"content-type": "text/csv"})
    assert put.status_code == 200, put.text


class Traffic:
    """Events through two replicas, and how many were acknowledged."""

    def __init__(self, fleet: Fleet, first: httpx.Client, second: httpx.Client) -> None:
        self.both = (first, second)
        self.urls = fleet.urls
        self.generator = np.random.default_rng(11)
        self.sent = 0

    def gates(self) -> set[int]:
        """Return what the gates of both replicas answer."""
        return {httpx.get(f"{url}{GATE}").status_code for url in self.urls}

    def states(self) -> set[str]:
        """Return the state that the gates of both replicas know."""
        return {httpx.get(f"{url}{GATE}").headers["x-gate-state"] for url in self.urls}

    def post(self, client: httpx.Client, age: float) -> None:
        """Post 100 events."""
        answer = client.post(f"{VERSION}/events", json=batch(self.generator, 100, age))
        assert answer.status_code == 202, answer.text
        self.sent += 100

    def post_one_batch_to_both(self) -> None:
        """Post one batch twice, and another under its name: one is counted."""
        headers = {"idempotency-key": "same"}
        again, other = batch(self.generator, 50, 40.0), batch(self.generator, 50, 40.0)
        answers = [client.post(f"{VERSION}/events", json=again, headers=headers).json() for client in self.both]
        assert [answer["duplicates"] for answer in answers] == [0, 50]
        assert answers[0]["position"] == answers[1]["position"]
        assert self.both[1].post(f"{VERSION}/events", json=other, headers=headers).status_code == 409
        self.sent += 50

    def drifted(self) -> bool:
        """Post strange events to both, and tell whether both gates are closed."""
        for client in self.both:
            self.post(client, 70.0)
        return self.gates() == {403}

    def wait_until_counted(self) -> None:
        """Wait until both replicas say that exactly what was acknowledged is counted."""

        def counted() -> bool:
            totals = {client.get(f"{VERSION}/status").json()["events_total"] for client in self.both}
            return totals == {self.sent}

        until(counted, f"{self.sent} events are counted")


def test_two_replicas_and_a_worker_share_one_postgresql(fleet: Fleet) -> None:
    with (
        fleet.client(0, "ada", "ingest,read,operate,admin") as first,
        fleet.client(1, "eve", "ingest,read,operate") as second,
    ):
        traffic = Traffic(fleet, first, second)
        prepare(first, traffic.generator)
        assert second.get(f"{VERSION}/baseline").status_code == 200
        until(lambda: traffic.states() == {"active"}, "both replicas know the version")
        for turn in range(10):
            traffic.post(traffic.both[turn % 2], 40.0)
        traffic.wait_until_counted()
        assert traffic.gates() == {200}
        traffic.post_one_batch_to_both()
        traffic.wait_until_counted()

        until(traffic.drifted, "both gates are closed")
        (incident,) = second.get("/v1/incidents?model=shared").json()["incidents"]

        # Two people, at two replicas.
        review = {"event": "start_review", "reason": "looking at it"}
        release = {"event": "release", "reason": "the form is repaired", "incident_id": incident["id"]}
        assert first.post(f"{VERSION}/transitions", json=review).status_code == 200
        pending = first.post(f"{VERSION}/transitions", json=release).json()
        assert (pending["state"], pending["approvals"]["have"]) == ("under_review", 1)
        assert first.post(f"{VERSION}/transitions", json=release).json()["state"] == "under_review"
        assert traffic.gates() == {403}
        released = second.post(f"{VERSION}/transitions", json=release).json()
        assert (released["state"], sorted(released["approvals"]["by"])) == ("active", ["ada", "eve"])
        until(lambda: traffic.gates() == {200}, "both gates are open again")
        traffic.post(second, 40.0)
        traffic.wait_until_counted()


def test_a_key_that_one_replica_revokes_stops_at_the_other(fleet: Fleet) -> None:
    with fleet.client(0, "root", "admin,read") as admin, fleet.client(1, "temp", "read") as client:
        assert client.get("/v1/models").status_code == 200
        key_id = client.headers["authorization"].removeprefix("Bearer lzk_")[:8]
        assert admin.delete(f"/v1/keys/{key_id}").status_code == 200
        until(lambda: client.get("/v1/models").status_code == 401, "the key is refused")


def test_doctor_finds_nothing_wrong(fleet: Fleet) -> None:
    told = fleet.run("doctor")
    assert "FAILED" not in told
    assert "its schema is current" in told
