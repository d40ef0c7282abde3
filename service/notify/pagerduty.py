"""PagerDuty, Events API v2: one incident there for one group here, acknowledged and resolved with it."""

import hashlib
from collections import OrderedDict

import httpx
import msgspec

from service.domain.ids import Micros
from service.domain.notices import FIRING, Kind, Payload, payload_of
from service.domain.records import Message, Severity
from service.notify.http import client, post
from service.notify.texts import lines, one_line
from service.ports import Clock
from service.ports_notify import DeliveryFailed

SUMMARY_MAX, SOURCE_MAX, DETAIL_MAX = 1_024, 255, 1_000
BODY_BYTES_MAX = 512 * 1024
ALERTS_MAX = 20
RESOLVE = "resolve"
REMEMBERED_MAX = 10_000
"""Groups of which it is known that they are over."""
SEVERITIES = {Severity.LOW: "info", Severity.MEDIUM: "warning", Severity.HIGH: "critical"}


class PagerDutyChannel:
    """Triggers, acknowledges and resolves under one key for everything of one group.

    Parameters
    ----------
    name
        Of the channel.
    url
        Of the events API.
    routing_key
        Of the integration; a secret.
    clock
        For answers that name a time.
    transport
        Carries the requests.
    """

    def __init__(
        self, name: str, url: str, routing_key: str, clock: Clock, *, transport: httpx.AsyncBaseTransport
    ) -> None:
        self.name = name
        self._url, self._key, self._clock = url, routing_key, clock
        self._http = client(transport)
        self._over: OrderedDict[str, Micros] = OrderedDict()
        """Key to the time of the message that ended it."""

    async def deliver(self, message: Message) -> None:
        """Send the event, and one for every other group that ends with it; of a test, also the one that ends it."""
        payload = payload_of(message)
        await self._send(message, payload, action_of(message, payload), payload.group_key)
        for key in payload.lazaretto.over:
            await self._send(message, payload, RESOLVE, key)
        if message.kind == Kind.TEST:
            await self._send(message, payload, RESOLVE, payload.group_key)

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def _send(self, message: Message, payload: Payload, action: str, key: str) -> None:
        if action != RESOLVE and message.created_us < self._over.get(key, 0):
            return  # an incident may be about several versions, and each of them is told of in an order of its own
        event = event_of(message, payload, action, key, self._key)
        try:
            await post(self._http, self._url, msgspec.json.encode(event), self._clock, secret=False)
        except DeliveryFailed as failure:
            if self._key in str(failure):  # an answer that repeats what was sent
                detail = str(failure).replace(self._key, "...")
                raise DeliveryFailed(
                    detail,
                    recoverable=failure.recoverable,
                    retry_after_seconds=failure.retry_after_seconds,
                    channel_fault=failure.channel_fault,
                ) from None
            raise
        if action == RESOLVE:
            self._over[key] = max(message.created_us, self._over.get(key, Micros(0)))
            self._over.move_to_end(key)
            if len(self._over) > REMEMBERED_MAX:
                self._over.popitem(last=False)


def action_of(message: Message, payload: Payload) -> str:
    """Return what an event asks for."""
    if message.kind == Kind.INCIDENT_ACKNOWLEDGED:
        return "acknowledge"
    return "trigger" if payload.status == FIRING else RESOLVE


def dedup_key(group_key: str) -> str:
    """Return what is the same in everything about one group."""
    return hashlib.sha256(f"lazaretto/{group_key}".encode()).hexdigest()


def event_of(message: Message, payload: Payload, action: str, group_key: str, routing_key: str) -> dict[str, object]:
    """Write an event within PagerDuty's limits."""
    event: dict[str, object] = {
        "routing_key": routing_key,
        "event_action": action,
        "dedup_key": dedup_key(group_key),
    }
    if action != "trigger":
        return event
    about = payload.lazaretto
    source = one_line(f"{about.model} {about.version}".strip(), SOURCE_MAX) or "lazaretto"
    details: dict[str, object] = {
        "message_id": message.id,
        "description": lines(about.description, DETAIL_MAX),
        "incident_id": about.incident_id,
        "alerts": [
            {**_texts(alert.labels), **_texts(alert.annotations), "status": alert.status}
            for alert in payload.alerts[:ALERTS_MAX]
        ],
    }
    event |= {
        "client": "Lazaretto",
        "payload": {
            "summary": one_line(about.summary, SUMMARY_MAX) or message.kind,
            "source": source,
            "severity": SEVERITIES[message.severity],
            "timestamp": about.at,
            "component": one_line(about.model, SOURCE_MAX) or "lazaretto",
            "group": one_line(payload.group_key, SOURCE_MAX),
            "class": message.kind,
            "custom_details": details,
        },
    }
    if payload.external_url:
        event |= {"client_url": payload.external_url, "links": [{"href": payload.external_url, "text": "Open it"}]}
    while len(msgspec.json.encode(event)) > BODY_BYTES_MAX and isinstance(details["alerts"], list):
        details["alerts"] = details["alerts"][:-1] or None
    return event


def _texts(given: dict[str, str]) -> dict[str, str]:
    return {one_line(name, SOURCE_MAX): lines(text, DETAIL_MAX) for name, text in given.items()}
