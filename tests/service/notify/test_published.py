"""Every kind of message, with names of every kind, against doubles that hold to what the vendors have published."""

import asyncio
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from service.channel_settings import EmailSettings
from service.domain.notices import Kind, payload_of
from service.domain.records import Message
from service.notify.email import mail_of
from tests.fakes import ManualClock
from tests.service.notify.desk import Desk
from tests.service.notify.doubles import DOUBLES, Double, Sent
from tests.service.notify.everything import EVIL, NAMES, messages
from tests.service.notify.wire import check_mail

URL = "https://watch.example.org"
MAIL = EmailSettings(kind="email", host="mail", sender="monitor@example.org", recipients=("a@example.org", "b@x.org"))


@cache
def routed(name: str) -> tuple[Message, ...]:
    """Return everything there is to tell of a name, as it leaves routing."""
    with TemporaryDirectory() as folder:
        desk = Desk(Path(folder), "ops", settings={"external_url": URL})
        desk.put(*(message for _, message in messages(NAMES[name])))
        desk.clock.advance(3_600 * 24)
        desk.round(rounds=60)
        desk.store.close()
    return tuple(desk.channels["ops"].arrived)


def deliver(double: Double, told: tuple[Message, ...]) -> None:
    async def work() -> None:
        channel = double.channel()
        for message in told:
            await channel.deliver(message)
        await channel.close()

    asyncio.run(work())


def test_there_is_a_message_of_every_kind_and_all_of_them_are_told() -> None:
    told = messages(NAMES["plain"])
    assert {message.kind for _, message in told} == set(Kind)
    assert len({message.id for _, message in told}) == len(told)
    assert sorted(message.id for message in routed("plain")) == sorted(message.id for _, message in told)


@pytest.mark.parametrize("kind", DOUBLES)
@pytest.mark.parametrize("name", NAMES)
def test_every_message_has_the_published_shape(kind: str, name: str) -> None:
    clock = ManualClock()
    clock.advance(3_600 * 24)
    double = DOUBLES[kind](clock)
    deliver(double, routed(name))
    assert double.problems == []
    assert len(double.bodies) >= len(routed(name))


@pytest.mark.parametrize("name", NAMES)
def test_every_mail_is_one_with_no_header_but_ours(name: str) -> None:
    for message in routed(name):
        content = mail_of(message, payload_of(message), MAIL).as_bytes()
        mail = check_mail(content, sender=MAIL.sender, recipients=MAIL.recipients)
        assert mail["X-Lazaretto-Kind"] == message.kind
        assert "Bcc" not in mail
        assert "forged" not in mail["Subject"] or "= ?utf-8?q?forged?=" in mail["Subject"]


def test_the_checks_see_what_they_are_for() -> None:
    clock = ManualClock()
    double = DOUBLES["slack"](clock)
    with pytest.raises(AssertionError, match="slack-text"):
        double.look(Sent("/", {}, b"", {"text": "<!channel>", "blocks": []}))
    forged = mail_of(routed("evil")[0], payload_of(routed("evil")[0]), MAIL).as_bytes()
    for broken in (
        forged.replace(b"Subject:", b"Bcc: victim@example.org\r\nSubject:", 1),
        forged.replace(b"\r\n\r\n", b"\r\n\n", 1),
        forged.replace(b"Auto-Submitted", b"X" * 1_000, 1),
        forged.replace(b"From:", b"From: x@y.org\r\nFrom:", 1),
        EVIL.encode(),
    ):
        with pytest.raises((AssertionError, UnicodeDecodeError)):
            check_mail(broken, sender=MAIL.sender, recipients=MAIL.recipients)
