"""What the stages and the pipeline need from the outside, as small protocols with more than one implementation."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from service.domain.calibration import Calibration
from service.domain.ids import Actor, Micros, ModelId, Position, VersionId
from service.domain.incidents import Frozen, Maintenance
from service.domain.policy import Policy
from service.domain.principals import Containment
from service.domain.records import (
    Alert,
    ApiKey,
    AuditEntry,
    BaselineRecord,
    Ending,
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
from service.domain.transcripts import Drawn
from service.domain.vouched import Vouched


class Clock(Protocol):
    """Where time comes from; tests hold their own."""

    def now_us(self) -> Micros:
        """Return microseconds since 1970-01-01 UTC."""


class EntryKind(StrEnum):
    """What a log entry holds."""

    BATCH = "batch"
    LABELS = "labels"
    MARK = "mark"
    """No payload: says that time has passed, so that the last tick before a pause can close."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewEntry:
    """What is to be appended."""

    kind: EntryKind
    version_id: VersionId
    batch_id: str
    rows: int
    body: bytes
    idempotency_key: str | None = None
    digest: bytes = b""
    """SHA-256 of the request's content; compared when the idempotency key is seen again."""
    receipt: bytes = b""
    """The answer's JSON without position, kept so that a repeated request gets the same answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Appended:
    """What the log did with an entry."""

    position: Position
    arrival_us: Micros
    repeated: bool
    """True when the idempotency key was there already with the same digest; nothing was appended."""
    receipt: bytes
    """Of the entry that stands in the log."""
    batch_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LogEntry:
    """What was appended, with the arrival time that the log gave it (never decreasing by position)."""

    position: Position
    arrival_us: Micros
    kind: EntryKind
    version_id: VersionId
    rows: int
    body: bytes | memoryview
    """A view holds on to what the log read together with it; do not keep it for long."""


class TelemetryLog(Protocol):
    """The write side: durable before it returns."""

    async def append(self, entry: NewEntry) -> Appended:
        """Append with group commit and return once the commit is on disk.

        Raises ``Unavailable`` at once, when the queue is full (entries or bytes) or the log is closed or failing, and
        ``Conflict`` when the idempotency key stands in the log for this version with another digest.
        """

    def head(self) -> Position:
        """Return the position of the last durable entry, 0 when empty."""


class LogReader(Protocol):
    """The read side, used by the worker in its own process."""

    def read(self, after: Position, *, max_entries: int, max_bytes: int) -> Sequence[LogEntry]:
        """Return the entries after a position, in order, at least one if there is one."""

    def head(self) -> Position:
        """Return the position of the last durable entry, 0 when empty."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Control:
    """Everything people decided that the worker's fold depends on, read at one revision."""

    revision: int
    models: Mapping[int, Model]
    versions: Mapping[VersionId, Version]
    baselines: Mapping[VersionId, Sequence[BaselineRecord]]
    """By ``from_position``; a baseline applies to entries after it."""
    open_alerts: Sequence[Alert]
    unresolved: Sequence[Incident] = ()
    """Incidents that nobody has resolved, oldest first: an alert of the same cause belongs to one of them."""
    recent_alerts: Sequence[Alert] = ()
    """Closed alerts about adversarial use that were opened within a day of the newest one: they count for the caps."""
    containments: Sequence[Containment] = ()
    """Lifted ones too, until they are swept."""
    maintenance: Sequence[Maintenance] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """All that one pass of the worker writes, in one transaction, or not at all."""

    first: Position
    """The position the pass started after: the cursor must still stand there."""
    last: Position
    revision: int
    """The control revision the pass was computed under: it must still hold."""
    snapshots: Sequence[Snapshot] = ()
    windows: Sequence[Window] = ()
    alerts: Sequence[Alert] = ()
    """New or changed."""
    incidents: Sequence[Incident] = ()
    """New ones."""
    frozen: Sequence[Frozen] = ()
    """The evidence of the new incidents."""
    timeline: Sequence[tuple[str, TimelineItem]] = ()
    """What happened to older incidents, by their ids."""
    endings: Sequence[Ending] = ()
    """Of incidents, new ones among them; one that people have resolved stays as they left it."""
    transitions: Sequence[tuple[TransitionRecord, int]] = ()
    """With the lock that the version must still have."""
    containments: Sequence[Containment] = ()
    """New or changed; each leaves an audit record."""
    raised: Sequence[Raised] = ()
    """Incidents, new ones among them; one that people have resolved stays as they left it."""
    messages: Sequence[Message] = ()
    transcripts: Sequence[Drawn] = ()
    stats: str = "{}"
    """JSON of the worker's own figures, for the metrics."""


