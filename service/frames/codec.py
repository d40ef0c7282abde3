"""The log's format: one version byte, then one MessagePack array whose buffers lie in the message as they are."""

from collections.abc import Sequence
from math import prod
from typing import Any, TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from service.frames.model import INVALID, Coded, Frame, FrameError, Texts

FORMAT = b"\x01"
PSEUDONYM_BYTES = 16
_CODE_TYPES: dict[int, np.dtype[Any]] = {size: np.dtype(f"<u{size}") for size in (1, 2, 4)}
_FLOAT_TYPES: dict[int, np.dtype[Any]] = {size: np.dtype(f"<f{size}") for size in (4, 8)}
_FLOAT32 = _FLOAT_TYPES[4]
_MICROS = np.dtype("<i8")
_OFFSETS = np.dtype("<i4")
NAMES_MAX = 1024
NAMES_BYTES_MAX = 64 * 1024
"""So many lists of names are remembered, of so many bytes each at most."""
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


class _Attributed(_Columns):
    principals: tuple[bytes, int, memoryview] | None


class _Printed(_Attributed):
    event_ids: msgspec.Raw
    timestamps: msgspec.Raw
    segments: msgspec.Raw
    attributions: msgspec.Raw
    fingerprints: bytes


class _Named(_Columns):
    principals: msgspec.Raw
    event_ids: tuple[str | None, ...] | None
    timestamps: msgspec.Raw
    segments: msgspec.Raw
    attributions: msgspec.Raw
    fingerprints: msgspec.Raw
    id_texts: tuple[memoryview, memoryview] | None = None


class _Segmented(_Columns):
    principals: msgspec.Raw
    event_ids: msgspec.Raw
    timestamps: msgspec.Raw
    segments: tuple[tuple[str, ...], _WireCoded] | None


class _Wire(_Columns, forbid_unknown_fields=True):
    principals: tuple[bytes, int, memoryview] | None
    event_ids: tuple[str | None, ...] | None
    timestamps: memoryview | None
    segments: tuple[tuple[str, ...], _WireCoded] | None
    attributions: dict[str, memoryview]
    fingerprints: bytes
    id_texts: tuple[memoryview, memoryview] | None = None
    """Event ids where every event has one and they came as one text: offsets and bytes. Then ``event_ids`` is null."""


_W = TypeVar("_W", bound=_Columns)
_K = TypeVar("_K")
_V = TypeVar("_V")
_Names = tuple[tuple[str, ...], tuple[str, ...]]
_encoder = msgspec.msgpack.Encoder()
_wire_decoder = msgspec.msgpack.Decoder(_Wire)
_columns_decoder = msgspec.msgpack.Decoder(_Columns)
_attributed_decoder = msgspec.msgpack.Decoder(_Attributed)
_printed_decoder = msgspec.msgpack.Decoder(_Printed)
_named_decoder = msgspec.msgpack.Decoder(_Named)
_segmented_decoder = msgspec.msgpack.Decoder(_Segmented)
_names_decoder = msgspec.msgpack.Decoder(_Names)


# The same few name lists come with every frame; packing them anew would be half the cost of a frame of one row.
_packed: dict[_Names, bytes] = {}
_unpacked: dict[bytes, _Names] = {}


def _pack_names(numeric: tuple[str, ...], categorical: tuple[str, ...]) -> bytes:
    names = numeric, categorical
    packed = _packed.get(names)
    if packed is None:
        packed = _encoder.encode(names)
        _remember(_packed, names, packed, len(packed))
    return packed


def _unpack_names(packed: bytes) -> _Names:
    names = _unpacked.get(packed)
    if names is None:
        names = _names_decoder.decode(packed)
        _remember(_unpacked, packed, names, len(packed))
    return names


def _remember(known: dict[_K, _V], key: _K, value: _V, size: int) -> None:
    """Remember names, within bounds: clients may send probabilities of classes with long names of their own."""
    if size <= NAMES_BYTES_MAX:
        if len(known) >= NAMES_MAX:
            known.clear()
        known[key] = value


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
        None if isinstance(frame.event_ids, Texts) else frame.event_ids,
        None if timestamps is None else _buffer(timestamps, _MICROS),
        (tuple(segments), _pack_coded(tuple(segments.values()), rows)) if segments else None,
        {name: _vector(name, values, rows) for name, values in frame.attributions.items()},
        frame.fingerprints,
        _pack_texts(frame.event_ids) if isinstance(frame.event_ids, Texts) else None,
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
        event_ids=wire.event_ids if wire.id_texts is None else _unpack_texts(*wire.id_texts, rows),
        timestamps_us=None if wire.timestamps is None else _view("timestamps", wire.timestamps, _MICROS, (rows,)),
        segments={} if wire.segments is None else _unpack_segments(*wire.segments, rows),
        attributions={name: _view(name, buffer, _FLOAT32, (rows,)) for name, buffer in wire.attributions.items()},
        fingerprints=wire.fingerprints,
    )


