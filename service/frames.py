"""A batch as columns: what ingest produces, the log keeps, and detection counts.

Canonical values, so that every later stage has one rule:

* numeric: ``NaN`` is *missing*, ``+inf`` is *invalid* (non-finite, mistyped, not parseable); all else is finite.
* categorical: ``codes`` index ``labels``; -1 is *missing*, -2 is *invalid*. Labels are canonical text: booleans are
  ``true`` and ``false``, integral numbers have no fraction (``3``, never ``3.0``).
* embedding: one row per event; a row of NaN is *missing*, a row of +inf is *invalid*.

``numeric_names`` and ``categorical_names`` name what the batch carries. A feature of the schema is always carried; the
prediction, probabilities and latency only when the batch sent them at least once, so leaving out what is optional is
not counted as missing.

``encode_frame`` and ``decode_frame`` are the log's format: one version byte, then one MessagePack array whose buffers
are little-endian and lie in the message as they are. Decoded numbers are read-only views of the given bytes.
"""

from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate, chain
from math import prod
from typing import Any, TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray

MISSING = -1
INVALID = -2


@dataclass(frozen=True, slots=True)
class Coded:
    """A categorical column: ``labels[codes]``, with ``MISSING`` and ``INVALID`` for the special values."""

    labels: tuple[str, ...]
    codes: NDArray[np.int32]


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """The columns of one batch."""

    rows: int
    numeric_names: tuple[str, ...]
    numeric: NDArray[np.float32] | NDArray[np.float64]
    """Shape (len(numeric_names), rows); float32 only when every source column was float32."""
    categorical_names: tuple[str, ...]
    categorical: tuple[Coded, ...]
    embeddings: dict[str, NDArray[np.float32]]
    """Shape (rows, dimension) each."""
    principals: Coded | None
    """Keyed pseudonyms once de-identified."""
    event_ids: tuple[str | None, ...] | None
    timestamps_us: NDArray[np.int64] | None
    """Event time, claimed by the client; -1 is missing or invalid. Never used for ticks."""
    segments: dict[str, Coded]
    attributions: dict[str, NDArray[np.float32]]
    fingerprints: bytes
    """Opaque in this version: the JSON or Arrow values as msgpack; empty when none was sent."""


class FrameError(ValueError):
    """Bytes that are not a frame of this version, or a frame that must not be stored as it is."""


FORMAT = b"\x01"
PSEUDONYM_BYTES = 16
_CODE_TYPES: dict[int, np.dtype[Any]] = {size: np.dtype(f"<u{size}") for size in (1, 2, 4)}
_FLOAT_TYPES: dict[int, np.dtype[Any]] = {size: np.dtype(f"<f{size}") for size in (4, 8)}
_FLOAT32 = _FLOAT_TYPES[4]
_MICROS = np.dtype("<i8")
_SPECIALS = -INVALID
"""Codes are stored shifted by this, so that the special values fit an unsigned type."""

_WireCoded = tuple[tuple[tuple[str, ...], ...], int, memoryview]
"""Labels of each column, bytes per code, codes of all columns one after the other."""


class _Columns(msgspec.Struct, array_like=True, gc=False):
    rows: int
    names: bytes
    number_bytes: int
    numeric: memoryview
    categorical: _WireCoded
    embeddings: dict[str, tuple[int, memoryview]]


class _Wire(_Columns, forbid_unknown_fields=True):
    principals: tuple[bytes, int, memoryview] | None
    event_ids: tuple[str | None, ...] | None
    timestamps: memoryview | None
    segments: tuple[tuple[str, ...], _WireCoded] | None
    attributions: dict[str, memoryview]
    fingerprints: bytes


_W = TypeVar("_W", bound=_Columns)
_Names = tuple[tuple[str, ...], tuple[str, ...]]
_encoder = msgspec.msgpack.Encoder()
_wire_decoder = msgspec.msgpack.Decoder(_Wire)
_columns_decoder = msgspec.msgpack.Decoder(_Columns)
_names_decoder = msgspec.msgpack.Decoder(_Names)
_fingerprints_decoder = msgspec.msgpack.Decoder(list[msgspec.Raw])


