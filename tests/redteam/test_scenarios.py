"""Attacks on the service itself: what they are, how they are judged, and that a real service holds."""

import json
import subprocess
import sys
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import msgspec
import numpy as np
import pytest

from redteam.lazaretto import Monitor
from redteam.plan import Plan, read_plan
from redteam.problems import Refused
from redteam.records import Folder, Head, SceneRecord, Tried
from redteam.report import EVIDENCE_SHOWN, Summary, summarise
from redteam.run import SERVICE, Run, scenes_of
from redteam.scenarios import SCENARIOS
from redteam.scenarios.base import WEAKNESSES, Checks, Need, Outcome, Scenario, Stride
from redteam.scenarios.service import REFUSED, Service, ServiceFailed
from redteam.show import markdown
from service.domain.atlas import atlas
from tests.integration.http.conftest import environment

ROOT = Path(__file__).parents[2]
NAMES = {one.id: one.name for one in atlas().techniques.values()}


def _plan(output: Path, names: str = '"all"') -> Plan:
    return read_plan(f'scenarios = {names}\noutput = "{output}"')


def test_every_id_is_known_and_every_scenario_says_what_should_hold() -> None:
    for scenario in SCENARIOS.values():
        assert scenario.ids
        assert all(one in NAMES or one in WEAKNESSES for one in scenario.ids), scenario.name
        assert scenario.stride
        assert scenario.defence
    assert {one for scenario in SCENARIOS.values() for one in scenario.stride} == set(Stride)


def test_a_plan_may_hold_nothing_but_scenarios_and_refuses_unknown_ones(tmp_path: Path) -> None:
    assert _plan(tmp_path).scenarios == tuple(SCENARIOS)
    with pytest.raises(Refused, match=r"scenarios\[1\].*unknown scenario 'alert-flod'; nearest: alert-flood"):
        _plan(tmp_path, '["event-times", "alert-flod"]')


def test_a_plan_without_scenarios_is_the_plan_that_it_was() -> None:
    plain = read_plan('victims = ["digits"]\nattacks = ["zoo"]\nbenign = ["iid"]')
    # Folders of runs from before there were scenarios are gone on with.
    assert plain.digest == "725fd3a1d2dd934de0fc213908b9f9b4c7f2339340760f8eca1a96863ee42475"
    assert replace(plain, scenarios=("event-times",)).digest != plain.digest


def test_what_needs_the_disk_is_left_out_of_a_service_that_runs_elsewhere(tmp_path: Path) -> None:
    plan = _plan(tmp_path)
    away = scenes_of(plan, None)
    assert [name for name in plan.scenarios if name not in away] == ["baseline-store"]
    assert scenes_of(plan, tmp_path) == list(plan.scenarios)


def test_a_defence_that_was_never_tried_has_not_held() -> None:
    checks, outcomes = Checks(), []
    for held in (None, True, False):
        if held is not None:
            checks.expect("a", "x" * 1_000, held=held)
        outcomes.append(checks.outcome)
    assert outcomes == [Outcome.BROKEN, Outcome.HELD, Outcome.BROKEN]
    assert len(checks.done[1].seen) == 300


def _scene(name: str, *held: bool, error: str = "") -> SceneRecord:
    checks = tuple(Tried(tried=f"try {i}", held=one, seen="403") for i, one in enumerate(held))
    return SceneRecord(scenario=name, checks=checks, error=error)


def _summary(*scenes: SceneRecord) -> Summary:
    return summarise(Head(digest="d" * 64, seed=0, total=3, skipped=()), [], NAMES, scenes)


def test_a_report_tells_what_broke_first_and_counts_an_error_as_neither() -> None:
    summary = _summary(
        _scene("quarantine-by-drift", True, False, True),
        _scene("event-times", *[True] * 20),
        _scene("alert-flood", True, error="ServiceFailed: away"),
    )
    rows = {row.scenario: row for row in summary.scenarios}
    broken = rows["quarantine-by-drift"]
    assert (broken.outcome, broken.checks, broken.failed) == ("broken", 3, 1)
    assert broken.evidence[0] == "BROKEN: try 1: 403"
    assert broken.techniques[0].name == NAMES[broken.techniques[0].id]
    assert rows["event-times"].outcome == "held"
    assert len(rows["event-times"].evidence) == EVIDENCE_SHOWN
    assert rows["alert-flood"].outcome == "unknown"
    assert (summary.done, summary.complete) == (2, False)
    page = markdown(summary)
    assert "🟥 quarantine-by-drift" in page
    blind = page[page.index("Blind spots:") :]
    assert "1 of 3 defences broken" in blind
    assert "AML.T0029" in blind
    assert "event-times" not in blind
    assert "Every defence" not in page
    assert "Every defence" in markdown(_summary(_scene("event-times", True)))


