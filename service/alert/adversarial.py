"""Adversarial use to alerts and incidents. Pure: nothing is written here.

An incident is one attacker: a principal, or the campaign that it belongs to. Each tier that the attacker reaches is one
alert of it, which grows worse instead of being raised again; the incident is as severe as its worst alert, and its
alerts' techniques in the order of the tactics of ATLAS are its kill chain.

A flood of alerts is an attack too. A principal raises so many a day and no more, and so does a tier; weaker alerts
never use up what stronger ones may. What is over a principal's cap still contains it; attackers over a tier's cap share
one alert more, so that a flood hides none of them.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

import msgspec

from service.alert.adversarial_evidence import Evidence, grown, is_news, is_worse, titled
from service.alert.decide import power
from service.domain.adversarial import DAY_US
from service.domain.ids import Actor, Micros, Position, derived_id
from service.domain.policy import Cause, Policy
from service.domain.principals import AdversarialUse, Containment, Kind
from service.domain.records import Alert, Incident, IncidentStatus, Raised, Severity, TimelineItem, Version
from service.domain.states import SERVING

SEVERITIES: Mapping[Kind, Severity] = {
    Kind.PROBING: Severity.LOW,
    Kind.COST: Severity.MEDIUM,
    Kind.MEMBERSHIP: Severity.MEDIUM,
    Kind.EXTRACTION: Severity.MEDIUM,
    Kind.PERSISTENCE: Severity.MEDIUM,
    Kind.INTENT: Severity.HIGH,
    Kind.POISONING: Severity.HIGH,
    Kind.CANARY: Severity.HIGH,
    Kind.ARTEFACT: Severity.HIGH,
}
EXPLAINED = frozenset({Kind.PROBING, Kind.MEMBERSHIP, Kind.PERSISTENCE})
"""What means nothing of a declared explanation client: it goes around inputs, and from one to the next."""
OTHERS = "others"
"""Subject of the alert of a tier that all attackers over the cap share. No principal and no campaign is called so."""
RANK = {severity: rank for rank, severity in enumerate(Severity)}


class Why(StrEnum):
    """The named reason of a decision."""

    EXPLAINER = "explainer"
    """Probing, or asking around records, by a declared explanation client."""
    NOT_SERVING = "not_serving"
    SETTLED = "settled"
    """People have settled it, and nothing worse has happened since."""
    KNOWN = "known"
    """An open alert says so already."""
    WORSE = "worse"
    """An open alert has grown."""
    CAPPED = "capped"
    """The principal has raised all the alerts that it may raise in a day."""
    OPENED = "opened"


COUNTS = frozenset({Why.KNOWN, Why.WORSE, Why.CAPPED, Why.OPENED})
"""Decisions after which the principal may be contained."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """What is known of the adversarial use of one version."""

    version: Version
    policy: Policy
    alerts: Mapping[str, Alert]
    """Open ones, and all that were opened within the last day."""
    incidents: Mapping[str, Incident]
    """Unresolved ones."""
    containments: Mapping[str, Containment]
    """By principal; lifted ones too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """When and where in the log something was found."""

    at_us: Micros
    position: Position


@dataclass(frozen=True, slots=True, kw_only=True)
class UseDecision:
    """What one finding does to alerts and incidents."""

    why: Why
    alert: Alert | None = None
    """New, or changed; unchanged when it is known."""
    incident: Incident | None = None
    """New."""
    raised: Raised | None = None
    joined: tuple[str, TimelineItem] | None = None
    """What the timeline of an earlier incident says of a new alert."""


def decide_use(evidence: Evidence, moment: Moment, case: Case, actor: Actor) -> UseDecision:
    """Return what one finding does to the alerts and incidents of its version; ``actor`` signs the timeline."""
    use = evidence.use
    if use.kind in EXPLAINED and use.principals and case.policy.adversarial.explains(use.principals[0]):
        return UseDecision(why=Why.EXPLAINER)
    related = [alert for alert in case.alerts.values() if _related(_use(alert), use)]
    related.sort(key=lambda alert: (alert.opened_us, alert.id))
    for alert in related:
        if alert.status == "open" and _use(alert).kind is use.kind:
            return _grow(alert, evidence, case)
    if case.version.state not in SERVING:
        return UseDecision(why=Why.NOT_SERVING)
    if any(_settled(alert, evidence) for alert in related):
        return UseDecision(why=Why.SETTLED)
    return _raise(evidence, moment, case, related, actor)


def severity_of(alerts: Iterable[Alert]) -> Severity:
    """Return how severe an incident with these alerts is."""
    return max((SEVERITIES[_use(alert).kind] for alert in alerts), key=RANK.__getitem__, default=Severity.LOW)


def _use(alert: Alert) -> AdversarialUse:
    """Return what an alert about adversarial use says; others never come here."""
    if alert.adversarial is None:
        raise TypeError(f"alert '{alert.id}' is not about adversarial use")
    return alert.adversarial