@lru_cache(maxsize=1024)
def _pack_names(numeric: tuple[str, ...], categorical: tuple[str, ...]) -> bytes:
    # The same few name lists come with every frame; packing them anew would be half the cost of a frame of one row.
    return _encoder.encode((numeric, categorical))


@lru_cache(maxsize=1024)
def _unpack_names(packed: bytes) -> _Names:
    names: _Names = _names_decoder.decode(packed)
    return names


def encode_frame(frame: Frame) -> bytes:
    """Return the bytes that the log keeps.

    Raises
    ------
    FrameError
        If a column has not one value per row, or the principals are not pseudonyms of 16 bytes in hexadecimal.
    """
    rows = frame.rows
    numeric = frame.numeric
    _demand(numeric.shape == (len(frame.numeric_names), rows), "numeric", "one row of numbers per name")
    timestamps = frame.timestamps_us
    _demand(timestamps is None or timestamps.shape == (rows,), "timestamps_us", "one per row")
    _demand(frame.event_ids is None or len(frame.event_ids) == rows, "event_ids", "one per row")
    segments = frame.segments
    wire = _Wire(
        rows,
        _pack_names(frame.numeric_names, frame.categorical_names),
        numeric.dtype.itemsize,
        _buffer(numeric, _FLOAT_TYPES[numeric.dtype.itemsize]),
        _pack_coded(frame.categorical, rows),
        {name: _matrix(name, values, rows) for name, values in frame.embeddings.items()},
        None if frame.principals is None else _pack_principals(frame.principals, rows),
        frame.event_ids,
        None if timestamps is None else _buffer(timestamps, _MICROS),
        (tuple(segments), _pack_coded(tuple(segments.values()), rows)) if segments else None,
        {name: _vector(name, values, rows) for name, values in frame.attributions.items()},
        frame.fingerprints,
    )
    return FORMAT + _encoder.encode(wire)


def decode_frame(body: bytes | memoryview) -> Frame:
    """Return the frame that ``encode_frame`` wrote.

    Raises
    ------
    FrameError
        If the bytes are no frame of this version: another format, cut short, or with columns of unequal length.
    """
    wire = _decode(body, _wire_decoder)
    rows = wire.rows
    _demand(wire.event_ids is None or len(wire.event_ids) == rows, "event_ids", "one per row")
    return _frame(
        wire,
        principals=None if wire.principals is None else _unpack_principals(wire.principals, rows),
        event_ids=wire.event_ids,
        timestamps_us=None if wire.timestamps is None else _view("timestamps", wire.timestamps, _MICROS, (rows,)),
        segments={} if wire.segments is None else _unpack_segments(*wire.segments, rows),
        attributions={name: _view(name, buffer, _FLOAT32, (rows,)) for name, buffer in wire.attributions.items()},
        fingerprints=wire.fingerprints,
    )


def decode_columns(body: bytes | memoryview) -> Frame:
    """Return the frame without what nobody counts: principals, ids, times, segments, attributions, fingerprints.

    They are skipped unread, which halves the cost of a frame. Raises as ``decode_frame``, for what it reads.
    """
    return _frame(
        _decode(body, _columns_decoder),
        principals=None,
        event_ids=None,
        timestamps_us=None,
        segments={},
        attributions={},
        fingerprints=b"",
    )


def _decode(body: bytes | memoryview, decoder: msgspec.msgpack.Decoder[_W]) -> _W:
    if body[:1] != FORMAT:
        raise FrameError(f"format {body[:1].hex() or 'of no bytes'} is not {FORMAT.hex()}")
    try:
        return decoder.decode(memoryview(body)[1:])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise FrameError(f"not a frame: {error}") from None


def _frame(wire: _Columns, **rest: Any) -> Frame:
    """Return a frame of the wire's columns, and the rest as given."""
    try:
        numeric_names, categorical_names = _unpack_names(wire.names)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise FrameError(f"not a frame: {error}") from None
    rows = wire.rows
    _demand(rows >= 0, "rows", "not negative")
    _demand(wire.number_bytes in {4, 8}, "number_bytes", "4 or 8")
    return Frame(
        rows=rows,
        numeric_names=numeric_names,
        numeric=_view("numeric", wire.numeric, _FLOAT_TYPES[wire.number_bytes], (len(numeric_names), rows)),
        categorical_names=categorical_names,
        categorical=_unpack_coded("categorical", wire.categorical, len(categorical_names), rows),
        embeddings={
            name: _view(name, buffer, _FLOAT32, (rows, dimension))
            for name, (dimension, buffer) in wire.embeddings.items()
        },
        **rest,
    )


