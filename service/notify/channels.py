"""The ways to tell people: the log, always, and whatever the settings name."""

import logging
from collections.abc import Sequence

import httpx
import msgspec

from service.channel_settings import (
    AlertmanagerSettings,
    AnyChannel,
    AppriseSettings,
    EmailSettings,
    NotificationSettings,
    PagerDutySettings,
    Secret,
    SecretMissing,
    SlackSettings,
    WebhookSettings,
)
from service.domain.records import Message
from service.notify.alertmanager import AlertmanagerChannel
from service.notify.apprise import AppriseChannel
from service.notify.compose import LOG
from service.notify.connect import GuardedTransport, Network
from service.notify.email import EmailChannel
from service.notify.pagerduty import PagerDutyChannel
from service.notify.slack import SlackChannel
from service.notify.webhook import WebhookChannel, signing_keys
from service.ports import Clock
from service.ports_notify import Channel

WEBHOOK = "webhook"
"""The channel that the settings ``webhook_url`` and ``webhook_secret`` make."""

_logger = logging.getLogger("lazaretto.notify")


class LogChannel:
    """Writes each message as one structured log line."""

    name = LOG

    async def deliver(self, message: Message) -> None:
        """Log the message."""
        extra = {"message_id": message.id, "kind": message.kind, "payload": msgspec.json.decode(message.payload)}
        _logger.info("notification", extra=extra)

    async def close(self) -> None:
        """Nothing is open."""


def channel_names(settings: NotificationSettings, webhook_url: str | None) -> tuple[str, ...]:
    """Return the names of the channels that the settings ask for; the log is always one."""
    return (LOG, *((WEBHOOK,) if webhook_url else ()), *settings.channels)


def build_channels(
    settings: NotificationSettings, webhook_url: str | None, webhook_secret: str | None, clock: Clock
) -> dict[str, Channel]:
    """Return every channel with its secrets read.

    Raises
    ------
    SecretMissing
        When a secret cannot be read, or is not what it must be; the message names the setting.
    """
    channels: dict[str, Channel] = {LOG: LogChannel()}
    if webhook_url:
        try:
            keys = () if webhook_secret is None else signing_keys(webhook_secret)
        except ValueError as error:
            raise SecretMissing(f"webhook_secret: {error}") from None
        transport = GuardedTransport(settings.allow)
        channels[WEBHOOK] = WebhookChannel(WEBHOOK, webhook_url, keys, clock, transport=transport)
    for name, chosen in settings.channels.items():
        channels[name] = build_channel(name, chosen, settings.allow, clock)
    return channels


def build_channel(name: str, chosen: AnyChannel, allow: Sequence[Network], clock: Clock) -> Channel:
    """Return one channel. Raises as ``build_channels``."""
    at = f"notifications.channels.{name}"
    match chosen:
        case EmailSettings():
            return EmailChannel(name, chosen, _read(chosen.password, f"{at}.password"), allow)
        case AppriseSettings():
            urls = _read(chosen.url_secret, f"{at}.url_secret") or ""
            return AppriseChannel(name, urls, at, chosen.at_once)
        case _:
            return _over_http(name, chosen, at, clock, GuardedTransport(allow))


def _over_http(name: str, chosen: AnyChannel, at: str, clock: Clock, transport: httpx.AsyncBaseTransport) -> Channel:
    match chosen:
        case WebhookSettings():
            try:
                keys = signing_keys(_read(chosen.signing, f"{at}.signing") or "")
            except ValueError as error:
                raise SecretMissing(f"{at}.signing: {error}") from None
            url = chosen.url or _address(chosen.url_secret, at)
            return WebhookChannel(name, url, keys, clock, transport=transport, secret_url=chosen.url is None)
        case AlertmanagerSettings():
            authorization = _read(chosen.authorization, f"{at}.authorization")
            if authorization is not None and not authorization.isprintable():
                raise SecretMissing(f"{at}.authorization: has a line end or another control character")
            return AlertmanagerChannel(name, chosen, authorization, clock, transport=transport)
        case PagerDutySettings():
            key = _read(chosen.routing_key, f"{at}.routing_key") or ""
            return PagerDutyChannel(name, chosen.url, key, clock, transport=transport)
        case SlackSettings():
            return SlackChannel(name, _address(chosen.url_secret, at), clock, transport=transport)
        case _:
            raise TypeError(f"no such kind of channel: {type(chosen).__name__}")


def _read(secret: Secret | None, at: str) -> str | None:
    return None if secret is None else secret.read(at)


def _address(secret: Secret | None, at: str) -> str:
    found = _read(secret, f"{at}.url_secret") or ""
    if not found.startswith(("https://", "http://")) or not found.isprintable() or " " in found:
        raise SecretMissing(f"{at}.url_secret: does not hold an address that begins with https:// or http://")
    return found