class StaleControl(Exception):
    """The cursor, the epoch or the control revision moved while a pass was computed: forget it and read again."""


class WorkerStore(Protocol):
    """The worker's side of the store."""

    def position(self) -> Position:
        """Return the cursor."""

    def revision(self) -> int:
        """Return the control revision: grows whenever a person or the worker changes what ``control`` returns."""

    def control(self) -> Control:
        """Read all that the fold depends on, in one transaction."""

    def snapshots(self) -> Mapping[VersionId, Snapshot]:
        """Read the evidence state of every version."""

    def windows(self, version_id: VersionId, level: str, start_us: Micros) -> Window | None:
        """Read one window row."""

    def commit(self, outcome: Outcome) -> int:
        """Write everything in one transaction and return the new control revision.

        Raises StaleControl when the cursor is not ``outcome.first`` any more, the lease is lost, or the revision moved.
        """


class KeyStore(Protocol):
    """Where keys are looked up."""

    def key(self, key_id: str) -> ApiKey | None:
        """Return the key as stored."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerFigures:
    """What the worker says of itself, as of its last commit or heartbeat."""

    position: Position
    heartbeat_us: Micros
    stats: str


class ReadStore(Protocol):
    """What the API and the console may ask. Every list is bounded by ``limit``, newest first unless said."""

    def revision(self) -> int:
        """Return the control revision: one cheap query, polled by the gate."""

    def models(self) -> Sequence[Model]:
        """Return every model by name."""

    def model(self, name: str) -> Model | None:
        """Return one model."""

    def versions(self, model: str | None = None) -> Sequence[Version]:
        """Return the versions of one model or of all, oldest first."""

    def version(self, model: str, version: str) -> Version | None:
        """Return one version."""

    def baseline(self, version_id: VersionId) -> BaselineRecord | None:
        """Return the baseline in force, with its artefact."""

    def calibration(self, baseline_id: str) -> Calibration | None:
        """Return what a baseline tolerates, in words; ``None`` when it was not worked out, or by another release."""

    def snapshot(self, version_id: VersionId) -> Snapshot | None:
        """Return the evidence state after the worker's last commit."""

    def snapshots(self) -> Sequence[Snapshot]:
        """Return the evidence state of every version, with an empty ``blob``."""

    def windows(self, version_id: VersionId, level: str, first_us: Micros, last_us: Micros) -> Sequence[Window]:
        """Return window rows that start within [first, last], oldest first, at most 10,000."""

    def alerts(
        self, *, version_id: VersionId | None, status: str | None, limit: int, adversarial: bool | None = None
    ) -> Sequence[Alert]:
        """Return alerts; ``adversarial`` chooses those about adversarial use, or all the others."""

    def incidents(
        self, *, version_id: VersionId | None, status: str | None, limit: int, adversarial: bool | None = None
    ) -> Sequence[Incident]:
        """Return incidents; ``adversarial`` as for alerts."""

    def incident(self, incident_id: str) -> Incident | None:
        """Return one incident."""

    def timeline(self, incident_id: str) -> Sequence[TimelineItem]:
        """Return what was said and done about an incident, oldest first."""

    def alerts_of(self, incident_id: str, limit: int) -> Sequence[Alert]:
        """Return the alerts of one incident."""

    def containments(
        self, *, version_id: VersionId | None, holding_us: Micros | None, limit: int
    ) -> Sequence[Containment]:
        """Return contained principals; with ``holding_us`` only those whose containment holds at that time."""

    def redteam_runs(self) -> Sequence[RedTeamRun]:
        """Return the latest red-team run of every version."""

    def transitions(self, version_id: VersionId, limit: int) -> Sequence[TransitionRecord]:
        """Return the state changes of a version."""

    def approvals(self, version_id: VersionId) -> Sequence[Actor]:
        """Return who has asked for the pending release, in order."""

    def worker(self) -> WorkerFigures:
        """Return the worker's position and own figures."""

    def keys(self) -> Sequence[ApiKey]:
        """Return every key, without secrets."""

    def audit(self, limit: int) -> Sequence[AuditEntry]:
        """Return the newest links of the audit chain."""


