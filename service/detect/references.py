"""What is normal: for all events together, and for each segment that had a reference of its own.

Without segments the bytes are those of the baseline alone. With them they are ``LZSEGM01`` and one MessagePack array:
the column, the segments, and the baseline of all events. Where single principals are followed, ``LZPRIN01`` and one
more array stand around that: those bytes, and what principals are measured with. Where single requests are looked at,
``LZREQS01`` and one more array stand around all of that: those bytes, and what requests are measured with. Where the
reference had labels, ``LZPERF01`` and one more array: those bytes, and the sums of what its answers were worth. Where
its class probabilities are shares of one, ``LZSHAR01`` stands before all of that.
"""

import hashlib
from dataclasses import dataclass, replace

import msgspec

from detectors.baseline import Baseline
from detectors.baseline.codec import MAGIC as BASELINE_MAGIC
from detectors.errors import BaselineError, StateError
from detectors.performance import Sums
from service.detect.outcome_bytes import StoredSums, stored_of, sums_of
from service.detect.request_bytes import from_bytes as requests_from_bytes
from service.detect.request_bytes import to_bytes as requests_to_bytes
from service.detect.request_measure import RequestMeasure
from service.detect.yardsticks import Measure
from service.detect.yardsticks import from_bytes as measure_from_bytes
from service.detect.yardsticks import to_bytes as measure_to_bytes
from service.domain.policy import SEGMENTS_MAX

MAGIC = b"LZSEGM01"
FOLLOWED_MAGIC = b"LZPRIN01"
REQUESTS_MAGIC = b"LZREQS01"
PERFORMANCE_MAGIC = b"LZPERF01"
SHARES_MAGIC = b"LZSHAR01"
MAGICS = (BASELINE_MAGIC, MAGIC, FOLLOWED_MAGIC, REQUESTS_MAGIC, PERFORMANCE_MAGIC, SHARES_MAGIC)
"""What an artefact may begin with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentReference:
    """What is normal in one segment."""

    value: str
    rows: int
    """Of the reference."""
    baseline: Baseline | None
    lacking: str = ""
    """Why there is no baseline, in a sentence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class References:
    """A baseline, and those of segments."""

    whole: Baseline
    column: str | None = None
    """That tells the segments apart."""
    segments: tuple[SegmentReference, ...] = ()
    measure: Measure | None = None
    """What single principals are measured with."""
    requests: RequestMeasure | None = None
    """What single requests are measured with."""
    performance: Sums | None = None
    """What its answers were worth."""
    shares: bool = False
    """Whether class probabilities add up to one, so that those which do not are none."""

    def of(self, column: str, value: str) -> SegmentReference | None:
        """Return the reference of a segment; ``None`` when none was made."""
        return next((each for each in self.segments if (self.column, each.value) == (column, value)), None)


class _Stored(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    column: str
    segments: list[tuple[str, int, str, bytes]]
    whole: bytes


def to_bytes(references: References) -> bytes:
    """Return the artefact; the same references give the same bytes."""
    return SHARES_MAGIC + _labelled(references) if references.shares else _labelled(references)


def _labelled(references: References) -> bytes:
    inner = _looked_at(references)
    if references.performance is None:
        return inner
    sums = msgspec.msgpack.encode(stored_of(references.performance))
    return PERFORMANCE_MAGIC + msgspec.msgpack.encode((inner, sums))


def _looked_at(references: References) -> bytes:
    followed = _followed(references)
    if references.requests is None:
        return followed
    return REQUESTS_MAGIC + msgspec.msgpack.encode((followed, requests_to_bytes(references.requests)))


def _followed(references: References) -> bytes:
    inner = _inner(references)
    if references.measure is None:
        return inner
    return FOLLOWED_MAGIC + msgspec.msgpack.encode((inner, measure_to_bytes(references.measure)))


def _inner(references: References) -> bytes:
    whole = references.whole.to_bytes()
    if references.column is None:
        return whole
    segments = [
        (own.value, own.rows, own.lacking, b"" if own.baseline is None else own.baseline.to_bytes())
        for own in references.segments
    ]
    return MAGIC + msgspec.msgpack.encode(_Stored(references.column, segments, whole))


def digest_of(artefact: bytes) -> str:
    """Return the digest of an artefact, 64 hex digits."""
    return hashlib.sha256(artefact).hexdigest()


def from_bytes(artefact: bytes) -> References:
    """Read an artefact.

    Raises
    ------
    BaselineError
        When the bytes are none.
    """
    if artefact.startswith(SHARES_MAGIC):
        return replace(_from_labelled(artefact[len(SHARES_MAGIC) :]), shares=True)
    return _from_labelled(artefact)


def _from_labelled(artefact: bytes) -> References:
    if not artefact.startswith(PERFORMANCE_MAGIC):
        return _from_looked_at(artefact)
    inner, content = _pair(artefact, PERFORMANCE_MAGIC, "labels")
    try:
        sums = sums_of(msgspec.msgpack.decode(content, type=StoredSums))
    except (msgspec.MsgspecError, UnicodeDecodeError, StateError) as error:
        raise BaselineError(f"not a baseline with labels: {error}") from error
    return replace(_from_looked_at(inner), performance=sums)


def _from_looked_at(artefact: bytes) -> References:
    if artefact.startswith(REQUESTS_MAGIC):
        inner, measure = _pair(artefact, REQUESTS_MAGIC, "requests")
        return replace(_from_followed(inner), requests=requests_from_bytes(measure))
    return _from_followed(artefact)


def _from_followed(artefact: bytes) -> References:
    if artefact.startswith(FOLLOWED_MAGIC):
        inner, measure = _pair(artefact, FOLLOWED_MAGIC, "principals")
        return replace(_from_inner(inner), measure=measure_from_bytes(measure))
    return _from_inner(artefact)


def _pair(artefact: bytes, magic: bytes, what: str) -> tuple[bytes, bytes]:
    try:
        return msgspec.msgpack.decode(memoryview(artefact)[len(magic) :], type=tuple[bytes, bytes])
    except msgspec.MsgspecError as error:
        raise BaselineError(f"not a baseline with {what}: {error}") from error


def _from_inner(artefact: bytes) -> References:
    if not artefact.startswith(MAGIC):
        return References(whole=Baseline.from_bytes(artefact))
    try:
        stored = msgspec.msgpack.decode(memoryview(artefact)[len(MAGIC) :], type=_Stored)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise BaselineError(f"not a baseline with segments: {error}") from error
    if len(stored.segments) > SEGMENTS_MAX:
        raise BaselineError(f"{len(stored.segments)} segments; at most {SEGMENTS_MAX} are read")
    segments = tuple(
        SegmentReference(value=value, rows=rows, baseline=Baseline.from_bytes(data) if data else None, lacking=lacking)
        for value, rows, lacking, data in stored.segments
    )
    return References(whole=Baseline.from_bytes(stored.whole), column=stored.column, segments=segments)
