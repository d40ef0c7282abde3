"""The path of a batch, in the order it happens. Read this first.

``accept_batch``     request -> decode -> de-identify -> append, commit -> receipt          (API process)
``process_batches``  log -> tick histograms -> evidence -> alert -> incident -> state -> outbox, one commit   (worker)

What people decide goes through ``service/office.py``.
"""

import asyncio
import hashlib
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple

import anyio.to_thread
import msgspec

from service.adversarial import Standing, judge_use
from service.alert.decide import decide as decide_alert
from service.alert.decide import rebuilt
from service.decisions import (
    HELD_BACK,
    Decisions,
    Judged,
    change_state,
    hold_for_maintenance,
    judge_silence,
    note_rebuilt,
    note_spared,
    spare_of_one,
)
from service.detect.watch import Watch
from service.domain.evaluation import Evaluation
from service.domain.ids import Micros, Position, VersionId
from service.domain.policy import Action, Cause, Policy
from service.domain.receipts import Receipt, ReceiptPlace
from service.domain.records import Alert, Incident, Version
from service.domain.states import SERVING
from service.entropy import random_hex
from service.frames import encode_frame
from service.ingest.cloudevents import InferenceEvent
from service.ingest.decode import Raw
from service.ingest.deidentify import Deidentifier
from service.ingest.gather import Gatherer
from service.ingest.halves import frame_of
from service.ingest.labels import decode_labels
from service.ingest.limits import Limits
from service.ingest.prepare import Prepared, Preparer, Preparers, digest_of
from service.ingest.steps import take_steps
from service.log.paging import arrival_of
from service.notify.compose import alert_opened, compose, held_back
from service.ports import (
    SYSTEM,
    Appended,
    Clock,
    Control,
    EntryKind,
    LogEntry,
    LogReader,
    NewEntry,
    Outcome,
    TelemetryLog,
    WorkerStore,
)
from service.quarantine.decide import decide as decide_state
from service.transcripts import DrawnBefore, transcribe

DECODE_INLINE_BYTES_MAX = 1024 * 1024
"""A larger body is decoded in a thread, so that the gate goes on answering meanwhile."""
DECODE_AT_ONCE_BYTES_MAX = 8 * 1024
"""A smaller one is decoded faster than it would wait for its turn."""
TURN_SECONDS = 0.0004
"""Of one turn of the event loop, spent on decoding: a step that has begun is finished."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AcceptStages:
    """What the accepting side works with."""

    log: TelemetryLog
    clock: Clock
    limits: Limits
    preparers: Preparers
    gatherer: Gatherer
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Held while a larger body is decoded."""

    @classmethod
    def over(
        cls,
        log: TelemetryLog,
        clock: Clock,
        limits: Limits,
        deidentifier: Deidentifier,
        *,
        waiting_max: int = 4_096,
        waiting_bytes_max: int = 64 * 1024 * 1024,
    ) -> "AcceptStages":
        """Put the stages over a log; at most so many small requests may wait for it, with so many bytes."""
        gatherer = Gatherer(log, lambda: new_batch_id(clock), requests_max=waiting_max, bytes_max=waiting_bytes_max)
        preparers = Preparers(limits, deidentifier)
        return cls(log=log, clock=clock, limits=limits, preparers=preparers, gatherer=gatherer)


