"""A batch as columns: what ingest produces, the log keeps, and detection counts.

Canonical values, so that every later stage has one rule:

* numeric: ``NaN`` is *missing*, ``+inf`` is *invalid* (non-finite, mistyped, not parseable); all else is finite.
* categorical: ``codes`` index ``labels``; -1 is *missing*, -2 is *invalid*. Labels are canonical text: booleans are
  ``true`` and ``false``, integral numbers have no fraction (``3``, never ``3.0``).
* ``error``, categorical: ``no error``, ``error`` or a kind of error; never *missing*, since an event that says nothing
  of an error had none that anybody knows of.
* embedding: one row per event; a row of NaN is *missing*, a row of +inf is *invalid*.

``numeric_names`` and ``categorical_names`` name what the batch carries. A feature of the schema is always carried; the
prediction, probabilities, latency and error only when the batch sent them at least once, so leaving out what is
optional is not counted as missing.

``encode_frame`` and ``decode_frame`` are the log's format: one version byte, then one MessagePack array whose buffers
are little-endian and lie in the message as they are. Decoded numbers are read-only views of the given bytes.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

MISSING = -1
INVALID = -2


@dataclass(frozen=True, slots=True)
class Coded:
    """A categorical column: ``labels[codes]``, with ``MISSING`` and ``INVALID`` for the special values."""

    labels: tuple[str, ...]
    codes: NDArray[np.int32]


@dataclass(frozen=True, slots=True, eq=False)
class Texts:
    """Many texts as one: UTF-8 bytes and where each text begins. Iterating makes them strings."""

    offsets: NDArray[np.int32]
    """One more than there are texts; the first is 0, the last the length of ``data``."""
    data: bytes | memoryview

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __iter__(self) -> Iterator[str]:
        data, ends = bytes(self.data), self.offsets.tolist()
        if data.isascii():
            text = data.decode()
            return iter([text[start:end] for start, end in pairwise(ends)])
        return iter([data[start:end].decode() for start, end in pairwise(ends)])


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
    event_ids: Texts | tuple[str | None, ...] | None
    timestamps_us: NDArray[np.int64] | None
    """Event time, claimed by the client; -1 is missing or invalid. Never used for ticks."""
    segments: dict[str, Coded]
    attributions: dict[str, NDArray[np.float32]]
    fingerprints: bytes
    """As ``prints`` packs them; empty when none was sent."""


class FrameError(ValueError):
    """Bytes that are not a frame of this version, or a frame that must not be stored as it is."""
