"""A walk over the messages of an Arrow IPC stream, before anything is unfolded.

Buffers may be compressed one by one, each saying how large it will be; the sum has to stay within the limits. What
pyarrow verifies itself (offsets, types, text) is left to it.
"""

import struct
from collections.abc import Callable
from typing import NamedTuple

from service.domain.errors import BadRequest, Place, TooLarge
from service.ingest.limits import Limits

MESSAGES_MAX = 10_000
_AN_ARROW_FILE = "an Arrow file; a stream is needed, as application/vnd.apache.arrow.stream says"
_CONTINUATION = 0xFFFFFFFF
_DICTIONARY, _RECORDS = 2, 3
"""Members of the union MessageHeader in Arrow's Message.fbs."""
_TYPE, _HEADER, _BODY_LENGTH = 1, 2, 3
"""Fields of the table Message, by their place in it."""
_DICTIONARY_DATA = 1
_LENGTH, _BUFFERS, _COMPRESSION = 0, 2, 3
"""Fields of the table RecordBatch."""
_BUFFER_BYTES = 16
"""Of the struct Buffer: offset and length, 64 bits each."""


_u8, _u16, _u32, _i32, _i64 = (struct.Struct(form).unpack_from for form in ("<B", "<H", "<I", "<i", "<q"))
_Number = Callable[[memoryview, int], tuple[int]]
_SLOTS_MAX = 8
_SLOTS = tuple(struct.Struct(f"<{count}H").unpack_from for count in range(_SLOTS_MAX + 1))
"""Readers of the offsets of a table's fields; the fields that are asked for are among the first."""
_Unreadable = struct.error
"""A place beyond the end. A negative one would count from there, so what is no sum of unsigned numbers is checked."""


class _Malformed(Exception):
    """The metadata is not a message."""


class _Table:
    """A FlatBuffers table: its bytes, where it starts in them, and where its fields are."""

    __slots__ = ("at", "data", "slots")

    def __init__(self, data: memoryview, at: int) -> None:
        self.data, self.at = data, at
        vtable = at - _i32(data, at)[0]
        if vtable < 0:
            raise _Malformed
        count = _u16(data, vtable)[0] // 2 - 2
        self.slots: tuple[int, ...] = _SLOTS[min(max(count, 0), _SLOTS_MAX)](data, vtable + 4)

    def number(self, field: int, read: _Number) -> int:
        """Return a field, 0 when it is not there."""
        slots = self.slots
        offset = slots[field] if field < len(slots) else 0
        return read(self.data, self.at + offset)[0] if offset else 0

    def place(self, field: int) -> int | None:
        """Return where a field's table or vector starts."""
        slots = self.slots
        offset = slots[field] if field < len(slots) else 0
        if not offset:
            return None
        place = self.at + offset
        ahead: int = _u32(self.data, place)[0]
        return place + ahead

    def table(self, field: int) -> "_Table | None":
        place = self.place(field)
        return None if place is None else _Table(self.data, place)

    def vector(self, field: int) -> tuple[int, int]:
        """Return where the elements start, and how many there are."""
        start = self.place(field)
        return (0, 0) if start is None else (start + 4, _u32(self.data, start)[0])


def check_stream(content: bytes, limits: Limits, rows_max: int) -> int:
    """Refuse a stream with more rows, messages or unfolded bytes than the limits allow.

    Returns where its first message ends, which holds the schema.

    Raises
    ------
    BadRequest
        If the framing is not that of an Arrow IPC stream; the detail names the byte.
    TooLarge
        Naming the limit.
    """
    view, at = memoryview(content), 0
    head = rows = unfolded = 0
    for _ in range(MESSAGES_MAX):
        try:
            message = _read(view, at)
        except (_Malformed, _Unreadable):
            place = Place(f"byte {at}", _AN_ARROW_FILE if content.startswith(b"ARROW1") else "not an Arrow message")
            raise BadRequest(f"the body is not an Arrow IPC stream at byte {at}", places=[place]) from None
        if message is None:
            return head
        at = message.end
        head = head or at
        rows += message.rows
        unfolded += message.unfolded
        if rows > rows_max:
            reason = f"more than {rows_max} rows (limit {limits.rows_setting}: {limits.rows_max})"
            raise TooLarge(reason, places=[Place("events", reason)])
        if unfolded > limits.decompressed_bytes_max:
            most = f"{limits.decompressed_bytes_max} bytes (limit {limits.bytes_setting})"
            raise TooLarge(f"the Arrow buffers unfold to more than {most}")
    raise TooLarge(f"the Arrow IPC stream has more than {MESSAGES_MAX} messages")


class _Message(NamedTuple):
    """What one message holds, and where it ends."""

    end: int
    rows: int
    unfolded: int


def _read(view: memoryview, at: int) -> _Message | None:
    """Return the message that starts at a byte; ``None`` at the end of the stream."""
    start, size = _frame(view, at)
    if not size:
        return None
    header, kind, length = _message(view[start : start + size])
    end = start + size + length
    if length < 0 or end > len(view):
        raise _Malformed
    if header is None:
        return _Message(end, 0, 0)
    rows = header.number(_LENGTH, _i64) if kind == _RECORDS else 0
    if rows < 0:
        raise _Malformed
    return _Message(end, rows, _unfolded(header, view[start + size : end]))


def _frame(view: memoryview, at: int) -> tuple[int, int]:
    """Return where the metadata of the message at a byte starts and its size; size 0 at the end of the stream."""
    if at == len(view) and at:
        return at, 0
    size = _u32(view, at)[0]
    at += 4
    if size == _CONTINUATION:
        size = _u32(view, at)[0]
        at += 4
    if at + size > len(view):
        raise _Malformed
    return at, size


def _message(metadata: memoryview) -> tuple[_Table | None, int, int]:
    """Return the record batch of a message if it holds one, its kind, and the length of its body."""
    message = _Table(metadata, _u32(metadata, 0)[0])
    kind = message.number(_TYPE, _u8)
    header = message.table(_HEADER)
    if header is not None and kind == _DICTIONARY:
        header = header.table(_DICTIONARY_DATA)
    elif kind != _RECORDS:
        header = None
    return header, kind, message.number(_BODY_LENGTH, _i64)


def _unfolded(batch: _Table, body: memoryview) -> int:
    """Return how many bytes the buffers of a batch say they hold."""
    if batch.table(_COMPRESSION) is None:
        return len(body)
    start, count = batch.vector(_BUFFERS)
    total = 0
    for i in range(count):
        place = start + i * _BUFFER_BYTES
        offset, length = _i64(batch.data, place)[0], _i64(batch.data, place + 8)[0]
        if length > 0:
            declared = _declared(body, offset)
            total += length if declared < 0 else declared
    return total


def _declared(body: memoryview, offset: int) -> int:
    """Return how long a compressed buffer says it will be."""
    if offset < 0:
        raise _Malformed
    length: int = _i64(body, offset)[0]
    return length
