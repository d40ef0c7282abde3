"""What the store holds, as frozen values. Nothing outside ``service/store`` ever sees a row."""

from dataclasses import dataclass, field
from enum import StrEnum

from service.domain.ids import Actor, Micros, ModelId, Position, VersionId
from service.domain.policy import Cause, Policy
from service.domain.principals import AdversarialUse
from service.domain.principals import PrincipalFinding as PrincipalFinding  # noqa: PLC0414 - a record like the others, kept where it has room
from service.domain.principals import PrincipalTier as PrincipalTier  # noqa: PLC0414 - as above
from service.domain.schema import Schema
from service.domain.states import Event, State
from service.domain.vouched import Vouched


class Scope(StrEnum):
    """What a key may do."""

    INGEST = "ingest"
    READ = "read"
    OPERATE = "operate"
    ADMIN = "admin"


class Verdict(StrEnum):
    """What a person said an incident was."""

    REAL_DRIFT = "real drift"
    DATA_BUG = "data bug"
    ATTACK = "attack"
    BENIGN = "benign"
    FALSE_ALARM = "false alarm"


class IncidentStatus(StrEnum):
    """Where an incident stands."""

    OPEN = "open"
    ACKNOWLEDGED = "acknowledged"
    RESOLVED = "resolved"


class Severity(StrEnum):
    """How much an incident matters, from mildest to worst."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """A monitored model."""

    id: ModelId
    name: str
    owner: str
    description: str
    policy: Policy
    created_us: Micros
    created_by: Actor


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """One version of a model, with the state that the gate enforces."""

    id: VersionId
    model_id: ModelId
    model: str
    version: str
    schema: Schema
    deployed_by: Actor
    state: State
    since_us: Micros
    reason: str
    lock: int
    """Optimistic lock: grows by one with each transition."""
    restart_position: Position
    """Evidence counts only entries after this position (the head of the log when a person last released or cleared)."""
    baseline_id: str | None
    created_us: Micros
    vouched: Vouched | None = None
    """Which artefact answers, and what it answers to canaries."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BaselineRecord:
    """A signed baseline artefact and from where in the log it applies."""

    id: str
    version_id: VersionId
    digest: str
    signature: str
    artefact: bytes
    rows: int
    from_position: Position
    columns: tuple[str, ...]
    warnings: tuple[dict[str, str], ...]
    created_us: Micros
    created_by: Actor


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKey:
    """A key as stored: never the secret, only its keyed hash."""

    id: str
    name: str
    scopes: frozenset[Scope]
    models: frozenset[str] | None
    """``None`` means every model."""
    secret_hash: bytes
    created_us: Micros
    expires_us: Micros | None = None
    revoked_us: Micros | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnFinding:
    """One blamed column at alarm time, strongest first in lists of these."""

    name: str
    group: str
    direction: str
    """The named bet that carries the evidence, e.g. ``mean up`` or ``missing up``."""
    evidence_log: float
    since_us: Micros
    effects: dict[str, float | None]
    segment: str | None = None
    """The part of the traffic that it speaks of, such as ``region=eu``; ``None`` for all events together."""

    @property
    def words(self) -> str:
        """What people read: ``age (mean up)``, or ``age (mean up) in region=eu``."""
        changed = f"{self.name} ({self.direction})"
        return changed if self.segment is None else f"{changed} in {self.segment}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """Evidence that crossed the budget, with its named reason."""

    id: str
    version_id: VersionId
    cause: Cause
    status: str
    """``open`` or ``closed``."""
    reason: str
    evidence_log: float
    threshold_log: float
    confirmations: int
    """Consecutive evaluations at or above the threshold so far."""
    columns: tuple[ColumnFinding, ...]
    since_us: Micros
    opened_us: Micros
    closed_us: Micros | None
    position: Position
    incident_id: str
    adversarial: AdversarialUse | None = None
    """Of an alert about adversarial use, and of no other."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Incident:
    """The alerts of one cause, or of one attacker, as one thing to triage."""

    id: str
    version_id: VersionId
    model: str
    version: str
    cause: Cause
    title: str
    status: IncidentStatus
    assignee: str | None
    verdict: Verdict | None
    note: str | None
    opened_us: Micros
    acknowledged_us: Micros | None
    resolved_us: Micros | None
    lock: int
    severity: Severity = Severity.MEDIUM


@dataclass(frozen=True, slots=True, kw_only=True)
class Raised:
    """An incident that turned out to matter more than it did."""

    incident_id: str
    severity: Severity
    title: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """An incident that is over by itself: nobody has to say what it was."""

    incident_id: str
    at_us: Micros
    note: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TimelineItem:
    """One thing that was said or done about an incident."""

    at_us: Micros
    actor: Actor
    kind: str
    body: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TransitionRecord:
    """One state change, on record for ever."""

    version_id: VersionId
    before: State
    event: Event
    after: State
    actor: Actor
    reason: str
    at_us: Micros
    position: Position
    incident_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Approvals:
    """Who has asked for the release, and how many are needed."""

    have: int
    need: int
    by: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One outbox row: something to tell, written with what it tells of; whom to tell is decided afterwards."""

    id: str
    kind: str
    payload: str
    """JSON text."""
    created_us: Micros
    severity: Severity = Severity.MEDIUM
    model: str = ""
    """Empty for what is about no model."""
    version: str = ""
    incident_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """Merged histogram and evidence of one version over one minute or hour of arrival time."""

    version_id: VersionId
    level: str
    """``1m`` or ``1h``."""
    start_us: Micros
    baseline_id: str
    events: int
    evidence_log: float
    """At the end of the window; ``-inf`` before the first evaluation."""
    evidence_log_max: float
    column_evidence: bytes
    """float32[columns], in the order of the baseline."""
    counts: bytes
    """int64[bins of all columns], in the layout of the baseline."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerBlock:
    """Some neighbouring answers that later labels may be about, as the detect stage packs them."""

    number: int
    content: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """The evidence state of one version after a position; enough to go on bit for bit."""

    version_id: VersionId
    baseline_id: str | None
    position: Position
    events_total: int
    labels_total: int
    leaks_total: int
    evidence_log: float
    threshold_log: float
    blob: bytes
    """The detect stage's own bytes."""
    status: str
    """JSON for the status answer and the metrics: per column evidence, effects, since; and the monitoring state."""
    updated_us: Micros
    principals: bytes | None = None
    """What is known of single principals, where it was time to keep it: empty when that is nothing any more. ``None``:
    what was kept before still holds, together with the log since then."""
    answers: tuple[AnswerBlock, ...] = ()
    """Of the latest answers, the blocks that have changed; all of them where it was read."""
    answers_first: int = 0
    """Blocks before this one are needed no more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEntry:
    """One link of the audit chain: ``digest = SHA-256(previous digest || canonical JSON of the rest)``."""

    seq: int
    at_us: Micros
    actor: Actor
    action: str
    subject: str
    detail: str
    digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Counters:
    """What happened to the events of one request or of one process; they always add up."""

    accepted: int = 0
    rejected: int = 0
    duplicates: int = 0
    invalid_values: dict[str, int] = field(default_factory=dict)
