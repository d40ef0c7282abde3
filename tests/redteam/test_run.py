"""Runs from one end to the other: plans, victims, a real Lazaretto, the command line."""

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import msgspec
import numpy as np
import pytest

from redteam.endpoint import Endpoint, VictimFailed, http_victim
from redteam.lazaretto import Monitor, Seen
from redteam.oracle import Oracle
from redteam.plan import Plan, read_plan
from redteam.problems import Refused, Stopped
from redteam.report import Summary
from redteam.run import Run, open_run
from redteam.session import Kind, Session
from tests.integration.http.conftest import environment, eventually, make_key, register, run, serving

ROOT = Path(__file__).parents[2]
SMALL = """
victims = ["digits"]
attacks = ["hopskipjump-l2", "lowprofool"]
benign = ["one_class"]
sessions = 2
queries_max = 60
"""


class Watcher:
    """Stands in for a monitor's shadow: alarms at the fourth request."""

    def __init__(self) -> None:
        self.watched: list[str] = []

    def watch(self, session: Session) -> Seen:
        self.watched.append(session.workload)
        return Seen(alarm=3, tiers={"probing": 3}, contained=1)


def _plan(output: Path, text: str = SMALL) -> Plan:
    return read_plan(f'output = "{output}"\n{text}')


@contextmanager
def _opened(plan: Plan) -> Iterator[tuple[Run, Watcher]]:
    watcher = Watcher()
    with httpx.Client() as http, open_run(plan, Monitor(http, 1e6), lambda *_: None) as running:
        for name in running.victims:
            running.shadows[name] = watcher  # type: ignore[assignment]  # it watches, and no more is asked of it
        yield running, watcher


def test_a_run_does_every_session_once_and_goes_on_where_it_was_broken_off(tmp_path: Path) -> None:
    told: list[tuple[int, int, str]] = []

    def break_off(done: int, total: int, key: str) -> None:
        told.append((done, total, key))
        if done == 2:
            raise KeyboardInterrupt

    with _opened(_plan(tmp_path)) as (running, watcher):
        running.told = break_off
        with pytest.raises(KeyboardInterrupt):
            running.go()
        assert watcher.watched == ["hopskipjump-l2", "one_class"]
    with _opened(_plan(tmp_path)) as (running, watcher):
        running.go()
        assert running.complete
        # The numbers go round, so that whenever it ends every workload has had its turn.
        assert watcher.watched == ["hopskipjump-l2", "one_class"]
        records = running.folder.records
    assert len(records) == 4
    assert told[-1][1] == 4
    assert {record.source for record in records.values() if record.workload == "one_class"} != {0}
    assert all(record.alarm == 3 and record.queries == 4 for record in records.values())


def test_the_same_seed_makes_the_same_sessions_and_another_one_others(tmp_path: Path) -> None:
    found = []
    for number, seed in enumerate((1, 1, 2)):
        with _opened(_plan(tmp_path / str(number)).seeded(seed)) as (running, _):
            running.go()
            with np.load(tmp_path / str(number) / "sessions/digits/hopskipjump-l2/0.npz") as held:
                found.append(held["inputs"].tobytes())
    assert found[0] == found[1] != found[2]


def test_when_the_time_is_up_no_half_session_is_kept(tmp_path: Path) -> None:
    with _opened(_plan(tmp_path, SMALL + "seconds_max = 1")) as (running, watcher):
        asked = running.victims["digits"].predict

        def slow(inputs: Any) -> Any:
            threading.Event().wait(0.3)
            return asked(inputs)

        object.__setattr__(running.victims["digits"], "predict", slow)
        running.go()
        assert not running.complete
        assert watcher.watched == []
        assert running.folder.records == {}


