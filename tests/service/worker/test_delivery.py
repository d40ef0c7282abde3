"""Outbox to channels: at least once, in order, each channel at its own pace; on a clock that stands still."""

import asyncio
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import pytest

from service.domain.ids import Actor, Micros
from service.domain.notices import Circuit, Told
from service.domain.records import Message, Severity
from service.notify.conclude import trial_message
from service.notify.retry import AGE_SECONDS_MAX, DELAYS_SECONDS, JITTER
from service.ports_notify import DeliveryFailed
from service.worker.delivery import Pace
from tests.service.notify.desk import Desk, Recorder, alert

DOWN = DeliveryFailed("503", recoverable=True)
UNWANTED = DeliveryFailed("400", recoverable=False)


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path, "ops", "chat")


def test_messages_arrive_in_order_once_and_everywhere(desk: Desk) -> None:
    messages = [alert(key) for key in "abc"]
    desk.put(*messages)
    desk.round(rounds=5)
    for channel in desk.channels.values():
        assert channel.ids == [message.id for message in messages]
    assert desk.stats.delivered == 9


def test_a_failure_is_tried_again_after_its_delay_and_not_before(desk: Desk) -> None:
    desk.channels["ops"].failure = DOWN
    desk.put(alert())
    desk.round()
    desk.channels["ops"].failure = None
    desk.clock.advance(DELAYS_SECONDS[0] * (1 - JITTER) - 0.1)
    desk.round()
    assert desk.channels["ops"].arrived == []
    desk.clock.advance(DELAYS_SECONDS[0] * 2 * JITTER + 0.2)
    desk.round()
    assert desk.channels["ops"].ids == desk.channels["ops"].tried[:1]
    assert len(desk.channels["log"].tried) == 1


def test_what_the_receiver_will_never_take_is_given_up_at_once_and_leaves_the_channel_open(desk: Desk) -> None:
    desk.channels["ops"].failure = UNWANTED
    desk.put(alert())
    desk.round()
    assert list(desk.statuses("ops").values()) == ["dead"]
    state = desk.store.desk.backlog(desk.clock.now_us()).states["ops"]
    assert (state.circuit, state.dead_total) == (Circuit.CLOSED, 1)


def test_a_given_up_message_is_told_on_other_channels_once_and_its_end_too(desk: Desk) -> None:
    desk.channels["ops"].failure = UNWANTED
    desk.put(alert("a"), alert("b", cause="latency", incident="i2"))
    desk.round(rounds=4)
    told = [m for m in desk.channels["chat"].arrived if m.kind == "notifications_failing"]
    assert len(told) == 1
    assert "'ops' are failing" in told[0].payload
    assert all(m.kind != "notifications_failing" for m in desk.channels["ops"].arrived)
    desk.channels["ops"].failure = None
    desk.put(alert("c"))
    desk.round(rounds=4)
    told = [m for m in desk.channels["chat"].arrived if m.kind == "notifications_failing"]
    assert [p.status for p in desk.channels["chat"].payloads if p.lazaretto.kind == "notifications_failing"] == [
        "firing",
        "resolved",
    ]
    assert len({m.id for m in told}) == 2


def test_a_message_for_a_channel_that_nobody_has_any_more_is_a_dead_letter(desk: Desk) -> None:
    desk.channels["ops"].failure = DOWN
    desk.put(alert())
    desk.round()
    fewer = desk.another("two", {"log": desk.channels["log"]})
    for _ in range(9):
        desk.clock.advance(61)
        desk.round(fewer)
    assert list(desk.statuses("ops").values()) == ["pending"], "the other worker may come back with it"
    desk.clock.advance(122)
    desk.round(fewer)
    (one,) = desk.store.desk.deliveries(status=None, channel="ops", message_id=None, limit=9)
    assert (one.status, one.detail) == ("dead", "there is no channel 'ops': 503")


