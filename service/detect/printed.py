"""Fingerprints of inputs in the worker: points where the reference has them, and hashes to match requests by."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from detectors.principals.fingerprint import HASHES, PROJECTED, take_apart
from service.frames import Frame, read_prints

TAG_MASK = np.uint64((1 << 16) - 1)
MATCHED_MIN = HASHES
"""A fingerprint with fewer hashes matches nothing, and points alone are matched: it is of an input of few values, such
as a row of a table, and whatever lies in the same coarse levels would be its near-duplicate."""


class Told(NamedTuple):
    """What the fingerprints of a batch say, one row per event."""

    hashes: NDArray[np.uint64]
    points: NDArray[np.float32]
    """Not finite where there is none."""
    valid: NDArray[np.bool_]
    unreadable: NDArray[np.bool_]
    """What came is no fingerprint."""
    foreign: NDArray[np.bool_]
    """Made with another salt."""


@dataclass(frozen=True, slots=True)
class Printed:
    """Fingerprints as points."""

    tag: int
    """Of the salt of the reference."""
    key: bytes

    @classmethod
    def fit(cls, frame: Frame, rows: NDArray[np.int64], key: bytes) -> Self | None:
        """Return the space of a reference; ``None`` unless most of its rows have fingerprints of one salt."""
        if not frame.fingerprints:
            return None
        prints = read_prints(frame.fingerprints, frame.rows)
        own = tags_of(take_apart(prints.values[rows], 0).hashes)[prints.readable[rows]]
        counts = np.bincount(own[own != 0], minlength=1)
        tag = int(counts.argmax())
        return cls(tag, key) if tag and 2 * counts[tag] > len(rows) else None


def tags_of(hashes: NDArray[np.uint64]) -> NDArray[np.int64]:
    """Return the tags of salts; 0 where an input has no hash, and so no tag."""
    tags: NDArray[np.int64] = (hashes[:, 0] & TAG_MASK).astype(np.int64)
    return tags


def told_by(frame: Frame, tag_of: Callable[[NDArray[np.int64]], int]) -> Told:
    """Take the fingerprints of a frame apart; ``tag_of`` says which salt is ours, given the tags that came."""
    rows = frame.rows
    if not frame.fingerprints:
        nothing = np.zeros(rows, np.bool_)
        points = np.full((rows, PROJECTED), np.nan, np.float32)
        return Told(np.zeros((rows, HASHES), np.uint64), points, nothing, nothing, nothing)
    prints = read_prints(frame.fingerprints, rows)
    raw = take_apart(prints.values, 0)
    finite = np.isfinite(raw.points).all(axis=1)
    tags = tags_of(raw.hashes)
    good = prints.readable & finite
    tag = tag_of(tags[good & (tags != 0)])
    foreign = good & (tags != 0) & (tags != tag)
    valid = good & ~foreign
    points = np.where(valid[:, None], raw.points, np.float32(np.nan))
    return Told(raw.hashes, points, valid, prints.sent & ~good, foreign)