class ControlTx(Protocol):
    """One write transaction of a person or an adapter; it commits when its block ends without an exception.

    The state store's write lock is held from the first line on, so that what is read stays true until the commit.
    Every method that changes what ``Control`` holds bumps the control revision.
    """

    def model(self, name: str) -> Model | None:
        """Return one model."""

    def version(self, model: str, version: str) -> Version | None:
        """Return one version."""

    def fleet(self) -> Sequence[Version]:
        """Return every version."""

    def add_model(self, model: Model) -> Model:
        """Insert a model (its ``id`` is ignored) and return it with its id."""

    def set_policy(self, model_id: ModelId, policy: Policy) -> None:
        """Replace a model's policy."""

    def add_version(self, version: Version) -> Version:
        """Insert a version (its ``id`` is ignored) and return it with its id."""

    def set_vouched(self, version_id: VersionId, vouched: Vouched) -> None:
        """Replace what is vouched for about a version."""

    def add_baseline(self, baseline: BaselineRecord) -> None:
        """Insert a baseline and make it the one in force."""

    def save_calibration(self, baseline_id: str, calibration: Calibration) -> None:
        """Store what a baseline tolerates instead of what was stored. Nothing decides by it: no new revision."""

    def transition(self, record: TransitionRecord, *, lock: int, restart: Position | None) -> None:
        """Write a state change and its audit record; forget pending approvals; raise Conflict if ``lock`` is stale.

        ``restart`` sets the version's restart position and closes its open alerts.
        """

    def restart(self, version_id: VersionId, position: Position) -> None:
        """Let the version's evidence start from zero after ``position``, as when an incident is resolved."""

    def approve(self, version_id: VersionId, actor: Actor, at_us: Micros) -> Sequence[Actor]:
        """Record that ``actor`` asked for the release (once) and return all who have, in order."""

    def incident(self, incident_id: str) -> Incident | None:
        """Return one incident."""

    def save_incident(self, incident: Incident, item: TimelineItem) -> None:
        """Update an incident under its lock (Conflict when stale) and add to its timeline and the audit chain.

        Resolving it closes its open alerts.
        """

    def containment(self, version_id: VersionId, principal: str) -> Containment | None:
        """Return what is known of a principal's containment, lifted or over though it be."""

    def save_containment(self, containment: Containment) -> None:
        """Update a containment. Who did it and why is for ``audit``."""

    def save_redteam_run(self, run: RedTeamRun) -> None:
        """Keep a red-team run in place of the one before."""

    def add_key(self, key: ApiKey) -> None:
        """Insert a key."""

    def revoke_key(self, key_id: str, at_us: Micros) -> bool:
        """Revoke a key; False when there is no such key."""

    def add_message(self, message: Message) -> None:
        """Put a message into the outbox."""

    def audit(self, actor: Actor, action: str, subject: str, detail: str, at_us: Micros) -> None:
        """Append to the audit chain."""


class ControlStore(Protocol):
    """The write side for people."""

    def write(self) -> AbstractContextManager[ControlTx]:
        """Open a write transaction; wait for the lock at most the configured time, then raise Unavailable."""


SYSTEM = Actor("lazaretto")
"""The actor of everything that a policy does by itself."""
