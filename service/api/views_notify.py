"""What the API answers about notifications. Never an address or a secret."""

from collections.abc import Sequence

from service.api.views import View, iso, iso_or_none
from service.domain.notices import Backlog, ChannelBacklog, ChannelState, Delivery, DeliveryStatus


class DeliveryView(View, frozen=True, kw_only=True):
    """One message on its way to one channel."""

    message_id: str
    channel: str
    kind: str
    severity: str
    model: str
    version: str
    incident_id: str | None
    status: str
    created: str
    attempts: int
    next: str | None
    """When it is tried again; ``None`` when it is not."""
    delivered: str | None
    detail: str
    """Why the last attempt failed."""


class ChannelView(View, frozen=True, kw_only=True):
    """A channel and how it is."""

    name: str
    circuit: str
    failures: int
    """In a row."""
    failing_since: str | None
    last_success: str | None
    last_failure: str | None
    detail: str
    pending: int
    dead: int
    oldest_pending: str | None
    configured: bool
    """False for one that the settings do not name any more."""


def of_delivery(one: Delivery) -> DeliveryView:
    """Show a delivery."""
    return DeliveryView(
        message_id=one.message.id,
        channel=one.channel,
        kind=one.message.kind,
        severity=one.message.severity,
        model=one.message.model,
        version=one.message.version,
        incident_id=one.message.incident_id,
        status=one.status,
        created=iso(one.message.created_us),
        attempts=one.attempts,
        next=iso(one.next_us) if one.status is DeliveryStatus.PENDING else None,
        delivered=iso_or_none(one.delivered_us),
        detail=one.detail,
    )


def of_backlog(backlog: Backlog, names: Sequence[str]) -> list[ChannelView]:
    """Show every channel that is set up, then those that are not any more and still have something."""
    left = sorted((backlog.channels.keys() | backlog.states.keys()) - set(names))
    return [_channel(name, backlog, configured=name in names) for name in (*names, *left)]


def _channel(name: str, backlog: Backlog, *, configured: bool) -> ChannelView:
    state = backlog.states.get(name, ChannelState(name=name))
    waiting = backlog.channels.get(name, ChannelBacklog(name=name))
    return ChannelView(
        name=name,
        circuit=state.circuit,
        failures=state.failures,
        failing_since=iso_or_none(state.failing_us),
        last_success=iso_or_none(state.succeeded_us),
        last_failure=iso_or_none(state.failed_us),
        detail=state.detail,
        pending=waiting.pending,
        dead=waiting.dead,
        oldest_pending=iso_or_none(waiting.oldest_us),
        configured=configured,
    )
