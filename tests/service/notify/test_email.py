"""Messages as mail: plain text under our own headers, to a server that may refuse or say nothing."""

import asyncio
import email
import email.policy
import time
from ipaddress import ip_network
from typing import Any

import pytest

from service.channel_settings import EmailSettings
from service.notify.email import EmailChannel
from service.ports_notify import DeliveryFailed
from tests.service.notify.receivers import MailServer
from tests.service.notify.test_channels import EVIL_MESSAGE, MESSAGE, deliver


def mail_channel(port: int, **more: Any) -> EmailChannel:
    base = {"kind": "email", "host": "127.0.0.1", "port": port, "security": "none", "sender": "monitor@example.org"}
    chosen = EmailSettings.model_validate(base | {"recipients": ["a@example.org", "b@example.org"], **more})
    return EmailChannel("m", chosen, None, [ip_network("127.0.0.0/8")])


def test_a_mail_is_plain_text_and_its_headers_are_ours_alone() -> None:
    with MailServer() as server:
        deliver(mail_channel(server.port), EVIL_MESSAGE)
        deliver(mail_channel(server.port), EVIL_MESSAGE)
    first, again = (email.message_from_bytes(mail.content, policy=email.policy.default) for mail in server.mails)
    assert server.mails[0].recipients == ["a@example.org", "b@example.org"]
    assert first["Bcc"] is None
    assert first["Subject"].startswith("[firing, medium] x Bcc: victim@example.org <script>")
    assert len(first["Subject"]) <= 200
    assert first["To"] == "a@example.org, b@example.org"
    assert first.get_content_type() == "text/plain"
    assert first["Message-ID"] == again["Message-ID"] == f"<{EVIL_MESSAGE.id}@lazaretto.invalid>"
    assert "\x1b" not in first.get_content()
    assert all(len(line) <= 998 for line in server.mails[0].content.split(b"\r\n"))


@pytest.mark.parametrize(
    ("refuse", "recoverable", "channel_fault"),
    [
        ({"MAIL": "451 later"}, True, True),
        ({"RCPT": "550 nobody here"}, True, True),
        ({"MAIL": "550 not you"}, True, True),
        ({"DATA": "554 spam"}, False, False),
    ],
)
def test_a_mail_server_says_whether_to_try_again(
    refuse: dict[str, str], *, recoverable: bool, channel_fault: bool
) -> None:
    with MailServer(refuse) as server, pytest.raises(DeliveryFailed) as failed:
        deliver(mail_channel(server.port))
    assert (failed.value.recoverable, failed.value.channel_fault) == (recoverable, channel_fault)


def test_a_mail_server_that_says_nothing_is_cut_off_and_its_thread_comes_free() -> None:
    with MailServer(silent="DATA") as server:
        channel = mail_channel(server.port)

        async def work() -> float:
            started = time.perf_counter()
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.5):
                    await channel.deliver(MESSAGE)
            took = time.perf_counter() - started
            await channel.close()
            return took

        assert asyncio.run(work()) < 5
        assert server.ended.wait(5), "the connection was not cut"


def test_a_mail_server_at_a_private_address_is_not_connected_to() -> None:
    chosen = EmailSettings(kind="email", host="127.0.0.1", port=25, sender="a@b", recipients=("c@d",))
    with pytest.raises(DeliveryFailed, match="loopback"):
        deliver(EmailChannel("m", chosen, None, ()))


def test_a_mail_server_without_starttls_gets_nothing_when_it_is_asked_for() -> None:
    with MailServer() as server, pytest.raises(DeliveryFailed):
        deliver(mail_channel(server.port, security="starttls"))
    assert server.mails == []
