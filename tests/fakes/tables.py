"""What the in-memory store holds, and the rules that the real one has as constraints."""

from collections.abc import Iterable
from copy import copy
from dataclasses import dataclass, field, replace

from service.domain.adversarial import DAY_US
from service.domain.calibration import Calibration
from service.domain.errors import Conflict, NotFound
from service.domain.ids import Actor, Micros, ModelId, Position, VersionId
from service.domain.policy import Cause
from service.domain.principals import Containment, ContainmentState
from service.domain.records import (
    Alert,
    ApiKey,
    AuditEntry,
    BaselineRecord,
    Incident,
    Message,
    Model,
    Raised,
    Snapshot,
    TimelineItem,
    TransitionRecord,
    Version,
    Window,
)
from service.domain.redteam import RedTeamRun
from service.domain.transcripts import Drawn, TranscriptRecord
from service.ports import SYSTEM
from service.store.audit import GENESIS, canonical, link, transition_detail

START = Position(0)
NEVER = Micros(0)


def _subject(alert: Alert) -> str:
    return "" if alert.adversarial is None else f"{alert.adversarial.kind}:{alert.adversarial.subject}"


@dataclass(frozen=True)
class Queued:
    """A message that was put into the outbox; delivery is tested against the real store."""

    message: Message


@dataclass
class Tables:
    """Every value is frozen, so copying the containers copies the store."""

    revision: int = 0
    models: dict[ModelId, Model] = field(default_factory=dict)
    versions: dict[VersionId, Version] = field(default_factory=dict)
    baselines: list[BaselineRecord] = field(default_factory=list)
    calibrations: dict[str, Calibration] = field(default_factory=dict)
    approvals: dict[VersionId, tuple[Actor, ...]] = field(default_factory=dict)
    alerts: dict[str, Alert] = field(default_factory=dict)
    incidents: dict[str, Incident] = field(default_factory=dict)
    redteam: dict[VersionId, RedTeamRun] = field(default_factory=dict)
    containments: dict[tuple[VersionId, str], Containment] = field(default_factory=dict)
    transcripts: dict[tuple[str, str], TranscriptRecord] = field(default_factory=dict)
    timeline: list[tuple[str, TimelineItem]] = field(default_factory=list)
    transitions: list[TransitionRecord] = field(default_factory=list)
    keys: dict[str, ApiKey] = field(default_factory=dict)
    outbox: dict[str, Queued] = field(default_factory=dict)
    chain: list[AuditEntry] = field(default_factory=list)
    snapshots: dict[VersionId, Snapshot] = field(default_factory=dict)
    windows: dict[tuple[VersionId, str, Micros], Window] = field(default_factory=dict)
    position: Position = START
    heartbeat_us: Micros = NEVER
    stats: str = "{}"
    owner: str | None = None
    epoch: int = 0
    lease_until_us: Micros = NEVER

    def copy(self) -> "Tables":
        draft = copy(self)
        for name, held in vars(self).items():
            if isinstance(held, dict | list):
                setattr(draft, name, held.copy())
        return draft

    def model(self, name: str) -> Model | None:
        return next((m for m in self.models.values() if m.name == name), None)

    def version(self, model: str, version: str) -> Version | None:
        return next((v for v in self.versions.values() if (v.model, v.version) == (model, version)), None)

    def of_version(self, version_id: VersionId) -> Version:
        try:
            return self.versions[version_id]
        except KeyError:
            raise NotFound(f"no version with the id {version_id}") from None

    def audit(self, actor: Actor, action: str, subject: str, detail: str, at_us: Micros) -> None:
        previous = self.chain[-1].digest if self.chain else GENESIS
        self.chain.append(link(previous, len(self.chain) + 1, at_us, actor, action, subject, detail))

    def apply(self, record: TransitionRecord, lock: int, restart: Position | None = None) -> None:
        """Write a state change, or raise Conflict when the version has moved."""
        version = self.of_version(record.version_id)
        if (version.lock, version.state) != (lock, record.before):
            raise Conflict(f"{version.model}/{version.version} has changed: it is '{version.state}' now")
        self.versions[version.id] = replace(
            version,
            state=record.after,
            since_us=record.at_us,
            reason=record.reason,
            lock=lock + 1,
            restart_position=version.restart_position if restart is None else restart,
        )
        self.transitions.append(record)
        self.approvals.pop(version.id, None)
        subject = f"{version.model}/{version.version}"
        self.audit(record.actor, f"transition.{record.event}", subject, transition_detail(record), record.at_us)

    def save_alerts(self, alerts: Iterable[Alert]) -> None:
        for alert in alerts:
            self.alerts[alert.id] = alert
            assert (alert.cause is Cause.ADVERSARIAL) == (alert.adversarial is not None)
        opened = [(a.version_id, a.cause, _subject(a)) for a in self.alerts.values() if a.status == "open"]
        assert len(opened) == len(set(opened)), "two open alerts of one version, cause and subject"

    def recent_alerts(self) -> list[Alert]:
        about_use = [a for a in self.alerts.values() if a.cause is Cause.ADVERSARIAL]
        newest = max((a.opened_us for a in about_use), default=NEVER)
        return [a for a in about_use if a.status == "closed" and a.opened_us > newest - DAY_US]

    def raise_incidents(self, raised: Iterable[Raised]) -> None:
        for one in raised:
            standing = self.incidents[one.incident_id]
            if standing.resolved_us is None:
                self.incidents[standing.id] = replace(
                    standing, severity=one.severity, title=one.title, lock=standing.lock + 1
                )

    def keep_transcripts(self, transcripts: Iterable[Drawn]) -> None:
        for drawn in transcripts:
            key = drawn.record.alert_id, drawn.record.principal
            if drawn.replaces or key not in self.transcripts:
                self.transcripts[key] = drawn.record

    def contain(self, containments: Iterable[Containment]) -> None:
        for one in containments:
            assert len(one.principal) == 32, "not a pseudonym"
            assert one.since_us <= one.renewed_us < one.until_us, "over before it began"
            version = self.of_version(one.version_id)
            self.containments[one.version_id, one.principal] = one
            subject = f"{version.model}/{version.version}/{one.principal}"
            if one.state is ContainmentState.CONTAINED:
                detail = {
                    "tier": one.tier,
                    "until_us": one.until_us,
                    "reason": one.reason,
                    "incident_id": one.incident_id,
                }
                self.audit(SYSTEM, "principal.contain", subject, canonical(detail), one.renewed_us)
            elif one.lifted_us is not None:
                self.audit(SYSTEM, "principal.lift", subject, "another one needed its place", one.lifted_us)

    def close_alerts(self, at_us: Micros, *, version_id: VersionId | None = None, incident: str | None = None) -> None:
        for alert in self.alerts.values():
            if alert.status == "open" and (alert.version_id == version_id or alert.incident_id == incident):
                self.alerts[alert.id] = replace(alert, status="closed", closed_us=at_us)

    def note(self, incident_id: str, item: TimelineItem) -> None:
        """Add to an incident's timeline and to the audit chain."""
        self.timeline.append((incident_id, item))
        self.audit(item.actor, f"incident.{item.kind}", incident_id, item.body, item.at_us)
