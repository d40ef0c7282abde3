"""Evidence to alerts and incidents. Pure: nothing is written here.

The cause of an alert follows from the blamed columns, by this rule:

* a column whose *missing*, *invalid* or *unseen* bin grew, or whose group is ``quality`` or ``error``, speaks of
  ``data_quality``;
* else the latency column speaks of ``latency``;
* else the prediction, a probability or a score of them speaks of ``prediction_drift``;
* else the event rate speaks of ``traffic``;
* else it is ``data_drift``. A score of all inputs together is no more than that: beside a feature whose odd values have
  more evidence it follows from those, as they are among its inputs, and speaks of ``data_quality`` too.

Of several causes the one with the strongest action names the alert, then the one with the strongest evidence; as long
as an open alert is among those of equal action it stays the name, so that one change is one incident, and a mild cause
never hides one that calls for more.

While an alert is open, a second evidence that starts from zero at the alarm tells whether the change lasts
(``service.detect.rebuild``). It decides nothing: the incident's timeline says so, once.

People who release a version let its evidence start from zero. When it reaches the threshold again before they have
resolved the incident, the change goes on: the new alert belongs to the same incident.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from types import MappingProxyType

from service.domain.evaluation import Evaluation
from service.domain.ids import Actor, derived_id
from service.domain.policy import UNCOUNTED, Action, Cause, Policy
from service.domain.records import Alert, ColumnFinding, Incident, IncidentStatus, Severity, TimelineItem, Version
from service.domain.states import SERVING

QUALITY_BINS = frozenset({"missing", "invalid", "unseen"})
QUALITY_GROUPS = frozenset({"quality", "error"})
COLUMNS_MAX = 20
"""How many blamed columns an alert keeps."""
COLUMNS_IN_TITLE = 3
NONE: Mapping[Cause, Incident] = MappingProxyType({})
STRENGTH = {action: rank for rank, action in enumerate(Action)}
SEVERITIES = {
    Action.RECORD: Severity.LOW,
    Action.NOTIFY: Severity.LOW,
    Action.SUSPECT: Severity.MEDIUM,
    Action.QUARANTINE: Severity.HIGH,
}
"""An incident matters as much as what the policy lets it do."""


class Why(StrEnum):
    """The named reason of a decision."""

    QUIET = "quiet"
    """Below the threshold, and no alert was counting."""
    INSUFFICIENT = "insufficient"
    NOT_SERVING = "not_serving"
    """Above the threshold in a state without traffic: an alert that is open stays, a new one would tell nobody."""
    INTERRUPTED = "interrupted"
    """Below the threshold: open alerts count their confirmations from zero again."""
    OPENED = "opened"
    CONFIRMED = "confirmed"
    SETTLED = "settled"
    """Confirmed as often as the policy asks: nothing new to write."""


@dataclass(frozen=True, slots=True)
class Decision:
    """What one evaluation does to the alerts of its version."""

    why: Why
    alert: Alert | None = None
    """The alert that stands above the threshold now."""
    changed: tuple[Alert, ...] = ()
    incident: Incident | None = None
    """New, when the alert is and no incident of its cause waits to be resolved."""
    again: Incident | None = None
    """The unresolved incident that a new alert belongs to, with the title that people are told."""


def decide(
    evaluation: Evaluation,
    version: Version,
    open_alerts: Sequence[Alert],
    policy: Policy,
    unresolved: Mapping[Cause, Incident] = NONE,
) -> Decision:
    """Return what an evaluation does to the version's alerts; ``unresolved`` are its incidents, the newest by cause."""
    if not evaluation.above:
        return _below(open_alerts)
    # A baseline of a few rows cannot promise anything, so it may not accuse anyone.
    if not evaluation.sufficient:
        return Decision(Why.INSUFFICIENT)
    cause, standing = _name(evaluation.findings, open_alerts, policy)
    if standing is None and version.state not in SERVING:
        return Decision(Why.NOT_SERVING)
    if standing is None:
        return _open(evaluation, version, cause, unresolved.get(cause), SEVERITIES[policy.actions.of(cause)])
    # Counting further would write a row with every tick and say nothing new.
    if standing.confirmations >= policy.confirmations:
        return Decision(Why.SETTLED, standing)
    alert = replace(
        standing,
        confirmations=standing.confirmations + 1,
        evidence_log=evaluation.evidence_log,
        threshold_log=evaluation.threshold_log,
        columns=evaluation.findings[:COLUMNS_MAX],
    )
    return Decision(Why.CONFIRMED, alert, (alert,))


def rebuilt(alert: Alert, actor: Actor) -> TimelineItem:
    """Return what the timeline of an earlier incident says of a new alert: evidence started anew, and is back."""
    return TimelineItem(at_us=alert.opened_us, actor=actor, kind="rebuilt", body=alert.reason)


