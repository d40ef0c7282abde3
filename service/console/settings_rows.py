"""What is in force, as people may read it: never a secret, nor an address that holds one. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from pydantic import SecretStr
from pydantic_core import PydanticUndefined

from service.channel_settings import AlertmanagerSettings, AnyChannel, EmailSettings, Hours, RouteSettings
from service.console.people import listed
from service.console.read_models import When
from service.domain.ids import Micros
from service.domain.keys import PREFIX
from service.domain.notices import Backlog, ChannelBacklog, ChannelState, Circuit, Delivery, DeliveryStatus
from service.domain.records import ApiKey
from service.settings import Settings

ADDRESSES = frozenset({"database_url", "log_url", "webhook_url"})
"""Settings that may hold a password or a token: shown without all that could be one."""
ELSEWHERE = frozenset({"notifications"})
VALUE_MAX = 200
DETAIL_MAX = 300
TONES = {Circuit.CLOSED: "good", Circuit.HALF_OPEN: "warn", Circuit.OPEN: "bad"}
STATUS_TONES = {DeliveryStatus.PENDING: "warn", DeliveryStatus.DELIVERED: "good", DeliveryStatus.DEAD: "bad"}
DAYS_OF_WEEK = 7


@dataclass(frozen=True, slots=True, kw_only=True)
class SettingRow:
    """One setting."""

    name: str
    value: str
    otherwise: str
    """What it is by itself; empty where that is in force."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelRow:
    """One channel and how it is."""

    name: str
    kind: str
    where: str
    circuit: str
    tone: str
    failures: int
    failing: When | None
    succeeded: When | None
    failed: When | None
    detail: str
    pending: int
    dead: int
    oldest: When | None
    quiet: str
    configured: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryRow:
    """One message on its way to one channel."""

    message_id: str
    channel: str
    kind: str
    about: str
    incident_id: str | None
    status: str
    tone: str
    at: When
    attempts: int
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyRow:
    """One key, never its secret."""

    prefix: str
    name: str
    scopes: str
    models: str
    created: When
    used: When | None
    state: str
    tone: str


def setting_rows(settings: Settings) -> tuple[SettingRow, ...]:
    """List all settings, those that somebody has changed first."""
    rows = []
    for name, field in Settings.model_fields.items():
        if name in ELSEWHERE:
            continue
        value = getattr(settings, name)
        default = field.get_default(call_default_factory=True, validated_data={})
        changed = default is not PydanticUndefined and value != default
        rows.append(
            SettingRow(
                name=f"LAZARETTO_{name.upper()}",
                value=_shown(name, value),
                otherwise=_shown(name, default) if changed else "",
            )
        )
    return tuple(sorted(rows, key=lambda row: (not row.otherwise, row.name)))


def _shown(name: str, value: Any) -> str:
    if isinstance(value, SecretStr) or (isinstance(value, tuple) and any(isinstance(one, SecretStr) for one in value)):
        return "set (a secret)"
    if value is None or value == ():
        return "not set"
    if name in ADDRESSES:
        return address_of(str(value))
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float) and name != "port":
        return f"{value:,}"
    return str(value)[:VALUE_MAX]


