"""One look of the delivery loop: what it routes goes out in it, and what it says while the store is away."""

import asyncio
import threading
from pathlib import Path

import pytest

from service.domain.errors import Unavailable
from service.domain.ids import Micros
from service.ports_notify import Route
from tests.service.notify.desk import Desk, alert


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path, "ops", "chat")


class Flaky:
    """An outbox that is away for the first few looks."""

    def __init__(self, desk: Desk, failures: int) -> None:
        self._outbox = desk.store.outbox
        self.failures = failures

    def __getattr__(self, name: str) -> object:
        return getattr(self._outbox, name)

    def route(self, decide: Route, limit: int, now_us: Micros) -> int:
        if self.failures:
            self.failures -= 1
            raise Unavailable("the store is away")
        return self._outbox.route(decide, limit, now_us)


def test_it_goes_on_when_the_outbox_is_away_for_a_while(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "lazaretto.delivery")
    monkeypatch.setattr("service.worker.delivery.IDLE_SECONDS", 0.0)
    stop = threading.Event()
    desk.channels["ops"].hook = lambda _: stop.set()
    desk.put(alert())
    desk.dispatcher.outbox = Flaky(desk, failures=3)  # type: ignore[assignment]
    asyncio.run(asyncio.wait_for(desk.dispatcher.run(stop), 10))
    assert [text for text in caplog.messages if text.startswith("outbox")] == ["outbox is away", "outbox is back"]
    assert len(desk.channels["ops"].arrived) == 1


def test_what_is_routed_goes_out_in_the_same_look_also_while_the_clock_runs(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = desk.clock.now_us

    def running() -> Micros:
        desk.clock.advance(0.001)
        return first()

    monkeypatch.setattr(desk.clock, "now_us", running)
    desk.put(alert(at_us=desk.at(0)))
    desk.round()
    assert len(desk.channels["ops"].arrived) == 1