def goes_on(
    evaluation: Evaluation, open_alerts: Sequence[Alert], policy: Policy, actor: Actor
) -> tuple[str, TimelineItem] | None:
    """Return the incident of an open alert whose change lasts, and what its timeline says of it; ``None`` without one.

    ``evaluation.rebuilt`` is not empty. Where no open alert has its cause, one change is still one incident.
    """
    evident = [alert for alert in open_alerts if alert.cause not in UNCOUNTED]
    _, standing = _name(evaluation.rebuilt, evident, policy)
    alert = standing or max(evident, key=lambda alert: alert.evidence_log, default=None)
    if alert is None:
        return None
    body = (
        f"{_listed(evaluation.rebuilt)}: evidence, started again from zero at the alarm,"
        f" reached the budget's {power(evaluation.threshold_log)} too, so the change went on"
    )
    return alert.incident_id, TimelineItem(at_us=evaluation.at_us, actor=actor, kind="rebuilt", body=body)


def cause_of(finding: ColumnFinding) -> Cause:
    """Return what one blamed column speaks of."""
    if finding.group in QUALITY_GROUPS or finding.direction.split()[0] in QUALITY_BINS:
        return Cause.DATA_QUALITY
    if finding.group == "latency":
        return Cause.LATENCY
    if finding.group == "performance":
        return Cause.PERFORMANCE
    if finding.group in {"prediction", "score"}:
        return Cause.PREDICTION_DRIFT
    return Cause.TRAFFIC if finding.group == "traffic" else Cause.DATA_DRIFT


def _causes(findings: Sequence[ColumnFinding]) -> list[Cause]:
    """Return what each blamed column speaks of, beside the others."""
    own = [cause_of(finding) for finding in findings]
    features = [cause is Cause.DATA_QUALITY and f.group == "feature" for f, cause in zip(findings, own, strict=True)]
    most = max((f.evidence_log for f, odd in zip(findings, features, strict=True) if odd), default=-math.inf)
    follows = [_looks_at_features(finding) and finding.evidence_log < most for finding in findings]
    return [Cause.DATA_QUALITY if f else cause for f, cause in zip(follows, own, strict=True)]


def _looks_at_features(finding: ColumnFinding) -> bool:
    """Tell scores of all inputs together from those of an embedding, whose name they bear."""
    plain = finding.name.count(".") == 1 or finding.name.startswith("score.pairs.")
    return finding.group == "multivariate" and plain


def _below(open_alerts: Sequence[Alert]) -> Decision:
    counting = [alert for alert in open_alerts if alert.confirmations]
    if not counting:
        return Decision(Why.QUIET)
    return Decision(Why.INTERRUPTED, changed=tuple(replace(alert, confirmations=0) for alert in counting))


def _name(
    findings: Sequence[ColumnFinding], open_alerts: Sequence[Alert], policy: Policy
) -> tuple[Cause, Alert | None]:
    """Return the cause that names the alert, and the open alert that it continues."""
    causes = list(dict.fromkeys(_causes(findings)))
    strongest = max(STRENGTH[policy.actions.of(cause)] for cause in causes)
    candidates = [cause for cause in causes if STRENGTH[policy.actions.of(cause)] == strongest]
    standing = {alert.cause: alert for alert in open_alerts}
    for cause in candidates:
        if cause in standing:
            return cause, standing[cause]
    return candidates[0], None


def _open(
    evaluation: Evaluation, version: Version, cause: Cause, earlier: Incident | None, severity: Severity
) -> Decision:
    causes = _causes(evaluation.findings)
    columns = tuple(f for f, c in zip(evaluation.findings, causes, strict=True) if c is cause is cause_of(f))
    names = _listed(columns)
    words = cause.replace("_", " ").capitalize()
    incident = Incident(
        id=derived_id("incident", version.id, cause, evaluation.position),
        version_id=version.id,
        model=version.model,
        version=version.version,
        cause=cause,
        title=f"{words} in {version.model} {version.version}: {names}",
        status=IncidentStatus.OPEN,
        assignee=None,
        verdict=None,
        note=None,
        opened_us=evaluation.at_us,
        acknowledged_us=None,
        resolved_us=None,
        lock=0,
        severity=severity,
    )
    alert = Alert(
        id=derived_id("alert", version.id, cause, evaluation.position),
        version_id=version.id,
        cause=cause,
        status="open",
        reason=f"{words} in {names}: evidence {power(evaluation.evidence_log)}"
        f" reached the budget's {power(evaluation.threshold_log)}",
        evidence_log=evaluation.evidence_log,
        threshold_log=evaluation.threshold_log,
        confirmations=1,
        columns=evaluation.findings[:COLUMNS_MAX],
        since_us=min(f.since_us for f in columns),
        opened_us=evaluation.at_us,
        closed_us=None,
        position=evaluation.position,
        incident_id=incident.id if earlier is None else earlier.id,
    )
    if earlier is not None:
        return Decision(Why.OPENED, alert, (alert,), again=replace(earlier, title=f"Again: {incident.title}"))
    return Decision(Why.OPENED, alert, (alert,), incident)


def _listed(columns: Sequence[ColumnFinding]) -> str:
    names = ", ".join(f.words for f in columns[:COLUMNS_IN_TITLE])
    return f"{names} and {len(columns) - COLUMNS_IN_TITLE} more" if len(columns) > COLUMNS_IN_TITLE else names


def power(log: float) -> str:
    """Write an evidence as people read it: a power of ten."""
    return f"10^{log / math.log(10):.1f}"
