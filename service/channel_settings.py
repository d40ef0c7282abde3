"""Settings of notifications: channels, routes, quiet hours, and where secrets are read from.

A secret stands in a file or in an environment variable, never in the settings themselves: ``<name>_file`` or
``<name>_env``, one of the two. It is read when a channel is built, and held nowhere else.
"""

import os
import re
from datetime import time
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Annotated, Literal, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

SECRET_BYTES_MAX = 16 * 1024
CHANNELS_MAX = 50
ROUTES_MAX = 200
RESERVED = frozenset({"log", "webhook"})
"""The log is always a channel; ``webhook`` is the one that ``webhook_url`` makes."""
Day = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
DAYS: tuple[Day, ...] = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
CLOCK = re.compile(r"([01]\d|2[0-3]):[0-5]\d")
Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,39}$")]
Url = Annotated[str, Field(pattern=r"^https?://[^\s@]+$", max_length=2_000)]
"""Without a user or password: those are secrets."""
Glob = Annotated[str, Field(min_length=1, max_length=128)]
Low = Literal["low", "medium"]


class SecretMissing(Exception):
    """A secret cannot be read; the message names its setting and never its content."""


class Part(BaseModel):
    """A part of the settings; unknown names are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


class Secret(Part):
    """Where one secret is read from."""

    file: Path | None = None
    env: Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")] | None = None

    @model_validator(mode="after")
    def _one_of_two(self) -> Self:
        if (self.file is None) == (self.env is None):
            raise ValueError("needs exactly one of 'file' and 'env'")
        return self

    def read(self, at: str) -> str:
        """Return the secret; ``at`` names the setting in errors."""
        if self.env is not None:
            text = os.environ.get(self.env, "")
            where = f"the environment variable {self.env}"
        else:
            path, where = self.file or Path(), str(self.file)
            try:
                with path.open("rb") as file:
                    text = file.read(SECRET_BYTES_MAX + 1).decode()
            except (OSError, UnicodeDecodeError) as error:
                reason = error.strerror if isinstance(error, OSError) else "is not UTF-8"
                raise SecretMissing(f"{at}: {where} cannot be read: {reason}") from None
        text = text.strip()
        if not text:
            raise SecretMissing(f"{at}: {where} is empty or not set")
        if len(text) > SECRET_BYTES_MAX:
            raise SecretMissing(f"{at}: {where} has more than {SECRET_BYTES_MAX} bytes")
        return text


class Hours(Part):
    """Hours of the week in a time zone. From 22:00 to 07:00 is a night that belongs to the day it begins on."""

    start: str = Field(alias="from", default="00:00")
    end: str = Field(alias="to", default="00:00")
    """The same as ``from``: a whole day."""
    days: tuple[Day, ...] = DAYS
    zone: str = "UTC"

    @field_validator("start", "end")
    @classmethod
    def _clock(cls, value: str) -> str:
        if not CLOCK.fullmatch(value):
            raise ValueError(f"'{value[:20]}' must be a time such as 07:30")
        return value

    @field_validator("days")
    @classmethod
    def _some_day(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not value:
            raise ValueError("must name at least one day")
        return value

    @field_validator("zone")
    @classmethod
    def _known_zone(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise ValueError(f"'{value[:60]}' is no known time zone, such as Europe/Berlin") from None
        return value

    @property
    def bounds(self) -> tuple[time, time]:
        """Return both times of day."""
        return time.fromisoformat(self.start), time.fromisoformat(self.end)


class Quiet(Hours):
    """Quiet hours: what is mild waits until they end; what is high never waits."""

    severities: tuple[Low, ...] = ("low",)


class AnyChannel(Part):
    """What every channel has."""

    quiet: Quiet | None = None
    at_once: Annotated[int, Field(ge=1, le=16)] = 4
    """Deliveries at the same time."""
    deadline_seconds: Annotated[float, Field(gt=0, le=60)] = 20.0
    """For one delivery, from the first look-up to the last byte."""


class WebhookSettings(AnyChannel):
    """A signed webhook (Standard Webhooks) with the payload of Alertmanager's."""

    kind: Literal["webhook"]
    url: Url | None = None
    url_secret: Secret | None = None
    """Instead of ``url``, where the address itself is a secret."""
    signing: Secret | None = None
    """One key a line, the newest first: with two, receivers may go over from one to the other."""

    @model_validator(mode="after")
    def _one_address(self) -> Self:
        if (self.url is None) == (self.url_secret is None):
            raise ValueError("needs exactly one of 'url' and 'url_secret'")
        return self


class AlertmanagerSettings(AnyChannel):
    """Alertmanager, API v2: every replica by itself, not through a load balancer."""

    kind: Literal["alertmanager"]
    urls: Annotated[tuple[Url, ...], Field(min_length=1, max_length=9)]
    resend_seconds: Annotated[float, Field(ge=5, le=3_600)] = 60.0
    authorization: Secret | None = None
    """The whole value of the header, such as ``Bearer ...``."""

    @model_validator(mode="after")
    def _never_quiet(self) -> Self:
        if self.quiet is not None:
            raise ValueError("'quiet' is not for Alertmanager, which hears of everything all the time: mute it there")
        return self