async def accept_batch(stages: AcceptStages, version: Version, raw: Raw, idempotency_key: str | None) -> Receipt:
    """Take the events of one request; when this returns, they are on disk.

    Raises
    ------
    BadRequest, Unprocessable, TooLarge, UnsupportedMedia
        When the envelope is broken; odd values inside it are not refused, they are counted.
    Conflict
        When the idempotency key was used before with other content.
    Unavailable
        At once, when the log's queue is full.
    """
    preparer = stages.preparers.of(version)
    few = preparer.few(raw) if idempotency_key is None else None
    if few is not None:
        shared = await stages.gatherer.append(version.id, preparer, few)
        if shared is not None:
            return Receipt(accepted=len(few.events), rejected=0, batch_id=shared.batch_id, position=shared.position)
    ready = await _prepare_in_turn(stages, preparer, raw, idempotency_key)
    receipt = Receipt(
        accepted=ready.rows,
        rejected=ready.rejected,
        errors=tuple(ReceiptPlace(place.at, place.reason) for place in ready.errors),
        batch_id=new_batch_id(stages.clock),
    )
    entry = NewEntry(
        kind=EntryKind.BATCH,
        version_id=version.id,
        batch_id=receipt.batch_id,
        rows=ready.rows,
        body=ready.body,
        idempotency_key=idempotency_key,
        digest=ready.digest,
        receipt=_kept(receipt, idempotency_key),
    )
    return _answer(receipt, await stages.log.append(entry))


async def accept_labels(stages: AcceptStages, version: Version, raw: Raw, idempotency_key: str | None) -> Receipt:
    """Take the labels of one request; like events, they are on disk when this returns. Raises as ``accept_batch``."""
    labels = decode_labels(raw, stages.limits, stages.preparers.deidentifier.pseudonym)
    receipt = Receipt(
        accepted=labels.rows,
        rejected=labels.rejected,
        errors=tuple(ReceiptPlace(place.at, place.reason) for place in labels.errors),
        batch_id=new_batch_id(stages.clock),
    )
    entry = NewEntry(
        kind=EntryKind.LABELS,
        version_id=version.id,
        batch_id=receipt.batch_id,
        rows=labels.rows,
        body=labels.body,
        idempotency_key=idempotency_key,
        digest=digest_of(labels.content, idempotency_key),
        receipt=_kept(receipt, idempotency_key),
    )
    return _answer(receipt, await stages.log.append(entry))


async def accept_inference_event(stages: AcceptStages, version: Version, event: InferenceEvent) -> None:
    """Take one half of an inference as a payload logger sent it. Raises as ``accept_batch``.

    Loggers deliver at least once, so a repetition is recognised: by its content too, as clients choose the id.
    """
    frame = stages.preparers.deidentifier.apply(version.schema, frame_of(event, version.schema, stages.limits))
    body = encode_frame(frame)
    digest = hashlib.sha256(f"{event.kind}\0{event.source}\0{event.id}\0".encode() + body).digest()
    entry = NewEntry(
        kind=EntryKind.BATCH,
        version_id=version.id,
        batch_id=new_batch_id(stages.clock),
        rows=frame.rows,
        body=body,
        idempotency_key=f"cloudevent:{digest.hex()}",
        digest=digest,
    )
    await stages.log.append(entry)


def new_batch_id(clock: Clock) -> str:
    """Return 32 hex digits: the milliseconds of now, then 80 random bits."""
    return f"{clock.now_us() // 1000:012x}{random_hex(10)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkStages:
    """What the working side works with."""

    store: WorkerStore
    log: LogReader
    signing_key: bytes
    entries_max: int = 2_048
    bytes_max: int = 32 * 1024 * 1024
    stats: Callable[[], str]
    """The worker's own figures as JSON, written with each pass."""
    transcript_keys: tuple[bytes, ...] = ()
    computing: Callable[[], AbstractContextManager[object]] = nullcontext
    """Around what mostly computes: whoever shares the processor may be more urgent."""


