"""A whole drill, against a service and a gateway that do what tests want."""

import json
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from typing import Any

import httpx
import pytest

from service.drill import back as back_module
from service.drill.line import DrillFailed
from service.drill.run import Drill, Target

PATH = "/v1/models/m/versions/1"
BEGUN = "2026-11-23T10:00:00.000000Z"
TARGET = Target(model="m", version="1", through="/infer", timeout_seconds=0.05)


@dataclass
class Service:
    """One version that any event quarantines."""

    state: str = "active"
    tick_seconds: float = 1.0
    need: int = 1
    have: int = 0
    refuses: int = 200
    """What the gateway answers while the version is closed."""
    noted: list[dict[str, Any]] = field(default_factory=list)
    transitions: list[dict[str, str]] = field(default_factory=list)
    incidents: list[dict[str, str]] = field(default_factory=list)
    resolved: list[str] = field(default_factory=list)

    def answer(self, request: httpx.Request) -> httpx.Response:
        path, told = request.url.path, dict[str, Any]()
        if path == "/infer":
            return httpx.Response(200 if self.state == "active" else self.refuses)
        if request.method == "GET":
            told = self._there(request.url.params)[path.removeprefix(PATH)]
        elif path == f"{PATH}/events":
            self.state = "quarantined"
        elif path == f"{PATH}/drills":
            self.noted.append(json.loads(request.content))
        elif path == f"{PATH}/transitions":
            told = self._change(json.loads(request.content)["event"])
        else:
            self.resolved.append(path.split("/")[3])
        return httpx.Response(200, json=told)

    def _there(self, params: httpx.QueryParams) -> dict[str, dict[str, Any]]:
        budget = {"tick_seconds": self.tick_seconds}
        return {
            "": {"schema": {"features": []}, "baseline_id": "b", "deployed_by": "x"},
            "/status": {"state": self.state, "lag_seconds": 0.0, "last_event": None, "budget": budget},
            "/drills": {"drills": [{"drill_id": "d", "begun_at": BEGUN, "ended_at": None}]},
            "/transitions": {"transitions": self.transitions},
            "/v1/models/m": {"versions": [{"version": "1"}]},
            "/v1/incidents": {"incidents": [one for one in self.incidents if one["status"] == params.get("status")]},
        }

    def _change(self, event: str) -> dict[str, Any]:
        self.have += event == "release"
        if event != "release" or self.have >= self.need:
            self.state = {"start_review": "under_review", "release": "active", "clear": "active"}[event]
        return {"state": self.state, "approvals": {"have": self.have, "need": self.need}}


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Service:
    monkeypatch.setattr(back_module, "SETTLE_SECONDS", -1.5)
    return Service()


@pytest.fixture
def drill(service: Service) -> Iterator[Drill]:
    with ExitStack() as stack:
        transport = httpx.MockTransport(service.answer)
        api, gateway = (
            stack.enter_context(httpx.Client(transport=transport, base_url="http://lazaretto")) for _ in range(2)
        )
        yield Drill(api, gateway)


def test_a_drill_that_fails_says_also_that_the_version_is_still_closed(service: Service, drill: Drill) -> None:
    service.need = 2
    with pytest.raises(DrillFailed) as failed:
        drill.run(TARGET)
    assert "did not refuse within 0.05 s" in str(failed.value)
    assert str(failed.value).endswith("; NOT released: it waits for 1 more to approve")
    assert isinstance(failed.value.__cause__, DrillFailed)
    assert service.state == "under_review"
    assert (service.noted[-1]["phase"], service.noted[-1]["outcome"]) == ("end", str(failed.value))


def test_a_drill_that_fails_and_is_undone_says_no_more_than_why(service: Service, drill: Drill) -> None:
    with pytest.raises(DrillFailed, match="did not refuse within") as failed:
        drill.run(TARGET)
    assert "NOT released" not in str(failed.value)
    assert service.state == "active"


def test_a_drill_that_is_whole_reports_for_whom_it_waits(service: Service, drill: Drill) -> None:
    service.need, service.refuses = 2, 403
    report = drill.run(TARGET)
    assert (report.outcome, report.released, report.waits_for) == ("refused at the gateway", False, 1)


def incident(name: str, opened: str) -> dict[str, str]:
    return {"id": name, "status": "open", "opened": opened}


def test_what_was_opened_long_after_a_killed_drill_is_left_to_people(service: Service, drill: Drill) -> None:
    service.state = "quarantined"
    service.transitions = [
        {"event": "start_review", "at": "2026-11-23T15:00:00.000000Z"},
        {"event": "quarantine", "at": "2026-11-23T10:00:02.000000Z"},
    ]
    service.incidents = [
        incident("earlier", "2026-11-23T09:59:59.999999Z"),
        incident("mine", "2026-11-23T10:00:01.000000Z"),
        incident("last", "2026-11-23T12:00:00.000000Z"),
        incident("later", "2026-11-23T12:00:00.000001Z"),
    ]
    assert drill.finish(TARGET).released
    assert sorted(service.resolved) == ["last", "mine"]


@pytest.mark.parametrize(("event", "word"), [("suspect", "suspicion"), ("quarantine", "quarantine")])
def test_a_later_suspicion_or_quarantine_is_none_of_the_drill(
    service: Service, drill: Drill, event: str, word: str
) -> None:
    service.state = "suspect" if event == "suspect" else "quarantined"
    before = service.state
    service.transitions = [
        {"event": event, "at": "2026-11-23T12:00:00.000001Z"},
        {"event": "quarantine", "at": "2026-11-23T10:00:02.000000Z"},
    ]
    with pytest.raises(DrillFailed, match=f"the newest {word} of m/1 is of 2026-11-23T12:00:00.000001Z"):
        drill.finish(TARGET)
    assert (service.state, service.noted) == (before, [])


@pytest.mark.parametrize("in_service", [False, True])
def test_a_version_of_long_ticks_is_not_drilled(service: Service, drill: Drill, in_service: bool) -> None:
    service.tick_seconds = 60.5
    with pytest.raises(DrillFailed, match=r"m/1 has ticks of 60\.5 s, and the way back waits for two"):
        drill.run(replace(TARGET, in_service=in_service))
    assert (service.state, service.noted) == ("active", [])
