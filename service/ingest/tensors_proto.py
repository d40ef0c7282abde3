"""Open Inference Protocol payloads in Protocol Buffers, as gRPC servers log them; just the messages of inference.

Read by hand: two messages of a stable public protocol do not need a generated module and its runtime.
"""

from collections.abc import Iterator
from math import prod
from typing import Any

import numpy as np

from service.domain.errors import Place, TooLarge, Unprocessable
from service.ingest.limits import Limits
from service.ingest.tensors import Tensor, check_shape, read_binary

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_TENSORS = 5
"""Inputs of ModelInferRequest and outputs of ModelInferResponse alike."""
_RAW_INPUTS, _RAW_OUTPUTS = 7, 6
_NAME, _DATATYPE, _SHAPE, _CONTENTS = 1, 2, 3, 5
_FP32, _FP64, _TEXTS = 6, 7, 8
_SIGNED = frozenset({2, 3})
_BOOL = 1
TENSORS_MAX = 10_000


class NotProtobuf(ValueError):
    """The bytes are not such a message."""


def parse_message(payload: bytes, limits: Limits, *, response: bool) -> list[Tensor]:
    """Return the tensors of a ModelInferRequest or ModelInferResponse.

    Raises
    ------
    NotProtobuf
        If the bytes are no such message.
    TooLarge, Unprocessable
        If a tensor is over a limit or does not have the size that it claims.
    """
    message = memoryview(payload)
    raw_field = _RAW_OUTPUTS if response else _RAW_INPUTS
    tensors = [value for field, value in _fields(message) if field == _TENSORS and isinstance(value, memoryview)]
    raws = [bytes(value) for field, value in _fields(message) if field == raw_field and isinstance(value, memoryview)]
    if not tensors:
        raise NotProtobuf("no tensors")
    if len(tensors) > TENSORS_MAX:
        raise TooLarge(f"{len(tensors)} tensors; at most {TENSORS_MAX}")
    if raws and len(raws) != len(tensors):
        reason = f"{len(raws)} raw contents for {len(tensors)} tensors"
        raise Unprocessable(reason, places=[Place("raw_contents", reason)])
    return [_tensor(f"tensors[{i}]", each, raws[i] if raws else None, limits) for i, each in enumerate(tensors)]


def _tensor(at: str, message: memoryview, raw: bytes | None, limits: Limits) -> Tensor:
    name = datatype = ""
    dimensions: list[int] = []
    values: list[Any] = []
    for field, value in _fields(message):
        if field in {_NAME, _DATATYPE} and isinstance(value, memoryview):
            text = bytes(value).decode(errors="replace")
            name, datatype = (text, datatype) if field == _NAME else (name, text)
        elif field == _SHAPE:
            dimensions += [value] if isinstance(value, int) else _varints(value)
        elif field == _CONTENTS and isinstance(value, memoryview):
            values = _contents(value)
    shape = check_shape(at, dimensions, limits)
    if raw is not None:
        values = read_binary(at, datatype, shape, raw, len(raw))
    if len(values) != prod(shape):
        reason = f"has {len(values)} values; its shape {list(shape)} needs {prod(shape)}"
        raise Unprocessable(f"{at} {reason}", places=[Place(at, reason)])
    return Tensor(name, shape, values)


def _contents(message: memoryview) -> list[Any]:
    values: list[Any] = []
    for field, value in _fields(message):
        if field in {_FP32, _FP64}:
            kind = np.dtype("<f4" if field == _FP32 else "<f8")
            data = value if isinstance(value, memoryview) else value.to_bytes(8, "little")[: kind.itemsize]
            if len(data) % kind.itemsize:
                raise NotProtobuf("numbers cut short")
            values += np.frombuffer(data, kind).tolist()
        elif field == _TEXTS and isinstance(value, memoryview):
            values.append(_text(bytes(value)))
        else:
            numbers = [value] if isinstance(value, int) else _varints(value)
            values += [_scalar(field, number) for number in numbers]
    return values


def _scalar(field: int, number: int) -> int | bool:
    if field == _BOOL:
        return bool(number)
    return number - (1 << 64) if field in _SIGNED and number >= 1 << 63 else number


def _text(data: bytes) -> str | list[object]:
    try:
        return data.decode()
    except UnicodeDecodeError:
        return []  # invalid wherever it goes


def _fields(message: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Yield the fields of a message, by number: bytes for what has a length, else an unsigned integer."""
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        wire = key & 7
        if wire == _VARINT:
            value, at = _varint(message, at)
            yield key >> 3, value
            continue
        if wire == _BYTES:
            size, at = _varint(message, at)
        elif wire in {_FIXED64, _FIXED32}:
            size = 8 if wire == _FIXED64 else 4
        else:
            raise NotProtobuf(f"wire type {wire}")
        piece = message[at : at + size]
        if len(piece) != size:
            raise NotProtobuf("cut short")
        at += size
        yield key >> 3, piece if wire == _BYTES else int.from_bytes(piece, "little")


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    number = 0
    for shift in range(0, 70, 7):
        if at >= len(message):
            raise NotProtobuf("cut short")
        byte = message[at]
        at += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:  # noqa: PLR2004 - the bit that says more bytes follow
            return number & ((1 << 64) - 1), at
    raise NotProtobuf("a number of more than ten bytes")


def _varints(packed: memoryview) -> list[int]:
    numbers, at = [], 0
    while at < len(packed):
        number, at = _varint(packed, at)
        numbers.append(number)
    return numbers
