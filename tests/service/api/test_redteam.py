"""Results of red-team runs: filed, shown, bounded, on the metrics."""

from copy import deepcopy
from typing import Any
from zlib import crc32

import msgspec
import pytest

from service.domain.ids import Actor, Micros, VersionId
from service.domain.records import Scope
from service.domain.redteam import RedTeamRun, RedTeamSummary, newest_of_retired
from tests.service.api.conftest import World

RATE = {"hits": 1, "trials": 4, "low": 0.0, "high": 0.8}
ATTACK = {
    "victim": "digits",
    "attack": "zoo",
    "title": "Zeroth-order optimisation",
    "family": "score",
    "techniques": [{"id": "AML.T0015", "name": "Evade AI Model"}],
    "sessions": 5,
    "errors": 0,
    "successes": 4,
    "timely": RATE,
    "by_intent": RATE,
    "seen": RATE,
    "queries_median": None,
    "tiers": {"probing": 2},
    "campaigns": 1,
    "blind": True,
}
BENIGN = {
    "victim": "digits",
    "workload": "iid",
    "title": "independent inputs",
    "kind": "ordinary",
    "sessions": 4,
    "errors": 0,
    "alarmed": RATE,
    "tiers": {},
}
SCENARIO = {
    "scenario": "event-times",
    "title": "Events from another time",
    "stride": ["Tampering"],
    "techniques": [{"id": "CWE-20", "name": "Improper Input Validation"}],
    "defence": "evidence goes by arrival",
    "outcome": "broken",
    "checks": 3,
    "failed": 1,
    "evidence": ["BROKEN: the past: 4 points", "held: the future: 0 points"],
    "error": "",
}
SUMMARY: dict[str, Any] = {
    "plan": "d" * 64,
    "seed": 3,
    "complete": True,
    "done": 9,
    "total": 9,
    "attacks": [ATTACK],
    "benign": [BENIGN],
    "scenarios": [SCENARIO],
    "skipped": [["digits", "lowprofool"]],
    "errors": [],
}


@pytest.fixture
def path(world: World, request: pytest.FixtureRequest) -> str:
    """Register a version for one test, and return where its runs are filed."""
    return world.model(f"m{crc32(request.node.name.encode())}") + "/redteam"


def test_what_was_filed_last_is_shown(world: World, path: str) -> None:
    assert world.client.get(path, headers=world.everything).status_code == 404
    for seed in (3, 4):
        assert world.client.post(path, json=SUMMARY | {"seed": seed}, headers=world.everything).status_code == 200
    shown = world.client.get(path, headers=world.everything).json()
    assert shown["summary"] == SUMMARY | {"seed": 4}
    assert shown["filed"].startswith("20")


def test_filing_needs_the_scope_operate(world: World, path: str) -> None:
    assert world.client.post(path, json=SUMMARY, headers=world.key(Scope.READ, Scope.INGEST)).status_code == 403
    assert world.client.get(path, headers=world.key(Scope.INGEST)).status_code == 403


def _broken(**changes: Any) -> dict[str, Any]:
    return deepcopy(SUMMARY) | changes


@pytest.mark.parametrize(
    "body",
    [
        _broken(errors=["x"] * 11),
        _broken(attacks=[ATTACK | {"title": "x" * 201}]),
        _broken(attacks=[ATTACK | {"timely": RATE | {"low": 2.0}}]),
        _broken(attacks=[ATTACK | {"sessions": -1}]),
        _broken(errors=["x" * 2_001]),
        _broken(surprise=1),
        _broken(scenarios=[SCENARIO | {"outcome": "perhaps"}]),
        _broken(scenarios=[SCENARIO | {"evidence": ["x"] * 21}]),
        {},
    ],
)
def test_a_summary_out_of_bounds_is_refused(world: World, path: str, body: dict[str, Any]) -> None:
    answer = world.client.post(path, json=body, headers=world.everything)
    assert answer.status_code == 422
    assert answer.json()["errors"]


def test_a_summary_of_a_release_without_scenarios_is_taken(world: World, path: str) -> None:
    before = {name: value for name, value in SUMMARY.items() if name != "scenarios"}
    assert world.client.post(path, json=before, headers=world.everything).status_code == 200
    assert world.client.get(path, headers=world.everything).json()["summary"] == before | {"scenarios": []}


