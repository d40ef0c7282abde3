"""Input fingerprints of a batch: 256 bytes of each event that has one, kept as MessagePack."""

from collections.abc import Sequence
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

PRINT_BYTES = 256
UNREADABLE = False
"""Stands for what came as a fingerprint and is none."""
_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(list[object])
_raw_decoder = msgspec.msgpack.Decoder(list[msgspec.Raw])


class Prints(NamedTuple):
    """The fingerprints of a batch, one row per event."""

    values: NDArray[np.uint8]
    """Shape (rows, PRINT_BYTES); zeros where there is none."""
    sent: NDArray[np.bool_]
    """Whether the event brought anything."""
    readable: NDArray[np.bool_]
    """Whether that has the length of a fingerprint."""


def pack_prints(values: Sequence[object]) -> bytes:
    """Return fingerprints as a frame keeps them: bytes, ``None`` where none came, or ``UNREADABLE``."""
    return _encoder.encode(values)


def read_prints(packed: bytes, rows: int) -> Prints:
    """Return the fingerprints of a frame; what is of another length, as of an older release, is not readable."""
    none = np.zeros(rows, np.bool_)
    if not packed:
        return Prints(np.zeros((rows, PRINT_BYTES), np.uint8), none, none)
    try:
        told = _decoder.decode(packed)
    except msgspec.DecodeError:
        told = []
    if len(told) != rows:
        # Nobody can tell whose they are.
        return Prints(np.zeros((rows, PRINT_BYTES), np.uint8), ~none, none)
    blank = bytes(PRINT_BYTES)
    kept = [one if isinstance(one, bytes) and len(one) == PRINT_BYTES else None for one in told]
    values = np.frombuffer(b"".join([blank if one is None else one for one in kept]), np.uint8)
    sent = np.array([one is not None for one in told], np.bool_)
    readable = np.array([one is not None for one in kept], np.bool_)
    return Prints(values.reshape(rows, PRINT_BYTES), sent, readable)


def take_prints(packed: bytes, rows: Sequence[int]) -> bytes:
    """Return the fingerprints of some events, in the order of ``rows``; nothing of a frame without any."""
    if not packed:
        return b""
    told = _raw_decoder.decode(packed)
    return _encoder.encode([told[row] for row in rows])


def join_prints(parts: Sequence[tuple[bytes, int]]) -> bytes:
    """Return the fingerprints of frames one after the other; each comes with its number of rows."""
    if not any(packed for packed, _ in parts):
        return b""
    told: list[object] = []
    for packed, rows in parts:
        told += _raw_decoder.decode(packed) if packed else [None] * rows
    return _encoder.encode(told)
