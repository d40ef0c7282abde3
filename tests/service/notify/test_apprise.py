"""Apprise and the log: plain text, handed over once, and nothing that hangs holds up what comes after it."""

import asyncio
import contextlib
import logging
import sys
import threading
from types import SimpleNamespace
from typing import Any

import pytest

from service.channel_settings import SecretMissing
from service.notify.apprise import AppriseChannel
from service.notify.channels import LogChannel
from service.ports_notify import DeliveryFailed
from tests.service.notify.test_channels import EVIL_MESSAGE, MESSAGE, deliver


def test_apprise_gets_plain_text_and_its_refusal_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[dict[str, Any]] = []

    class Sender:
        def add(self, url: str) -> bool:
            return url.startswith("json://")

        def notify(self, **given: Any) -> bool:
            said.append(given)
            return len(said) > 1

    monkeypatch.setitem(sys.modules, "apprise", SimpleNamespace(Apprise=Sender, __spec__=SimpleNamespace()))
    channel = AppriseChannel("x", "json://host", "notifications.channels.x")
    with pytest.raises(DeliveryFailed, match="could not hand"):
        deliver(channel)
    deliver(AppriseChannel("x", "json://host", "at"), EVIL_MESSAGE)
    assert said[1]["body_format"] == "text"
    assert "\n" not in said[1]["title"]
    assert said[1]["notify_type"] == "warning"
    with pytest.raises(SecretMissing, match="line 1 is no address"):
        AppriseChannel("x", "bad words", "at")


def test_a_message_that_hangs_in_apprise_lets_the_next_one_fail_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    go_on, taken = threading.Event(), []

    class Sender:
        def add(self, _: str) -> bool:
            return True

        def notify(self, **given: Any) -> bool:
            taken.append(given["title"])
            return go_on.wait(20)

    monkeypatch.setitem(sys.modules, "apprise", SimpleNamespace(Apprise=Sender, __spec__=SimpleNamespace()))

    async def work() -> None:
        channel = AppriseChannel("x", "json://host", "at")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await channel.deliver(MESSAGE)
        with pytest.raises(DeliveryFailed, match="still at work") as failed:
            await channel.deliver(MESSAGE)
        assert failed.value.recoverable
        go_on.set()
        async with asyncio.timeout(20):
            while len(taken) < 2:
                with contextlib.suppress(DeliveryFailed):
                    await channel.deliver(MESSAGE)
                await asyncio.sleep(0.01)
        await channel.close()

    asyncio.run(work())
    assert len(taken) == 2


def test_the_log_channel_writes_one_line(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "lazaretto.notify"):
        deliver(LogChannel())
    assert [(r.message, vars(r)["message_id"]) for r in caplog.records] == [("notification", MESSAGE.id)]
