"""Silence to alerts and incidents, and their end. Pure: nothing is written here.

No evidence stands behind it: a pause is as long as it is, and what is too long, the policy or the version's own past
says. So nothing follows from it but that people are told, and told when it is over.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from service.domain.evaluation import Silence
from service.domain.ids import derived_id
from service.domain.policy import Cause
from service.domain.records import Alert, Ending, Incident, IncidentStatus, Severity, Version

_UNITS = ((86_400, "day"), (3_600, "hour"), (60, "minute"), (1, "second"))


@dataclass(frozen=True, slots=True, kw_only=True)
class SilenceDecision:
    """What a silence, or its end, does to the alerts of its version."""

    alert: Alert | None = None
    """Opened or closed."""
    incident: Incident | None = None
    ending: Ending | None = None


def decide_silence(silence: Silence, version: Version, open_alerts: Sequence[Alert]) -> SilenceDecision:
    """Return what a silence, or its end, does."""
    standing = next((alert for alert in open_alerts if alert.cause is Cause.STALE), None)
    lasted = _lasting(silence.at_us - silence.since_us)
    if silence.over:
        # People may have settled it already.
        if standing is None:
            return SilenceDecision()
        closed = replace(standing, status="closed", closed_us=silence.at_us)
        ending = Ending(
            incident_id=standing.incident_id, at_us=silence.at_us, note=f"events come again after {lasted} without any"
        )
        return SilenceDecision(alert=closed, ending=ending)
    if standing is not None:
        return SilenceDecision()
    return _open(silence, version, lasted)


def _open(silence: Silence, version: Version, lasted: str) -> SilenceDecision:
    why = "twice its longest pause while learning" if silence.learnt else "what the policy allows"
    incident = Incident(
        id=derived_id("incident", version.id, Cause.STALE, silence.position),
        version_id=version.id,
        model=version.model,
        version=version.version,
        cause=Cause.STALE,
        title=f"Silence in {version.model} {version.version}: no event for {lasted}",
        status=IncidentStatus.OPEN,
        assignee=None,
        verdict=None,
        note=None,
        opened_us=silence.at_us,
        acknowledged_us=None,
        resolved_us=None,
        lock=0,
        severity=Severity.LOW,
    )
    alert = Alert(
        id=derived_id("alert", version.id, Cause.STALE, silence.position),
        version_id=version.id,
        cause=Cause.STALE,
        status="open",
        reason=f"no event for {lasted}: longer than {why}",
        evidence_log=0.0,
        threshold_log=0.0,
        confirmations=0,
        columns=(),
        since_us=silence.since_us,
        opened_us=silence.at_us,
        closed_us=None,
        position=silence.position,
        incident_id=incident.id,
    )
    return SilenceDecision(alert=alert, incident=incident)


def _lasting(micros: int) -> str:
    seconds = max(1, micros // 1_000_000)
    size, name = next((size, name) for size, name in _UNITS if seconds >= 2 * size or size == 1)
    count = seconds // size
    return f"{count} {name}" if count == 1 else f"{count} {name}s"
