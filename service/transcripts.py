"""Transcripts of accused principals: drawn for a pass of the worker, sealed, opened again, and erased.

Values of features are encrypted with AES-256-GCM under keys of their own, which never reach the database; what is
bound into each is whose it is, so that no sample can stand in for another. A key that is missing is told by its id.
"""

import hashlib
import os
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol

import msgspec

from service.detect.transcripts import draw
from service.detect.watch import Watch
from service.domain.ids import Actor, Micros, VersionId
from service.domain.records import Incident, Version
from service.domain.transcripts import SAMPLE_BYTES_MAX, Accused, Drawn, TranscriptBody, TranscriptRecord
from service.ports import Clock, LogReader

NONCE_BYTES = 12
KEY_ID_DIGITS = 16
SWEEP_ROWS = 1_000
REMEMBERED_MAX = 4_096
"""Transcripts that a worker knows to have drawn, 250 bytes each; a version keeps a few hundred at most."""
Values = tuple[dict[str, Any], ...]


class SampleState(StrEnum):
    """What became of the values of a transcript."""

    NONE = "none"
    """Never kept: the policy was ``fingerprints``."""
    OPEN = "open"
    MISSING_KEY = "missing_key"
    """Encrypted with a key that this service does not have."""
    DAMAGED = "damaged"
    """Not what was encrypted, or not in its place."""
    ERASED = "erased"


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """A transcript as people may read it."""

    record: TranscriptRecord
    body: TranscriptBody
    state: SampleState
    values: Values = ()
    """Of the newest requests; fewer than there are requests when not all fitted."""


class TranscriptStore(Protocol):
    """Where transcripts are kept."""

    def read(self, incident: Incident, actor: Actor, now_us: Micros, limit: int) -> Sequence[TranscriptRecord]:
        """Return those of an incident that are not over, newest first; who read them stands in the audit chain."""

    def erase(self, incident: Incident, actor: Actor, reason: str, now_us: Micros) -> int:
        """Erase all those of an incident, on record, and return how many there were."""

    def expire(self, now_us: Micros, rows: int) -> int:
        """Delete a bounded number of those that are over, on record, and return how many there were."""


class DrawnBefore:
    """Whose transcripts were drawn, so that a finding that says nothing new is not looked for in the log again.

    It lives as long as the memory of a worker, and forgets with it when a pass could not be written. What it has
    forgotten is drawn once more, and the store keeps what is there.
    """

    def __init__(self, keys_max: int = REMEMBERED_MAX) -> None:
        self._most = keys_max
        self._until: OrderedDict[tuple[str, str], Micros] = OrderedDict()
        """By alert and principal, the one that was drawn last at the end: until when the transcript is kept."""

    def wanted(self, accused: Iterable[Accused]) -> list[Accused]:
        """Return the findings whose requests are to be looked for: news, and the first of an alert and principal."""
        found, begun = [], set[tuple[str, str]]()
        for one in accused:
            key = one.alert_id, one.principal
            if one.news or not (key in begun or one.at_us < self._until.get(key, 0)):
                found.append(one)
                begun.add(key)
        return found

    def note(self, drawn: Iterable[Drawn]) -> None:
        """Remember transcripts that were written."""
        for one in drawn:
            key = one.record.alert_id, one.record.principal
            self._until[key] = one.record.until_us
            self._until.move_to_end(key)
        while len(self._until) > self._most:
            self._until.popitem(last=False)

    def __len__(self) -> int:
        return len(self._until)


