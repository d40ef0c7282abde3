"""What the API answers: records of the store as JSON, times as ISO 8601 in UTC."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from service.domain.atlas import atlas
from service.domain.ids import Micros
from service.domain.policy import Policy
from service.domain.principals import AdversarialUse, Containment, ContainmentState
from service.domain.records import (
    Alert,
    Incident,
    Model,
    TimelineItem,
    TransitionRecord,
    Version,
)
from service.domain.schema import Schema

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def iso(at_us: Micros) -> str:
    """Return a time as ISO 8601, UTC, to the microsecond."""
    return (EPOCH + timedelta(microseconds=at_us)).isoformat(timespec="microseconds").replace("+00:00", "Z")


def iso_or_none(at_us: Micros | None) -> str | None:
    """Return a time as ISO 8601, or nothing."""
    return None if at_us is None else iso(at_us)


class View(msgspec.Struct, frozen=True, kw_only=True):
    """An answer."""


class VersionView(View, frozen=True, kw_only=True):
    """A version with its state."""

    model: str
    version: str
    state: str
    since: str
    reason: str
    schema: Schema
    deployed_by: str
    baseline_id: str | None
    created: str
    change: int
    """How often its state has changed: send it along, and a decision about an older one is refused."""


class ModelView(View, frozen=True, kw_only=True):
    """A model with its policy and versions."""

    name: str
    owner: str
    description: str
    policy: Policy
    created: str
    created_by: str
    versions: list[VersionView]


class TransitionView(View, frozen=True, kw_only=True):
    """One state change."""

    at: str
    before: str
    event: str
    after: str
    actor: str
    reason: str
    incident_id: str | None


class TechniqueView(View, frozen=True, kw_only=True):
    """A technique or tactic of ATLAS."""

    id: str
    name: str


class StageView(View, frozen=True, kw_only=True):
    """One tactic of a kill chain with the techniques that reached it."""

    tactic: TechniqueView
    techniques: list[TechniqueView]


class UseView(View, frozen=True, kw_only=True):
    """What an alert about adversarial use says beyond its evidence."""

    tier: str
    subject: str
    atlas: str
    techniques: list[TechniqueView]
    tactics: list[TechniqueView]
    principals: list[str]
    transcript: str
    until: str
    best_margin: float | None
    fidelity: float | None
    queries: int
    queries_at_alarm: int
    """When the alert was opened."""
    flips: int
    flipped_by: list[str]
    reused_by: list[str]
    calibrated: bool
    reasons: list[str]


class AlertView(View, frozen=True, kw_only=True):
    """One alert with the columns to blame, strongest first."""

    id: str
    model: str | None
    version: str | None
    cause: str
    status: str
    reason: str
    evidence_log: float
    threshold_log: float
    since: str
    opened: str
    closed: str | None
    incident_id: str
    columns: list[dict[str, Any]]
    adversarial: UseView | None
    """Of an alert about adversarial use."""


class SnoozeView(View, frozen=True, kw_only=True):
    """Until when people hear no more of an incident."""

    until: str
    until_worse: bool
    by: str
    since: str


class LinkView(View, frozen=True, kw_only=True):
    """What an incident is to another one: ``merged`` into it, or ``regressed`` from it."""

    incident_id: str
    kind: str
    other_id: str
    at: str


class IncidentView(View, frozen=True, kw_only=True):
    """One incident."""

    id: str
    model: str
    version: str
    cause: str
    title: str
    status: str
    assignee: str | None
    verdict: str | None
    note: str | None
    opened: str
    acknowledged: str | None
    resolved: str | None
    severity: str
    lock: int
    """How many changes it has seen: send it as `If-Match` to act only on what you saw."""
    timeline: list[dict[str, str]] | msgspec.UnsetType = msgspec.UNSET
    alerts: list[AlertView] | msgspec.UnsetType = msgspec.UNSET
    kill_chain: list[StageView] | msgspec.UnsetType = msgspec.UNSET
    """Tactics in the order of ATLAS, with the techniques that reached them; empty of other incidents."""
    snooze: SnoozeView | msgspec.UnsetType | None = msgspec.UNSET
    links: list[LinkView] | msgspec.UnsetType = msgspec.UNSET
    """What it was merged into, what was merged into it, and whose cause it brought back."""
    evidence_digest: str | msgspec.UnsetType | None = msgspec.UNSET
    """Of the evidence frozen when it was opened; ``None`` of an incident of an earlier release."""


def of_version(version: Version) -> VersionView:
    """Return the view of a version."""
    return VersionView(
        model=version.model,
        version=version.version,
        state=version.state,
        since=iso(version.since_us),
        reason=version.reason,
        schema=version.schema,
        deployed_by=version.deployed_by,
        baseline_id=version.baseline_id,
        created=iso(version.created_us),
        change=version.lock,
    )


def of_model(model: Model, versions: list[Version]) -> ModelView:
    """Return the view of a model."""
    return ModelView(
        name=model.name,
        owner=model.owner,
        description=model.description,
        policy=model.policy,
        created=iso(model.created_us),
        created_by=model.created_by,
        versions=[of_version(version) for version in versions],
    )


class ApprovalsView(View, frozen=True, kw_only=True):
    """Who has asked for a release; how many it needs also when a review begins; else nobody and none."""

    have: int = 0
    need: int = 0
    by: list[str] = []


class TransitionAnswerView(View, frozen=True, kw_only=True):
    """Where a version stands after a request."""

    state: str
    version: str
    approvals: ApprovalsView


def of_transition(record: TransitionRecord) -> TransitionView:
    """Return the view of a state change."""
    return TransitionView(
        at=iso(record.at_us),
        before=record.before,
        event=record.event,
        after=record.after,
        actor=record.actor,
        reason=record.reason,
        incident_id=record.incident_id,
    )


def of_alert(alert: Alert, version: Version | None) -> AlertView:
    """Return the view of an alert."""
    return AlertView(
        id=alert.id,
        model=version.model if version else None,
        version=version.version if version else None,
        cause=alert.cause,
        status=alert.status,
        reason=alert.reason,
        evidence_log=alert.evidence_log,
        threshold_log=alert.threshold_log,
        since=iso(alert.since_us),
        opened=iso(alert.opened_us),
        closed=iso_or_none(alert.closed_us),
        incident_id=alert.incident_id,
        columns=[
            {
                "name": finding.name,
                "segment": finding.segment,
                "group": finding.group,
                "direction": finding.direction,
                "evidence_log": finding.evidence_log,
                "since": iso(finding.since_us),
                "effects": finding.effects,
            }
            for finding in alert.columns
        ],
        adversarial=None if alert.adversarial is None else of_use(alert.adversarial),
    )


def of_use(use: AdversarialUse) -> UseView:
    """Return the view of what an alert says about adversarial use."""
    stages = atlas().kill_chain(use.techniques)
    techniques = [atlas().technique(one) for one in atlas().known(use.techniques)]
    return UseView(
        tier=use.kind,
        subject=use.subject,
        atlas=use.atlas,
        techniques=[TechniqueView(id=one.id, name=one.name) for one in techniques],
        tactics=[TechniqueView(id=stage.tactic.id, name=stage.tactic.name) for stage in stages],
        principals=list(use.principals),
        transcript=use.transcript,
        until=iso(Micros(use.until_us)),
        best_margin=use.best_margin,
        fidelity=use.fidelity,
        queries=use.queries,
        queries_at_alarm=use.queries_at_alarm,
        flips=use.flips,
        flipped_by=list(use.flipped_by),
        reused_by=list(use.reused_by),
        calibrated=use.calibrated,
        reasons=list(use.reasons),
    )


def of_kill_chain(alerts: Sequence[Alert]) -> list[StageView]:
    """Return the kill chain of an incident: the techniques of all its alerts, along the tactics of ATLAS."""
    uses = [alert.adversarial for alert in alerts if alert.adversarial is not None]
    return [
        StageView(
            tactic=TechniqueView(id=stage.tactic.id, name=stage.tactic.name),
            techniques=[TechniqueView(id=one.id, name=one.name) for one in stage.techniques],
        )
        for stage in atlas().kill_chain(technique for use in uses for technique in use.techniques)
    ]


class ContainmentView(View, frozen=True, kw_only=True):
    """A contained principal."""

    principal: str
    state: str
    tier: str
    reason: str
    since: str
    renewed: str
    until: str
    incident_id: str | None
    lifted: str | None
    lifted_by: str | None


def of_containment(containment: Containment, now_us: Micros) -> ContainmentView:
    """Return the view of a containment; one whose time is over is ``ended``."""
    over = containment.state is ContainmentState.CONTAINED and not containment.holds(now_us)
    return ContainmentView(
        principal=containment.principal,
        state="ended" if over else containment.state,
        tier=containment.tier,
        reason=containment.reason,
        since=iso(containment.since_us),
        renewed=iso(containment.renewed_us),
        until=iso(containment.until_us),
        incident_id=containment.incident_id,
        lifted=iso_or_none(containment.lifted_us),
        lifted_by=containment.lifted_by,
    )


def of_incident(incident: Incident) -> IncidentView:
    """Return the view of an incident, without its timeline."""
    return IncidentView(
        id=incident.id,
        model=incident.model,
        version=incident.version,
        cause=incident.cause,
        title=incident.title,
        status=incident.status,
        assignee=incident.assignee,
        verdict=incident.verdict,
        note=incident.note,
        opened=iso(incident.opened_us),
        acknowledged=iso_or_none(incident.acknowledged_us),
        resolved=iso_or_none(incident.resolved_us),
        severity=incident.severity,
        lock=incident.lock,
    )


def of_timeline(items: list[TimelineItem]) -> list[dict[str, str]]:
    """Return the view of a timeline."""
    return [{"at": iso(item.at_us), "actor": item.actor, "kind": item.kind, "body": item.body} for item in items]