def decode_columns(body: bytes | memoryview, segment: str | None = None) -> Frame:
    """Return the frame without what nobody counts: principals, ids, times, attributions, fingerprints, segments.

    They are skipped unread, which halves the cost of a frame. Only the ``segment`` of this name is kept, when one is
    named and the frame has it. Raises as ``decode_frame``, for what it reads.
    """
    if segment is None:
        wire, segments = _decode(body, _columns_decoder), {}
    else:
        segmented = _decode(body, _segmented_decoder)
        wire, segments = segmented, _one_segment(segmented, segment)
    return _frame(
        wire,
        principals=None,
        event_ids=None,
        timestamps_us=None,
        segments=segments,
        attributions={},
        fingerprints=b"",
    )


def decode_attributed(body: bytes | memoryview) -> Frame:
    """Return the frame without what nobody counts, but with whose each event is. Raises as ``decode_frame``."""
    wire = _decode(body, _attributed_decoder)
    return _frame(
        wire,
        principals=None if wire.principals is None else _unpack_principals(wire.principals, wire.rows),
        event_ids=None,
        timestamps_us=None,
        segments={},
        attributions={},
        fingerprints=b"",
    )


def decode_printed(body: bytes | memoryview) -> Frame:
    """Return the frame as ``decode_attributed`` does, with the fingerprints of its events. Raises likewise."""
    wire = _decode(body, _printed_decoder)
    return _frame(
        wire,
        principals=None if wire.principals is None else _unpack_principals(wire.principals, wire.rows),
        event_ids=None,
        timestamps_us=None,
        segments={},
        attributions={},
        fingerprints=wire.fingerprints,
    )


def decode_named(body: bytes | memoryview) -> Frame | None:
    """Return the frame without what nobody counts, but with the ids of its events as one text; ``None`` without any.

    Raises as ``decode_frame``, for what it reads.
    """
    wire = _decode(body, _named_decoder)
    if wire.id_texts is not None:
        texts = Texts(_offsets(*wire.id_texts, wire.rows), wire.id_texts[1])
    elif wire.event_ids is not None and any(wire.event_ids):
        _demand(len(wire.event_ids) == wire.rows, "event_ids", "one per row")
        texts = texts_of(["" if each is None else each for each in wire.event_ids])
    else:
        return None
    return _frame(
        wire,
        principals=None,
        event_ids=texts,
        timestamps_us=None,
        segments={},
        attributions={},
        fingerprints=b"",
    )


def texts_of(texts: Sequence[str]) -> Texts:
    """Return texts as one."""
    encoded = [text.encode("utf-8", "surrogatepass") for text in texts]
    ends = np.zeros(len(encoded) + 1, _OFFSETS)
    np.cumsum([len(each) for each in encoded], out=ends[1:])
    return Texts(ends, b"".join(encoded))


def _one_segment(wire: _Segmented, name: str) -> dict[str, Coded]:
    if wire.segments is None:
        return {}
    found = _unpack_segments(*wire.segments, wire.rows)
    return {name: found[name]} if name in found else {}


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


def _pack_texts(texts: Texts) -> tuple[memoryview, memoryview]:
    return _buffer(texts.offsets, _OFFSETS), memoryview(texts.data)


def _offsets(offsets: memoryview, data: memoryview, rows: int) -> NDArray[np.int32]:
    ends: NDArray[np.int32] = _view("event_ids", offsets, _OFFSETS, (rows + 1,))
    _demand(ends[0] == 0 and ends[-1] == len(data) and bool((ends[1:] >= ends[:-1]).all()), "event_ids", "in order")
    return ends


def _unpack_texts(offsets: memoryview, data: memoryview, rows: int) -> tuple[str, ...]:
    try:
        return tuple(Texts(_offsets(offsets, data, rows), data))
    except UnicodeDecodeError as error:
        raise FrameError(f"event_ids: {error}") from None


def _pack_principals(principals: Coded, rows: int) -> tuple[bytes, int, memoryview]:
    # The last check before the disk: whoever forgets to de-identify gets an error, not a stored name.
    joined = "".join(principals.labels)
    pseudonyms = {2 * PSEUDONYM_BYTES}.issuperset(map(len, principals.labels))
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
