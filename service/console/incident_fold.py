"""What stands at the top of an incident: what, since when, how sure, how far it reaches, and who can act."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from service.console import words
from service.console.people import able, listed
from service.console.read_models import When
from service.console.roll import share_of
from service.domain.enforcement import Enforcement
from service.domain.ids import Actor, Micros
from service.domain.keys import Identity
from service.domain.policy import Cause
from service.domain.records import Alert, ApiKey, Incident, IncidentStatus, Model, Scope, Snapshot, Version
from service.domain.states import OUT_OF_USE, SERVING, State
from service.quarantine.decide import count_approvals

COLUMNS_NAMED = 3
HOUR_US = 3_600_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class FoldFacts:
    """All that the top of the page is decided from."""

    now_us: Micros
    incident: Incident
    alerts: Sequence[Alert]
    model: Model
    version: Version
    fleet: Sequence[Version]
    keys: Sequence[ApiKey]
    approvals: Sequence[Actor] = ()
    snapshot: Snapshot | None = None
    enforcement: Enforcement | None = None
    events_hour: int | None = None
    others_open: int = 0
    """Incidents of the same model that nobody has resolved, beside this one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sure:
    """Evidence against the budget, as exponents of ten."""

    evidence: str | None
    threshold: str | None
    share: float
    budget: str
    note: str


@dataclass(frozen=True, slots=True)
class Line:
    """One sentence, and how it is meant."""

    text: str
    tone: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fold:
    """The top of the page."""

    what: str
    change: When | None
    """When the change began, as far as the evidence tells."""
    opened: When
    span: str
    sure: Sure | None
    radius: tuple[Line, ...]
    others_open: int
    people: str
    release: str
    you: str
    names: tuple[str, ...]
    owner: str
    deployed_by: str


def fold_of(facts: FoldFacts, viewer: Identity) -> Fold:
    """Decide what the top of the page says."""
    incident, now_us = facts.incident, facts.now_us
    strongest = max(facts.alerts, key=lambda alert: alert.evidence_log, default=None)
    names = able(facts.keys, incident.model, now_us)
    over_us = incident.resolved_us
    lasted = words.duration(((over_us or now_us) - incident.opened_us) / 1e6)
    counted = strongest is not None and incident.cause is not Cause.STALE
    return Fold(
        what=_what(facts),
        change=When.of(min(alert.since_us for alert in facts.alerts), now_us) if facts.alerts else None,
        opened=When.of(incident.opened_us, now_us),
        span=f"over after {lasted}" if over_us is not None else f"open for {lasted}",
        sure=_sure(strongest, facts) if counted and strongest is not None else None,
        radius=tuple(_radius(facts)),
        others_open=facts.others_open,
        people=f"{listed(names)} may act on {incident.model}." if names else f"Nobody may act on {incident.model}.",
        release=_release(facts),
        you=_you(facts, viewer),
        names=names,
        owner=facts.model.owner,
        deployed_by=str(facts.version.deployed_by),
    )


def _what(facts: FoldFacts) -> str:
    cause = words.CAUSE_NAMES[facts.incident.cause]
    if facts.incident.cause is Cause.STALE:
        return f"{cause}: no events come."
    if facts.incident.cause is Cause.ADVERSARIAL:
        uses = [alert.adversarial for alert in facts.alerts if alert.adversarial is not None]
        principals = {principal for use in uses for principal in use.principals}
        kinds = ", ".join(dict.fromkeys(use.kind for use in uses))
        who = f" by {len(principals)} principal{'s' * (len(principals) != 1)}" if principals else ""
        return f"{cause}: {kinds}{who}." if kinds else f"{cause}."
    found = sorted((one for alert in facts.alerts for one in alert.columns), key=lambda one: -one.evidence_log)
    named = list(dict.fromkeys(one.words for one in found))
    if not named:
        return f"{cause}."
    rest = f" and {len(named) - COLUMNS_NAMED} more" if len(named) > COLUMNS_NAMED else ""
    return f"{cause}: {', '.join(named[:COLUMNS_NAMED])}{rest}."