def test_a_worker_with_other_settings_leaves_alone_what_waits_for_channels_of_another_one(desk: Desk) -> None:
    desk.channels["ops"].failure = DOWN
    desk.put(alert())
    desk.round()
    fewer = desk.another("two", {"log": desk.channels["log"]})
    for _ in range(30):
        desk.clock.advance(61)
        desk.round(fewer)
        desk.round()
    assert list(desk.statuses("ops").values()) == ["pending"]
    desk.channels["ops"].failure = None
    desk.clock.advance(600)
    desk.round(rounds=2)
    assert len(desk.channels["ops"].arrived) == 1


def test_a_channel_that_hangs_is_cut_off_and_holds_up_no_other(tmp_path: Path) -> None:
    desk = Desk(tmp_path, "ops", "chat")
    desk.paces["ops"] = Pace(at_once=1, deadline_seconds=3.0)
    desk.channels["ops"].hangs = True
    desk.put(*(alert(key, incident=key, cause=key) for key in "abcdef"))

    async def work() -> float:
        started = time.perf_counter()
        while len(desk.channels["chat"].arrived) < 6:
            desk.dispatcher.step()
            await asyncio.sleep(0.01)
        took = time.perf_counter() - started
        await desk.dispatcher.settle()
        return took

    assert asyncio.run(work()) < 2.5, "the others waited for the one that hangs"
    assert len(desk.channels["ops"].tried) == 1
    (failed,) = [
        d for d in desk.store.desk.deliveries(status=None, channel="ops", message_id=None, limit=9) if d.attempts
    ]
    assert failed.detail == "no answer within 3 s"


def test_a_channel_that_breaks_counts_as_failed_and_its_words_are_not_told(desk: Desk) -> None:
    desk.channels["ops"].failure = RuntimeError("the secret is hunter2")
    desk.put(alert())
    desk.round()
    (one,) = desk.store.desk.deliveries(status=None, channel="ops", message_id=None, limit=9)
    assert one.detail == "the channel broke: RuntimeError"


def test_an_open_circuit_spares_the_receiver_and_costs_no_attempts(desk: Desk) -> None:
    ops = desk.channels["ops"]
    ops.failure = DOWN
    desk.put(*(alert(key, incident=key) for key in "abcdefgh"))
    for _ in range(3):  # one version: one after the other
        desk.round()
        desk.clock.advance(DELAYS_SECONDS[1] * 1.2)
    assert desk.store.desk.backlog(desk.clock.now_us()).states["ops"].failures >= 3
    before = len(ops.tried)
    desk.round()
    probes = len(ops.tried) - before
    assert probes == 1, "half open, a single probe"
    for _ in range(10):
        desk.round()
    assert len(ops.tried) - before == 1, "open again: nothing is tried"
    ops.failure = None
    desk.clock.advance(600)
    desk.until((desk.clock.now_us() - desk.at(0)) / 1e6 + 20)
    assert len([m for m in ops.arrived if m.kind == "alert_opened"]) == 8
    assert (
        max(d.attempts for d in desk.store.desk.deliveries(status=None, channel="ops", message_id=None, limit=9)) <= 3
    )


def test_once_the_channel_works_everything_that_waited_goes_at_once_and_in_order(desk: Desk) -> None:
    ops = desk.channels["ops"]
    ops.failure = DOWN
    messages = [alert(key) for key in "abcd"]
    desk.put(*messages)
    desk.until(400, every=5)
    ops.failure = None
    resumed = desk.clock.now_us()
    desk.until(800, every=1)
    assert ops.ids == [message.id for message in messages]
    # The longest pause of the circuit is five minutes; nothing waits for the hours of its own schedule.
    assert max(ops.times) - resumed < 310e6


def test_a_message_that_is_too_old_is_given_up_while_its_channel_is_down(desk: Desk) -> None:
    desk.channels["ops"].failure = DOWN
    desk.put(alert())
    desk.round()
    desk.clock.advance(AGE_SECONDS_MAX + 1)
    desk.round()  # still being tried
    desk.clock.advance(61)
    desk.channels["ops"].hangs = True  # would be tried once more, if it were
    desk.round()
    desk.clock.advance(61)
    desk.round()
    assert "dead" in desk.statuses("ops").values()


