"""The evidence state: everything an engine remembers between two ticks, as plain numbers."""

import hashlib
import struct
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from detectors.errors import StateError

MAGIC = b"LZEVID01"
_HEADER = struct.Struct("<8s32sqqqq")


class Owner(Protocol):
    """What a state must fit: an engine."""

    @property
    def digest(self) -> bytes:
        """SHA-256 over baseline, options and bets, 32 bytes."""

    @property
    def bets(self) -> int:
        """Number of bets, padding included."""

    @property
    def cells(self) -> int:
        """Number of bins that the learned bets remember, padding included."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class EvidenceState:
    """What an engine remembers. Its arrays are read-only; a step makes a new state.

    Parameters
    ----------
    digest : bytes
        The engine it belongs to.
    ticks : int
        Ticks so far.
    last_tick : int
        The latest tick; -1 before the first one.
    sums : ndarray of float64, shape (n_bets,)
        Logarithms of the Shiryaev-Roberts sums; -inf before the first tick.
    peaks : ndarray of float64, shape (n_bets,)
        Log evidence since the restart that carries the most of it.
    since : ndarray of int64, shape (n_bets,)
        The tick of that restart.
    memory : ndarray of float64, shape (n_cells,)
        Faded counts of past events, for the learned bets.

    Notes
    -----
    Memory is ``24 * n_bets + 8 * n_cells`` bytes, however many ticks there were: about 50 kB for 20 numeric and 5
    categorical columns.
    """

    digest: bytes
    ticks: int
    last_tick: int
    sums: NDArray[np.float64]
    peaks: NDArray[np.float64]
    since: NDArray[np.int64]
    memory: NDArray[np.float64]

    def __post_init__(self) -> None:
        for array in (self.sums, self.peaks, self.since, self.memory):
            array.flags.writeable = False

    def to_bytes(self) -> bytes:
        """Write the state exactly.

        Returns
        -------
        bytes
            Magic, engine digest, sizes, the arrays in little-endian order, and a SHA-256 over all of it.
        """
        header = _HEADER.pack(MAGIC, self.digest, self.ticks, self.last_tick, len(self.sums), len(self.memory))
        arrays = (self.sums, self.peaks, self.since, self.memory)
        body = header + b"".join(a.astype(a.dtype.newbyteorder("<"), copy=False).tobytes() for a in arrays)
        return body + hashlib.sha256(body).digest()

    @staticmethod
    def from_bytes(engine: Owner, data: bytes) -> "EvidenceState":
        """Read a state exactly.

        Parameters
        ----------
        engine : EvidenceEngine
            The engine that will go on with it.
        data : bytes
            From ``to_bytes``.

        Returns
        -------
        EvidenceState
            The same state, bit for bit.

        Raises
        ------
        StateError
            When the bytes are damaged, or the state belongs to another baseline or other options.
        """
        body, checksum = data[:-32], data[-32:]
        if len(data) < _HEADER.size + 32 or body[: len(MAGIC)] != MAGIC:
            raise StateError(f"not an evidence state: it does not begin with {MAGIC.decode()}")
        if hashlib.sha256(body).digest() != checksum:
            raise StateError("the evidence state is damaged: its checksum does not match")
        _, digest, ticks, last_tick, bets, cells = _HEADER.unpack_from(body)
        if digest != engine.digest or (bets, cells) != (engine.bets, engine.cells):
            raise StateError("the evidence state belongs to another baseline, other options or another version")
        if len(body) != _HEADER.size + 24 * bets + 8 * cells:
            raise StateError(f"the evidence state has {len(data)} bytes, which does not fit its sizes")
        at = _HEADER.size
        arrays: list[NDArray[Any]] = []
        for dtype, length in (("<f8", bets), ("<f8", bets), ("<i8", bets), ("<f8", cells)):
            arrays.append(np.frombuffer(body, dtype=dtype, count=length, offset=at).astype(dtype[1:]))
            at += 8 * length
        sums, peaks, since, memory = arrays
        return EvidenceState(
            digest=digest, ticks=ticks, last_tick=last_tick, sums=sums, peaks=peaks, since=since, memory=memory
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Run:
    """What ``EvidenceEngine.run`` saw.

    Parameters
    ----------
    state : EvidenceState
        After the last tick that was taken.
    log_model : ndarray of float64, shape (n_taken,)
        Natural logarithm of the model's evidence after each tick taken.
    alarm : int or None
        Index of the tick that reached the threshold, always the last one taken; None if none did.
    """

    state: EvidenceState
    log_model: NDArray[np.float64]
    alarm: int | None
