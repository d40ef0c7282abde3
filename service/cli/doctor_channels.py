"""What ``lazaretto doctor`` looks at in the channels: secrets, addresses, and how they have been."""

from collections.abc import Iterator
from urllib.parse import urlsplit

from service.channel_settings import (
    AlertmanagerSettings,
    AnyChannel,
    EmailSettings,
    PagerDutySettings,
    Secret,
    SecretMissing,
    SlackSettings,
    WebhookSettings,
)
from service.clock import SystemClock
from service.domain.notices import Backlog, ChannelState, Circuit
from service.notify.channels import WEBHOOK, build_channel, build_channels, channel_names
from service.notify.connect import Refused, resolve
from service.settings import Settings

FINE, NOTE, FAILED = "ok", "note", "FAILED"
PORTS = {"http": 80, "https": 443}
Found = tuple[str, str, str]
"""Verdict, what was looked at, and what was seen."""


def examine_channels(settings: Settings) -> Iterator[Found]:
    """Look at every channel: whether its secrets can be read, and whether its address may be connected to."""
    chosen = settings.notifications
    if settings.webhook_url is not None:
        verdict, text = _webhook(settings)
        yield verdict, f"channel {WEBHOOK}", text
    for name, channel in chosen.channels.items():
        what = f"channel {name}"
        try:
            build_channel(name, channel, chosen.allow, SystemClock())
        except SecretMissing as error:
            yield FAILED, what, str(error)
            continue
        loose = [secret.file for secret in _secrets(channel) if secret.file is not None and _open_to_others(secret)]
        if loose:
            yield NOTE, what, f"{loose[0]} can be read by others; run: chmod 600 {loose[0]}"
        verdict, text = _reach(settings, _places(channel))
        yield verdict, what, text


def examine_backlog(backlog: Backlog, settings: Settings) -> Iterator[Found]:
    """Look at what waits and at what was given up."""
    for name in channel_names(settings.notifications, settings.webhook_url):
        state, waiting = backlog.states.get(name, ChannelState(name=name)), backlog.channels.get(name)
        if state.circuit is not Circuit.CLOSED or state.failing_us is not None:
            yield FAILED, f"channel {name}", f"fails: {state.detail}"
        if waiting is not None and waiting.dead:
            again = f"run: lazaretto notifications replay --channel {name}"
            yield NOTE, f"channel {name}", f"{waiting.dead} dead letters; {again}"


def _webhook(settings: Settings) -> tuple[str, str]:
    secret = settings.webhook_secret
    try:
        build_channels(
            type(settings.notifications)(allow=settings.notifications.allow),
            settings.webhook_url,
            None if secret is None else secret.get_secret_value(),
            SystemClock(),
        )
    except SecretMissing as error:
        return FAILED, str(error)
    return _reach(settings, [_place(settings.webhook_url or "")])


def _reach(settings: Settings, places: list[tuple[str, int]]) -> tuple[str, str]:
    for host, port in places:
        try:
            resolve(host, port, settings.notifications.allow)
        except (OSError, Refused, UnicodeError) as error:
            return FAILED, f"{host}: {error}" if isinstance(error, OSError) else str(error)
    return FINE, "its secrets can be read and its address may be connected to" if places else "its secrets can be read"


def _places(channel: AnyChannel) -> list[tuple[str, int]]:
    match channel:
        case AlertmanagerSettings():
            return [_place(url) for url in channel.urls]
        case PagerDutySettings():
            return [_place(channel.url)]
        case WebhookSettings() if channel.url is not None:
            return [_place(channel.url)]
        case WebhookSettings() | SlackSettings() if channel.url_secret is not None:
            return [_place(channel.url_secret.read("url_secret"))]
        case EmailSettings():
            return [(channel.host, channel.port)]
        case _:
            return []


def _place(url: str) -> tuple[str, int]:
    parts = urlsplit(url)
    return parts.hostname or "", parts.port or PORTS.get(parts.scheme, 443)


def _secrets(channel: AnyChannel) -> list[Secret]:
    found = (getattr(channel, name) for name in type(channel).model_fields)
    return [one for one in found if isinstance(one, Secret)]


def _open_to_others(secret: Secret) -> bool:
    return secret.file is not None and bool(secret.file.stat().st_mode & 0o077)
