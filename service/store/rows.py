"""Between rows and the frozen values that leave the store."""

from collections.abc import Sequence
from dataclasses import fields
from functools import lru_cache
from typing import Any

import msgspec
from sqlalchemy import RowMapping

from service.domain.calibration import Calibration
from service.domain.ids import Micros
from service.domain.policy import Cause, Policy
from service.domain.principals import AdversarialUse, Containment, ContainmentState, PrincipalTier
from service.domain.records import (
    Alert,
    ApiKey,
    AuditEntry,
    BaselineRecord,
    ColumnFinding,
    Incident,
    IncidentStatus,
    Message,
    Model,
    Scope,
    Severity,
    Snapshot,
    TimelineItem,
    TransitionRecord,
    Verdict,
    Version,
    Window,
)
from service.domain.redteam import RedTeamRun, RedTeamSummary
from service.domain.schema import Schema
from service.domain.states import Event, State
from service.domain.vouched import Vouched
from service.store.audit import canonical


def values_of(record: Any, *leave_out: str, **replaced: object) -> dict[str, Any]:
    """Return a record's fields by name, some left out, some replaced."""
    names = [f.name for f in fields(record) if f.name not in leave_out]
    return {name: replaced[name] if name in replaced else getattr(record, name) for name in names}


def _named(row: RowMapping) -> dict[str, Any]:
    return {str(name): value for name, value in row.items()}


def model_of(row: RowMapping) -> Model:
    """Read a model."""
    return Model(
        id=row["id"],
        name=row["name"],
        owner=row["owner"],
        description=row["description"],
        policy=msgspec.json.decode(row["policy"], type=Policy),
        created_us=row["created_us"],
        created_by=row["created_by"],
    )


def model_values(model: Model) -> dict[str, Any]:
    """Return a model's columns, without the id."""
    return values_of(model, "id", policy=policy_text(model.policy))


def policy_text(policy: Policy) -> str:
    """Return a policy as stored."""
    return canonical(policy)


def version_of(row: RowMapping) -> Version:
    """Read a version, joined with its model's name and its baseline in force."""
    return Version(
        id=row["id"],
        model_id=row["model_id"],
        model=row["model"],
        version=row["version"],
        schema=_schema(row["schema"]),
        deployed_by=row["deployed_by"],
        state=State(row["state"]),
        since_us=row["since_us"],
        reason=row["reason"],
        lock=row["lock"],
        restart_position=row["restart_position"],
        baseline_id=row["baseline_id"],
        created_us=row["created_us"],
        vouched=None if row["vouched"] is None else msgspec.json.decode(row["vouched"], type=Vouched),
    )


def vouched_text(vouched: Vouched | None) -> str | None:
    """Return what is vouched for as stored."""
    return None if vouched is None else canonical(vouched)


def version_values(version: Version) -> dict[str, Any]:
    """Return a version's columns, without the id and what is joined."""
    # Not sorted: the order of the features is the order of declaration.
    schema = msgspec.json.encode(version.schema).decode()
    return values_of(
        version,
        "id",
        "model",
        "baseline_id",
        schema=schema,
        state=version.state.value,
        vouched=vouched_text(version.vouched),
    )


@lru_cache(maxsize=256)
def _schema(text: str) -> Schema:
    return msgspec.json.decode(text, type=Schema)


def baseline_of(row: RowMapping, artefact: bytes) -> BaselineRecord:
    """Read a baseline, with the artefact read before or with it."""
    return BaselineRecord(
        id=row["id"],
        version_id=row["version_id"],
        digest=row["digest"],
        signature=row["signature"],
        artefact=artefact,
        rows=row["rows"],
        from_position=row["from_position"],
        columns=msgspec.json.decode(row["columns"], type=tuple[str, ...]),
        warnings=msgspec.json.decode(row["warnings"], type=tuple[dict[str, str], ...]),
        created_us=row["created_us"],
        created_by=row["created_by"],
    )


def baseline_values(baseline: BaselineRecord) -> dict[str, Any]:
    """Return a baseline's columns."""
    return values_of(baseline, columns=canonical(baseline.columns), warnings=canonical(baseline.warnings))


def redteam_of(row: RowMapping) -> RedTeamRun | None:
    """Read a red-team run; one of another release that says other things is as if there was none."""
    try:
        summary = msgspec.json.decode(row["summary"], type=RedTeamSummary)
    except msgspec.ValidationError:
        return None
    return RedTeamRun(version_id=row["version_id"], at_us=row["at_us"], actor=row["actor"], summary=summary)


def calibration_of(text: str) -> Calibration | None:
    """Read a calibration; one of another release that says other things is as if there was none."""
    try:
        return msgspec.json.decode(text, type=Calibration)
    except msgspec.ValidationError:
        return None


def calibration_values(baseline_id: str, calibration: Calibration) -> dict[str, Any]:
    """Return a calibration's columns."""
    return {"baseline_id": baseline_id, "body": canonical(calibration)}


def key_of(row: RowMapping) -> ApiKey:
    """Read a key."""
    models = row["models"]
    return ApiKey(
        id=row["id"],
        name=row["name"],
        scopes=msgspec.json.decode(row["scopes"], type=frozenset[Scope]),
        models=None if models is None else msgspec.json.decode(models, type=frozenset[str]),
        secret_hash=row["secret_hash"],
        created_us=row["created_us"],
        expires_us=row["expires_us"],
        revoked_us=row["revoked_us"],
    )


def key_values(key: ApiKey) -> dict[str, Any]:
    """Return a key's columns."""
    models = None if key.models is None else canonical(sorted(key.models))
    return values_of(key, scopes=canonical(sorted(key.scopes)), models=models)