class PagerDutySettings(AnyChannel):
    """PagerDuty, Events API v2."""

    kind: Literal["pagerduty"]
    routing_key: Secret
    url: Url = "https://events.pagerduty.com/v2/enqueue"


class SlackSettings(AnyChannel):
    """A Slack incoming webhook; its address is its secret."""

    kind: Literal["slack"]
    url_secret: Secret
    at_once: Annotated[int, Field(ge=1, le=16)] = 1
    """Slack takes one message a second."""


class EmailSettings(AnyChannel):
    """E-mail over SMTP."""

    kind: Literal["email"]
    host: Annotated[str, Field(min_length=1, max_length=255, pattern=r"^[A-Za-z0-9.:_-]+$")]
    port: Annotated[int, Field(ge=1, le=65_535)] = 587
    security: Literal["starttls", "tls", "none"] = "starttls"
    sender: Annotated[str, Field(max_length=254, pattern=r"^[^\s@<>,;]+@[^\s@<>,;]+$")]
    recipients: Annotated[
        tuple[Annotated[str, Field(max_length=254, pattern=r"^[^\s@<>,;]+@[^\s@<>,;]+$")], ...],
        Field(min_length=1, max_length=50),
    ]
    username: Annotated[str, Field(max_length=254)] | None = None
    password: Secret | None = None
    at_once: Annotated[int, Field(ge=1, le=16)] = 1

    @model_validator(mode="after")
    def _both_or_none(self) -> Self:
        if (self.username is None) != (self.password is None):
            raise ValueError("'username' and 'password' belong together")
        if self.password is not None and self.security == "none":
            raise ValueError("'password' would be sent in clear: set 'security' to starttls or tls")
        return self


class AppriseSettings(AnyChannel):
    """Any service that Apprise knows (the extra ``apprise``)."""

    kind: Literal["apprise"]
    url_secret: Secret
    unchecked_addresses: Literal[True]
    """Apprise makes its own connections, which the check of addresses does not see. Must be said."""
    at_once: Annotated[int, Field(ge=1, le=16)] = 1


ChannelSettings = Annotated[
    WebhookSettings | AlertmanagerSettings | PagerDutySettings | SlackSettings | EmailSettings | AppriseSettings,
    Field(discriminator="kind"),
]


class RouteSettings(Part):
    """Which messages go to which channels: every condition that is given must hold."""

    channels: Annotated[tuple[Name, ...], Field(max_length=CHANNELS_MAX)]
    """None at all: the log alone."""
    severities: tuple[Literal["low", "medium", "high"], ...] = ()
    models: Annotated[tuple[Glob, ...], Field(max_length=100)] = ()
    """Names or patterns such as ``fraud-*``."""
    owners: Annotated[tuple[Glob, ...], Field(max_length=100)] = ()
    kinds: Annotated[tuple[Glob, ...], Field(max_length=20)] = ()
    hours: Hours | None = None
    go_on: bool = False
    """Whether the routes after this one are asked as well."""

    @property
    def conditional(self) -> bool:
        """Return whether there is any message that it does not match."""
        return bool(self.severities or self.models or self.owners or self.kinds or self.hours)


class NotificationSettings(Part):
    """Channels by name, and the table of routes."""

    channels: Annotated[dict[Name, ChannelSettings], Field(max_length=CHANNELS_MAX)] = Field(default_factory=dict)
    routes: Annotated[tuple[RouteSettings, ...], Field(max_length=ROUTES_MAX)] = ()
    """Asked in order; the first that matches decides. None at all: everything goes to every channel."""
    allow: Annotated[tuple[IPv4Network | IPv6Network, ...], Field(max_length=100)] = ()
    """Networks that are not public and may be connected to all the same."""
    external_url: Url | None = None
    """Where people find the console; messages link to it."""

    @field_validator("channels")
    @classmethod
    def _names(cls, value: dict[str, object]) -> dict[str, object]:
        taken = sorted(RESERVED & value.keys())
        if taken:
            raise ValueError(f"'{taken[0]}' is the name of a channel that is there already")
        return value

    @model_validator(mode="after")
    def _routes_make_sense(self) -> Self:
        known = self.channels.keys() | RESERVED
        for number, route in enumerate(self.routes):
            unknown = [name for name in route.channels if name not in known]
            if unknown:
                raise ValueError(f"routes[{number}].channels: there is no channel '{unknown[0]}'")
            if not route.conditional and not route.go_on and number + 1 < len(self.routes):
                raise ValueError(f"routes[{number}] matches everything: the routes after it would never be asked")
        if self.routes and (self.routes[-1].conditional or self.routes[-1].go_on):
            last = len(self.routes) - 1
            raise ValueError(f"routes[{last}], the last one, must have no condition: or messages get lost")
        return self
