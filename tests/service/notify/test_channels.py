"""Messages to receivers: within their shapes and limits, whatever others have written, with now apart from never."""

import asyncio
import base64
import hashlib
import hmac
import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.channel_settings import AlertmanagerSettings
from service.domain.ids import Actor, Micros
from service.domain.notices import payload_of
from service.domain.records import IncidentStatus, Message, Severity, Verdict
from service.notify.alertmanager import AlertmanagerChannel, label_name
from service.notify.conclude import trial_message
from service.notify.pagerduty import BODY_BYTES_MAX, PagerDutyChannel
from service.notify.slack import SlackChannel, blocks_of
from service.notify.webhook import BODY_BYTES_MAX as HOOK_BYTES_MAX
from service.notify.webhook import WebhookChannel, signing_keys
from service.ports_notify import Channel, DeliveryFailed
from tests.fakes import ManualClock
from tests.service.notify.desk import Desk, alert, settled
from tests.service.notify.receivers import Receiver, answer
from tests.service.notify.schemas import ALERTMANAGER, PAGERDUTY, SLACK, WEBHOOK, check

SECRET = "whsec_" + base64.b64encode(b"0123456789abcdef0123456789abcdef").decode()
ROUTING_KEY = "r0ut1ngk3y"
EVIL = (
    "x\r\nBcc: victim@example.org\r\n\r\n<script>alert(1)</script> <!channel> <https://evil.example|click> "
    "*bold* `code` & \N{RIGHT-TO-LEFT OVERRIDE}\x1b[31m\x00 @here " + "long " * 2_000
)
MESSAGE = alert()
EVIL_MESSAGE = alert(summary=EVIL, description=EVIL, columns=EVIL, cause="c" * 5_000)


def webhook(receiver: Receiver, secret: str = SECRET) -> Channel:
    transport = receiver.transport
    return WebhookChannel("w", "https://example.org/hook", signing_keys(secret), ManualClock(), transport=transport)


def pagerduty(receiver: Receiver) -> Channel:
    return PagerDutyChannel(
        "p", "https://example.org/v2/enqueue", ROUTING_KEY, ManualClock(), transport=receiver.transport
    )


def slack(receiver: Receiver) -> Channel:
    return SlackChannel("s", "https://hooks.example.org/T0/s3cr3t", ManualClock(), transport=receiver.transport)


def alertmanager(receiver: Receiver, *urls: str) -> AlertmanagerChannel:
    chosen = AlertmanagerSettings(kind="alertmanager", urls=urls or ("http://am.example.org:9093",))
    return AlertmanagerChannel("a", chosen, "Bearer t0k3n", ManualClock(), transport=receiver.transport)


def deliver(channel: Channel, message: Message = MESSAGE) -> None:
    async def work() -> None:
        try:
            await channel.deliver(message)
        finally:
            await channel.close()

    asyncio.run(work())


def sent(receiver: Receiver) -> list[Any]:
    return [json.loads(request.content) for request in receiver.requests]


EVERY: dict[str, Callable[[Any], Channel]] = {
    "webhook": webhook,
    "pagerduty": pagerduty,
    "slack": slack,
    "alertmanager": alertmanager,
}
SCHEMAS = {"webhook": WEBHOOK, "pagerduty": PAGERDUTY, "slack": SLACK, "alertmanager": ALERTMANAGER}


@pytest.mark.parametrize("kind", EVERY)
@pytest.mark.parametrize("message", [MESSAGE, EVIL_MESSAGE, trial_message("x", Actor("ada"), Micros(1), "t")])
def test_every_payload_has_the_published_shape(kind: str, message: Message) -> None:
    receiver = Receiver()
    deliver(EVERY[kind](receiver), message)
    assert receiver.requests
    for body in sent(receiver):
        check(body, SCHEMAS[kind])