def test_the_metrics_show_whether_each_defence_held(world: World, path: str) -> None:
    held = SCENARIO | {"scenario": "alert-flood", "outcome": "held"}
    nothing = SCENARIO | {"scenario": "injected-strings", "outcome": "unknown"}
    summary = SUMMARY | {"scenarios": [SCENARIO, held, nothing]}
    assert world.client.post(path, json=summary, headers=world.everything).status_code == 200
    world.runtime.api.figures.refresh()
    world.runtime.api.fleet.refresh()
    model = path.split("/")[3]
    lines = [line for line in world.client.get("/metrics").text.splitlines() if f'model="{model}"' in line]
    shown = {line.partition("scenario=")[2] for line in lines if line.startswith("lazaretto_redteam_defence_held")}
    assert shown == {'"event-times",version="1"} 0.0', '"alert-flood",version="1"} 1.0'}


def test_the_metrics_show_the_ratio_of_each_attack_and_the_age(world: World, path: str) -> None:
    other = ATTACK | {"attack": "square-l2", "timely": RATE | {"hits": 0, "trials": 0}}
    worse = ATTACK | {"victim": "mnist", "timely": RATE | {"hits": 0}}
    summary = SUMMARY | {"attacks": [ATTACK, worse, other]}
    assert world.client.post(path, json=summary, headers=world.everything).status_code == 200
    world.runtime.api.figures.refresh()
    world.runtime.api.fleet.refresh()
    lines = world.client.get("/metrics").text.splitlines()
    shown = [line for line in lines if line.startswith("lazaretto_redteam")]
    model = path.split("/")[3]
    shown = [line for line in shown if f'model="{model}"' in line]
    ratio = f'lazaretto_redteam_detection_ratio{{attack="zoo",model="{model}",version="1"}} 0.0'
    assert [line for line in shown if "ratio" in line] == [ratio]
    [age] = [float(line.split()[-1]) for line in shown if "age" in line]
    assert 0 <= age < 600


def test_of_retired_versions_the_metrics_show_the_newest_run_of_each_victim() -> None:
    summary = msgspec.convert(SUMMARY, RedTeamSummary)
    alone = msgspec.structs.replace(summary, attacks=(), benign=())
    other = msgspec.structs.replace(summary, attacks=(msgspec.structs.replace(summary.attacks[0], victim="mnist"),))

    def run(version: int, day: int, what: RedTeamSummary = summary) -> RedTeamRun:
        at_us = Micros(day * 24 * 3_600_000_000)
        return RedTeamRun(version_id=VersionId(version), at_us=at_us, actor=Actor("red"), summary=what)

    runs = [run(1, 1), run(2, 3), run(3, 2), run(4, 1, alone), run(5, 2, alone), run(6, 1, other), run(7, 0)]
    shown = newest_of_retired(runs, lambda version_id: version_id != 7)
    assert [one.version_id for one in shown] == [7, 2, 5, 6]
    # Once the plan leaves a victim out for weeks, what was found of it is nobody's concern.
    later = [run(8, 38), run(9, 38, alone), *runs]
    assert [one.version_id for one in newest_of_retired(later, lambda version_id: version_id != 7)] == [7, 8, 9]
    assert newest_of_retired([], lambda _: True) == []


def test_a_retired_version_with_an_older_run_is_not_on_the_metrics(world: World, path: str) -> None:
    again = world.model(f"again{crc32(path.encode())}") + "/redteam"
    for where in (path, again):
        assert world.client.post(where, json=SUMMARY, headers=world.everything).status_code == 200
        retire = {"event": "retire", "reason": "the run is over"}
        transitions = where.removesuffix("redteam") + "transitions"
        assert world.client.post(transitions, json=retire, headers=world.everything).status_code == 200
    world.runtime.api.figures.refresh()
    world.runtime.api.fleet.refresh()
    lines = [one for one in world.client.get("/metrics").text.splitlines() if one.startswith("lazaretto_redteam_")]
    assert not [one for one in lines if f'model="{path.split("/")[3]}"' in one]
    assert [one for one in lines if f'model="{again.split("/")[3]}"' in one]
