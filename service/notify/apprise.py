"""Any service that Apprise knows: fire and forget, as plain text. It says only whether a message was taken."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from service.channel_settings import SecretMissing
from service.domain.notices import FIRING, payload_of
from service.domain.records import Message, Severity
from service.notify.texts import lines, one_line
from service.ports_notify import DeliveryFailed

TITLE_MAX, BODY_MAX = 200, 4_000
TYPES = {Severity.LOW: "info", Severity.MEDIUM: "warning", Severity.HIGH: "failure"}


class AppriseChannel:
    """Hands each message to Apprise, in a thread of its own.

    Parameters
    ----------
    name
        Of the channel.
    urls
        One address a line, as Apprise writes them; secrets.
    at
        Names the setting in errors.
    """

    def __init__(self, name: str, urls: str, at: str) -> None:
        if find_spec("apprise") is None:
            raise SecretMissing(f"{at}.kind: needs Apprise: pip install 'lazaretto[apprise]'")
        self.name = name
        self._sender: Any = import_module("apprise").Apprise()
        for number, url in enumerate(line.strip() for line in urls.splitlines() if line.strip()):
            if not self._sender.add(url):
                raise SecretMissing(f"{at}.url_secret: line {number + 1} is no address that Apprise knows")
        self._threads = ThreadPoolExecutor(1, thread_name_prefix=f"apprise-{name}")

    async def deliver(self, message: Message) -> None:
        """Hand the message over."""
        payload = payload_of(message)
        about, over = payload.lazaretto, payload.status != FIRING
        title = one_line(f"[{payload.status}, {message.severity}] {about.summary or message.kind}", TITLE_MAX)
        body = lines(f"{about.description}\n\n{payload.external_url}\nmessage {message.id}".strip(), BODY_MAX)
        said = {"title": title, "body": body, "notify_type": "success" if over else TYPES[message.severity]}
        loop = asyncio.get_running_loop()
        taken = await loop.run_in_executor(
            self._threads, lambda: self._sender.notify(**said, body_format="text", interpret_escapes=False)
        )
        if not taken:
            raise DeliveryFailed("Apprise could not hand the message over", recoverable=True)

    async def close(self) -> None:
        """Take nothing more."""
        self._threads.shutdown(wait=False, cancel_futures=True)
