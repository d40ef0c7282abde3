"""A Slack incoming webhook. What has ended is a new message there: incoming webhooks cannot change an old one."""

import httpx
import msgspec

from service.domain.notices import Payload, payload_of
from service.domain.records import Message
from service.notify.http import client, post
from service.notify.texts import headline, slack_text
from service.ports import Clock

HEADER_MAX, SECTION_MAX, FIELD_MAX, FIELDS_MAX, FALLBACK_MAX = 150, 3_000, 2_000, 10, 3_000
SHOWN = ("columns", "tier", "principals", "since", "evidence_log10", "threshold_log10", "before", "after", "regressed")
"""Annotations and labels that are worth a field."""


class SlackChannel:
    """Posts one message with blocks.

    Parameters
    ----------
    name
        Of the channel.
    url
        Of the webhook; a secret.
    clock
        For answers that name a time.
    transport
        Carries the requests.
    """

    def __init__(self, name: str, url: str, clock: Clock, *, transport: httpx.AsyncBaseTransport) -> None:
        self.name = name
        self._url, self._clock = url, clock
        self._http = client(transport)

    async def deliver(self, message: Message) -> None:
        """Post the message."""
        body = msgspec.json.encode(blocks_of(message, payload_of(message)))
        await post(self._http, self._url, body, self._clock, secret=True)

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()


def blocks_of(message: Message, payload: Payload) -> dict[str, object]:
    """Write a message within Slack's limits. Whatever others wrote stands in plain text, where nothing is markup."""
    about = payload.lazaretto
    title = headline(message.kind, message.severity, payload)
    blocks: list[dict[str, object]] = [{"type": "header", "text": _plain(title, HEADER_MAX)}]
    if len(title) > HEADER_MAX:
        blocks.append({"type": "section", "text": _plain(title, SECTION_MAX)})
    if about.description.strip():
        blocks.append({"type": "section", "text": _plain(about.description, SECTION_MAX)})
    fields = _fields(payload)
    if fields:
        blocks.append({"type": "section", "fields": fields})
    foot = f"{about.at}  {message.id}" + (f"  {payload.external_url}" if payload.external_url else "")
    blocks.append({"type": "context", "elements": [_plain(foot, FIELD_MAX)]})
    # The fallback is read as markup, so that it must be escaped.
    return {"text": slack_text(title, FALLBACK_MAX), "blocks": blocks, "unfurl_links": False, "unfurl_media": False}


def _fields(payload: Payload) -> list[dict[str, object]]:
    if not payload.alerts:
        return []
    first = payload.alerts[0]
    known = {**first.labels, **first.annotations}
    shown = [(name, known[name]) for name in SHOWN if known.get(name)]
    return [_plain(f"{name}: {text}", FIELD_MAX) for name, text in shown[:FIELDS_MAX]]


def _plain(text: str, most: int) -> dict[str, object]:
    return {"type": "plain_text", "text": slack_text(text, most) or "-", "emoji": False}