def transcribe(
    accused: Sequence[Accused],
    watch: Watch,
    versions: Mapping[VersionId, Version],
    log: LogReader,
    keys: Sequence[bytes],
) -> Sequence[Drawn]:
    """Return the transcripts of what a pass has found; without a key, no values are kept."""
    if not accused:
        return ()
    lookers = {v: watch.looker(versions[v]) for v in {one.version_id for one in accused} if v in versions}
    drawn = []
    for draft in draw(log, accused, lookers):
        one = draft.accused
        key_id, sample = None, None
        if one.policy.samples and keys and draft.values:
            key_id, sample = id_of(keys[0]), seal(keys[0], context_of(one), draft.values)
        record = TranscriptRecord(
            alert_id=one.alert_id,
            principal=one.principal,
            incident_id=one.incident_id,
            version_id=one.version_id,
            tier=one.tier,
            policy=one.policy,
            position=one.position,
            drawn_us=one.at_us,
            until_us=Micros(one.at_us + one.keep_us),
            body=msgspec.json.encode(draft.body()).decode(),
            key_id=key_id,
            sample=sample,
        )
        drawn.append(Drawn(record=record, replaces=one.news))
    return drawn


def open_transcript(record: TranscriptRecord, keys: Sequence[bytes]) -> Opened:
    """Return what can be read of a transcript with these keys; never an exception about its values."""
    if record.erased_us is not None:
        return Opened(record=record, body=TranscriptBody(requests=(), cut=False), state=SampleState.ERASED)
    body = msgspec.json.decode(record.body, type=TranscriptBody)
    if record.sample is None:
        return Opened(record=record, body=body, state=SampleState.NONE)
    key = next((key for key in keys if id_of(key) == record.key_id), None)
    if key is None:
        return Opened(record=record, body=body, state=SampleState.MISSING_KEY)
    values = unseal(key, context_of(record), record.sample)
    if values is None:
        return Opened(record=record, body=body, state=SampleState.DAMAGED)
    return Opened(record=record, body=body, state=SampleState.OPEN, values=values)


def id_of(key: bytes) -> str:
    """Return what a key is called; it tells nothing of the key."""
    return hashlib.sha256(b"lazaretto/transcript-key-id\0" + key).hexdigest()[:KEY_ID_DIGITS]


def seal(key: bytes, context: bytes, values: Sequence[Mapping[str, Any]]) -> bytes:
    """Encrypt the values of as many of the newest requests as fit."""
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    room, packed = SAMPLE_BYTES_MAX, list[bytes]()
    for one in reversed(values):
        encoded = msgspec.msgpack.encode(one)
        room -= len(encoded)
        if room < 0:
            break
        packed.append(encoded)
    plain = msgspec.msgpack.encode([msgspec.Raw(one) for one in reversed(packed)])
    nonce = os.urandom(NONCE_BYTES)
    return nonce + AESGCM(key).encrypt(nonce, plain, context)


def unseal(key: bytes, context: bytes, sample: bytes) -> Values | None:
    """Decrypt what ``seal`` made; ``None`` when it is anything else."""
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    try:
        plain = AESGCM(key).decrypt(sample[:NONCE_BYTES], sample[NONCE_BYTES:], context)
        return msgspec.msgpack.decode(plain, type=tuple[dict[str, Any], ...])
    except (InvalidTag, ValueError, msgspec.MsgspecError):
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What it takes to read transcripts."""

    store: TranscriptStore
    keys: tuple[bytes, ...]
    clock: Clock

    def read(self, incident: Incident, actor: Actor, limit: int) -> list[Opened]:
        """Return the transcripts of an incident; that they were read stands in the audit chain first."""
        found = self.store.read(incident, actor, self.clock.now_us(), limit)
        return [open_transcript(record, self.keys) for record in found]

    def erase(self, incident: Incident, actor: Actor, reason: str) -> int:
        """Erase the transcripts of an incident, on record; nothing more is kept of its alerts afterwards."""
        return self.store.erase(incident, actor, reason, self.clock.now_us())

    def sweep(self) -> None:
        """Delete transcripts that are over."""
        self.store.expire(self.clock.now_us(), SWEEP_ROWS)


def context_of(one: Accused | TranscriptRecord) -> bytes:
    """Return what values are bound to: they are no other alert's and no other principal's."""
    return f"{one.version_id}\0{one.alert_id}\0{one.principal}".encode()
