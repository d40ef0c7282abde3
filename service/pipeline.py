"""The path of a batch, in the order it happens. Read this first.

``accept_batch``     request -> decode -> de-identify -> append, commit -> receipt          (API process)
``process_batches``  log -> tick histograms -> evidence -> alert -> incident -> state -> outbox, one commit   (worker)

What people decide goes through ``service/office.py``.
"""

import hashlib
import os
from dataclasses import dataclass, field

import anyio.to_thread
import msgspec

from service.domain.errors import Place
from service.domain.ids import Position, VersionId
from service.domain.records import Version
from service.frames import encode_frame
from service.ingest.cloudevents import InferenceEvent, frame_of
from service.ingest.decode import EventDecoder, Raw
from service.ingest.deidentify import Deidentifier
from service.ingest.labels import decode_labels
from service.ingest.limits import Limits
from service.ports import Appended, Clock, EntryKind, NewEntry, TelemetryLog

DECODE_INLINE_BYTES_MAX = 1024 * 1024
"""A larger body is decoded in a thread, so that the gate goes on answering meanwhile."""
DECODERS_MAX = 1024


class ReceiptPlace(msgspec.Struct, frozen=True):
    """One refused place of a batch."""

    at: str
    reason: str


class Receipt(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to a batch: what was taken is durable."""

    accepted: int
    rejected: int
    duplicates: int = 0
    """Events that an earlier request with the same idempotency key had brought: all of them, or none."""
    errors: tuple[ReceiptPlace, ...] = ()
    batch_id: str
    position: Position = Position(0)


@dataclass
class DecoderCache:
    """One compiled decoder for each version in use. A version's schema never changes."""

    limits: Limits
    _decoders: dict[VersionId, EventDecoder] = field(default_factory=dict)

    def of(self, version: Version) -> EventDecoder:
        """Return the decoder of a version, compiled at the first use."""
        decoder = self._decoders.get(version.id)
        if decoder is None:
            if len(self._decoders) >= DECODERS_MAX:
                self._decoders.clear()
            decoder = self._decoders[version.id] = EventDecoder(version.schema, self.limits)
        return decoder


@dataclass(frozen=True, slots=True, kw_only=True)
class AcceptStages:
    """What the accepting side works with."""

    log: TelemetryLog
    clock: Clock
    limits: Limits
    deidentifier: Deidentifier
    decoders: DecoderCache


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
    if len(raw.body) > DECODE_INLINE_BYTES_MAX:
        ready = await anyio.to_thread.run_sync(_prepare, stages, version, raw, idempotency_key)
    else:
        ready = _prepare(stages, version, raw, idempotency_key)
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
    labels = decode_labels(raw, stages.limits)
    receipt = Receipt(
        accepted=labels.rows,
        rejected=len(labels.errors),
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
        digest=_digest(labels.content, idempotency_key),
        receipt=_kept(receipt, idempotency_key),
    )
    return _answer(receipt, await stages.log.append(entry))


async def accept_inference_event(stages: AcceptStages, version: Version, event: InferenceEvent) -> None:
    """Take one half of an inference as a payload logger sent it; its own id makes a repetition harmless."""
    frame = stages.deidentifier.apply(version.schema, frame_of(event, version.schema, stages.limits))
    body = encode_frame(frame)
    await stages.log.append(
        NewEntry(
            kind=EntryKind.BATCH,
            version_id=version.id,
            batch_id=new_batch_id(stages.clock),
            rows=frame.rows,
            body=body,
            idempotency_key=f"cloudevent:{event.kind}:{event.id}",
            digest=hashlib.sha256(body).digest(),
        )
    )


def new_batch_id(clock: Clock) -> str:
    """Return 32 hex digits: the milliseconds of now, then 80 random bits."""
    return f"{clock.now_us() // 1000:012x}{os.urandom(10).hex()}"


@dataclass(frozen=True, slots=True)
class _Prepared:
    """A request's events as the log keeps them."""

    rows: int
    rejected: int
    errors: tuple[Place, ...]
    body: bytes
    digest: bytes


def _prepare(stages: AcceptStages, version: Version, raw: Raw, idempotency_key: str | None) -> _Prepared:
    """Decode, take away what identifies people, and encode for the log."""
    decoded = stages.decoders.of(version).decode(raw)
    frame = stages.deidentifier.apply(version.schema, decoded.frame)
    digest = _digest(decoded.content, idempotency_key)
    return _Prepared(frame.rows, decoded.rejected, decoded.errors, encode_frame(frame), digest)


def _digest(content: bytes, idempotency_key: str | None) -> bytes:
    """Return what tells a repetition from another request under the same key; without a key nobody will ask."""
    return b"" if idempotency_key is None else hashlib.sha256(content).digest()


def _kept(receipt: Receipt, idempotency_key: str | None) -> bytes:
    """Return the answer as the log keeps it for a repetition."""
    return b"" if idempotency_key is None else msgspec.json.encode(receipt)


def _answer(receipt: Receipt, appended: Appended) -> Receipt:
    """Return the receipt with its position; of a repetition, the first answer again with its duplicates counted."""
    if not appended.repeated:
        return msgspec.structs.replace(receipt, position=appended.position)
    first = msgspec.json.decode(appended.receipt, type=Receipt)
    return msgspec.structs.replace(first, position=appended.position, duplicates=first.accepted)
