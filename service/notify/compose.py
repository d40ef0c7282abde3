"""State changes and alerts to messages, in the shape of Alertmanager's webhook.

The labels of a payload never change over the life of what they name, so that a receiver can group by them; all that
changes is in the annotations. Whom to tell is decided afterwards: ``service/notify/routing.py``.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

import msgspec

from service.domain.ids import Micros, derived_id
from service.domain.notices import FIRING, NEVER, RESOLVED, About, AlertBody, Kind, Payload
from service.domain.records import Alert, Approvals, Incident, Message, Severity, TransitionRecord, Version
from service.domain.states import State

LOG = "log"
TEXT_LENGTH_MAX = 2_000
NEEDS_PEOPLE = frozenset({State.SUSPECT, State.QUARANTINED, State.UNDER_REVIEW})
COLUMNS_MAX = 10
SEVERITY_OF_STATE = {
    State.SUSPECT: Severity.MEDIUM,
    State.QUARANTINED: Severity.HIGH,
    State.UNDER_REVIEW: Severity.HIGH,
}
"""The others need nobody."""


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
    """``incident_id`` and ``severity`` among them say what the notice belongs to and how much it matters."""


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
        annotations={
            "alert_id": alert.id,
            "incident_id": alert.incident_id,
            "severity": Severity.HIGH if kind is Kind.CAPPED else Severity.LOW,
        },
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
        annotations={
            "before": record.before,
            "after": record.after,
            "actor": record.actor,
            "severity": SEVERITY_OF_STATE.get(record.after, Severity.LOW),
            **incident,
        },
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


def compose(notice: Notice) -> Message:
    """Return the outbox row of a notice."""
    version = notice.version
    severity = Severity(notice.annotations.get("severity", Severity.MEDIUM))
    labels = {"alertname": alert_name(notice.kind), "model": version.model, "version": version.version, **notice.labels}
    annotations = {
        "summary": notice.summary[:TEXT_LENGTH_MAX],
        "description": notice.description[:TEXT_LENGTH_MAX],
        **{key: str(value)[:TEXT_LENGTH_MAX] for key, value in notice.annotations.items()},
    }
    at = time_of(notice.at_us)
    alert = AlertBody(
        status=FIRING if notice.firing else RESOLVED,
        labels=labels,
        annotations=annotations,
        starts_at=at,
        ends_at=NEVER if notice.firing else at,
        fingerprint=fingerprint_of(labels),
    )
    incident_id = notice.annotations.get("incident_id")
    about = About(
        kind=notice.kind,
        severity=severity,
        summary=annotations["summary"],
        description=annotations["description"],
        at=at,
        model=version.model,
        version=version.version,
        incident_id=incident_id or "",
        actor=annotations.get("actor", ""),
    )
    return Message(
        id=derived_id("message", notice.kind, notice.key),
        kind=notice.kind,
        payload=encoded(payload_with([alert], group_of(labels, incident_id), about)),
        created_us=notice.at_us,
        severity=severity,
        model=version.model,
        version=version.version,
        incident_id=incident_id,
    )


def payload_with(alerts: list[AlertBody], group_key: str, about: About, left_out: int = 0) -> Payload:
    """Write alerts as one group, as Alertmanager does: it is firing as long as any of them is."""
    first = alerts[0] if alerts else None
    labels = {} if first is None else first.labels
    annotations = {} if first is None else first.annotations
    return Payload(
        group_key=group_key,
        truncated_alerts=left_out,
        status=FIRING if any(alert.status == FIRING for alert in alerts) else RESOLVED,
        group_labels={name: labels[name] for name in ("alertname", "model", "version") if name in labels},
        common_labels={k: v for k, v in labels.items() if all(a.labels.get(k) == v for a in alerts)},
        common_annotations={k: v for k, v in annotations.items() if all(a.annotations.get(k) == v for a in alerts)},
        alerts=alerts,
        lazaretto=about,
    )


def encoded(payload: Payload) -> str:
    """Return a payload as the outbox keeps it."""
    return msgspec.json.encode(payload).decode()


def alert_name(kind: Kind) -> str:
    """Return the name of what a kind of message tells of, as Alertmanager writes names."""
    return "Lazaretto" + "".join(word.capitalize() for word in kind.split("_"))


def fingerprint_of(labels: Mapping[str, str]) -> str:
    """Return what identifies an alert: 16 hex digits that follow from its labels alone."""
    # As they are read again: a member of an enumeration is its text.
    return derived_id("labels", *sorted((name, str(value)) for name, value in labels.items()))[:16]


def group_of(labels: Mapping[str, str], incident_id: str | None) -> str:
    """Return what belongs together: everything about one incident, or else about one label set."""
    if incident_id:
        return f"incident/{incident_id}"
    return "/".join(labels[name] for name in ("alertname", "model", "version", "channel") if name in labels)


def time_of(at_us: Micros) -> str:
    """Write a time as ISO 8601, UTC, to the microsecond."""
    return datetime.fromtimestamp(at_us // 1_000_000, UTC).strftime("%Y-%m-%dT%H:%M:%S") + f".{at_us % 1_000_000:06d}Z"
