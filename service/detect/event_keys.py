"""Ids of events as numbers of 64 bits, a thousand at a time.

An id's number is the sum of its bytes, each one more and times an odd weight of its place, modulo 2^64. The weights are
fixed for a version, as random as SHAKE-256 is, so that two ids share a number with a probability of about 2^-56.
"""

import hashlib

import numpy as np
from numpy.typing import NDArray

from service.domain.ids import VersionId
from service.frames import Texts

ID_BYTES_MAX = 256
"""Of an id; events with a longer one are not remembered."""
NO_KEY = np.uint64(0)
"""Of an event without an id that can be remembered."""


def weights_of(version_id: VersionId) -> NDArray[np.uint64]:
    """Return the weights of the places."""
    seed = f"lazaretto event keys 1\0{version_id}".encode()
    return np.frombuffer(hashlib.shake_256(seed).digest(8 * ID_BYTES_MAX), "<u8").astype(np.uint64) | np.uint64(1)


def keys_of(ids: Texts, weights: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Return the number of each id, ``NO_KEY`` of one that is empty or too long."""
    ends = ids.offsets.astype(np.int64)
    lengths = np.diff(ends)
    values = np.frombuffer(ids.data, np.uint8)
    if not len(lengths):
        return np.zeros(0, np.uint64)
    first = int(lengths[0])
    if 0 < first <= ID_BYTES_MAX and bool((lengths == first).all()):
        return np.asarray((values.reshape(-1, first).astype(np.uint64) + np.uint64(1)) @ weights[:first])
    fits = (lengths > 0) & (lengths <= ID_BYTES_MAX)
    kept = np.repeat(fits, lengths)
    short = lengths[fits]
    keys = np.full(len(lengths), NO_KEY)
    if len(short):
        starts = np.concatenate([[0], np.cumsum(short)[:-1]])
        places = np.arange(int(short.sum())) - np.repeat(starts, short)
        products = (values[kept].astype(np.uint64) + np.uint64(1)) * weights[places]
        keys[fits] = np.add.reduceat(products, starts)
    return keys
