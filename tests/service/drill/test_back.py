"""The way back of a drill, against a service that does what tests want, on a clock that only sleeping moves."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import httpx
import pytest

from service.drill import back as back_module
from service.drill import line as line_module
from service.drill.back import WayBack
from service.drill.line import DrillFailed, Line

PATH = "/v1/models/m/versions/1"
AFTER = {"start_review": "under_review", "release": "active", "clear": "active", "quarantine": "quarantined"}


@dataclass
class Time:
    now: float = 1_000.0
    later: list[tuple[float, Callable[[], None]]] = field(default_factory=list)

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        for at, happens in [one for one in self.later if one[0] <= self.now]:
            self.later.remove((at, happens))
            happens()

    def after(self, seconds: float, happens: Callable[[], None]) -> None:
        self.later.append((self.now + seconds, happens))


@dataclass
class Service:
    """One version, one person's key, and what goes wrong."""

    state: str = "active"
    lag: float = 0.0
    need: int = 1
    have: int = 0
    down: bool = False
    asked: list[str] = field(default_factory=list)
    incidents: list[dict[str, str]] = field(default_factory=list)

    def answer(self, request: httpx.Request) -> httpx.Response:
        if self.down:
            raise httpx.ConnectError("connection refused")
        if request.url.path == f"{PATH}/status":
            told = {"state": self.state, "lag_seconds": self.lag, "budget": {"tick_seconds": 1.0}}
            return httpx.Response(200, json=told)
        if request.url.path == f"{PATH}/transitions":
            return self._change(json.loads(request.content)["event"])
        if request.url.path == "/v1/incidents":
            wanted = request.url.params["status"]
            return httpx.Response(200, json={"incidents": [i for i in self.incidents if i["status"] == wanted]})
        _, _, _, incident_id, action = request.url.path.split("/")
        self.asked.append(f"{action} {incident_id}")
        return httpx.Response(200, json={})

    def _change(self, event: str) -> httpx.Response:
        self.asked.append(event)
        fits = {"start_review": "quarantined", "release": "under_review", "clear": "suspect"}[event]
        if self.state != fits:
            return httpx.Response(409, json={"detail": f"is {self.state}"})
        if event == "release":
            self.have += 1
        if event != "release" or self.have >= self.need:
            self.state = AFTER[event]
        approvals = {"have": self.have, "need": self.need}
        return httpx.Response(200, json={"state": self.state, "approvals": approvals})

    def becomes(self, state: str) -> Callable[[], None]:
        def happens() -> None:
            self.state = state

        return happens


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Time:
    stand_in = Time()
    monkeypatch.setattr(back_module, "time", stand_in)
    monkeypatch.setattr(line_module, "time", stand_in)
    return stand_in


@pytest.fixture
def service() -> Service:
    return Service()


@pytest.fixture
def api(service: Service) -> Iterator[Line]:
    with httpx.Client(transport=httpx.MockTransport(service.answer), base_url="http://lazaretto") as client:
        yield Line(client)


def way(api: Line, *, known: bool = True, second: Line | None = None) -> WayBack:
    return WayBack(api, second, PATH, known=known)


def test_what_is_in_quarantine_is_reviewed_and_released(service: Service, api: Line) -> None:
    service.state = "quarantined"
    assert way(api).bring("over").released
    assert (service.state, service.asked) == ("active", ["start_review", "release"])


@pytest.mark.parametrize("known", [True, False])
def test_a_quarantine_that_comes_after_the_end_is_taken_back_too(
    clock: Time, service: Service, api: Line, known: bool
) -> None:
    # The drill has ended before anything was to be seen: its events still lie in the log.
    clock.after(1.5, service.becomes("suspect"))
    assert way(api, known=known).bring("over").released
    assert service.asked == ["clear"]
    clock.after(1.0, service.becomes("quarantined"))
    assert way(api, known=known).bring("over").released
    assert service.asked == ["clear", "start_review", "release"]


