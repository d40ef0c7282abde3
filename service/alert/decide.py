"""Evidence to alerts and incidents. Pure: nothing is written here.

The cause of an alert follows from the blamed columns, by this rule:

* a column whose *missing*, *invalid* or *unseen* bin grew, or whose group is ``quality``, speaks of ``data_quality``;
* else the latency column speaks of ``latency``;
* else the prediction, a probability or a score of them speaks of ``prediction_drift``;
* else the event rate speaks of ``traffic``;
* else it is ``data_drift``.

Of several causes the one with the strongest action names the alert, then the one with the strongest evidence; as long
as an open alert is among those of equal action it stays the name, so that one change is one incident, and a mild cause
never hides one that calls for more.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from service.domain.evaluation import Evaluation
from service.domain.ids import derived_id
from service.domain.policy import Action, Cause, Policy
from service.domain.records import Alert, ColumnFinding, Incident, IncidentStatus, Version
from service.domain.states import SERVING

QUALITY_BINS = frozenset({"missing", "invalid", "unseen"})
COLUMNS_MAX = 20
"""How many blamed columns an alert keeps."""
COLUMNS_IN_TITLE = 3
STRENGTH = {action: rank for rank, action in enumerate(Action)}


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
    """New, when the alert is."""


def decide(evaluation: Evaluation, version: Version, open_alerts: Sequence[Alert], policy: Policy) -> Decision:
    """Return what an evaluation does to the version's alerts."""
    if not evaluation.above:
        return _below(open_alerts)
    # A baseline of a few rows cannot promise anything, so it may not accuse anyone.
    if not evaluation.sufficient:
        return Decision(Why.INSUFFICIENT)
    cause, standing = _name(evaluation.findings, open_alerts, policy)
    if standing is None and version.state not in SERVING:
        return Decision(Why.NOT_SERVING)
    if standing is None:
        return _open(evaluation, version, cause)
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


def cause_of(finding: ColumnFinding) -> Cause:
    """Return what one blamed column speaks of."""
    if finding.group == "quality" or finding.direction.split()[0] in QUALITY_BINS:
        return Cause.DATA_QUALITY
    if finding.group == "latency":
        return Cause.LATENCY
    if finding.group in {"prediction", "score"}:
        return Cause.PREDICTION_DRIFT
    return Cause.TRAFFIC if finding.group == "traffic" else Cause.DATA_DRIFT


def _below(open_alerts: Sequence[Alert]) -> Decision:
    counting = [alert for alert in open_alerts if alert.confirmations]
    if not counting:
        return Decision(Why.QUIET)
    return Decision(Why.INTERRUPTED, changed=tuple(replace(alert, confirmations=0) for alert in counting))


def _name(
    findings: Sequence[ColumnFinding], open_alerts: Sequence[Alert], policy: Policy
) -> tuple[Cause, Alert | None]:
    """Return the cause that names the alert, and the open alert that it continues."""
    causes = list(dict.fromkeys(map(cause_of, findings)))
    strongest = max(STRENGTH[policy.actions.of(cause)] for cause in causes)
    candidates = [cause for cause in causes if STRENGTH[policy.actions.of(cause)] == strongest]
    standing = {alert.cause: alert for alert in open_alerts}
    for cause in candidates:
        if cause in standing:
            return cause, standing[cause]
    return candidates[0], None


def _open(evaluation: Evaluation, version: Version, cause: Cause) -> Decision:
    columns = tuple(f for f in evaluation.findings if cause_of(f) is cause)
    names = ", ".join(f"{f.name} ({f.direction})" for f in columns[:COLUMNS_IN_TITLE])
    more = f" and {len(columns) - COLUMNS_IN_TITLE} more" if len(columns) > COLUMNS_IN_TITLE else ""
    words = cause.replace("_", " ").capitalize()
    incident = Incident(
        id=derived_id("incident", version.id, cause, evaluation.position),
        version_id=version.id,
        model=version.model,
        version=version.version,
        cause=cause,
        title=f"{words} in {version.model} {version.version}: {names}{more}",
        status=IncidentStatus.OPEN,
        assignee=None,
        verdict=None,
        note=None,
        opened_us=evaluation.at_us,
        acknowledged_us=None,
        resolved_us=None,
        lock=0,
    )
    alert = Alert(
        id=derived_id("alert", version.id, cause, evaluation.position),
        version_id=version.id,
        cause=cause,
        status="open",
        reason=f"{words} in {names}{more}: evidence {_power(evaluation.evidence_log)}"
        f" reached the budget's {_power(evaluation.threshold_log)}",
        evidence_log=evaluation.evidence_log,
        threshold_log=evaluation.threshold_log,
        confirmations=1,
        columns=evaluation.findings[:COLUMNS_MAX],
        since_us=min(f.since_us for f in columns),
        opened_us=evaluation.at_us,
        closed_us=None,
        position=evaluation.position,
        incident_id=incident.id,
    )
    return Decision(Why.OPENED, alert, (alert,), incident)


def _power(log: float) -> str:
    """Write an evidence as people read it: a power of ten."""
    return f"10^{log / math.log(10):.1f}"
