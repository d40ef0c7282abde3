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
        ({"EHLO": "550 go", "HELO": "550 away"}, True, True),
        ({"RCPT": "421 closing"}, True, True),
        ({"DATA": "452 full"}, True, True),
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


def refused(channel: EmailChannel) -> DeliveryFailed:
    """Deliver over a channel that stays open, and return the failure."""
    with pytest.raises(DeliveryFailed) as failed:
        asyncio.run(channel.deliver(MESSAGE))
    return failed.value


def test_a_server_that_does_not_even_greet_is_tried_again() -> None:
    with MailServer(greeting="554 no service for you") as server:
        failure = refused(mail_channel(server.port))
    assert (failure.recoverable, failure.channel_fault) == (True, True)
    assert "554" in str(failure)


def test_a_mailbox_that_wants_a_mail_later_gets_it_later_and_the_others_get_it_once() -> None:
    with MailServer(mailboxes={"a@example.org": ["450 greylisted", "450 greylisted"]}) as server:
        channel = mail_channel(server.port)
        for _ in range(2):
            failure = refused(channel)
            assert (failure.recoverable, failure.channel_fault) == (True, False), "the server works"
            assert str(failure) == "the server answered 450: 1 of 2 recipients refused for now"
        asyncio.run(channel.deliver(MESSAGE))
    assert [mail.recipients for mail in server.mails] == [["b@example.org"], ["a@example.org"]]
    assert len({email.message_from_bytes(mail.content)["Message-ID"] for mail in server.mails}) == 1


def test_a_mailbox_that_is_gone_is_told_and_a_replay_asks_it_alone() -> None:
    with MailServer(mailboxes={"b@example.org": ["550 nobody here"]}) as server:
        channel = mail_channel(server.port)
        failure = refused(channel)
        assert (failure.recoverable, failure.channel_fault) == (False, False)
        assert "1 of 2 recipients refused for good" in str(failure)
        asyncio.run(channel.deliver(MESSAGE))
    assert [mail.recipients for mail in server.mails] == [["a@example.org"], ["b@example.org"]]


def test_a_server_that_closes_between_the_recipients_has_given_the_mail_to_nobody() -> None:
    with MailServer(mailboxes={"b@example.org": ["421 closing"]}) as server:
        channel = mail_channel(server.port)
        failure = refused(channel)
        assert (failure.recoverable, failure.channel_fault) == (True, True)
        assert server.mails == []
        asyncio.run(channel.deliver(MESSAGE))
    assert [mail.recipients for mail in server.mails] == [["a@example.org", "b@example.org"]]


def test_every_mailbox_that_is_greylisted_leaves_the_circuit_alone() -> None:
    with MailServer({"RCPT": "451 greylisted"}) as server:
        failure = refused(mail_channel(server.port))
    assert (failure.recoverable, failure.channel_fault) == (True, False)
    assert server.mails == []


def test_a_mail_that_was_taken_is_not_sent_again_for_a_rude_farewell() -> None:
    with MailServer({"QUIT": "500 what?"}) as server:
        deliver(mail_channel(server.port))
    assert len(server.mails) == 1