class _Yes(httpx.BaseTransport):
    """A service that lets everybody do everything, and quarantines whatever it is asked about."""

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        body: dict[str, Any] = {
            "accepted": 10**6,
            "alerts": [],
            "baseline_id": "b",
            "detail": "yes",
            "digest": request.headers.get("content-digest", "d") + str(request.method == "PUT"),
            "duplicates": 0,
            "events_total": 10**9,
            "id": "1",
            "incidents": [{"id": "1"}],
            "insufficient": None,
            "key": "lzk_1",
            "lag_seconds": 0.0,
            "monitoring": "watching",
            "name": "m",
            "points": [{}],
            "position": 1,
            "principals": [],
            "state": "quarantined",
        }
        return httpx.Response(200, json=body, headers={"x-gate-state": "active"})


@pytest.mark.parametrize("name", [name for name in SCENARIOS if name != "baseline-store"])
def test_a_service_that_says_yes_to_everything_holds_nothing(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("redteam.scenarios.takeover.time.sleep", lambda _: None)
    real = httpx.Client

    def client(**given: Any) -> httpx.Client:
        return real(**given, transport=_Yes())

    monkeypatch.setattr(httpx, "Client", client)
    checks = Checks()
    # What breaks off later has been found broken by then.
    with client(base_url="http://yes") as http, Service(http) as service, suppress(ServiceFailed):
        SCENARIOS[name].act(service, checks, np.random.default_rng(0))
    assert checks.outcome is Outcome.BROKEN


def test_a_run_keeps_every_outcome_and_tries_again_what_broke_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    turns = []

    def act(service: Service, checks: Checks, rng: np.random.Generator) -> None:
        turns.append(rng.integers(1_000))
        checks.expect("the folder", service.folder, held=service.folder == tmp_path)
        if len(turns) == 1:
            raise RuntimeError("away")

    made = Scenario(
        name="made", title="Made", stride=(Stride.DENIAL,), ids=("CWE-20",), defence="it holds", act=act,
        needs=frozenset({Need.DISK}),
    )  # fmt: skip
    monkeypatch.setitem(SCENARIOS, "made", made)
    monkeypatch.setitem(sys.modules["redteam.report"].__dict__["PLACES"], "made", 99)
    plan = _plan(tmp_path / "out", '["made"]')
    (tmp_path / "out").mkdir()
    for _ in range(3):
        with httpx.Client(base_url="http://x") as http:
            Run(plan, Folder(tmp_path / "out"), Monitor(http, 1e6), {}, lambda *_: None, tmp_path).go()
    assert len(turns) == 2, "what is done is not tried again"
    assert turns[0] == turns[1], "the seed says what is tried"
    folder = Folder(tmp_path / "out")
    folder.load()
    assert folder.scenes["made"].held
    assert folder.scenes["made"].error == ""
    assert folder.head is not None
    assert folder.head.total == 1
    with httpx.Client(base_url="http://x") as http:
        away = Run(replace(plan, output=str(tmp_path / "b")), Folder(tmp_path / "b"), Monitor(http, 1e6), {}, print)
        (tmp_path / "b").mkdir()
        away.go()
    assert away.folder.head is not None
    assert away.folder.head.skipped == ((SERVICE, "made"),)


def test_no_success_is_a_refusal_and_no_accident_is_one() -> None:
    assert not {200, 201, 202, 500, 503} & REFUSED


@pytest.mark.slow
def test_the_service_holds_against_every_scenario(tmp_path: Path) -> None:
    plan, output = ROOT / "deploy" / "redteam" / "scenarios.toml", tmp_path / "out"
    words = ["redteam", "run", "--plan", str(plan), "--output", str(output), "--json"]
    told = subprocess.run(
        [sys.executable, "-m", "service", *words],
        cwd=ROOT,
        env=environment(),
        capture_output=True,
        timeout=900,
        check=False,
    )
    assert told.returncode == 0, told.stderr.decode()
    summary = msgspec.json.decode(told.stdout, type=Summary)
    odd = [(row.scenario, row.outcome, row.error, row.evidence[: row.failed]) for row in summary.scenarios]
    assert [one for one in odd if one[1] != "held"] == []
    assert [row.scenario for row in summary.scenarios] == list(SCENARIOS)
    assert json.loads(told.stdout)["complete"]
