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
from redteam.records import Folder, Head, SceneRecord
from redteam.report import EVIDENCE_SHOWN, Summary, summarise
from redteam.run import SERVICE, Run, scenes_of
from redteam.scenarios import SCENARIOS, injection, tampering
from redteam.scenarios.base import WEAKNESSES, Check, Checks, Need, Outcome, Scenario, Stride
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
    checks = tuple(Check(tried=f"try {i}", held=one, seen="403") for i, one in enumerate(held))
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
            "versions": [],
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


PAGE = "<p>&lt;script&gt;alert(1)&lt;/script&gt;</p>"
SAFE = {"content-security-policy": "script-src 'self'"}


@pytest.mark.parametrize(
    ("answer", "held"),
    [
        (httpx.Response(200, text=PAGE, headers=SAFE), True),
        (httpx.Response(404, text=PAGE, headers=SAFE), False),
        (httpx.Response(303, headers={**SAFE, "location": "/login"}), False),
        (httpx.Response(500, text=PAGE, headers=SAFE), False),
        (httpx.Response(200, text="<p>nothing of it</p>", headers=SAFE), False),
        (httpx.Response(200, text=PAGE), False),
        (httpx.Response(200, text=f"{PAGE}<script>alert(1)</script>", headers=SAFE), False),
    ],
    ids=["sound", "not there", "somebody else's", "an accident", "empty", "no policy", "loud"],
)
def test_a_page_holds_only_if_it_is_there_and_shows_strings_as_text(answer: httpx.Response, held: bool) -> None:
    checks = Checks()
    with httpx.Client(base_url="http://x", transport=httpx.MockTransport(lambda _: answer)) as browser:
        injection.look_at(checks, browser, ["/incidents/1"], 200, told=True)
    assert [one.held for one in checks.done] == [held]


def test_a_page_that_should_not_be_there_is_one_that_is_not_found() -> None:
    outcomes = []
    for status in (404, 200):
        checks = Checks()
        answer = httpx.Response(status, text="no such page", headers=SAFE)
        with httpx.Client(base_url="http://x", transport=httpx.MockTransport(lambda _, a=answer: a)) as browser:
            injection.look_at(checks, browser, ["/models/x"], 404, told=False)
        outcomes.append(checks.outcome)
    assert outcomes == [Outcome.HELD, Outcome.BROKEN]


class _Worker(httpx.BaseTransport):
    """A service that shows nobody a changed baseline, and whose worker says what the test wants of evidence."""

    def __init__(self, monitoring: str, evidence: float) -> None:
        self.monitoring, self.evidence, self.changed = monitoring, evidence, False

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        if request.method == "GET" and request.url.path.endswith("/baseline"):
            return httpx.Response(409, json={"detail": "its signature does not fit"})
        refused = self.changed and self.monitoring == "insufficient"
        status = {
            "accepted": 1,
            "baseline_id": "b",
            "duplicates": 0,
            "events_total": 10**9,
            "evidence": self.evidence if self.changed else 0.0,
            "insufficient": "its signature is not ours" if refused else None,
            "monitoring": self.monitoring if self.changed else "watching",
            "name": "m",
            "threshold": 1e6,
            "versions": [],
        }
        if request.method == "POST" and request.url.path == "/v1/models":
            self.changed = False
        return httpx.Response(200, json=status)


@pytest.mark.parametrize(
    ("monitoring", "evidence", "held"),
    [
        ("insufficient", 0.0, [True, True, True, True]),
        # What a worker has verified it may keep, as long as it goes by it; what it never could verify it may not use.
        ("watching", 1e9, [True, True, False, False]),
        # Traffic that is normal by the foreign baseline raises nothing: it is in force, or nothing is.
        ("watching", 10.0, [False, False, False, False]),
        ("warming", 0.0, [False, False, False, False]),
    ],
)
def test_whoever_goes_by_a_changed_baseline_or_by_none_is_told_apart(
    monitoring: str, evidence: float, held: list[bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    worker, checks = _Worker(monitoring, evidence), Checks()

    def change(*_: object) -> None:
        worker.changed = True

    monkeypatch.setattr(tampering, "change_store", change)
    monkeypatch.setattr("redteam.scenarios.tampering.time.sleep", lambda _: None)
    with (
        httpx.Client(base_url="http://x", transport=worker) as http,
        Service(http, Path("unused")) as service,
    ):
        tampering.altered_store(service, checks, np.random.default_rng(0))
    assert [one.held for one in checks.done if "evidence against it" in one.tried] == held


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
