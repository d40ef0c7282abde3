"""What is told to people: the messages' content, who has been told what, and where each delivery stands."""

from dataclasses import dataclass, field
from enum import StrEnum

import msgspec

from service.domain.ids import Micros
from service.domain.incidents import Hushed
from service.domain.records import Message, Severity

FIRING, RESOLVED = "firing", "resolved"
NEVER = "0001-01-01T00:00:00Z"
"""Alertmanager's end time of what is still firing."""
START = Micros(0)
SEVERITIES = tuple(Severity)
"""From mildest to worst."""


def worst(*severities: Severity) -> Severity:
    """Return the worst of some severities."""
    return max(severities, key=SEVERITIES.index)


class Kind(StrEnum):
    """What a message says."""

    ALERT_OPENED = "alert_opened"
    STATE_CHANGED = "state_changed"
    DRY_RUN = "dry_run"
    CAPPED = "capped"
    RELEASE_PENDING = "release_pending"
    NOT_ENFORCED = "not_enforced"
    BREAK_GLASS = "break_glass"
    REVIEW_ASSIGNED = "review_assigned"
    REVIEW_OVERDUE = "review_overdue"
    BASELINE_PROPOSED = "baseline_proposed"
    INCIDENT_ACKNOWLEDGED = "incident_acknowledged"
    INCIDENT_RESOLVED = "incident_resolved"
    INCIDENT_MERGED = "incident_merged"
    NOTIFICATIONS_FAILING = "notifications_failing"
    TEST = "test"


class AlertBody(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One alert, as Alertmanager's webhook writes it."""

    status: str
    labels: dict[str, str]
    annotations: dict[str, str]
    starts_at: str
    ends_at: str
    generator_url: str = msgspec.field(name="generatorURL", default="")
    fingerprint: str


class About(msgspec.Struct, frozen=True, kw_only=True):
    """What this message itself tells, beside the alerts of its group. Ours; not in Alertmanager's format."""

    kind: str
    severity: str
    summary: str
    description: str
    at: str
    model: str = ""
    version: str = ""
    incident_id: str = ""
    actor: str = ""
    merged_into: str = ""
    """The incident that this one is part of now."""
    over: tuple[str, ...] = ()
    """Groups that end with this message, beside its own."""
    heard: tuple[str, ...] | msgspec.UnsetType = msgspec.UNSET
    """Channels that must hear of a merge whatever has ended since; for routing alone, and not told to anybody."""


class Payload(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The content of a message: Alertmanager's webhook, version 4, with one member more."""

    version: str = "4"
    group_key: str
    truncated_alerts: int = 0
    status: str
    receiver: str = "lazaretto"
    group_labels: dict[str, str]
    common_labels: dict[str, str]
    common_annotations: dict[str, str]
    external_url: str = msgspec.field(name="externalURL", default="")
    alerts: list[AlertBody]
    lazaretto: About = About(kind="", severity=Severity.MEDIUM, summary="", description="", at="")
    """Empty in what a release before this one has written."""


def payload_of(message: Message) -> Payload:
    """Read the content of a message; what an earlier release has written is completed from what it says."""
    payload = msgspec.json.decode(message.payload, type=Payload)
    if payload.lazaretto.kind:
        return payload
    said, labels = payload.common_annotations, payload.common_labels
    about = About(
        kind=message.kind,
        severity=message.severity,
        summary=said.get("summary", ""),
        description=said.get("description", ""),
        at=payload.alerts[0].starts_at if payload.alerts else "",
        model=labels.get("model", ""),
        version=labels.get("version", ""),
        incident_id=said.get("incident_id", ""),
    )
    return msgspec.structs.replace(payload, lazaretto=about)


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """One alert that people were told of: what is needed to tell its end just as its beginning was told."""

    fingerprint: str
    """Of the labels."""
    model: str
    version: str
    incident_id: str | None
    group_key: str
    severity: Severity
    labels: dict[str, str]
    annotations: dict[str, str]
    starts_us: Micros
    ends_us: Micros | None
    """``None`` while it is firing; in the future for an announcement, which ends by itself."""
    channels: frozenset[str]
    """Who was told, and so must hear of the end."""

    def firing(self, now_us: Micros) -> bool:
        """Return whether it has not ended."""
        return self.ends_us is None or self.ends_us > now_us


@dataclass(frozen=True, slots=True, kw_only=True)
class Routed:
    """What routing has decided about one message; written in one transaction with the note that it was routed."""

    payload: str
    severity: Severity
    told: tuple[Told, ...]
    """New or changed."""
    deliveries: dict[str, Micros]
    """Channel to the earliest time."""
    hushed: Hushed | None = None
    """People are to be told later, if it is still there."""


class DeliveryStatus(StrEnum):
    """Where a delivery stands."""

    PENDING = "pending"
    DELIVERED = "delivered"
    DEAD = "dead"


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One message on its way to one channel."""

    seq: int
    """Of the message in the outbox."""
    message: Message
    channel: str
    status: DeliveryStatus
    queued_us: Micros
    attempts: int
    next_us: Micros
    delivered_us: Micros | None = None
    detail: str = ""


class Circuit(StrEnum):
    """Whether a channel is tried."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelState:
    """What is known of a channel's health; replicas share it."""

    name: str
    circuit: Circuit = Circuit.CLOSED
    failures: int = 0
    """In a row."""
    trips: int = 0
    """How often in a row the circuit opened without a success in between."""
    until_us: Micros = START
    """While open: when to probe. While half open: when to give the probe up for lost."""
    failing_us: Micros | None = None
    """Since when people know that it is failing; ``None`` while it is not."""
    succeeded_us: Micros | None = None
    failed_us: Micros | None = None
    detail: str = ""
    """Of the last failure."""
    resent_us: Micros = START
    """When the firing alerts were last sent again."""
    known_us: Micros = START
    """When a worker last said that it has the channel."""
    delivered_total: int = 0
    failures_total: int = 0
    dead_total: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Conclusion:
    """What one attempt came to; written in one transaction."""

    status: DeliveryStatus
    attempts: int
    next_us: Micros
    detail: str
    channel: ChannelState
    messages: tuple[Message, ...] = ()
    """To tell, on other channels, that this one fails or works again."""
    wake: bool = False
    """Whether everything that waits for this channel shall be tried now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Resent:
    """What sending again came to; written in one transaction."""

    channel: ChannelState
    messages: tuple[Message, ...] = ()
    """To tell, on other channels, that this one fails or works again."""
    wake: bool = False
    """Whether everything that waits for this channel shall be tried now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelBacklog:
    """How much waits for one channel."""

    name: str
    pending: int = 0
    dead: int = 0
    oldest_us: Micros | None = None
    """When the oldest pending message was queued."""


@dataclass(frozen=True, slots=True)
class Backlog:
    """The health of notifications at one moment."""

    channels: dict[str, ChannelBacklog] = field(default_factory=dict)
    states: dict[str, ChannelState] = field(default_factory=dict)
    unrouted: int = 0
    firing: int = 0