class _Finding(msgspec.Struct, frozen=True):
    name: str
    group: str
    direction: str
    evidence_log: float | None
    since_us: int
    effects: dict[str, float | None]
    segment: str | None = None


def alert_of(row: RowMapping) -> Alert:
    """Read an alert."""
    use = row["adversarial"]
    return Alert(
        id=row["id"],
        version_id=row["version_id"],
        cause=Cause(row["cause"]),
        status=row["status"],
        reason=row["reason"],
        evidence_log=row["evidence_log"],
        threshold_log=row["threshold_log"],
        confirmations=row["confirmations"],
        columns=_findings(row["columns"]),
        since_us=row["since_us"],
        opened_us=row["opened_us"],
        closed_us=row["closed_us"],
        position=row["position"],
        incident_id=row["incident_id"],
        adversarial=None if use is None else msgspec.json.decode(use, type=AdversarialUse),
    )


def alert_values(alert: Alert) -> dict[str, Any]:
    """Return an alert's columns. At most one is open for each version, cause and subject."""
    use = alert.adversarial
    own = values_of(
        alert,
        cause=alert.cause.value,
        columns=canonical(alert.columns),
        adversarial=None if use is None else canonical(use),
    )
    return {**own, "subject": "" if use is None else f"{use.kind}:{use.subject}"}


def containment_of(row: RowMapping) -> Containment:
    """Read a containment."""
    named = _named(row)
    return Containment(**{**named, "state": ContainmentState(row["state"]), "tier": PrincipalTier(row["tier"])})


def containment_values(containment: Containment) -> dict[str, Any]:
    """Return a containment's columns."""
    return values_of(containment, state=containment.state.value, tier=containment.tier.value)


def _findings(text: str) -> tuple[ColumnFinding, ...]:
    # JSON knows no infinity: evidence that is not finite was written as null, and only -inf is ever found.
    return tuple(
        ColumnFinding(
            name=f.name,
            group=f.group,
            direction=f.direction,
            evidence_log=float("-inf") if f.evidence_log is None else f.evidence_log,
            since_us=Micros(f.since_us),
            effects=f.effects,
            segment=f.segment,
        )
        for f in msgspec.json.decode(text, type=list[_Finding])
    )


def incident_of(row: RowMapping) -> Incident:
    """Read an incident, joined with the names of its model and version."""
    verdict = row["verdict"]
    return Incident(
        id=row["id"],
        version_id=row["version_id"],
        model=row["model"],
        version=row["version"],
        cause=Cause(row["cause"]),
        title=row["title"],
        status=IncidentStatus(row["status"]),
        assignee=row["assignee"],
        verdict=None if verdict is None else Verdict(verdict),
        note=row["note"],
        opened_us=row["opened_us"],
        acknowledged_us=row["acknowledged_us"],
        resolved_us=row["resolved_us"],
        lock=row["lock"],
        severity=Severity(row["severity"]),
    )


def incident_values(incident: Incident) -> dict[str, Any]:
    """Return an incident's columns, without what is joined."""
    verdict = None if incident.verdict is None else incident.verdict.value
    return values_of(
        incident,
        "model",
        "version",
        cause=incident.cause.value,
        status=incident.status.value,
        verdict=verdict,
        severity=incident.severity.value,
    )


def timeline_of(row: RowMapping) -> TimelineItem:
    """Read one item of a timeline."""
    return TimelineItem(at_us=row["at_us"], actor=row["actor"], kind=row["kind"], body=row["body"])


def transition_of(row: RowMapping) -> TransitionRecord:
    """Read a state change."""
    return TransitionRecord(
        version_id=row["version_id"],
        before=State(row["before"]),
        event=Event(row["event"]),
        after=State(row["after"]),
        actor=row["actor"],
        reason=row["reason"],
        at_us=row["at_us"],
        position=row["position"],
        incident_id=row["incident_id"],
    )


def transition_values(record: TransitionRecord) -> dict[str, Any]:
    """Return a state change's columns, without the lock."""
    return values_of(record, before=record.before.value, event=record.event.value, after=record.after.value)


def message_of(row: RowMapping) -> Message:
    """Read a message."""
    return Message(
        id=row["id"],
        kind=row["kind"],
        payload=row["payload"],
        created_us=row["created_us"],
        severity=Severity(row["severity"]),
        model=row["model"],
        version=row["version"],
        incident_id=row["incident_id"],
    )


def message_values(message: Message) -> dict[str, Any]:
    """Return a new message's columns."""
    return values_of(message, severity=message.severity.value) | {"routed_us": None}


def window_of(row: RowMapping) -> Window:
    """Read a window."""
    return Window(**_named(row))


def windows_values(windows: Sequence[Window]) -> list[dict[str, Any]]:
    """Return the columns of windows."""
    return [values_of(window) for window in windows]


def snapshot_of(row: RowMapping) -> Snapshot:
    """Read a snapshot."""
    return Snapshot(**_named(row))


def snapshots_values(snapshots: Sequence[Snapshot]) -> list[dict[str, Any]]:
    """Return the columns of snapshots; principals and answers have tables of their own."""
    beside = {"principals", "answers", "answers_first"}
    return [{k: v for k, v in values_of(snapshot).items() if k not in beside} for snapshot in snapshots]


def principals_values(snapshots: Sequence[Snapshot]) -> list[dict[str, Any]]:
    """Return the columns of what is known of principals, where it is to be kept."""
    return [
        {"version_id": one.version_id, "content": one.principals} for one in snapshots if one.principals is not None
    ]


def audit_of(row: RowMapping) -> AuditEntry:
    """Read a link of the audit chain."""
    return AuditEntry(**_named(row))