class Model(BaseHTTPRequestHandler):
    """A model server: the first number of an input decides."""

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        first = np.array(body["data"]["rows"])[:, 0]
        answer = json.dumps({"out": {"p": np.stack([1 - first, first], axis=1).tolist()}}).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def endpoint_plan(tmp_path: Path) -> Iterator[str]:
    """Return a plan against a model server of our own."""
    inputs = np.random.default_rng(0).uniform(size=(480, 6))
    np.savez(tmp_path / "inputs.npz", x=inputs, y=(inputs[:, 0] > 0.5).astype(np.int64))
    with ThreadingHTTPServer(("127.0.0.1", 0), Model) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield (
            'attacks = ["hopskipjump-l2"]\nsessions = 7\nqueries_max = 40\n[victim.http]\n'
            f'url = "http://127.0.0.1:{server.server_port}/v1"\ndata = "{tmp_path / "inputs.npz"}"\n'
            'inputs_at = "data.rows"\nanswers_at = "out.p"\nlow = 0\nhigh = 1\n'
            "budget = 0.5\nbudget_linf = 0.2\ngrain = 0.01\n"
        )
        server.shutdown()


def test_an_endpoint_of_ones_own_is_attacked(tmp_path: Path, endpoint_plan: str) -> None:
    with _opened(_plan(tmp_path / "out", endpoint_plan)) as (running, watcher):
        running.go()
        records = list(running.folder.records.values())
    assert len(records) == len(watcher.watched) == 7
    assert {record.victim for record in records} == {"http"}
    assert any(record.success is not None for record in records)
    assert not any(record.error for record in records)


def test_a_victim_that_errs_is_told_as_such_and_never_as_seen(tmp_path: Path, endpoint_plan: str) -> None:
    with _opened(_plan(tmp_path / "out", endpoint_plan)) as (running, watcher):

        def away(_: Any) -> Any:
            raise VictimFailed("the endpoint answered 500")

        object.__setattr__(running.victims["http"], "predict", away)
        with pytest.raises(Stopped, match=r"5 sessions in a row.*500"):
            running.go()
        records = list(running.folder.records.values())
    assert watcher.watched == []
    assert len(records) == 5
    assert all(record.error == "VictimFailed: the endpoint answered 500" for record in records)
    assert all(record.alarm is None for record in records)


def test_a_victim_that_errs_while_the_monitor_looks_on_breaks_one_session_off(tmp_path: Path) -> None:
    """It is asked for its reference when a version begins, and for what others ask beside an attack on cost."""
    with _opened(_plan(tmp_path)) as (running, watcher):
        seen = watcher.watch

        def watch(session: Session) -> Seen:
            if session.workload == "one_class" and len(watcher.watched) == 1:
                watcher.watched.append(session.workload)
                raise VictimFailed("the endpoint answered 503")
            return seen(session)

        watcher.watch = watch  # type: ignore[method-assign]  # it fails once
        running.go()
        records = running.folder.records
    assert len(records) == 4
    assert [key for key, record in records.items() if record.error] == ["digits/one_class/0"]
    broken = records["digits/one_class/0"]
    assert broken.error == "VictimFailed: the endpoint answered 503"
    assert (broken.alarm, broken.tiers) == (None, {})


def test_an_endpoint_is_timed_answer_by_answer(endpoint_plan: str) -> None:
    told = read_plan(endpoint_plan).http
    assert told is not None
    asked: list[int] = []

    def slow(request: httpx.Request) -> httpx.Response:
        rows = json.loads(request.content)["data"]["rows"]
        asked.append(len(rows))
        threading.Event().wait(0.2 if rows[0][0] > 0.5 else 0.0)
        return httpx.Response(200, json={"out": {"p": [[0.5, 0.5]] * len(rows)}})

    endpoint = Endpoint(told, httpx.MockTransport(slow))
    victim = http_victim(told, endpoint, 0)
    asked.clear()
    inputs = np.linspace(0.0, 1.0, 4)[:, None].repeat(6, axis=1)
    oracle = Oracle(victim.predict, 100, timed=victim.timed)
    oracle.ask(inputs)
    endpoint.close()
    assert asked == [1, 1, 1, 1]
    assert oracle.latencies[2:].min() >= 200.0
    session = oracle.session(workload="sponge", kind=Kind.ATTACK, victim="http", seed=0, source=0)
    assert session.latency_ms is not None
    assert len(session.latency_ms) == 4
    assert session.probabilities.tolist() == [[0.5, 0.5]] * 4