class Memory:
    """What the worker keeps between passes. When a pass fails, forget it and load it again."""

    def __init__(self, stages: WorkStages) -> None:
        self.position = stages.store.position()
        self.control = stages.store.control()
        read_at = arrival_of(stages.log, self.position)
        snapshots, windows = stages.store.snapshots(), stages.store.windows
        self.watch = Watch(stages.signing_key, snapshots, windows, read_log=stages.log.read, read_at=read_at)
        self.drawn = DrawnBefore()
        self.carrier = partial(self.watch.carrier, stages.log)
        """Whose the evidence of a change is, as the log tells."""
        self.take_over(self.control)
        self.watch.recall(stages.log.read, self.position)

    def take_over(self, control: Control) -> None:
        """Learn what people decided, and what became of the own decisions."""
        self.control = control
        self.versions = dict(control.versions)
        self.open_alerts: dict[VersionId, dict[str, Alert]] = {}
        for alert in control.open_alerts:
            self.open_alerts.setdefault(alert.version_id, {})[alert.id] = alert
        self.unresolved: dict[VersionId, dict[Cause, Incident]] = {}
        for incident in control.unresolved:
            self.unresolved.setdefault(incident.version_id, {})[incident.cause] = incident
        self.use = Standing(control)
        self.watch.heed(control)

    def serves(self, version_id: VersionId) -> bool:
        """Tell whether the gate lets traffic through to a version."""
        version = self.versions.get(version_id)
        return version is not None and version.state in SERVING

    def of(self, version_id: VersionId) -> tuple[Version, dict[str, Alert], Policy]:
        """Return a version, its open alerts by id, and its policy."""
        version = self.versions[version_id]
        return version, self.open_alerts.setdefault(version_id, {}), self.control.models[version.model_id].policy

    def serving_since(self, version_id: VersionId) -> Micros | None:
        """Return since when the gate lets traffic through to a version; ``None`` while it does not."""
        return self.versions[version_id].since_us if self.serves(version_id) else None


class Progress(NamedTuple):
    """What one pass did."""

    entries: int
    events: int
    position: Position
    caught_up: bool
    """False when the pass was as large as it may be: more is waiting."""
    commit_seconds: float | None
    """``None`` when there was nothing to write."""


def process_batches(stages: WorkStages, memory: Memory) -> Progress:
    """Fold the next entries of the log and write everything that follows from them, in one commit.

    Raises
    ------
    StaleControl
        When a person or another worker was faster; nothing was written, and ``memory`` must be loaded again.
    Unavailable
        When the log or the store is away; likewise.
    """
    entries = stages.log.read(memory.position, max_entries=stages.entries_max, max_bytes=stages.bytes_max)
    # Read after the entries: whatever an entry relies on was decided before it was accepted.
    if stages.store.revision() != memory.control.revision:
        memory.take_over(stages.store.control())
    decisions = Decisions()
    last = entries[-1].position if entries else memory.position
    with stages.computing():
        fold(entries, memory, decisions)
        memory.watch.settle(last)
    commit_seconds = commit(stages, memory, decisions, last)
    memory.position = last
    events = sum(entry.rows for entry in entries if entry.kind is EntryKind.BATCH)
    caught_up = len(entries) < stages.entries_max and sum(len(e.body) for e in entries) < stages.bytes_max // 2
    return Progress(len(entries), events, last, caught_up, commit_seconds)


def fold(entries: Sequence[LogEntry], memory: Memory, decisions: Decisions) -> None:
    """Let entries bear on the evidence, one after the other."""
    for entry in entries:
        for evaluation in memory.watch.close_due(entry):  # tick histograms -> evidence
            judge(evaluation, memory, decisions)  # -> alert -> incident -> state -> outbox
        for silence in memory.watch.silences(entry, memory.serving_since):
            version, standing, policy = memory.of(silence.version_id)
            judge_silence(silence, version, standing, policy.actions.stale, decisions)
        # columns -> tick histograms, and requests -> evidence about single principals
        found = memory.watch.take(entry, serving=memory.serves(entry.version_id))
        judge_use(found, memory.use, memory.versions, decisions)