def test_a_dead_letter_that_is_replayed_arrives_under_the_same_id_and_is_on_record(desk: Desk) -> None:
    ops = desk.channels["ops"]
    ops.failure = UNWANTED
    message = alert()
    desk.put(message)
    desk.round()
    ops.failure = None
    assert desk.store.desk.replay(Actor("ada"), message.id, "ops", desk.clock.now_us(), 10) == 1
    assert desk.store.desk.replay(Actor("ada"), message.id, "ops", desk.clock.now_us(), 10) == 0
    desk.round()
    assert ops.ids == [message.id]
    assert [(e.action, e.actor, e.detail) for e in desk.store.read.audit(1)] == [("notification.replay", "ada", "ops")]


def test_two_replicas_never_send_the_same_twice(desk: Desk) -> None:
    desk.paces.clear()  # so many looks at a file take longer than the short deadline of the other tests
    other = desk.another("two")
    messages = [alert(key, incident=key, cause=f"c{key}") for key in "abcdefghij"]

    async def both() -> None:
        for _ in range(30):
            desk.dispatcher.step()
            other.step()
            await asyncio.sleep(0)
        await desk.dispatcher.settle()
        await other.settle()

    desk.put(*messages)
    for _ in range(10):
        asyncio.run(both())
    for channel in desk.channels.values():
        assert channel.ids == [message.id for message in messages]


def test_what_a_dead_replica_had_claimed_is_sent_by_another_one_when_its_lease_is_over(desk: Desk) -> None:
    desk.put(alert())
    desk.store.outbox.route(desk.dispatcher.route, 9, desk.clock.now_us())
    claimed = desk.store.outbox.claim("gone", {"ops": 4}, desk.clock.now_us(), 1_000_000)
    assert len(claimed) == 1
    desk.round()
    assert desk.channels["ops"].arrived == []
    desk.clock.advance(1.1)
    desk.round()
    assert desk.channels["ops"].ids == [claimed[0].message.id]


def test_a_late_answer_changes_nothing(desk: Desk) -> None:
    desk.put(alert())
    desk.store.outbox.route(desk.dispatcher.route, 9, desk.clock.now_us())
    (late,) = desk.store.outbox.claim("slow", {"ops": 4}, desk.clock.now_us(), 1_000_000)
    desk.clock.advance(1.1)
    desk.round()
    assert not desk.store.outbox.conclude(late, "slow", lambda _: pytest.fail("must not be asked"))
    assert desk.statuses("ops") == {late.message.id: "delivered"}


def test_a_test_goes_past_everything_that_waits(tmp_path: Path) -> None:
    quiet = {"from": "00:00", "to": "00:00", "severities": ["low", "medium"]}
    chat = {"kind": "webhook", "url": "https://example.org/", "quiet": quiet}
    desk = Desk(tmp_path, "chat", settings={"channels": {"chat": chat}})
    desk.put(alert(severity=Severity.LOW))
    desk.round()
    now = desk.clock.now_us()
    desk.store.desk.put_test(Actor("ada"), trial_message("chat", Actor("ada"), now, "t1"), "chat", now)
    desk.round()
    assert desk.channels["chat"].ids == ["t1"]


def test_a_message_that_cannot_be_routed_goes_to_everybody_and_holds_up_nothing(desk: Desk) -> None:
    broken = Message(id="b", kind="k", payload="no json", created_us=Micros(0), model="fraud", version="1")
    desk.put(broken, alert())
    desk.round(rounds=3)
    assert desk.channels["ops"].ids[0] == "b"
    assert len(desk.channels["ops"].arrived) == 2


