"""What an evidence bundle holds: everything that is on record about an incident, read once, and written as files."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from service.detect.baselines import verify as baseline_fits
from service.domain.errors import LazarettoError
from service.domain.ids import Actor, Micros
from service.domain.records import Alert, BaselineRecord, Incident, TimelineItem, TransitionRecord
from service.domain.reports import Part, ReportRecord, ReportStatus
from service.ports_incidents import IncidentDesk
from service.ports_reports import Link
from service.reports.bundle import About, lines_of, pack
from service.reports.desk import ReportDesk
from service.reports.page import page_of, time_of

ALERTS_MAX = 100
TRANSITIONS_MAX = 500
LINKS_MAX = 1_000
"""Of each, the newest are in a bundle; it says when there are more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gathered:
    """All that is on record about an incident."""

    incident: Incident
    made_us: Micros
    made_by: Actor
    timeline: Sequence[TimelineItem]
    alerts: Sequence[Alert]
    transitions: Sequence[TransitionRecord]
    links: Sequence[Link]
    evidence: tuple[str, str] | None
    """Digest and JSON of the frozen evidence."""
    baseline: BaselineRecord | None
    """In force now."""
    baseline_signed: bool
    report: ReportRecord | None
    more: tuple[str, ...] = ()
    """Of what more is on record than the bundle holds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundler:
    """What bundles are made with."""

    desk: ReportDesk
    incidents: IncidentDesk
    seed: bytes
    """Of the key that signs."""
    signing_key: bytes
    """Of baselines."""
    software: str

    def bundle(self, incident: Incident, actor: Actor) -> bytes:
        """Return the bytes of a signed bundle; that it was made stands in the audit chain, and in the bundle."""
        desk = self.desk
        now_us = desk.clock.now_us()
        subject = f"{incident.model}/{incident.version}"
        desk.store.note(actor, "bundle.make", subject, f"incident {incident.id}", now_us)
        found = self._gather(incident, actor, now_us)
        files = {
            "bundle.html": page_of(found, self.software).encode(),
            "facts.json": msgspec.json.format(msgspec.json.encode(facts_of(found)), indent=2),
            "audit.ndjson": lines_of(_link(one) for one in found.links),
        }
        if found.evidence is not None:
            files["evidence.json"] = found.evidence[1].encode()
        files |= self._report(found.report)
        about = About(
            incident_id=incident.id,
            model=incident.model,
            version=incident.version,
            made=time_of(now_us),
            made_by=str(actor),
            software=self.software,
        )
        return pack(self.seed, about, files)

    def _gather(self, incident: Incident, actor: Actor, now_us: Micros) -> Gathered:
        read = self.desk.read
        baseline = read.baseline(incident.version_id)
        alerts = read.alerts_of(incident.id, ALERTS_MAX + 1)
        transitions = [
            one for one in read.transitions(incident.version_id, TRANSITIONS_MAX + 1) if _belongs(one, incident)
        ]
        links = self.desk.store.links_about(incident, now_us, LINKS_MAX + 1)
        beyond = {
            "alerts": len(alerts) > ALERTS_MAX,
            "changes of state": len(transitions) > TRANSITIONS_MAX,
            "audit links": len(links) > LINKS_MAX,
        }
        return Gathered(
            incident=incident,
            made_us=now_us,
            made_by=actor,
            timeline=read.timeline(incident.id),
            alerts=alerts[:ALERTS_MAX],
            transitions=transitions[:TRANSITIONS_MAX],
            links=links[-LINKS_MAX:],
            evidence=self.incidents.evidence(incident.id),
            baseline=baseline,
            baseline_signed=baseline is not None
            and baseline_fits(self.signing_key, baseline.artefact, baseline.signature),
            report=self.desk.found(incident, Part.HTML) or self.desk.found(incident),
            more=tuple(name for name, more in beyond.items() if more),
        )

    def _report(self, record: ReportRecord | None) -> dict[str, bytes]:
        if record is None or record.status is not ReportStatus.DONE:
            return {}
        try:
            return {
                "report.json": self.desk.part(record, Part.JSON),
                "report.html": self.desk.part(record, Part.HTML),
            }
        except LazarettoError:  # its key is gone, or it was erased meanwhile: the facts name it all the same
            return {}


def _belongs(record: TransitionRecord, incident: Incident) -> bool:
    return record.incident_id == incident.id or record.at_us >= incident.opened_us


def facts_of(found: Gathered) -> Mapping[str, Any]:
    """Return the facts as JSON can say them; times are ISO 8601 in UTC, and microseconds where records have them."""
    incident, report, baseline = found.incident, found.report, found.baseline
    return {
        "made": time_of(found.made_us),
        "made_by": found.made_by,
        "incident": incident,
        "verdict": incident.verdict,
        "timeline": found.timeline,
        "alerts": [_alert(one) for one in found.alerts],
        "transitions": found.transitions,
        "more": bool(found.more),
        "more_of": found.more,
        "evidence_digest": None if found.evidence is None else found.evidence[0],
        "baseline_in_force": None
        if baseline is None
        else {
            "id": baseline.id,
            "digest": baseline.digest,
            "signature_fits": found.baseline_signed,
            "rows": baseline.rows,
            "columns": baseline.columns,
            "created": time_of(baseline.created_us),
            "created_by": baseline.created_by,
        },
        "report": None
        if report is None
        else {"id": report.id, "status": report.status, "detail": report.detail, "facts": report.facts},
    }


def _alert(alert: Alert) -> Mapping[str, Any]:
    told: dict[str, Any] = msgspec.to_builtins(alert)
    return told


def _link(link: Link) -> Mapping[str, Any]:
    """Return a link of the audit chain with the digest before it: its own digest can be worked out again."""
    told: dict[str, Any] = msgspec.to_builtins(link.entry)
    return {"previous": link.previous, **told}
