"""Outbox to channels: at least once, in order, with an end."""

import asyncio
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import pytest

from service.domain.errors import Unavailable
from service.domain.ids import Micros
from service.domain.records import Message
from service.notify.retry import DELAYS_SECONDS
from service.ports import DeliveryFailed, Outbox
from service.worker.delivery import Delivery
from service.worker.stats import WorkerStats
from tests.fakes import InMemoryStore, ManualClock


@dataclass
class Recorder:
    """A channel that fails as told to, and remembers what arrived."""

    name: str = "log"
    failure: DeliveryFailed | None = None
    arrived: list[str] = field(default_factory=list)
    hangs: bool = False

    async def deliver(self, message: Message) -> None:
        if self.hangs:
            await asyncio.Event().wait()
        if self.failure is not None:
            raise self.failure
        self.arrived.append(message.id)


class Office:
    def __init__(self, *channels: Recorder) -> None:
        self.store, self.clock, self.stats = InMemoryStore(), ManualClock(), WorkerStats()
        self.delivery = Delivery(
            outbox=self.store.outbox,
            channels={channel.name: channel for channel in channels},
            clock=self.clock,
            stats=self.stats,
        )

    def put(self, *ids: str, channel: str = "log") -> None:
        with self.store.control.write() as tx:
            for i, name in enumerate(ids):
                tx.add_message(Message(id=name, channel=channel, kind="k", payload="{}", created_us=Micros(i)))

    def round(self) -> bool:
        return asyncio.run(self.delivery.deliver_due())

    def status(self, message_id: str) -> str:
        return self.store.tables.outbox[message_id].status


def test_messages_arrive_in_order_and_once() -> None:
    channel = Recorder()
    office = Office(channel)
    office.put("a", "b", "c")
    assert office.round()
    assert not office.round()
    assert channel.arrived == ["a", "b", "c"]
    assert office.stats.delivered == 3


def test_a_failure_is_tried_again_after_its_delay() -> None:
    channel = Recorder(failure=DeliveryFailed("503", recoverable=True))
    office = Office(channel)
    office.put("a")
    office.round()
    assert not office.round()
    channel.failure = None
    office.clock.advance(DELAYS_SECONDS[0] * 1.2)
    assert office.round()
    assert (channel.arrived, office.status("a")) == (["a"], "delivered")


def test_a_message_that_never_arrives_becomes_a_dead_letter() -> None:
    office = Office(Recorder(failure=DeliveryFailed("503", recoverable=True)))
    office.put("a")
    for delay in (*DELAYS_SECONDS, 0):
        assert office.round()
        office.clock.advance(delay * 1.2)
    assert office.status("a") == "dead"
    assert (office.stats.dead_letters, office.stats.delivery_failures) == (1, len(DELAYS_SECONDS) + 1)


def test_what_the_receiver_will_never_take_is_given_up_at_once() -> None:
    office = Office(Recorder(failure=DeliveryFailed("410", recoverable=False)))
    office.put("a")
    office.round()
    assert office.status("a") == "dead"


def test_a_message_for_a_channel_that_is_not_set_up_is_a_dead_letter() -> None:
    office = Office(Recorder())
    office.put("a", channel="webhook")
    office.round()
    assert office.status("a") == "dead"


def test_a_channel_that_hangs_is_cut_off_and_holds_up_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.worker.delivery.DEADLINE_SECONDS", 0.01)
    good = Recorder("log")
    office = Office(good, Recorder("webhook", hangs=True))
    office.put("a", channel="webhook")
    office.put("b", channel="log")
    office.round()
    assert good.arrived == ["b"]
    assert office.status("a") == "pending"


class Flaky:
    """An outbox that is away for the first few looks."""

    def __init__(self, outbox: Outbox, failures: int) -> None:
        self._outbox = outbox
        self.failures = failures

    def due(self, now_us: Micros, limit: int) -> Sequence[Message]:
        if self.failures:
            self.failures -= 1
            raise Unavailable("the store is away")
        return self._outbox.due(now_us, limit)

    def delivered(self, message_id: str, at_us: Micros) -> None:
        self._outbox.delivered(message_id, at_us)

    def failed(self, message_id: str, *, attempts: int, next_us: Micros | None, detail: str) -> None:
        self._outbox.failed(message_id, attempts=attempts, next_us=next_us, detail=detail)


@dataclass
class LastOrders(Recorder):
    """Stops the loop with the first message that arrives."""

    stop: threading.Event = field(default_factory=threading.Event)

    async def deliver(self, message: Message) -> None:
        await super().deliver(message)
        self.stop.set()


def test_it_goes_on_when_the_outbox_is_away_for_a_while(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("service.worker.delivery.IDLE_SECONDS", 0.0)
    channel = LastOrders()
    office = Office(channel)
    office.put("a")
    delivery = replace(office.delivery, outbox=Flaky(office.store.outbox, failures=3))
    asyncio.run(asyncio.wait_for(delivery.run(channel.stop), 10))
    assert caplog.messages == ["outbox is away"] * 3
    assert (channel.arrived, office.status("a")) == (["a"], "delivered")