def _sure(alert: Alert, facts: FoldFacts) -> Sure:
    note = f"{alert.confirmations} evaluation{'s' * (alert.confirmations != 1)} in a row said so."
    if alert.adversarial is not None:
        budget, note = "evidence about adversarial use has no share of the false-alarm budget", ""
    else:
        budget = words.budget_sentence(facts.model.policy.budget)
        snapshot = facts.snapshot
        if snapshot is not None and facts.incident.status is not IncidentStatus.RESOLVED:
            now = words.exponent(snapshot.evidence_log)
            note += f" Now it stands at 10^{now}." if now is not None else ""
    share = share_of(alert.evidence_log, alert.threshold_log) if math.isfinite(alert.threshold_log) else 1.0
    return Sure(
        evidence=words.exponent(alert.evidence_log),
        threshold=words.exponent(alert.threshold_log),
        share=share,
        budget=budget,
        note=note,
    )


def _radius(facts: FoldFacts) -> list[Line]:
    version, lines = facts.version, []
    state = words.STATE_NAMES[version.state]
    if version.state in SERVING:
        lines.append(Line(f"{state}: the gate lets its traffic through.", "warn" * (version.state is State.SUSPECT)))
    else:
        away = facts.model.policy.fallback
        lines.append(Line(f"{state}: its traffic is denied{f' and pointed to {away}' if away else ''}.", "bad"))
        lines += _obeyed(facts)
    if facts.events_hour is not None:
        lines.append(Line(f"{facts.events_hour:,} events came in the last hour."))
    own = [one for one in facts.fleet if one.model_id == version.model_id and one.state not in OUT_OF_USE]
    serving = sum(one.state in SERVING for one in own)
    held = sum(one.state not in SERVING and one.state not in OUT_OF_USE for one in facts.fleet)
    in_service = sum(one.state not in OUT_OF_USE for one in facts.fleet)
    lines.append(
        Line(
            f"{serving} of {len(own)} versions of {version.model} serve; in the fleet {held} of {in_service} are held.",
            "bad" if own and not serving else "",
        )
    )
    segments = {one.segment for alert in facts.alerts for one in alert.columns}
    if segments and None not in segments:
        lines.append(Line(f"Only a part of the traffic has changed: {listed(sorted(filter(None, segments)), 3)}."))
    return lines


def _obeyed(facts: FoldFacts) -> list[Line]:
    """Say whether gateways follow the quarantine that stands."""
    one, leaks = facts.enforcement, facts.snapshot.leaks_total if facts.snapshot else 0
    lines = []
    if one is None or one.ended_us is not None:
        pass
    elif one.overdue_us is not None:
        lines.append(Line("It still serves: no gateway keeps its traffic away.", "bad"))
    elif one.seconds is not None:
        lines.append(Line(f"A gateway obeys, {words.duration(max(1.0, one.seconds))} after the quarantine."))
    else:
        lines.append(Line("No gateway has asked since the quarantine.", "warn"))
    if leaks:
        lines.append(Line(f"{leaks:,} events came although it was held.", "warn"))
    return lines


def _release(facts: FoldFacts) -> str:
    version, policy = facts.version, facts.model.policy
    if version.state in SERVING or version.state in OUT_OF_USE:
        return ""
    counted = count_approvals(version, policy, facts.approvals)
    by = f" (so far {listed(counted.by)})" if counted.by else ""
    need = "one person" if policy.reviewers == 1 else f"{policy.reviewers} people"
    return f"The release needs {need}{by}, and not {version.deployed_by}, who deployed it, alone."


def _you(facts: FoldFacts, viewer: Identity) -> str:
    incident = facts.incident
    if not viewer.may(Scope.OPERATE):
        return "Your key may read but not act."
    if incident.assignee == viewer.actor:
        return "It is with you."
    if incident.assignee:
        return f"It is with {incident.assignee}."
    return "It is with nobody." if incident.status is not IncidentStatus.RESOLVED else ""
