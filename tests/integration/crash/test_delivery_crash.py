"""Die between any two writes of the delivery path: nothing is lost, and what comes twice comes under the same id."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event

from service.domain.records import IncidentStatus, Message, Verdict
from service.ports_notify import DeliveryFailed
from service.store import Store, open_store
from service.worker.delivery import Dispatcher
from tests.fakes import ManualClock
from tests.service.notify.desk import Desk, alert, settled

STATEMENTS_MAX = 400


class Killed(BaseException):
    """The process is no more: nothing that it would still do happens."""


class Axe:
    """Kills at the n-th statement or commit of the writing connection, or at the n-th delivery."""

    def __init__(self, at: int) -> None:
        self.at, self.seen, self.dead = at, 0, False

    def swing(self) -> None:
        if self.dead:
            raise Killed
        self.seen += 1
        if self.seen == self.at:
            self.dead = True
            raise Killed

    @contextmanager
    def over(self, store: Store) -> Iterator[None]:
        engine = store._database._writer

        def before(*_: Any) -> None:
            self.swing()

        event.listen(engine, "before_cursor_execute", before)
        event.listen(engine, "commit", before)
        try:
            yield
        finally:
            event.remove(engine, "before_cursor_execute", before)
            event.remove(engine, "commit", before)


def story(clock: ManualClock) -> list[Message]:
    """Return an alert, another one that the receiver does not want, and the end of the first."""
    return [
        alert("a", at_us=clock.now_us()),
        alert("unwanted", at_us=clock.now_us(), incident="i2", cause="latency"),
        settled(IncidentStatus.RESOLVED, at_us=clock.now_us(), verdict=Verdict.BENIGN),
    ]


def live(desk: Desk, dispatcher: Dispatcher, rounds: int) -> None:
    async def work() -> None:
        for _ in range(rounds):
            dispatcher.step()
            await dispatcher.settle()
            if dispatcher_is_dead(desk):
                raise Killed

    asyncio.run(work())


def dispatcher_is_dead(desk: Desk) -> bool:
    axe: Axe | None = getattr(desk, "axe", None)
    return axe is not None and axe.dead


def run_with(folder: Path, at: int) -> tuple[Desk, bool]:
    """Live through the story, die at a point, and let another process go on."""
    desk = Desk(folder, "ops")
    axe = Axe(at)
    desk.axe = axe  # type: ignore[attr-defined]

    def hook(message: Message) -> None:
        axe.swing()
        if "latency" in message.payload and message.kind == "alert_opened":
            raise DeliveryFailed("400", recoverable=False)

    desk.channels["ops"].hook = hook
    desk.put(*story(desk.clock))
    with axe.over(desk.store), suppress(Killed):
        live(desk, desk.another("first"), 6)
    died, axe.dead, axe.at = axe.dead, False, -1
    desk.store.close()
    url = f"sqlite:///{folder / 'state.db'}"
    desk.store = open_store(url, timeout_seconds=5.0)
    desk.clock.advance(60)  # the leases of the dead are over
    second = desk.another("second")
    for _ in range(8):
        live(desk, second, 1)
        desk.clock.advance(10)
    return desk, died


@pytest.mark.slow
def test_whenever_it_dies_nothing_is_lost_and_duplicates_carry_the_same_id(tmp_path: Path) -> None:
    expected = [message.id for message in story(ManualClock())]
    points = duplicates = 0
    for at in range(1, STATEMENTS_MAX):
        folder = tmp_path / str(at)
        folder.mkdir()
        desk, died = run_with(folder, at)
        ops, log = desk.channels["ops"], desk.channels["log"]
        unwanted = expected[1]
        assert set(expected) - {unwanted} <= set(ops.ids), f"killed at {at}: lost"
        assert set(expected) <= set(log.ids), f"killed at {at}: lost in the log"
        assert desk.statuses("ops")[unwanted] == "dead", f"killed at {at}"
        told = {m.id for m in log.arrived if m.kind == "notifications_failing"}
        assert 1 <= len(told) <= 2, f"killed at {at}: {told}"  # that it fails, and that it works again
        # Nothing but what was written is ever told.
        assert set(ops.ids) | set(log.ids) <= set(expected) | told, f"killed at {at}: phantom"
        # Of one version the end never comes before its beginning.
        assert ops.ids.index(expected[0]) < ops.ids.index(expected[2]), f"killed at {at}: order"
        desk.store.close()
        duplicates += len(ops.ids) - len(set(ops.ids))
        if not died:
            break
        points += 1
    else:
        pytest.fail("the story has no end")
    assert points > 40, "too few points: the test does not see the writes"
    assert duplicates >= 1, "death between delivery and its record must show as a duplicate"