class Repeater(Recorder):
    """Hears of what is firing again and again."""

    resend_seconds = 60.0

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.repeats: list[list[str]] = []

    async def repeat(self, told: Sequence[Told]) -> None:
        if self.failure is not None:
            raise self.failure
        self.repeats.append([one.labels["cause"] for one in told if one.ends_us is None])


def test_what_is_firing_is_sent_again_until_it_ends_and_then_ten_minutes_more(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    again = Repeater("am")
    channels: dict[str, Recorder] = {"log": desk.channels["log"], "am": again}
    dispatcher = desk.another("one", dict(channels))
    other = desk.another("two", dict(channels))
    desk.put(alert())
    for _ in range(20):  # ten minutes
        desk.round(dispatcher)
        desk.round(other)
        desk.clock.advance(30)
    assert 9 <= len(again.repeats) <= 10, "of two replicas one takes the turn"
    assert set(map(tuple, again.repeats)) == {("data_drift",)}
    desk.put(alert("a:over", firing=False, at_us=desk.clock.now_us()))
    again.repeats.clear()
    for _ in range(40):
        desk.round(dispatcher)
        desk.clock.advance(30)
    assert 9 <= len(again.repeats) <= 11
    assert set(map(tuple, again.repeats)) == {()}


def test_repeats_that_fail_open_the_circuit_and_are_told_elsewhere(tmp_path: Path) -> None:
    desk = Desk(tmp_path, "chat")
    again = Repeater("am")
    dispatcher = desk.another("one", {**desk.channels, "am": again})
    desk.put(alert())
    desk.round(dispatcher)
    again.failure = DOWN
    for _ in range(8):
        desk.clock.advance(61)
        desk.round(dispatcher, rounds=2)
    assert "notifications_failing" in desk.channels["chat"].kinds
    sent = len(desk.channels["chat"].arrived)
    again.failure = None
    desk.clock.advance(61)
    desk.round(dispatcher, rounds=2)
    state = desk.store.desk.backlog(desk.clock.now_us()).states["am"]
    assert (state.circuit, state.failures, state.failing_us) == (Circuit.CLOSED, 0, None), (
        "repeats that arrive close it"
    )
    assert [payload.status for payload in desk.channels["chat"].payloads[sent:]] == ["resolved"]
    assert state.delivered_total == 1, "what is sent again is no delivery"


def test_a_channel_that_fails_is_asked_again_when_nothing_is_left_to_repeat(tmp_path: Path) -> None:
    desk = Desk(tmp_path, "chat")
    again = Repeater("am")
    dispatcher = desk.another("one", {**desk.channels, "am": again})
    desk.put(alert())
    desk.round(dispatcher)
    again.failure = DOWN
    for _ in range(4):
        desk.clock.advance(61)
        desk.round(dispatcher, rounds=2)
    assert desk.store.desk.backlog(desk.clock.now_us()).states["am"].circuit is Circuit.OPEN
    with desk.store.incidents.write() as tx:  # what was firing is forgotten
        cast("Any", tx)._connection.exec_driver_sql("DELETE FROM told WHERE labels LIKE '%AlertOpened%'")
    again.failure = None
    desk.clock.advance(61)
    desk.round(dispatcher, rounds=2)
    assert again.repeats[-1] == []
    assert desk.store.desk.backlog(desk.clock.now_us()).states["am"].circuit is Circuit.CLOSED


def test_a_repeat_that_is_not_wanted_is_told_and_leaves_the_circuit_closed(tmp_path: Path) -> None:
    desk = Desk(tmp_path, "chat")
    again = Repeater("am")
    dispatcher = desk.another("one", {**desk.channels, "am": again})
    desk.put(alert())
    desk.round(dispatcher)
    again.failure = UNWANTED
    for _ in range(5):
        desk.clock.advance(61)
        desk.round(dispatcher, rounds=2)
    assert desk.store.desk.backlog(desk.clock.now_us()).states["am"].circuit is Circuit.CLOSED
    assert desk.channels["chat"].kinds.count("notifications_failing") == 1