@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(500),
        httpx.Response(302, headers={"location": "http://elsewhere.example"}),
        httpx.Response(200, text="no json"),
        httpx.Response(200, json={"predictions": [[0.5, 0.6]]}),
        httpx.Response(200, json={"predictions": [0.5, 0.5]}),
        httpx.Response(200, json={"predictions": []}),
        httpx.Response(200, json={"other": [[0.5, 0.5]]}),
    ],
)
def test_an_endpoint_that_answers_something_else_has_failed(answer: httpx.Response, endpoint_plan: str) -> None:
    told = read_plan(endpoint_plan.replace('"out.p"', '"predictions"')).http
    assert told is not None
    endpoint = Endpoint(told, httpx.MockTransport(lambda _: answer))
    with pytest.raises(VictimFailed):
        http_victim(told, endpoint, 0)
    endpoint.close()


def test_data_that_does_not_fit_the_endpoint_is_refused(tmp_path: Path, endpoint_plan: str) -> None:
    told = read_plan(endpoint_plan).http
    assert told is not None
    endpoint = Endpoint(told)
    for x, y in (
        (np.zeros((400, 6)) + 2.0, np.zeros(400)),
        (np.zeros((9, 6)), np.zeros(9)),
        (np.zeros((400, 6)), [7] * 400),
    ):
        np.savez(tmp_path / "inputs.npz", x=x, y=np.array(y, dtype=np.int64))
        with pytest.raises(Refused, match=r"victim\.http\.data"):
            http_victim(told, endpoint, 0)
    endpoint.close()


@pytest.mark.slow
def test_the_command_line_attacks_a_lazaretto_of_its_own_and_reports(tmp_path: Path) -> None:
    plan, output = tmp_path / "plan.toml", tmp_path / "out"
    plan.write_text(
        'victims = ["digits"]\nattacks = ["hopskipjump-l2", "hopskipjump-l2+sybil5", "label-flips"]\n'
        'benign = ["one_class"]\n'
        "sessions = 1\nqueries_max = 250\n"
    )
    words = ["redteam", "run", "--plan", str(plan), "--output", str(output)]
    told = subprocess.run(
        [sys.executable, "-m", "service", *words, "--json"],
        cwd=ROOT,
        env=environment(),
        capture_output=True,
        timeout=180,
        check=False,
    )
    assert told.returncode == 0, told.stderr.decode()
    summary = msgspec.json.decode(told.stdout, type=Summary)
    assert summary.complete
    assert summary.errors == ()
    plain, flips, sybil = summary.attacks
    # A client that feels its way around one image for 250 requests is seen, and so is one with five names.
    assert plain.seen.hits == sybil.seen.hits == 1
    # What a client reports is judged beside what honest ones do, who come first.
    assert flips.tiers == {"poisoning": 1}
    assert flips.queries_median is not None
    assert flips.queries_median <= 80
    assert plain.queries_median is not None
    assert plain.queries_median < 250
    assert "hopskipjump-l2" in run("redteam", "report", str(output), "--markdown")
    assert json.loads(run("redteam", "report", str(output), "--json"))["total"] == 4
    text = run("redteam", "run", "--plan", str(plan), "--output", str(output), "--seed", "9", expect=1)
    assert "not mixed" in text


@pytest.mark.slow
def test_a_real_service_tells_of_sponge_examples_by_what_they_cost(tmp_path: Path) -> None:
    """Beside others; a run used to have one client, whom nobody can be slower than."""
    plan, output = tmp_path / "plan.toml", tmp_path / "out"
    plan.write_text('victims = ["digits"]\nattacks = ["sponge"]\nsessions = 1\nqueries_max = 400\n')
    words = ["redteam", "run", "--plan", str(plan), "--output", str(output)]
    told = subprocess.run(
        [sys.executable, "-m", "service", *words, "--json"],
        cwd=ROOT,
        env=environment(),
        capture_output=True,
        timeout=180,
        check=False,
    )
    assert told.returncode == 0, told.stderr.decode()
    [sponge] = msgspec.json.decode(told.stdout, type=Summary).attacks
    assert sponge.tiers["cost"] == 1
    assert sponge.errors == 0


