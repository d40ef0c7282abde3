"""State changes and alerts to messages: one outbox row for each channel, in the shape of Alertmanager's webhook.

The labels of a payload never change over the life of what they name, so that a receiver can group by them; all that
changes is in the annotations.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

import msgspec

from service.domain.ids import Micros, derived_id
from service.domain.records import Alert, Approvals, Incident, Message, TransitionRecord, Version
from service.domain.states import State

LOG = "log"
WEBHOOK = "webhook"
NEVER = "0001-01-01T00:00:00Z"
"""Alertmanager's end time of what is still firing."""
TEXT_LENGTH_MAX = 2_000
NEEDS_PEOPLE = frozenset({State.SUSPECT, State.QUARANTINED, State.UNDER_REVIEW})
COLUMNS_MAX = 10


class Kind(StrEnum):
    """What a message says."""

    ALERT_OPENED = "alert_opened"
    STATE_CHANGED = "state_changed"
    DRY_RUN = "dry_run"
    CAPPED = "capped"
    RELEASE_PENDING = "release_pending"
    NOT_ENFORCED = "not_enforced"


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """What there is to tell, before it is written for each channel."""

    kind: Kind
    key: str
    """What makes the notice unique among those of its kind."""
    version: Version
    summary: str
    description: str
    at_us: Micros
    firing: bool = True
    labels: Mapping[str, str]
    annotations: Mapping[str, str]


def channel_names(webhook_url: str | None) -> tuple[str, ...]:
    """Return the channels that the settings ask for; the log is always one."""
    return (LOG, WEBHOOK) if webhook_url else (LOG,)


def alert_opened(alert: Alert, incident: Incident, version: Version) -> Notice:
    """Say that evidence reached the budget, and which columns carry it."""
    columns = ", ".join(c.words for c in alert.columns[:COLUMNS_MAX])
    return Notice(
        kind=Kind.ALERT_OPENED,
        key=alert.id,
        version=version,
        summary=incident.title,
        description=alert.reason,
        at_us=alert.opened_us,
        labels={"cause": alert.cause},
        annotations={
            "alert_id": alert.id,
            "incident_id": incident.id,
            "severity": incident.severity,
            "columns": columns,
            "evidence_log10": f"{alert.evidence_log / math.log(10):.2f}",
            "threshold_log10": f"{alert.threshold_log / math.log(10):.2f}",
            "since": time_of(alert.since_us),
        },
    )


def alert_over(alert: Alert, text: str, version: Version, at_us: Micros) -> Notice:
    """Say that what an alert told of is over by itself: the same alert, resolved."""
    return Notice(
        kind=Kind.ALERT_OPENED,
        key=f"{alert.id}:over",
        version=version,
        summary=f"{version.model} {version.version}: {text}",
        description=alert.reason,
        at_us=at_us,
        firing=False,
        labels={"cause": alert.cause},
        annotations={"alert_id": alert.id, "incident_id": alert.incident_id},
    )


def held_back(kind: Kind, alert: Alert, version: Version, text: str, at_us: Micros) -> Notice:
    """Say what a policy would have done, and why it did not: a dry run or the blast-radius cap."""
    return Notice(
        kind=kind,
        key=f"{alert.id}:{at_us}",
        version=version,
        summary=f"{version.model} {version.version}: {text}",
        description=alert.reason,
        at_us=at_us,
        labels={"cause": alert.cause},
        annotations={"alert_id": alert.id, "incident_id": alert.incident_id},
    )


def state_changed(record: TransitionRecord, version: Version) -> Notice:
    """Say that a version's state has changed, who did it and why."""
    incident = {} if record.incident_id is None else {"incident_id": record.incident_id}
    return Notice(
        kind=Kind.STATE_CHANGED,
        key=f"{version.id}:{version.lock}",
        version=version,
        summary=f"{version.model} {version.version} is {record.after}, was {record.before}",
        description=record.reason,
        at_us=record.at_us,
        firing=record.after in NEEDS_PEOPLE,
        labels={},
        annotations={"before": record.before, "after": record.after, "actor": record.actor, **incident},
    )


def release_pending(version: Version, approvals: Approvals, reason: str, at_us: Micros, key: str) -> Notice:
    """Ask for the approvals that a release still needs. ``key`` is new each time: who asks again, is heard again."""
    return Notice(
        kind=Kind.RELEASE_PENDING,
        key=key,
        version=version,
        summary=f"release of {version.model} {version.version} waits for approval:"
        f" {approvals.have} of {approvals.need} so far",
        description=reason,
        at_us=at_us,
        labels={},
        annotations={"approved_by": ", ".join(approvals.by)},
    )


def compose(notice: Notice, channels: Iterable[str]) -> list[Message]:
    """Return the outbox rows of a notice."""
    payload = msgspec.json.encode(_payload(notice)).decode()
    return [
        Message(
            id=derived_id("message", channel, notice.kind, notice.key),
            channel=channel,
            kind=notice.kind,
            payload=payload,
            created_us=notice.at_us,
        )
        for channel in channels
    ]


def _payload(notice: Notice) -> dict[str, object]:
    """Write a notice as Alertmanager's webhook does, version 4."""
    name = "Lazaretto" + "".join(word.capitalize() for word in notice.kind.split("_"))
    labels = {
        "alertname": name,
        "model": notice.version.model,
        "version": notice.version.version,
        **notice.labels,
    }
    annotations = {
        "summary": notice.summary[:TEXT_LENGTH_MAX],
        "description": notice.description[:TEXT_LENGTH_MAX],
        **{key: str(value)[:TEXT_LENGTH_MAX] for key, value in notice.annotations.items()},
    }
    status, at = "firing" if notice.firing else "resolved", time_of(notice.at_us)
    alert = {
        "status": status,
        "labels": labels,
        "annotations": annotations,
        "startsAt": at,
        "endsAt": NEVER if notice.firing else at,
        "generatorURL": "",
        "fingerprint": derived_id("labels", *sorted(labels.items()))[:16],
    }
    return {
        "version": "4",
        "groupKey": f"{name}/{notice.version.model}/{notice.version.version}",
        "truncatedAlerts": 0,
        "status": status,
        "receiver": "lazaretto",
        "groupLabels": {"alertname": name},
        "commonLabels": labels,
        "commonAnnotations": annotations,
        "externalURL": "",
        "alerts": [alert],
    }


def time_of(at_us: Micros) -> str:
    """Write a time as ISO 8601, UTC, to the microsecond."""
    return datetime.fromtimestamp(at_us // 1_000_000, UTC).strftime("%Y-%m-%dT%H:%M:%S") + f".{at_us % 1_000_000:06d}Z"
