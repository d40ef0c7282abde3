"""A request's events as the log keeps them: decoded, without what identifies people, encoded."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field

from service.domain.errors import Place
from service.domain.ids import VersionId
from service.domain.records import Version
from service.domain.schema import Schema
from service.frames import encode_frame
from service.ingest.decode import EventDecoder, Raw
from service.ingest.deidentify import Deidentifier
from service.ingest.few import Few
from service.ingest.limits import Limits
from service.ingest.steps import Steps, run

PREPARERS_MAX = 1024


@dataclass(frozen=True, slots=True)
class Prepared:
    """What goes into one entry."""

    rows: int
    rejected: int
    errors: tuple[Place, ...]
    body: bytes
    digest: bytes


@dataclass(frozen=True, slots=True)
class Preparer:
    """Prepares the requests of one version.

    Parameters
    ----------
    schema : Schema
        Of the version.
    decoder : EventDecoder
        Compiled from it.
    deidentifier : Deidentifier
        Takes away what identifies people.
    """

    schema: Schema
    decoder: EventDecoder
    deidentifier: Deidentifier

    def prepare(self, raw: Raw, idempotency_key: str | None) -> Prepared:
        """Decode, de-identify and encode a body. Raises as ``EventDecoder.decode``."""
        return run(self.preparing(raw, idempotency_key))

    def preparing(self, raw: Raw, idempotency_key: str | None) -> Steps[Prepared]:
        """Do the same step by step."""
        decoded = yield from self.decoder.decoding(raw)
        yield
        frame = self.deidentifier.apply(self.schema, decoded.frame)
        digest = digest_of(decoded.content, idempotency_key)
        yield
        return Prepared(frame.rows, decoded.rejected, decoded.errors, encode_frame(frame), digest)

    def few(self, raw: Raw) -> Few | None:
        """Return the events of a body that may share an entry with others, or ``None``: then ``prepare`` it."""
        return self.decoder.few(raw)

    def join(self, requests: Sequence[Few]) -> bytes | None:
        """De-identify and encode the events of several requests as one; ``None`` if they cannot be joined."""
        frame = self.decoder.join(requests)
        return None if frame is None else encode_frame(self.deidentifier.apply(self.schema, frame))


@dataclass
class Preparers:
    """One preparer for each version in use, compiled at the first use. A version's schema never changes."""

    limits: Limits
    deidentifier: Deidentifier
    _known: dict[VersionId, Preparer] = field(default_factory=dict)

    def of(self, version: Version) -> Preparer:
        """Return the preparer of a version."""
        preparer = self._known.get(version.id)
        if preparer is None:
            if len(self._known) >= PREPARERS_MAX:
                self._known.clear()
            decoder = EventDecoder(version.schema, self.limits)
            preparer = self._known[version.id] = Preparer(version.schema, decoder, self.deidentifier)
        return preparer


def digest_of(content: bytes, idempotency_key: str | None) -> bytes:
    """Return what tells a repetition from another request under the same key; without a key nobody will ask."""
    return b"" if idempotency_key is None else hashlib.sha256(content).digest()