def judge(evaluation: Evaluation, memory: Memory, decisions: Decisions) -> None:
    """Let one evaluation bear on alerts, incidents, the state, and on whom to tell."""
    version, standing, policy = memory.of(evaluation.version_id)
    note_rebuilt(evaluation, standing, policy, decisions)
    unresolved = memory.unresolved.get(version.id, {})
    decision = decide_alert(evaluation, version, tuple(standing.values()), policy, unresolved)
    for alert in decision.changed:
        standing[alert.id] = decisions.alerts[alert.id] = alert
    if decision.alert is None:
        return
    if decision.incident is not None:
        decisions.open(decision.incident, decision.alert, version, memory.watch.histograms(evaluation))
    if decision.again is not None:
        decisions.timeline.append((decision.again.id, rebuilt(decision.alert, SYSTEM)))
    told = decision.incident or decision.again
    if told is not None and policy.actions.of(decision.alert.cause) is not Action.RECORD:
        decisions.notices.append(alert_opened(decision.alert, told, version))
    # Once when the alert opens and once when it is confirmed: evidence that wavers must not fill a mailbox.
    news = told is not None or decision.alert.confirmations == policy.confirmations
    ruling = decide_state(decision.alert, version, policy, memory.versions.values())
    ruling = hold_for_maintenance(ruling, version, memory.control.maintenance, evaluation.at_us)
    ruling = spare_of_one(ruling, decision.alert, version, policy, partial(memory.carrier, evaluation, news=news))
    if decision.changed and news and ruling.why in HELD_BACK:
        notice = held_back(HELD_BACK[ruling.why], decision.alert, version, ruling.text, evaluation.at_us)
        decisions.notices.append(notice)
        note_spared(decision.alert, ruling, evaluation.at_us, decisions)
    if ruling.event is not None:
        judged = Judged(alert=decision.alert, at_us=evaluation.at_us, position=evaluation.position)
        change_state(judged, ruling.event, ruling.text, memory.versions, decisions)


def commit(stages: WorkStages, memory: Memory, decisions: Decisions, last: Position) -> float | None:
    """Write the pass, with the position it reached, and return how long that took."""
    with stages.computing():
        snapshots, rows = memory.watch.take_snapshots(), memory.watch.take_rows()
    if last == memory.position and not snapshots:
        return None
    accused = memory.drawn.wanted(decisions.accused)
    transcripts = transcribe(accused, memory.watch, memory.versions, stages.log, stages.transcript_keys)
    started = time.perf_counter()
    stages.store.commit(
        Outcome(
            first=memory.position,
            last=last,
            revision=memory.control.revision,
            snapshots=snapshots,
            windows=rows,
            alerts=tuple(decisions.alerts.values()),
            incidents=decisions.incidents,
            frozen=decisions.frozen(memory.control),
            timeline=decisions.timeline,
            endings=decisions.endings,
            transitions=decisions.transitions,
            containments=tuple(decisions.containments.values()),
            raised=decisions.raised,
            messages=[compose(notice) for notice in decisions.notices],
            transcripts=transcripts,
            stats=stages.stats(),
        )
    )
    memory.drawn.note(transcripts)
    return time.perf_counter() - started


async def _prepare_in_turn(stages: AcceptStages, preparer: Preparer, raw: Raw, idempotency_key: str | None) -> Prepared:
    """Decode without keeping the gate waiting: some steps of one larger body for each turn of the event loop."""
    if len(raw.body) <= DECODE_AT_ONCE_BYTES_MAX:
        return preparer.prepare(raw, idempotency_key)
    async with stages.turn:
        if len(raw.body) > DECODE_INLINE_BYTES_MAX:
            return await anyio.to_thread.run_sync(preparer.prepare, raw, idempotency_key)
        steps = preparer.preparing(raw, idempotency_key)
        ready = None
        while ready is None:
            ready = take_steps(steps, TURN_SECONDS)
            # After the last step too, with the turn still taken: or all bodies that wait would follow in this round.
            await asyncio.sleep(0)
        return ready


def _kept(receipt: Receipt, idempotency_key: str | None) -> bytes:
    """Return the answer as the log keeps it for a repetition."""
    return b"" if idempotency_key is None else msgspec.json.encode(receipt)


def _answer(receipt: Receipt, appended: Appended) -> Receipt:
    """Return the receipt with its position; of a repetition, the first answer again with its duplicates counted."""
    if not appended.repeated:
        return msgspec.structs.replace(receipt, position=appended.position)
    first = msgspec.json.decode(appended.receipt, type=Receipt)
    return msgspec.structs.replace(first, position=appended.position, duplicates=first.accepted)
