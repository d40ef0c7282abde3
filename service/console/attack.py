"""What the page of an incident shows, decided purely from what is known of it."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from service.console import words
from service.console.addresses import incident_url
from service.console.adversarial import HELD_SHOWN, SEVERITY_TONES, SHOWN, Chain, Held, chain_of, held_of, uses_of
from service.console.facts import CONTAINED_READ, TIMELINE_SHOWN
from service.console.lists import NO_PARTS, Pager, pager, rows_of
from service.console.read_models import Change, When
from service.domain.ids import Micros
from service.domain.keys import Identity
from service.domain.policy import Cause
from service.domain.principals import AdversarialUse, Containment, Kind
from service.domain.records import Alert, Incident, IncidentStatus, Scope, TimelineItem
from service.ports import ReadStore

ALERTS_READ = 50
PRINCIPALS_SHOWN = 6
COLUMNS_SHOWN = 12
DIGEST = re.compile(r"\b([0-9a-f]{12})[0-9a-f]{52}\b")
"""Of sha256: people compare the first digits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IncidentFacts:
    """All that is known about one incident when its page is made."""

    now_us: Micros
    incident: Incident
    alerts: Sequence[Alert] = ()
    """Newest first."""
    timeline: Sequence[TimelineItem] = ()
    timeline_part: Pager = NO_PARTS
    """Which part of the timeline that is."""
    contained: Sequence[Containment] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Blamed:
    """One blamed column."""

    name: str
    segment: str | None
    direction: str
    evidence: str | None
    since: When


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertRow:
    """One alert of the incident."""

    title: str
    open: bool
    opened: When
    evidence: str | None
    threshold: str | None
    """Exponents of ten."""
    reasons: tuple[str, ...]
    figures: tuple[tuple[str, str], ...]
    principals: tuple[tuple[str, str], ...]
    """Short form and pseudonym."""
    principals_left: int
    columns: tuple[Blamed, ...]
    columns_left: int


@dataclass(frozen=True, slots=True, kw_only=True)
class IncidentPage:
    """Everything on the page of one incident."""

    id: str
    title: str
    model: str
    version: str
    cause: str
    status: str
    status_tone: str
    severity: str
    severity_tone: str
    opened: When
    assignee: str | None
    verdict: str | None
    note: str | None
    chain: Chain | None
    """Of adversarial use."""
    alerts: tuple[AlertRow, ...]
    held: tuple[Held, ...]
    held_left: int
    entries: tuple[Change, ...]
    entries_part: Pager
    can_acknowledge: bool
    can_resolve: bool


def gather_incident(read: ReadStore, incident: Incident, now_us: Micros, number: int = 1) -> IncidentFacts:
    """Read everything that the page of one incident shows; of a long timeline one part."""
    alerts = read.alerts_of(incident.id, ALERTS_READ)
    contained: Sequence[Containment] = ()
    if incident.cause is Cause.ADVERSARIAL:
        named = {principal for use in uses_of(alerts) for principal in use.principals}
        held = read.containments(version_id=incident.version_id, holding_us=now_us, limit=CONTAINED_READ)
        contained = [one for one in held if one.incident_id == incident.id or one.principal in named]
    timeline = read.timeline(incident.id)
    # The newest part is the first one; within a part the oldest entry stands first.
    part = pager(incident_url(incident.id), {}, number, len(timeline), TIMELINE_SHOWN, "entries")
    newest = rows_of(tuple(reversed(timeline)), part)
    return IncidentFacts(
        now_us=now_us,
        incident=incident,
        alerts=alerts,
        timeline=tuple(reversed(newest)),
        timeline_part=part,
        contained=contained,
    )


def incident_page(facts: IncidentFacts, viewer: Identity) -> IncidentPage:
    """Decide what the page shows."""
    incident, now_us = facts.incident, facts.now_us
    may = viewer.may(Scope.OPERATE)
    return IncidentPage(
        id=incident.id,
        title=incident.title,
        model=incident.model,
        version=incident.version,
        cause=words.CAUSE_NAMES[incident.cause],
        status=str(incident.status),
        status_tone={"open": "bad", "acknowledged": "warn"}.get(str(incident.status), "good"),
        severity=str(incident.severity),
        severity_tone=SEVERITY_TONES[incident.severity],
        opened=When.of(incident.opened_us, now_us),
        assignee=incident.assignee,
        verdict=None if incident.verdict is None else str(incident.verdict),
        note=incident.note,
        chain=chain_of(uses_of(facts.alerts)) if incident.cause is Cause.ADVERSARIAL else None,
        alerts=tuple(_row(alert, now_us) for alert in facts.alerts),
        held=held_of(facts.contained[:HELD_SHOWN], now_us),
        held_left=max(0, len(facts.contained) - HELD_SHOWN),
        entries=tuple(
            Change(
                When.of(item.at_us, now_us), item.actor, words.done(item.kind), DIGEST.sub(r"\1…", item.body), "plain"
            )
            for item in facts.timeline
        ),
        entries_part=facts.timeline_part,
        can_acknowledge=may and incident.status is IncidentStatus.OPEN,
        can_resolve=may and incident.status is not IncidentStatus.RESOLVED,
    )


def _row(alert: Alert, now_us: Micros) -> AlertRow:
    use = alert.adversarial
    principals = use.principals if use is not None else ()
    return AlertRow(
        title=words.CAUSE_NAMES[alert.cause] if use is None else use.kind.capitalize(),
        open=alert.status == "open",
        opened=When.of(alert.opened_us, now_us),
        evidence=words.exponent(alert.evidence_log),
        threshold=words.exponent(alert.threshold_log),
        reasons=(alert.reason,) if use is None else use.reasons or (alert.reason,),
        figures=() if use is None else _figures(use),
        principals=tuple((principal[:SHOWN], principal) for principal in principals[:PRINCIPALS_SHOWN]),
        principals_left=max(0, len(principals) - PRINCIPALS_SHOWN),
        columns=tuple(
            Blamed(
                name=one.name,
                segment=one.segment,
                direction=one.direction,
                evidence=words.exponent(one.evidence_log),
                since=When.of(one.since_us, now_us),
            )
            for one in alert.columns[:COLUMNS_SHOWN]
        ),
        columns_left=max(0, len(alert.columns) - COLUMNS_SHOWN),
    )


def _figures(use: AdversarialUse) -> tuple[tuple[str, str], ...]:
    figures: list[tuple[str, str]] = []
    if not use.calibrated:
        figures.append(("Threshold", "nominal, not calibrated"))
    if use.queries:
        figures.append(("Labels" if use.kind is Kind.POISONING else "Queries", f"{use.queries:,}"))
    if use.flips:
        figures.append(("Label flips", f"{use.flips:,}"))
    if use.best_margin is not None:
        figures.append(("Best margin", words.number(use.best_margin)))
    if use.fidelity is not None:
        figures.append(("Surrogate's fidelity", f"about {use.fidelity:.0%}"))
    if use.reused_by:
        figures.append(("Flipped input", "sent again"))
    figures.append(("Transcript", use.transcript.partition(":")[0].replace("_", " ")))
    return tuple(figures)