def test_an_event_of_which_nobody_knows_is_awaited_although_the_version_was_released(
    clock: Time, service: Service, api: Line
) -> None:
    service.state = "quarantined"
    clock.after(2.0, service.becomes("suspect"))
    assert way(api, known=False).bring("over").released
    assert service.asked == ["start_review", "release", "clear"]


def test_a_worker_that_is_behind_is_awaited(clock: Time, service: Service, api: Line) -> None:
    service.lag = 20.0

    def catches_up() -> None:
        service.lag = 0.0
        service.state = "quarantined"

    clock.after(30.0, catches_up)
    assert way(api).bring("over").released
    assert service.asked == ["start_review", "release"]


def test_a_worker_that_never_gets_on_is_told(service: Service, api: Line) -> None:
    service.lag = 20.0
    with pytest.raises(DrillFailed, match=r"the version is active, and the worker is 20.0 s behind"):
        way(api).bring("over")


def test_a_service_that_is_away_for_a_while_is_asked_again(clock: Time, service: Service, api: Line) -> None:
    service.state, service.down = "quarantined", True

    def returns() -> None:
        service.down = False

    clock.after(40.0, returns)
    assert way(api).bring("over").released
    service.down = True
    with pytest.raises(DrillFailed, match=r"GET .*/status was not answered: connection refused"):
        way(api).bring("over")


def test_where_more_people_are_needed_it_waits_for_them(service: Service, api: Line) -> None:
    service.state, service.need = "quarantined", 3
    back = way(api).bring("over")
    assert (back.released, back.waits_for, service.state) == (False, 2, "under_review")
    service.need = 3
    assert way(api, second=api).bring("over").released


def test_what_somebody_else_has_decided_stands(service: Service, api: Line) -> None:
    service.state = "retired"
    back = way(api).bring("over")
    assert (back.released, back.waits_for) == (False, 0)
    assert "somebody else has decided meanwhile: the version is retired" in back.text
    assert service.asked == []


def test_a_race_with_somebody_is_looked_at_again(service: Service, api: Line) -> None:
    service.state = "quarantined"
    first = service._change

    def lost(event: str) -> httpx.Response:
        # Between the look and the request a colleague has begun the review.
        service.state = "under_review" if service.state == "quarantined" else service.state
        return first(event)

    service._change = lost  # type: ignore[method-assign]  # a colleague
    assert way(api).bring("over").released


def test_incidents_of_the_drill_alone_are_resolved(service: Service, api: Line) -> None:
    def incident(name: str, status: str, opened: str) -> dict[str, str]:
        return {"id": name, "status": status, "opened": opened}

    service.incidents = [
        incident("older", "open", "2026-11-23T09:00:00.000000Z"),
        incident("mine", "open", "2026-11-23T10:00:01.000000Z"),
        incident("taken", "acknowledged", "2026-11-23T10:00:02.000000Z"),
        incident("over", "resolved", "2026-11-23T10:00:03.000000Z"),
        incident("later", "open", "2026-11-23T12:00:00.000001Z"),
    ]
    way(api).settle("over", frozenset(), "2026-11-23T10:00:00.000000Z", "2026-11-23T12:00:00.000000Z")
    assert sorted(service.asked) == ["resolve mine", "resolve taken"]
    service.asked.clear()
    way(api).settle("over", frozenset({"older", "taken"}))
    assert sorted(service.asked) == ["resolve later", "resolve mine"]


def test_a_refusal_has_the_words_of_the_service() -> None:
    def refuse(_: httpx.Request) -> httpx.Response:
        places = [{"at": "reason", "reason": "must not be empty"}]
        return httpx.Response(403, json={"detail": "this needs scope 'operate'", "errors": places})

    with (
        httpx.Client(transport=httpx.MockTransport(refuse), base_url="http://lazaretto") as client,
        pytest.raises(DrillFailed) as failed,
    ):
        Line(client).post("/v1/x", {})
    wanted = "POST /v1/x was answered 403: this needs scope 'operate' reason: must not be empty"
    assert str(failed.value) == wanted
