"""Messages to receivers: signed, without redirects, with the difference between now and never."""

import base64
import hashlib
import hmac
import logging

import httpx
import pytest

from service.domain.ids import Micros
from service.domain.records import Message
from service.notify.channels import LogChannel, WebhookChannel
from service.ports import DeliveryFailed
from tests.fakes import ManualClock

MESSAGE = Message(id="m1", channel="webhook", kind="state_changed", payload='{"a":1}', created_us=Micros(0))
SECRET = "whsec_" + base64.b64encode(b"0123456789abcdef0123456789abcdef").decode()


class Receiver:
    """Answers every request with one status, and remembers what came."""

    def __init__(self, status: int = 204, **headers: str) -> None:
        self._status = status
        self._headers = headers
        self.requests: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        request.read()
        self.requests.append(request)
        return httpx.Response(self._status, headers=self._headers)

    def channel(self, secret: str | None = SECRET) -> WebhookChannel:
        return WebhookChannel("https://example.org/hook", secret, ManualClock(), transport=httpx.MockTransport(self))


async def deliver(receiver: Receiver, secret: str | None = SECRET) -> httpx.Request:
    channel = receiver.channel(secret)
    try:
        await channel.deliver(MESSAGE)
    finally:
        await channel.close()
    return receiver.requests[0]


@pytest.mark.anyio
@pytest.mark.parametrize("secret", [SECRET, "plain words"])
async def test_a_receiver_can_check_the_signature(secret: str) -> None:
    request = await deliver(Receiver(), secret)
    key = b"0123456789abcdef0123456789abcdef" if secret == SECRET else b"plain words"
    signed = f"m1.{request.headers['webhook-timestamp']}.".encode() + request.content
    expected = base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()
    assert request.headers["webhook-signature"] == f"v1,{expected}"
    assert request.headers["webhook-id"] == "m1"
    assert request.headers["webhook-timestamp"] == "1795428000"
    assert request.content == b'{"a":1}'


@pytest.mark.anyio
async def test_without_a_secret_nothing_pretends_to_be_signed() -> None:
    assert "webhook-signature" not in (await deliver(Receiver(), None)).headers


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("status", "recoverable"),
    [(500, True), (503, True), (429, True), (408, True), (400, False), (404, False), (410, False)],
)
async def test_a_refusal_says_whether_to_try_again(status: int, *, recoverable: bool) -> None:
    with pytest.raises(DeliveryFailed, match=str(status)) as failed:
        await deliver(Receiver(status))
    assert failed.value.recoverable is recoverable


@pytest.mark.anyio
async def test_a_redirect_is_not_followed() -> None:
    receiver = Receiver(307, location="https://elsewhere.example.org/")
    with pytest.raises(DeliveryFailed, match="307"):
        await deliver(receiver)
    assert len(receiver.requests) == 1


@pytest.mark.anyio
async def test_a_receiver_that_is_away_is_tried_again() -> None:
    def away(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused", request=request)

    channel = WebhookChannel("https://example.org/", None, ManualClock(), transport=httpx.MockTransport(away))
    with pytest.raises(DeliveryFailed, match="refused") as failed:
        await channel.deliver(MESSAGE)
    await channel.close()
    assert failed.value.recoverable


def test_a_secret_that_is_no_base64_is_refused_at_the_start() -> None:
    with pytest.raises(ValueError, match="webhook_secret"):
        WebhookChannel("https://example.org/", "whsec_!!", ManualClock())


@pytest.mark.anyio
async def test_the_log_channel_writes_one_line(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "lazaretto.notify"):
        await LogChannel().deliver(MESSAGE)
    assert [(r.message, vars(r)["message_id"], vars(r)["payload"]) for r in caplog.records] == [
        ("notification", "m1", {"a": 1})
    ]
