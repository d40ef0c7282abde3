"""What the stages and the pipeline need from the outside, as small protocols with more than one implementation."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from service.domain.ids import Actor, Micros, Position, VersionId
from service.domain.records import (
    Alert,
    ApiKey,
    BaselineRecord,
    Incident,
    Message,
    Model,
    Snapshot,
    TransitionRecord,
    Version,
    Window,
)


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
    body: bytes


class TelemetryLog(Protocol):
    """The write side: durable before it returns."""

    async def append(self, entry: NewEntry) -> Appended:
        """Append with group commit and return once the commit is on disk.

        Raises
        ------
        Unavailable
            At once, when the queue is full (entries or bytes) or the log is closed or failing.
        Conflict
            When the idempotency key stands in the log for this version with another digest.
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
    transitions: Sequence[tuple[TransitionRecord, int]] = ()
    """With the lock that the version must still have."""
    messages: Sequence[Message] = ()
    stats: str = "{}"
    """JSON of the worker's own figures, for the metrics."""


class StaleControl(Exception):  # noqa: N818 - named for what happened, not an error
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

        Raises
        ------
        StaleControl
            When the cursor is not ``outcome.first`` any more, the lease is lost, or the revision has moved.
        """


class KeyStore(Protocol):
    """Where keys are looked up."""

    def key(self, key_id: str) -> ApiKey | None:
        """Return the key as stored."""


class Channel(Protocol):
    """One way to tell people."""

    name: str

    async def deliver(self, message: Message) -> None:
        """Deliver or raise ``DeliveryFailed``; may deliver twice, always with the same message id."""


class DeliveryFailed(Exception):  # noqa: N818 - named for what happened
    """A message did not arrive; says whether trying again makes sense."""

    def __init__(self, detail: str, *, recoverable: bool) -> None:
        super().__init__(detail)
        self.recoverable = recoverable


SYSTEM = Actor("lazaretto")
"""The actor of everything that a policy does by itself."""
