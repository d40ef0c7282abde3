"""A walk over the messages of an Arrow IPC stream, before anything is unfolded.

Buffers may be compressed one by one, each saying how large it will be; the sum has to stay within the limits. What
pyarrow verifies itself (offsets, types, text) is left to it.
"""

import struct
from typing import NamedTuple

from service.domain.errors import BadRequest, Place, TooLarge
from service.ingest.limits import Limits

MESSAGES_MAX = 10_000
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


_UNPACK = {form: struct.Struct(form).unpack_from for form in ("<B", "<H", "<I", "<i", "<q")}
_SLOTS_MAX = 8
_SLOTS = tuple(struct.Struct(f"<{count}H").unpack_from for count in range(_SLOTS_MAX + 1))
"""Readers of the offsets of a table's fields; the fields that are asked for are among the first."""


class _Malformed(Exception):
    """The metadata is not a message."""


class _Table:
    """A FlatBuffers table: its bytes, where it starts in them, and where its fields are."""

    __slots__ = ("at", "data", "slots")

    def __init__(self, data: memoryview, at: int) -> None:
        self.data, self.at = data, at
        vtable = at - _unpack("<i", data, at)
        count = min(max(_unpack("<H", data, vtable) // 2 - 2, 0), _SLOTS_MAX)
        try:
            self.slots: tuple[int, ...] = _SLOTS[count](data, vtable + 4)
        except struct.error:
            raise _Malformed from None

    def _place(self, field: int) -> int | None:
        offset = self.slots[field] if field < len(self.slots) else 0
        return self.at + offset if offset else None

    def number(self, field: int, form: str) -> int:
        place = self._place(field)
        return 0 if place is None else _unpack(form, self.data, place)

    def table(self, field: int) -> "_Table | None":
        place = self._place(field)
        return None if place is None else _Table(self.data, place + _unpack("<I", self.data, place))

    def vector(self, field: int) -> tuple[int, int]:
        """Return where the elements start, and how many there are."""
        place = self._place(field)
        if place is None:
            return 0, 0
        start = place + _unpack("<I", self.data, place)
        return start + 4, _unpack("<I", self.data, start)


def _unpack(form: str, data: memoryview, at: int) -> int:
    if at < 0:
        raise _Malformed
    try:
        number: int = _UNPACK[form](data, at)[0]
    except struct.error:
        raise _Malformed from None
    return number


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
        except _Malformed:
            place = Place(f"byte {at}", "not an Arrow message")
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
    rows = header.number(_LENGTH, "<q") if kind == _RECORDS else 0
    if rows < 0:
        raise _Malformed
    return _Message(end, rows, _unfolded(header, view[start + size : end]))


def _frame(view: memoryview, at: int) -> tuple[int, int]:
    """Return where the metadata of the message at a byte starts and its size; size 0 at the end of the stream."""
    if at == len(view) and at:
        return at, 0
    size = _unpack("<I", view, at)
    at += 4
    if size == _CONTINUATION:
        size = _unpack("<I", view, at)
        at += 4
    if at + size > len(view):
        raise _Malformed
    return at, size


def _message(metadata: memoryview) -> tuple[_Table | None, int, int]:
    """Return the record batch of a message if it holds one, its kind, and the length of its body."""
    message = _Table(metadata, _unpack("<I", metadata, 0))
    kind = message.number(_TYPE, "<B")
    header = message.table(_HEADER)
    if header is not None and kind == _DICTIONARY:
        header = header.table(_DICTIONARY_DATA)
    elif kind != _RECORDS:
        header = None
    return header, kind, message.number(_BODY_LENGTH, "<q")


def _unfolded(batch: _Table, body: memoryview) -> int:
    """Return how many bytes the buffers of a batch say they hold."""
    if batch.table(_COMPRESSION) is None:
        return len(body)
    start, count = batch.vector(_BUFFERS)
    total = 0
    for i in range(count):
        place = start + i * _BUFFER_BYTES
        offset, length = _unpack("<q", batch.data, place), _unpack("<q", batch.data, place + 8)
        if length > 0:
            declared = _unpack("<q", body, offset)
            total += length if declared < 0 else declared
    return total