def address_of(url: str) -> str:
    """Return where an address leads to, without anything in it that could be a secret."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        return "set"
    if "@" in f"{parts.path}{parts.query}{parts.fragment}":
        return "set"  # a password that is not escaped, with '/', '?' or '#' in it: 'host' is the name of the user
    if not host:
        return f"{parts.scheme}: a file" if parts.scheme else "set"
    return f"{parts.scheme}://{host}{f':{port}' if port else ''}"


def channel_rows(
    names: Sequence[str], settings: Settings | None, backlog: Backlog, now_us: Micros
) -> tuple[ChannelRow, ...]:
    """List channels that are set up, then those that are not any more and still have something."""
    known = settings.notifications.channels if settings else {}
    left = sorted((backlog.channels.keys() | backlog.states.keys()) - set(names))
    rows = []
    for name in (*names, *left):
        state, waiting = backlog.states.get(name, ChannelState(name=name)), backlog.channels.get(name)
        waiting = waiting or ChannelBacklog(name=name)
        own = known.get(name)
        rows.append(
            ChannelRow(
                name=name,
                kind=_kind(name, own),
                where=_where(name, own, settings),
                circuit=str(state.circuit).replace("_", " "),
                tone=TONES[state.circuit] if state.failing_us is None else "bad",
                failures=state.failures,
                failing=_when(state.failing_us, now_us),
                succeeded=_when(state.succeeded_us, now_us),
                failed=_when(state.failed_us, now_us),
                detail=state.detail[:DETAIL_MAX],
                pending=waiting.pending,
                dead=waiting.dead,
                oldest=_when(waiting.oldest_us, now_us),
                quiet=_quiet(own),
                configured=name in names,
            )
        )
    return tuple(rows)


def _kind(name: str, own: AnyChannel | None) -> str:
    return str(getattr(own, "kind", "")) or name


def _where(name: str, own: AnyChannel | None, settings: Settings | None) -> str:
    if isinstance(own, AlertmanagerSettings):
        return listed([address_of(url) for url in own.urls], 3)
    if isinstance(own, EmailSettings):
        return f"{len(own.recipients)} recipients over {own.host}"
    url = getattr(own, "url", None)
    if own is None and name == "webhook" and settings is not None:
        url = settings.webhook_url
    if url:
        return address_of(str(url))
    return "" if own is None else "an address that is a secret"


def _quiet(own: AnyChannel | None) -> str:
    if own is None or own.quiet is None:
        return ""
    return f"quiet for {listed(own.quiet.severities)} severity {_hours(own.quiet)}"


def _hours(hours: Hours) -> str:
    days = "" if len(hours.days) == DAYS_OF_WEEK else f" on {listed(hours.days, DAYS_OF_WEEK)}"
    span = "all day" if hours.start == hours.end else f"from {hours.start} to {hours.end}"
    return f"{span}{days} ({hours.zone})"


def route_lines(routes: Iterable[RouteSettings]) -> tuple[str, ...]:
    """Write the table of routes, a sentence each."""
    lines = []
    for route in routes:
        conditions = [
            f"{what} {listed(values, 6)}"
            for what, values in (
                ("severity", route.severities),
                ("model", route.models),
                ("owner", route.owners),
                ("kind", route.kinds),
            )
            if values
        ]
        if route.hours is not None:
            conditions.append(_hours(route.hours))
        to = listed(route.channels, 10) if route.channels else "the log alone"
        go_on = "; the next route is asked as well" if route.go_on else ""
        lines.append(f"{', '.join(conditions) or 'everything else'} → {to}{go_on}")
    return tuple(lines)


def delivery_rows(deliveries: Iterable[Delivery], now_us: Micros) -> tuple[DeliveryRow, ...]:
    """Write deliveries for people."""
    return tuple(
        DeliveryRow(
            message_id=one.message.id,
            channel=one.channel,
            kind=one.message.kind.replace("_", " "),
            about=f"{one.message.model} {one.message.version}".strip(),
            incident_id=one.message.incident_id,
            status=str(one.status),
            tone=STATUS_TONES[one.status],
            at=When.of(one.delivered_us or one.queued_us, now_us),
            attempts=one.attempts,
            detail=one.detail[:DETAIL_MAX],
        )
        for one in deliveries
    )


def key_rows(keys: Sequence[ApiKey], uses: Mapping[str, Micros], now_us: Micros) -> tuple[KeyRow, ...]:
    """List keys: those that work first, the one that was used last at the top."""
    rows = [(_gone(key, now_us), -uses.get(key.id, 0), key) for key in keys]
    return tuple(
        KeyRow(
            prefix=f"{PREFIX}{key.id}…",
            name=key.name,
            scopes=", ".join(sorted(key.scopes)),
            models="every model" if key.models is None else listed(sorted(key.models), 4),
            created=When.of(key.created_us, now_us),
            used=_when(uses.get(key.id), now_us),
            state=gone or (f"until {When.of(key.expires_us, now_us).text}" if key.expires_us else "works"),
            tone="off" if gone else "good",
        )
        for gone, _, key in sorted(rows, key=lambda row: (bool(row[0]), row[1], row[2].name, row[2].id))
    )


def _gone(key: ApiKey, now_us: Micros) -> str:
    if key.revoked_us is not None:
        return "revoked"
    return "expired" if key.expires_us is not None and key.expires_us <= now_us else ""


def _when(at_us: Micros | None, now_us: Micros) -> When | None:
    return None if at_us is None else When.of(at_us, now_us)
