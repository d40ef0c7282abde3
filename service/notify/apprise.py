"""Any service that Apprise knows: fire and forget, as plain text. It says only whether a message was taken."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from importlib.util import find_spec
from threading import Semaphore
from typing import Any

from service.channel_settings import SecretMissing
from service.domain.notices import FIRING, payload_of
from service.domain.records import Message, Severity
from service.notify.texts import headline, lines, one_line
from service.ports_notify import DeliveryFailed

TITLE_MAX, BODY_MAX = 200, 4_000
TYPES = {Severity.LOW: "info", Severity.MEDIUM: "warning", Severity.HIGH: "failure"}


class AppriseChannel:
    """Hands each message to Apprise, in threads of its own.

    Nothing can cut what Apprise has begun. So what finds every thread at work fails at once, rather than waiting within
    its own deadline for a message that hangs.

    Parameters
    ----------
    name
        Of the channel.
    urls
        One address a line, as Apprise writes them; secrets.
    at
        Names the setting in errors.
    threads
        How many messages may be on their way at the same time.
    """

    def __init__(self, name: str, urls: str, at: str, threads: int = 1) -> None:
        if find_spec("apprise") is None:
            raise SecretMissing(f"{at}.kind: needs Apprise: pip install 'lazaretto[apprise]'")
        self.name = name
        self._sender: Any = import_module("apprise").Apprise()
        for number, url in enumerate(line.strip() for line in urls.splitlines() if line.strip()):
            if not self._sender.add(url):
                raise SecretMissing(f"{at}.url_secret: line {number + 1} is no address that Apprise knows")
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix=f"apprise-{name}")
        self._free = Semaphore(threads)

    async def deliver(self, message: Message) -> None:
        """Hand the message over; raise ``DeliveryFailed`` when Apprise does not take it, or is busy with others."""
        payload = payload_of(message)
        about, over = payload.lazaretto, payload.status != FIRING
        title = one_line(headline(message.kind, message.severity, payload), TITLE_MAX)
        body = lines(f"{about.description}\n\n{payload.external_url}\nmessage {message.id}".strip(), BODY_MAX)
        said = {"title": title, "body": body, "notify_type": "success" if over else TYPES[message.severity]}
        if not self._free.acquire(blocking=False):
            raise DeliveryFailed("Apprise is still at work on an earlier message", recoverable=True)
        begun = self._threads.submit(self._sender.notify, **said, body_format="text", interpret_escapes=False)
        begun.add_done_callback(lambda _: self._free.release())
        taken = await asyncio.wrap_future(begun)
        if not taken:
            raise DeliveryFailed("Apprise could not hand the message over", recoverable=True)

    async def close(self) -> None:
        """Take nothing more."""
        self._threads.shutdown(wait=False, cancel_futures=True)