@settings(max_examples=40, deadline=None)
@given(st.text(max_size=4_000), st.text(max_size=4_000), st.dictionaries(st.text(max_size=20), st.text(max_size=3_000)))
def test_whatever_others_have_written_every_payload_keeps_its_shape(
    summary: str, description: str, more: dict[str, str]
) -> None:
    more = {name: text for name, text in more.items() if name not in {"severity", "incident_id", "summary", "key"}}
    fields = payload_of(MESSAGE)
    annotations = {**fields.alerts[0].annotations, **more, "summary": summary}
    payload = msgspec.structs.replace(
        fields,
        alerts=[msgspec.structs.replace(fields.alerts[0], annotations=annotations)],
        lazaretto=msgspec.structs.replace(fields.lazaretto, summary=summary, description=description),
    )
    text = msgspec.json.encode(payload).decode()
    message = Message(id="m", kind="alert_opened", payload=text, created_us=Micros(0))
    for kind in ("pagerduty", "slack", "alertmanager"):
        receiver = Receiver()
        deliver(EVERY[kind](receiver), message)
        for body in sent(receiver):
            check(body, SCHEMAS[kind])


@pytest.mark.parametrize("kind", EVERY)
@pytest.mark.parametrize(
    ("status", "recoverable", "channel_fault"),
    [
        (500, True, True),
        (503, True, True),
        (429, True, True),
        (408, True, True),
        (307, True, True),
        (401, True, True),
        (404, True, True),
        (410, True, True),
        (400, False, False),
        (413, False, False),
        (422, False, False),
    ],
)
def test_a_refusal_says_whether_to_try_again_and_whose_fault_it_is(
    kind: str, status: int, *, recoverable: bool, channel_fault: bool
) -> None:
    receiver = Receiver(status, {"location": "https://elsewhere.example.org/"})
    with pytest.raises(DeliveryFailed, match=str(status)) as failed:
        deliver(EVERY[kind](receiver))
    assert (failed.value.recoverable, failed.value.channel_fault) == (recoverable, channel_fault)
    assert len(receiver.requests) == 1, "a redirect is not followed"


