"""Which share of the events repeats an earlier one: the same features, value for value.

Hashing every event would cost more than counting it. So a sample is taken that depends on nothing but the event itself:
all copies of an event are in it, or none is. The share of repeats among the sampled ones is that of all, whatever batch
or order they came in.
"""

import hashlib
import struct
from collections import Counter
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from detectors.errors import StateError

SAMPLED = 16
"""One event in so many is looked at."""
KEPT = 4_096
"""Sampled events that are remembered: about 65,000 events."""
_ODD = 0x9E3779B97F4A7C15
_ALL = 1 << 32
_HEAD = struct.Struct("<II")


@lru_cache(maxsize=1 << 16)
def text_hash(text: str) -> int:
    """Return 32 bits of a text, the same everywhere.

    Parameters
    ----------
    text : str
        A label.

    Returns
    -------
    int
        From 0 to 2**32 - 1.

    Examples
    --------
    >>> text_hash("DE") == text_hash("DE") != text_hash("FR")
    True
    """
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=4).digest(), "little")


def sampled_rows(numbers: NDArray[np.float32] | NDArray[np.float64]) -> NDArray[np.int64]:
    """Return which events are in the sample, by their numbers.

    Parameters
    ----------
    numbers : ndarray of float32 or float64, shape (n_columns, n_events)
        The numeric features. Without any, all events are in the sample.

    Returns
    -------
    ndarray of int64
        Places of the events, about one in 16.

    Examples
    --------
    >>> values = np.random.default_rng(0).normal(size=(3, 16_000))
    >>> 900 < len(sampled_rows(values)) < 1_100
    True
    """
    if not len(numbers):
        return np.arange(numbers.shape[1])
    words: NDArray[np.uint64] | NDArray[np.uint32]
    kind: type[np.uint32 | np.uint64] = np.uint32 if numbers.dtype.itemsize == 4 else np.uint64  # noqa: PLR2004 - bytes
    words = np.add.reduce(np.ascontiguousarray(numbers).view(kind), axis=0, dtype=kind)
    bits = 8 * numbers.dtype.itemsize
    # Sums of floats differ in their highest bits only as often as not: fold those down before the multiplication.
    words ^= words >> kind(bits // 2)
    words *= kind(_ODD >> (64 - bits) | 1)
    return np.flatnonzero(words < kind((1 << bits) // SAMPLED))


def row_hashes(words: NDArray[np.uint32], seeds: tuple[str, ...]) -> NDArray[np.uint32]:
    """Return 32 bits of each event, from words of 32 bits.

    Parameters
    ----------
    words : ndarray of uint32, shape (n_words, n_events)
        What an event is made of.
    seeds : tuple of str
        What each word stands for: a name of its own, so that it does not matter in which order they come.

    Returns
    -------
    ndarray of uint32, shape (n_events,)
        Different events have the same one with a chance of 2**-32 (multiply-shift hashing).

    Examples
    --------
    >>> hashes = row_hashes(np.array([[1, 2, 1], [7, 7, 7]], np.uint32), ("a", "b"))
    >>> bool(hashes[0] == hashes[2] != hashes[1])
    True
    """
    mixed = words.astype(np.uint64) * _multipliers(seeds)[:, None]
    return np.asarray((mixed.sum(axis=0, dtype=np.uint64) >> np.uint64(32)).astype(np.uint32))


class Repeats:
    """Remembers sampled events of the latest ticks.

    Notes
    -----
    Of a tick with more than 4,096 of them only those with the smallest hashes count, so memory is at most 32 kB. The
    same events give the same counts, however a tick was cut into batches.

    Examples
    --------
    >>> repeats = Repeats()
    >>> repeats.add(np.array([5, 6, 6], np.uint32))
    >>> repeats.close()
    (3, 1)
    >>> repeats.add(np.array([5, 9], np.uint32))
    >>> repeats.close()
    (2, 1)
    """

    def __init__(self) -> None:
        self._open: list[NDArray[np.uint32]] = []
        self._size = 0
        self._below = _ALL
        """Hashes of the open tick from here on are not looked at."""
        self._past: list[tuple[int, NDArray[np.uint32]]] = []
        """Of each tick: below what all hashes were kept, and these, each once; the latest last."""
        self._known: Counter[int] = Counter()
        """In how many of these ticks each one was."""
        self._kept = 0

    def add(self, hashes: NDArray[np.uint32]) -> None:
        """Add events of the open tick.

        Parameters
        ----------
        hashes : ndarray of uint32, shape (n,)
            Of the sampled ones.
        """
        if self._below < _ALL:
            hashes = hashes[hashes < self._below]
        if not len(hashes):
            return
        self._open.append(hashes)
        self._size += len(hashes)
        while self._size > KEPT and self._below > 1:
            self._below //= 2
            self._open = [kept[kept < self._below] for kept in self._open]
            self._size = sum(map(len, self._open))

    def close(self) -> tuple[int, int]:
        """Close the tick.

        Returns
        -------
        tuple of (int, int)
            How many events of the tick were looked at, and how many of these repeated an earlier one.
        """
        if not self._open:
            return 0, 0
        hashes, below = np.concatenate(self._open), self._below
        self.drop()
        fresh = np.unique(hashes)
        common = min([below, *(kept_below for kept_below, _ in self._past)])
        looked = int(np.count_nonzero(hashes < common))
        known = self._known
        new = sum(1 for one in fresh[fresh < common].tolist() if one not in known)
        self._remember(below, fresh)
        return looked, looked - new

    def _remember(self, below: int, fresh: NDArray[np.uint32]) -> None:
        self._past.append((below, fresh))
        self._known.update(fresh.tolist())
        self._kept += len(fresh)
        while self._kept > KEPT:
            _, oldest = self._past.pop(0)
            self._kept -= len(oldest)
            self._known.subtract(oldest.tolist())
            for one in oldest.tolist():
                if not self._known[one]:
                    del self._known[one]

    def drop(self) -> None:
        """Forget the open tick."""
        self._open, self._size, self._below = [], 0, _ALL

    def to_bytes(self) -> bytes:
        """Write everything exactly.

        Returns
        -------
        bytes
            For ``from_bytes``.
        """
        opened = np.sort(np.concatenate(self._open)) if self._open else np.empty(0, np.uint32)
        parts = [(self._below, opened), *self._past]
        return b"".join(_HEAD.pack(below - 1, len(kept)) + kept.astype("<u4").tobytes() for below, kept in parts)

    @classmethod
    def from_bytes(cls, data: bytes) -> "Repeats":
        """Read it back.

        Parameters
        ----------
        data : bytes
            From ``to_bytes``.

        Returns
        -------
        Repeats
            One that goes on exactly.

        Raises
        ------
        StateError
            When the bytes are cut short.
        """
        parts, at = [], 0
        while at < len(data):
            try:
                below, count = _HEAD.unpack_from(data, at)
                parts.append((below + 1, np.frombuffer(data, "<u4", count, at + _HEAD.size).astype(np.uint32)))
            except (struct.error, ValueError) as error:
                raise StateError(f"the memory of repeated events is cut short: {error}") from None
            at += _HEAD.size + 4 * count
        repeats = cls()
        if parts:
            (repeats._below, kept), past = parts[0], parts[1:]
            repeats._open, repeats._size = [kept] if len(kept) else [], len(kept)
            for part in past:
                repeats._remember(*part)
        return repeats


@lru_cache(maxsize=1_024)
def _multipliers(seeds: tuple[str, ...]) -> NDArray[np.uint64]:
    digests = [hashlib.blake2b(seed.encode(), digest_size=8).digest() for seed in seeds]
    return np.frombuffer(b"".join(digests), "<u8").astype(np.uint64) | np.uint64(1)