@pytest.mark.slow
def test_a_running_lazaretto_keeps_what_a_run_found_and_shows_it(tmp_path: Path) -> None:
    plan, output = tmp_path / "plan.toml", tmp_path / "out"
    plan.write_text(
        'victims = ["digits"]\nattacks = ["hopskipjump-l2"]\nscenarios = ["quarantine-by-scope"]\nsessions = 1\n'
        "queries_max = 120\nfingerprints = true\n"
    )
    with serving(tmp_path / "data") as running:
        headers = make_key(running.data_dir, "ingest", "read", "operate", "admin")
        key = headers["authorization"].removeprefix("Bearer ")
        with httpx.Client(base_url=running.url, headers=headers, timeout=60.0) as client:
            path = register(client, "mine")
            words = ["--plan", str(plan), "--output", str(output), "--url", running.url, "--key", key]
            told = json.loads(run("redteam", "run", *words, "--file-under", "mine/1", "--json"))
            assert client.get(f"{path}/redteam").json()["summary"] == told
            made = [one["name"] for one in client.get("/v1/models").json()["models"] if one["name"] != "mine"]
            [shadow] = [name for name in made if name.startswith("redteam-digits-")]
            assert len(made) == 3, "and the two of the scenario"
            states = [one["state"] for name in made for one in client.get(f"/v1/models/{name}").json()["versions"]]
            assert states == ["retired"] * 3
            raised = client.get("/v1/incidents", params={"model": shadow}).json()["incidents"]
            assert raised
            assert {(one["status"], one["verdict"]) for one in raised} == {("resolved", "attack")}
            status = f"/v1/models/{shadow}/versions/1/status"
            eventually(lambda: client.get(status).json()["principals"] is None, "the worker keeps nothing of it")
            assert client.get(f"/v1/models/{shadow}/versions/1/redteam").json()["summary"] == told
            eventually(lambda: "lazaretto_redteam_age_seconds" in client.get("/metrics").text, "the figures are read")
            # A plan that is done runs nothing again, and says the same.
            assert json.loads(run("redteam", "run", *words, "--json")) == told


def test_bad_plans_and_strangers_are_refused_in_sentences(tmp_path: Path) -> None:
    plan = tmp_path / "plan.toml"
    plan.write_text('victims = ["digits"]\nattacks = ["hopskip"]')
    text = run("redteam", "run", "--plan", str(plan), expect=1)
    assert "attacks[0]: unknown attack 'hopskip'; nearest:" in text
    plan.write_text('victims = ["digits"]\nattacks = ["zoo"]')
    text = run("redteam", "run", "--plan", str(plan), "--url", "http://models.example", "--key", "k", expect=1)
    assert "--url: models.example is not this machine" in text
    assert "holds no results" in run("redteam", "report", str(tmp_path), expect=1)


def test_without_the_extra_the_command_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.cli.redteam.find_spec", lambda _: None)
    text = run("redteam", "run", "--plan", str(tmp_path / "none.toml"), expect=1)
    assert "pip install 'lazaretto[redteam]'" in text


def test_the_list_names_every_attack_with_its_techniques() -> None:
    listed = json.loads(run("redteam", "list", "--json"))
    from redteam.attacks import ATTACKS

    assert {one["name"] for one in listed["attacks"]} == set(ATTACKS)
    assert all(one["techniques"] for one in listed["attacks"])
    # In a pipe, every name stands in one line: whoever writes a plan copies it from there.
    from redteam.benign import WORKLOADS
    from redteam.scenarios import SCENARIOS

    words = set(run("redteam", "list").split())
    assert {*ATTACKS, *WORKLOADS, *SCENARIOS} <= words