@pytest.mark.parametrize("kind", EVERY)
def test_no_secret_is_told_by_an_error(kind: str) -> None:
    def away(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError(f"cannot reach {request.url}" if kind == "slack" else "refused", request=request)

    def echo(request: httpx.Request) -> httpx.Response:
        return answer(400, f"{request.url} {request.read().decode()} {request.headers}".encode())

    for handler in (away, echo):
        other = SimpleNamespace(transport=httpx.MockTransport(handler))
        with pytest.raises(DeliveryFailed) as failed:
            deliver(EVERY[kind](other))
        for secret in (ROUTING_KEY, "s3cr3t"):
            assert secret not in str(failed.value)


@pytest.mark.parametrize(("text", "seconds"), [("120", 120.0), ("Mon, 23 Nov 2026 13:20:10 GMT", None), ("soon", None)])
def test_how_long_a_receiver_asks_to_wait_is_heard(text: str, seconds: float | None) -> None:
    with pytest.raises(DeliveryFailed) as failed:
        deliver(webhook(Receiver(429, {"retry-after": text})))
    if seconds is not None:
        assert failed.value.retry_after_seconds == seconds
    elif text == "soon":
        assert failed.value.retry_after_seconds is None
    else:
        assert failed.value.retry_after_seconds is not None


def test_of_a_long_answer_only_the_beginning_is_read() -> None:
    taken = 0

    class Endless(httpx.AsyncByteStream):
        async def __aiter__(self) -> Any:
            nonlocal taken
            while True:
                taken += 1
                yield b"x" * 1_000

    transport = httpx.MockTransport(lambda _: httpx.Response(500, stream=Endless()))
    channel = WebhookChannel("w", "https://example.org/", (), ManualClock(), transport=transport)
    with pytest.raises(DeliveryFailed, match="500"):
        deliver(channel)
    assert taken < 10


# The signed webhook.


@pytest.mark.parametrize("secret", [SECRET, "plain words", f"{SECRET}\nplain words"])
def test_a_receiver_can_check_the_signature_also_while_keys_change(secret: str) -> None:
    receiver = Receiver(204)
    deliver(webhook(receiver, secret))
    (request,) = receiver.requests
    seconds = request.headers["webhook-timestamp"]
    content = f"{MESSAGE.id}.{seconds}.".encode() + request.content
    raw = {SECRET: b"0123456789abcdef0123456789abcdef", "plain words": b"plain words"}
    expected = [
        "v1," + base64.b64encode(hmac.digest(raw[line], content, hashlib.sha256)).decode()
        for line in secret.split("\n")
    ]
    assert request.headers["webhook-signature"].split(" ") == expected
    assert request.headers["webhook-id"] == MESSAGE.id
    assert seconds == str(ManualClock().now_us() // 1_000_000)


def test_without_a_secret_nothing_pretends_to_be_signed() -> None:
    receiver = Receiver()
    deliver(webhook(receiver, ""))
    assert "webhook-signature" not in receiver.requests[0].headers


def test_a_secret_that_is_no_key_is_refused_without_telling_it() -> None:
    for text in ("whsec_!!", "short", "\n".join(["long enough"] * 5)):
        with pytest.raises(ValueError, match=r"key 1|has 5 keys") as refused:
            signing_keys(text)
        assert text not in str(refused.value)


def test_a_webhook_stays_thin_and_says_what_it_left_out(tmp_path: Path) -> None:
    desk = Desk(tmp_path, "w")
    desk.put(*(alert(str(n), cause=f"c{n}", summary=EVIL, description=EVIL, columns=EVIL) for n in range(30)))
    desk.round(rounds=31)
    last = desk.channels["w"].arrived[-1]
    receiver = Receiver()
    deliver(webhook(receiver), last)
    (body,) = sent(receiver)
    check(body, WEBHOOK)
    assert len(receiver.requests[0].content) <= HOOK_BYTES_MAX
    assert len(body["alerts"]) + body["truncatedAlerts"] == 30


# PagerDuty.


def test_a_trigger_its_acknowledgement_and_its_end_share_one_key(tmp_path: Path) -> None:
    desk = Desk(tmp_path, "p")
    desk.put(alert(severity=Severity.HIGH))
    desk.put(settled(IncidentStatus.ACKNOWLEDGED, at_us=desk.clock.advance(1)))
    desk.put(settled(IncidentStatus.RESOLVED, at_us=desk.clock.advance(1), verdict=Verdict.ATTACK, lock=1))
    desk.round(rounds=4)
    receiver = Receiver()
    for message in desk.channels["p"].arrived:
        deliver(pagerduty(receiver), message)
    events = sent(receiver)
    assert [event["event_action"] for event in events] == ["trigger", "acknowledge", "resolve"]
    assert len({event["dedup_key"] for event in events}) == 1
    assert events[0]["payload"]["severity"] == "critical"
    assert events[0]["payload"]["custom_details"]["incident_id"] == "i1"
    assert {event["routing_key"] for event in events} == {ROUTING_KEY}
    other = alert("b", incident="i9")
    deliver(pagerduty(receiver), other)
    assert sent(receiver)[-1]["dedup_key"] != events[0]["dedup_key"]


def test_a_trigger_that_comes_after_the_end_of_its_group_opens_nothing_again() -> None:
    receiver, clock = Receiver(), ManualClock()
    channel = pagerduty(receiver)
    began = alert(at_us=clock.now_us())
    ended = alert("a:over", firing=False, at_us=clock.advance(5))
    again = alert("b", at_us=clock.advance(5))

    async def work() -> None:
        for message in (ended, began, again):
            await channel.deliver(message)
        await channel.close()

    asyncio.run(work())
    assert [event["event_action"] for event in sent(receiver)] == ["resolve", "trigger"]


def test_an_earlier_end_that_comes_late_does_not_let_what_was_before_the_last_end_open_anything() -> None:
    receiver, clock = Receiver(), ManualClock()
    channel = pagerduty(receiver)
    first = alert("a:over", firing=False, at_us=clock.now_us())
    again = alert("b", at_us=clock.advance(5))
    last = alert("b:over", firing=False, at_us=clock.advance(5))

    async def work() -> None:
        for message in (last, first, again):
            await channel.deliver(message)
        await channel.close()

    asyncio.run(work())
    assert [event["event_action"] for event in sent(receiver)] == ["resolve", "resolve"]


def test_a_test_of_pagerduty_ends_what_it_began() -> None:
    receiver = Receiver()
    deliver(pagerduty(receiver), trial_message("p", Actor("ada"), Micros(1), "t"))
    assert [event["event_action"] for event in sent(receiver)] == ["trigger", "resolve"]
    assert sent(receiver)[0]["payload"]["severity"] == "info"


def test_pagerduty_gets_no_line_ends_and_no_more_than_it_takes() -> None:
    receiver = Receiver()
    deliver(pagerduty(receiver), EVIL_MESSAGE)
    (event,) = sent(receiver)
    assert len(event["payload"]["summary"]) <= 1_024
    assert not set("\r\n\x00\x1b\N{RIGHT-TO-LEFT OVERRIDE}") & set(event["payload"]["summary"])
    assert len(receiver.requests[0].content) <= BODY_BYTES_MAX


# Slack.


def test_slack_finds_no_markup_no_link_and_no_mention() -> None:
    content = blocks_of(EVIL_MESSAGE, payload_of(EVIL_MESSAGE))
    text = msgspec.json.encode(content).decode()
    assert "<" not in text
    assert ">" not in text
    assert "mrkdwn" not in text
    assert "&lt;!channel&gt;" in text


# Alertmanager.


def test_a_firing_alert_ends_later_unless_it_is_repeated() -> None:
    receiver = Receiver()
    deliver(alertmanager(receiver))
    (request,) = receiver.requests
    assert str(request.url) == "http://am.example.org:9093/api/v2/alerts"
    assert request.headers["authorization"] == "Bearer t0k3n"
    ((one,),) = sent(receiver)
    assert one["labels"] == {
        "alertname": "LazarettoAlertOpened",
        "model": "fraud",
        "version": "1",
        "cause": "data_drift",
    }
    assert one["startsAt"] == "2026-11-23T10:00:00.000000Z"
    assert one["endsAt"] == "2026-11-23T10:04:00.000000Z"


def test_every_replica_is_told_and_one_that_takes_it_is_enough() -> None:
    hosts: list[str] = []

    def half(request: httpx.Request) -> httpx.Response:
        hosts.append(request.url.host)
        return answer(200 if request.url.host == "b" else 503)

    chosen = AlertmanagerSettings(kind="alertmanager", urls=("http://a", "http://b"))
    deliver(AlertmanagerChannel("a", chosen, None, ManualClock(), transport=httpx.MockTransport(half)))
    assert sorted(hosts) == ["a", "b"]


def test_a_message_that_a_repetition_has_overtaken_undoes_nothing() -> None:
    receiver, clock = Receiver(), ManualClock()
    channel = alertmanager(receiver)
    began, ended = alert(at_us=clock.now_us()), alert("a:over", firing=False, at_us=clock.advance(5))
    again = alert("b", at_us=clock.advance(5))
    late = payload_of(again).alerts[0]

    async def work() -> None:
        for message in (again, began, ended, again):
            await channel.deliver(message)
        await channel.close()

    asyncio.run(work())
    assert [[one["startsAt"] for one in body] for body in sent(receiver)] == [
        [late.starts_at],
        [],
        [],
        [late.starts_at],
    ]


def test_what_the_store_says_is_repeated_whatever_was_posted_before(tmp_path: Path) -> None:
    receiver, desk = Receiver(), Desk(tmp_path, "am")
    desk.put(alert())
    desk.round()
    (told,) = desk.store.outbox.firing("am", desk.clock.now_us(), 9)
    channel = alertmanager(receiver)

    async def work() -> None:
        await channel.repeat([replace(told, ends_us=Micros(told.starts_us + 1))])
        await channel.repeat([told])
        await channel.close()

    asyncio.run(work())
    assert [len(body) for body in sent(receiver)] == [1, 1]


@given(st.text(max_size=300))
def test_every_label_name_is_one_that_all_versions_take(name: str) -> None:
    assert re.fullmatch(r"[a-zA-Z_][a-zA-Z0-9_]*", label_name(name))