def _demand(holds: bool, what: str, rule: str) -> None:  # noqa: FBT001 - reads as the condition it is
    if not holds:
        raise FrameError(f"{what}: must be {rule}")


def _buffer(values: NDArray[Any], kind: np.dtype[Any]) -> memoryview:
    return np.ascontiguousarray(values, dtype=kind).reshape(-1).data.cast("B")


def _matrix(name: str, values: NDArray[np.float32], rows: int) -> tuple[int, memoryview]:
    _demand(values.ndim == 2 and values.shape[0] == rows, name, "one vector per row")  # noqa: PLR2004 - a matrix
    return values.shape[1], _buffer(values, _FLOAT32)


def _vector(name: str, values: NDArray[np.float32], rows: int) -> memoryview:
    _demand(values.shape == (rows,), name, "one number per row")
    return _buffer(values, _FLOAT32)


def _view(name: str, buffer: memoryview, kind: np.dtype[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    if len(buffer) != prod(shape) * kind.itemsize or min(shape) < 0:
        raise FrameError(f"{name}: {len(buffer)} bytes do not hold {shape} values of {kind.itemsize} bytes")
    return np.frombuffer(buffer, kind).reshape(shape)


def _pack_codes(codes: Sequence[NDArray[np.int32]], labels: int, rows: int) -> tuple[int, memoryview]:
    width = 1 if labels + _SPECIALS <= 1 << 8 else 2 if labels + _SPECIALS <= 1 << 16 else 4
    if not codes:
        return width, memoryview(b"")
    stacked = codes[0] if len(codes) == 1 else np.concatenate(codes)
    _demand(len(stacked) == rows * len(codes), "codes", "one per row")
    return width, _buffer(stacked + _SPECIALS, _CODE_TYPES[width])


def _unpack_codes(name: str, width: int, buffer: memoryview, labels: Sequence[int], rows: int) -> NDArray[np.int32]:
    _demand(width in _CODE_TYPES, name, "of 1, 2 or 4 bytes a code")
    shifted = _view(name, buffer, _CODE_TYPES[width], (len(labels), rows))
    if rows and labels:
        tops = shifted.max(axis=1).tolist()
        for top, count in zip(tops, labels, strict=True):
            _demand(top < count + _SPECIALS, name, "codes of its labels")
    codes: NDArray[np.int32] = shifted.astype(np.int32)
    codes -= _SPECIALS
    return codes


def _pack_coded(columns: Sequence[Coded], rows: int) -> _WireCoded:
    labels = tuple([column.labels for column in columns])
    return labels, *_pack_codes([column.codes for column in columns], max(map(len, labels), default=0), rows)


def _unpack_coded(name: str, packed: _WireCoded, columns: int, rows: int) -> tuple[Coded, ...]:
    labels, width, buffer = packed
    _demand(len(labels) == columns, name, "one list of labels per name")
    codes = _unpack_codes(name, width, buffer, [len(each) for each in labels], rows)
    return tuple([Coded(each, row) for each, row in zip(labels, codes, strict=True)])


def _unpack_segments(names: tuple[str, ...], packed: _WireCoded, rows: int) -> dict[str, Coded]:
    return dict(zip(names, _unpack_coded("segments", packed, len(names), rows), strict=True))


def _pack_principals(principals: Coded, rows: int) -> tuple[bytes, int, memoryview]:
    # The last check before the disk: whoever forgets to de-identify gets an error, not a stored name.
    joined = "".join(principals.labels)
    pseudonyms = all(len(label) == 2 * PSEUDONYM_BYTES for label in principals.labels)
    try:
        raw = bytes.fromhex(joined)
    except ValueError:
        raw = b""
    _demand(pseudonyms and raw.hex() == joined, "principals", "pseudonyms: de-identify the frame first")
    return raw, *_pack_codes([principals.codes], len(principals.labels), rows)


def _unpack_principals(packed: tuple[bytes, int, memoryview], rows: int) -> Coded:
    raw, width, buffer = packed
    _demand(len(raw) % PSEUDONYM_BYTES == 0, "principals", f"pseudonyms of {PSEUDONYM_BYTES} bytes")
    text, step = raw.hex(), 2 * PSEUDONYM_BYTES
    labels = tuple([text[start : start + step] for start in range(0, len(text), step)])
    return Coded(labels, _unpack_codes("principals", width, buffer, [len(labels)], rows)[0])


def concat_frames(frames: Sequence[Frame]) -> list[Frame]:
    """Join frames that carry the same things into one each, so that many small batches cost a few numpy calls.

    Groups come in the order of their first frame; rows keep the order of ``frames`` within their group.
    """
    groups: dict[Hashable, list[Frame]] = {}
    for frame in frames:
        groups.setdefault(_carried(frame), []).append(frame)
    return [group[0] if len(group) == 1 else _join(group) for group in groups.values()]


def _carried(frame: Frame) -> Hashable:
    return (
        frame.numeric_names,
        frame.categorical_names,
        frame.numeric.dtype,
        tuple([(name, values.shape[1]) for name, values in frame.embeddings.items()]) if frame.embeddings else (),
        frame.principals is None,
        frame.event_ids is None,
        frame.timestamps_us is None,
        tuple(frame.segments),
        tuple(frame.attributions),
        not frame.fingerprints,
    )


def _join(group: Sequence[Frame]) -> Frame:
    first = group[0]
    rows = [frame.rows for frame in group]
    return Frame(
        rows=sum(rows),
        numeric_names=first.numeric_names,
        numeric=np.concatenate([frame.numeric for frame in group], axis=1),
        categorical_names=first.categorical_names,
        categorical=tuple(
            [_join_coded(columns, rows) for columns in zip(*[frame.categorical for frame in group], strict=True)]
        ),
        embeddings=_join_each(group, lambda frame: frame.embeddings, np.concatenate),
        principals=_join_coded([frame.principals for frame in group if frame.principals is not None], rows)
        if first.principals is not None
        else None,
        event_ids=tuple(chain.from_iterable([frame.event_ids or () for frame in group]))
        if first.event_ids is not None
        else None,
        timestamps_us=np.concatenate([frame.timestamps_us for frame in group if frame.timestamps_us is not None])
        if first.timestamps_us is not None
        else None,
        segments=_join_each(group, lambda frame: frame.segments, lambda columns: _join_coded(columns, rows)),
        attributions=_join_each(group, lambda frame: frame.attributions, np.concatenate),
        fingerprints=_join_fingerprints([frame.fingerprints for frame in group]) if first.fingerprints else b"",
    )


def _join_each(
    group: Sequence[Frame], part: Callable[[Frame], dict[str, Any]], join: Callable[[list[Any]], Any]
) -> dict[str, Any]:
    return {name: join([part(frame)[name] for frame in group]) for name in part(group[0])}


def _join_coded(columns: Iterable[Coded], rows: Sequence[int]) -> Coded:
    columns = list(columns)
    flat = list(chain.from_iterable([column.labels for column in columns]))
    index = {label: code for code, label in enumerate(dict.fromkeys(flat))}
    # Old codes, made unique over all frames by an offset, look up their new code; special values look up themselves.
    table = np.fromiter(chain((INVALID, MISSING), map(index.__getitem__, flat)), np.int32, len(flat) + _SPECIALS)
    offsets = np.fromiter(accumulate([len(column.labels) for column in columns], initial=0), np.int32, len(columns) + 1)
    codes = np.concatenate([column.codes for column in columns])
    spread = np.repeat(offsets[:-1], rows)
    return Coded(tuple(index), table[np.where(codes < 0, codes, codes + spread) + _SPECIALS])


def _join_fingerprints(parts: Sequence[bytes]) -> bytes:
    return _encoder.encode(list(chain.from_iterable([_fingerprints_decoder.decode(part) for part in parts])))