def _related(one: AdversarialUse, other: AdversarialUse) -> bool:
    """Tell whether two findings are of one attacker: one campaign, or one names whom the other accuses."""
    if one.subject == other.subject:
        return True
    accused = one.principals[:1], other.principals[:1]
    return any(principal in other.principals for principal in accused[0]) or any(
        principal in one.principals for principal in accused[1]
    )


def _grow(alert: Alert, evidence: Evidence, case: Case) -> UseDecision:
    before = _use(alert)
    after = grown(before, evidence.use, case.version, case.policy.adversarial.transcript, alert.since_us)
    if not is_news(before, after):
        return UseDecision(why=Why.KNOWN, alert=alert)
    stronger = max(alert.evidence_log, evidence.log_evidence)
    changed = replace(alert, adversarial=after, evidence_log=stronger, reason=reason_of(evidence, after))
    return UseDecision(why=Why.WORSE, alert=changed)


def _settled(alert: Alert, evidence: Evidence) -> bool:
    """Tell whether people closed an alert after the evidence began, and the evidence tells nothing worse."""
    before = _use(alert)
    if alert.closed_us is None or before.kind is not evidence.use.kind or evidence.since_us > alert.closed_us:
        return False
    return not is_worse(before, evidence.use)


def _capped(use: AdversarialUse, today: Iterable[AdversarialUse], policy: Policy) -> bool:
    rank = RANK[SEVERITIES[use.kind]]
    own = [one for one in today if one.principals[:1] == use.principals[:1] and RANK[SEVERITIES[one.kind]] >= rank]
    return bool(use.principals) and len(own) >= policy.adversarial.alerts_per_principal


def _raise(evidence: Evidence, moment: Moment, case: Case, related: list[Alert], actor: Actor) -> UseDecision:
    """Open an alert, unless there have been enough of them today."""
    use = evidence.use
    today = [_use(alert) for alert in case.alerts.values() if alert.opened_us > moment.at_us - DAY_US]
    if _capped(use, today, case.policy):
        return UseDecision(why=Why.CAPPED)
    if sum(one.kind is use.kind for one in today) >= case.policy.adversarial.alerts_per_tier:
        evidence = replace(evidence, use=msgspec.structs.replace(use, subject=OTHERS))
        for alert in case.alerts.values():
            if alert.status == "open" and (_use(alert).kind, _use(alert).subject) == (use.kind, OTHERS):
                return _grow(alert, evidence, case)
    return _open(evidence, moment, case, related, actor)


def _open(evidence: Evidence, moment: Moment, case: Case, related: list[Alert], actor: Actor) -> UseDecision:
    use, version = evidence.use, case.version
    severity, title = SEVERITIES[use.kind], titled(use, version)
    standing = (case.incidents.get(alert.incident_id) for alert in related if alert.status == "open")
    earlier = next((incident for incident in standing if incident is not None), None)
    incident_id = derived_id("incident", version.id, use.kind, use.subject, moment.position)
    alert = Alert(
        id=derived_id("alert", version.id, use.kind, use.subject, moment.position),
        version_id=version.id,
        cause=Cause.ADVERSARIAL,
        status="open",
        reason=reason_of(evidence, use),
        evidence_log=evidence.log_evidence,
        threshold_log=evidence.log_threshold,
        confirmations=0,
        columns=(),
        since_us=evidence.since_us,
        opened_us=moment.at_us,
        closed_us=None,
        position=moment.position,
        incident_id=incident_id if earlier is None else earlier.id,
        adversarial=use,
    )
    if earlier is not None:
        raised = None
        if RANK[severity] > RANK[earlier.severity]:
            raised = Raised(incident_id=earlier.id, severity=severity, title=title)
        item = TimelineItem(at_us=moment.at_us, actor=actor, kind="reached", body=alert.reason)
        return UseDecision(why=Why.OPENED, alert=alert, raised=raised, joined=(earlier.id, item))
    incident = Incident(
        id=incident_id,
        version_id=version.id,
        model=version.model,
        version=version.version,
        cause=Cause.ADVERSARIAL,
        title=title,
        status=IncidentStatus.OPEN,
        assignee=None,
        verdict=None,
        note=None,
        opened_us=moment.at_us,
        acknowledged_us=None,
        resolved_us=None,
        lock=0,
        severity=severity,
    )
    return UseDecision(why=Why.OPENED, alert=alert, incident=incident)


def reason_of(evidence: Evidence, use: AdversarialUse) -> str:
    """Say in one line what was found, and how sure it is."""
    parts = [f"evidence {power(evidence.log_evidence)} reached {power(evidence.log_threshold)}"]
    if not use.calibrated:
        parts.append("a nominal threshold, not calibrated")
    if use.queries:
        parts.append(f"after {use.queries} {'labels' if use.kind is Kind.POISONING else 'queries'}")
    text = f"{use.kind.capitalize()}: {', '.join(parts)}"
    return "; ".join((text, *use.reasons))
