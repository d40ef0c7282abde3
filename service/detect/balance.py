"""At most so many events of one principal count in a tick: what one client can do to the evidence has a bound."""

from typing import Self

import msgspec
import numpy as np
from numpy.typing import NDArray

from service.domain.policy import Tuning
from service.frames import MISSING, Coded, Frame


class StoredBalance(msgspec.Struct, array_like=True, frozen=True):
    """What a snapshot keeps of an open tick."""

    counted: int
    seen: dict[str, int]
    left_out: int
    since_us: int | None = None


class Balance:
    """Leaves out what one principal sends beyond its part of a tick, in the order of the log.

    Which events count depends on the log alone, not on how it was cut into batches or passes. Events that name no
    principal all count: nobody can tell whose they are.
    """

    def __init__(self, events_per_tick: int) -> None:
        self.events_of_one = events_per_tick
        self.counted = 0
        """Events of the open tick that count."""
        self.left_out = 0
        """Events that did not count, since evidence began."""
        self.since_us: int | None = None
        """From when on no tick counted more of one principal; ``None`` before the first one has ended."""
        self._seen: dict[str, int] = {}

    @classmethod
    def of(cls, tuning: Tuning) -> Self | None:
        """Return what a policy asks for; ``None`` when every event counts."""
        return None if tuning.events_of_one is None else cls(tuning.events_of_one)

    def only(self, frame: Frame) -> Frame:
        """Return the events of a frame that count, with what is counted of them."""
        kept = None if frame.principals is None else self._kept(frame.principals)
        rows = frame.rows if kept is None else int(kept.sum())
        self.counted += rows
        self.left_out += frame.rows - rows
        return _rows(frame, slice(None) if kept is None or rows == frame.rows else kept, rows)

    def close(self, tick_start_us: int) -> None:
        """End a tick, and begin another one."""
        self.counted, self._seen = 0, {}
        if self.since_us is None:
            self.since_us = tick_start_us

    def stored(self) -> StoredBalance:
        """Return what it takes to go on within a tick."""
        return StoredBalance(self.counted, dict(self._seen), self.left_out, self.since_us)

    def adopt(self, stored: StoredBalance) -> None:
        """Go on within a tick."""
        self.counted, self._seen, self.left_out = stored.counted, dict(stored.seen), stored.left_out
        self.since_us = stored.since_us

    def _kept(self, principals: Coded) -> NDArray[np.bool_]:
        codes, labels = principals.codes, principals.labels
        kept = np.ones(len(codes), np.bool_)
        order = np.argsort(codes, kind="stable")
        ordered = codes[order]
        starts = np.flatnonzero(np.diff(ordered, prepend=np.iinfo(np.int32).min))
        for start, stop in zip(starts.tolist(), [*starts[1:].tolist(), len(codes)], strict=True):
            code = int(ordered[start])
            if code <= MISSING:
                continue
            before = self._seen.get(labels[code], 0)
            left = max(0, self.events_of_one - before)
            # A stable order keeps the rows of one principal as they came.
            kept[order[start + left : stop]] = False
            self._seen[labels[code]] = before + min(left, stop - start)
        return kept


def _rows(frame: Frame, kept: NDArray[np.bool_] | slice, rows: int) -> Frame:
    """Return some events of a frame, with what is counted of them."""
    return Frame(
        rows=rows,
        numeric_names=frame.numeric_names,
        numeric=frame.numeric[:, kept],
        categorical_names=frame.categorical_names,
        categorical=tuple([Coded(column.labels, column.codes[kept]) for column in frame.categorical]),
        embeddings={name: values[kept] for name, values in frame.embeddings.items()},
        principals=None,
        event_ids=None,
        timestamps_us=None,
        segments={name: Coded(column.labels, column.codes[kept]) for name, column in frame.segments.items()},
        attributions={},
        fingerprints=b"",
    )
