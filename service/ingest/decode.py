"""Bytes of a request to a frame: the whole of decoding, in order."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from service.domain.errors import Place, TooLarge
from service.domain.schema import Schema
from service.frames import INVALID, Frame
from service.ingest import lenient
from service.ingest.few import Few, FewDecoder
from service.ingest.guard import check_nesting
from service.ingest.inflate import inflate
from service.ingest.layout import Layout
from service.ingest.limits import Limits
from service.ingest.lists import CHECKED, TYPED, Lists, framing
from service.ingest.media import EVENTS, Format, format_of
from service.ingest.steps import Steps, run
from service.ingest.typed import TypedDecoder
from service.ingest.unknown import UnknownFields, with_unknown


@dataclass(frozen=True, slots=True)
class Raw:
    """A body as it came."""

    body: bytes
    content_type: str | None
    content_encoding: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Decoded:
    """What a body held."""

    frame: Frame
    rejected: int
    """Events whose envelope was bad; they are not in the frame."""
    errors: tuple[Place, ...]
    """Where, for as many of them as one answer names."""
    content: bytes
    """The decompressed body, which an idempotency key stands for."""

    @property
    def invalid(self) -> dict[str, int]:
        """Per column, how many values are in the frame as *invalid*; columns without any are left out."""
        return count_invalid(self.frame)


class EventDecoder:
    """Turns the telemetry of one schema into frames.

    Parameters
    ----------
    schema : Schema
        Of the version; compiled once, so keep the decoder.
    limits : Limits
        What a body may hold.
    """

    def __init__(self, schema: Schema, limits: Limits) -> None:
        self._layout = Layout(schema, limits)
        self._exact = TypedDecoder(self._layout, exact=True)
        self._tolerant = TypedDecoder(self._layout, exact=False)
        self._unknown = UnknownFields(self._layout, self._exact)
        self._few = FewDecoder(self._layout, self._exact)

    def decode(self, raw: Raw) -> Decoded:
        """Decode a body.

        Raises
        ------
        UnsupportedMedia
            For a content type or encoding that is not supported.
        BadRequest
            If the body cannot be parsed or decompressed; the detail names the byte.
        TooLarge
            Over a limit; the detail names it.
        Unprocessable
            If the envelope is wrong or no event is acceptable; every bad place is named.
        """
        return run(self.decoding(raw))

    def decoding(self, raw: Raw) -> Steps[Decoded]:
        """Decode a body step by step, as ``decode`` does at once; a step of a large one takes half a millisecond."""
        kind = format_of(raw.content_type, EVENTS)
        content = open_body(raw, self._layout.limits)
        if kind is Format.ARROW_STREAM:
            from service.ingest.arrow import read_stream

            frame, refused = read_stream(content, self._layout)
            return _decoded(frame, content, rejected=len(refused.rows), errors=refused.places)
        lines = kind is Format.NDJSON
        lists = yield from self._typed(content, lines=lines)
        if lists is not None:
            yield
            frame = yield from framing(self._layout, lists, TYPED)
            frame = with_unknown(frame, lists.unknown, self._layout)
            if _times_are_good(frame, lists.timestamps):
                return Decoded(frame=frame, rejected=0, errors=(), content=content)
        yield
        read = lenient.read_lines if lines else lenient.read_json
        lists, refused = read(content, self._layout)
        yield
        frame = yield from framing(self._layout, lists, CHECKED)
        frame = with_unknown(frame, lists.unknown, self._layout)
        return _decoded(frame, content, rejected=len(refused.rows), errors=refused.places)

    def few(self, raw: Raw) -> Few | None:
        """Return the events of a small, clean, plain JSON body; ``None`` for any other: ``decode`` has to read it."""
        if raw.content_encoding is not None or format_of(raw.content_type, EVENTS) is not Format.JSON:
            return None
        return self._few.decode(raw.body)

    def join(self, requests: Sequence[Few]) -> Frame | None:
        """Return one frame of the events of several requests, which ``few`` gave and which are of one make."""
        return self._few.join(requests)

    def _typed(self, content: bytes, *, lines: bool) -> Steps[Lists | None]:
        layout = self._layout
        # Structs have room for every feature, sent or not, and an event takes two braces: where they might not fit,
        # the reader that counts first has to look.
        most = layout.limits.cells_max // max(1, layout.width)
        if len(content) > 8 * most and content.count(b"{") > 2 * most:
            return None
        typed = self._exact
        parsed = typed.parse_lines(content) if lines else typed.parse(content)
        if parsed is None:
            yield
            # Most often a field that the schema does not know; telling its depth is cheap next to reading all twice.
            check_nesting(content, layout.limits)
            typed = self._tolerant
            parsed = typed.parse_lines(content) if lines else typed.parse(content)
        if parsed is None:
            return None
        yield
        lists = yield from typed.listing(parsed)
        if lists is not None and typed is self._tolerant:
            lists.unknown = (*self._unknown.of(content, lines=lines), *lists.unknown)
        return lists


def open_body(raw: Raw, limits: Limits) -> bytes:
    """Return the decompressed body, within the limits.

    Raises
    ------
    TooLarge, BadRequest, UnsupportedMedia
        As ``inflate``; and for a body over its own limit.
    """
    if len(raw.body) > limits.body_bytes_max:
        raise TooLarge(f"the body has {len(raw.body)} bytes; limit body_bytes_max: {limits.body_bytes_max}")
    return inflate(raw.body, raw.content_encoding, limits)


def _times_are_good(frame: Frame, times: Sequence[object]) -> bool:
    # The typed decoder takes times before 1970, which the lenient one refuses by name.
    if frame.timestamps_us is None or frame.timestamps_us.min() >= 0:
        return True
    return int(np.count_nonzero(frame.timestamps_us < 0)) == sum(time is None for time in times)


def _decoded(frame: Frame, content: bytes, *, rejected: int = 0, errors: Sequence[Place] = ()) -> Decoded:
    return Decoded(frame=frame, rejected=rejected, errors=tuple(errors), content=content)


def count_invalid(frame: Frame) -> dict[str, int]:
    """Count the invalid values per column; columns without any are left out."""
    counts = dict(zip(frame.numeric_names, np.isinf(frame.numeric).sum(axis=1).tolist(), strict=True))
    for name, column in zip(frame.categorical_names, frame.categorical, strict=True):
        counts[name] = int(np.count_nonzero(column.codes == INVALID))
    for name, vectors in frame.embeddings.items():
        counts[name] = int(np.count_nonzero(np.isinf(vectors[:, 0])))
    return {name: count for name, count in counts.items() if count}
