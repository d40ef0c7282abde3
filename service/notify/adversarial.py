"""Adversarial use to messages: the kill chain, who is affected, how far it got, and what was done about it."""

import math
from collections.abc import Iterable

from service.domain.atlas import Stage, atlas
from service.domain.notices import Kind
from service.domain.principals import AdversarialUse, Containment
from service.domain.records import Alert, Incident, Version
from service.notify.compose import Notice, time_of

PRINCIPALS_TOLD = 10


def use_opened(
    alert: Alert, use: AdversarialUse, incident: Incident, version: Version, contained: Iterable[Containment]
) -> Notice:
    """Say that an attacker has reached another tier. The labels say what never changes over the alert's life."""
    return Notice(
        kind=Kind.ALERT_OPENED,
        key=alert.id,
        version=version,
        summary=incident.title,
        description=alert.reason,
        at_us=alert.opened_us,
        labels={"cause": alert.cause, "tier": use.kind, "subject": use.subject},
        annotations={
            "alert_id": alert.id,
            "incident_id": incident.id,
            "severity": incident.severity,
            "kill_chain": chain_text(atlas().kill_chain(use.techniques)),
            "atlas": use.atlas,
            "principals": _listed(use.principals),
            "contained": _listed(one.principal for one in contained),
            "best_margin": "" if use.best_margin is None else f"{use.best_margin:.3g}",
            "fidelity": "" if use.fidelity is None else f"{use.fidelity:.2f}",
            "queries": str(use.queries),
            "transcript": use.transcript,
            "evidence_log10": f"{alert.evidence_log / math.log(10):.2f}",
            "threshold_log10": f"{alert.threshold_log / math.log(10):.2f}",
            "since": time_of(alert.since_us),
        },
    )


def chain_text(stages: Iterable[Stage]) -> str:
    """Write a kill chain in one line: tactics in the order of ATLAS, each with its techniques."""
    written = []
    for stage in stages:
        techniques = ", ".join(f"{technique.id} {technique.name}" for technique in stage.techniques)
        written.append(f"{stage.tactic.name}: {techniques}")
    return " > ".join(written)


def _listed(principals: Iterable[str]) -> str:
    named = list(principals)
    left = len(named) - PRINCIPALS_TOLD
    return ", ".join(named[:PRINCIPALS_TOLD]) + (f" and {left} more" if left > 0 else "")
