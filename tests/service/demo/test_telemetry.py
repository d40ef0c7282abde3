"""The telemetry client: never in the way, bounded, and nothing counted twice."""

import asyncio
from collections.abc import Callable

import httpx
import msgspec
import pytest

from service.demo import telemetry
from service.demo.telemetry import QUEUED_ROWS_MAX, ROWS_PER_REQUEST, Events, TelemetryClient

PATH = "/v1/models/m/versions/1/events"


def events(rows: int, start: int = 0) -> Events:
    numbers = [float(start + row) for row in range(rows)]
    return Events(
        rows=rows, features={"x": numbers}, prediction=["a"] * rows, probabilities={"a": numbers}, latency_ms=numbers
    )


class Monitor:
    """Answers as told, and remembers what it was sent."""

    def __init__(self, *answers: int | type[httpx.TransportError]) -> None:
        self.answers = list(answers)
        self.requests: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        answer = self.answers.pop(0) if self.answers else 202
        if isinstance(answer, int):
            return httpx.Response(answer, json={})
        raise answer("told to")

    def rows(self) -> list[float]:
        bodies = [msgspec.json.decode(request.content) for request in self.requests]
        return [value for body in bodies for value in body["columns"]["features"]["x"]]


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(telemetry, "WAIT_SECONDS", 0.0)
    monkeypatch.setattr(telemetry, "BACKOFF_SECONDS", 0.0)


def post(monitor: Callable[[httpx.Request], httpx.Response], *batches: Events) -> TelemetryClient:
    async def run() -> TelemetryClient:
        transport = httpx.MockTransport(monitor)
        async with httpx.AsyncClient(transport=transport, base_url="http://monitor.test") as http:
            async with TelemetryClient(http, PATH) as client:
                for batch in batches:
                    client.record(batch)
            return client

    return asyncio.run(run())


def test_small_batches_travel_together_in_order() -> None:
    monitor = Monitor()
    client = post(monitor, *(events(40, 40 * number) for number in range(30)))
    assert monitor.rows() == [float(number) for number in range(1_200)]
    assert len(monitor.requests) == 2
    assert all(
        len(msgspec.json.decode(r.content)["columns"]["prediction"]) <= ROWS_PER_REQUEST for r in monitor.requests
    )
    assert (client.sent.acknowledged, client.sent.waiting) == (1_200, 0)


@pytest.mark.parametrize("failure", [503, 429, httpx.ConnectError, httpx.ReadTimeout])
def test_a_failed_request_is_sent_again_under_the_same_key(failure: int | type[httpx.TransportError]) -> None:
    monitor = Monitor(failure, failure)
    client = post(monitor, events(10))
    assert len(monitor.requests) == 3
    assert len({request.headers["idempotency-key"] for request in monitor.requests}) == 1
    assert len({request.content for request in monitor.requests}) == 1
    assert client.sent.acknowledged == 10


def test_a_refused_request_is_counted_and_not_repeated(caplog: pytest.LogCaptureFixture) -> None:
    monitor = Monitor(422)
    client = post(monitor, events(10), events(ROWS_PER_REQUEST, 10))
    assert (client.sent.refused, client.sent.acknowledged, client.sent.waiting) == (10, ROWS_PER_REQUEST, 0)
    assert "the monitor refused 10 events: 422" in caplog.text


def test_a_monitor_that_stays_away_costs_the_events_and_nothing_else(caplog: pytest.LogCaptureFixture) -> None:
    monitor = Monitor(*[httpx.ConnectError] * telemetry.ATTEMPTS)
    client = post(monitor, events(10))
    assert (client.sent.dropped, client.sent.waiting) == (10, 0)
    assert "gave up 10 events" in caplog.text


def test_the_queue_is_bounded_and_what_does_not_fit_is_counted() -> None:
    batches = [events(1_000)] * (QUEUED_ROWS_MAX // 1_000 + 3)
    client = post(Monitor(), *batches)
    assert client.sent.dropped == 3_000
    assert client.sent.acknowledged + client.sent.dropped == 1_000 * len(batches)


def test_every_request_has_a_key_of_its_own() -> None:
    monitor = Monitor()
    post(monitor, events(ROWS_PER_REQUEST), events(ROWS_PER_REQUEST))
    assert len({request.headers["idempotency-key"] for request in monitor.requests}) == 2
