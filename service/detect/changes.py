"""The events since a change began, in bounded memory.

Evidence says afterwards when a change began, so the counts of the last ticks are kept in stretches: single ticks at the
newest end, and older ones joined to stretches of two, four and more. Two stretches are never joined across the tick at
which the strongest column is said to have changed. From the alarm on nothing is joined any more, so that what an alert
says of its beginning stays readable for as long as it is open.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Self

import msgspec
import numpy as np
from numpy.typing import NDArray

from detectors.errors import StateError

STRETCHES_MAX = 12
"""Enough to tell the last minute's ticks apart, the older the more coarsely."""
ALIKE_MAX = 2
"""How many stretches of the same size stand side by side before the oldest ones are joined."""


@dataclass(frozen=True, eq=False)
class Stretch:
    """Neighbouring ticks."""

    start_tick: int
    size: int
    """How often it was doubled: 0 for a single tick."""
    events: int
    counts: NDArray[np.int64]

    def join(self, later: "Stretch", size: int) -> "Stretch":
        """Return this and the next stretch as one."""
        return Stretch(self.start_tick, size, self.events + later.events, self.counts + later.counts)

    @cached_property
    def row(self) -> tuple[int, int, int, str, bytes]:
        """As a snapshot keeps it: counts in the smallest type that holds them."""
        smallest = np.min_scalar_type(int(self.counts.max(initial=0)))
        return self.start_tick, self.size, self.events, smallest.str, self.counts.astype(smallest).tobytes()


class StoredChanges(msgspec.Struct, array_like=True):
    """How a snapshot keeps them."""

    settled: bool
    stretches: list[tuple[int, int, int, str, bytes]]


class Changes:
    """The stretches of one version in one era, oldest first."""

    def __init__(self, bins: int) -> None:
        self._bins = bins
        self._stretches: list[Stretch] = []
        self._settled = False
        self._bytes: bytes | None = None

    def add(self, tick: int, events: int, counts: NDArray[np.int64], changed_tick: int) -> None:
        """Add a tick; ``changed_tick`` is since when the strongest column has changed."""
        self._bytes = None
        new = Stretch(tick, 0, events, counts)
        if self._settled and self._stretches:
            last = self._stretches[-1]
            self._stretches[-1] = last.join(new, last.size)
            return
        self._stretches.append(new)
        self._make_room(changed_tick)

    def settle(self) -> None:
        """Keep the stretches as they are: the alarm was raised, and later ticks belong to the newest one."""
        if not self._settled:
            self._settled, self._bytes = True, None

    def since(self, tick: int) -> Stretch:
        """Return what was counted since a tick.

        Where its stretch was joined with earlier ticks, the count begins with the next one: rather fewer events than
        some from before the change. Within the newest stretch there is no next one.
        """
        chosen = [stretch for stretch in self._stretches if stretch.start_tick >= tick] or self._stretches[-1:]
        if not chosen:
            return Stretch(tick, 0, 0, np.zeros(self._bins, np.int64))
        counts = np.sum([stretch.counts for stretch in chosen], axis=0)
        return Stretch(chosen[0].start_tick, 0, sum(stretch.events for stretch in chosen), counts)

    def to_bytes(self) -> bytes:
        """Return everything as bytes; made anew after a tick."""
        if self._bytes is None:
            stored = StoredChanges(self._settled, [stretch.row for stretch in self._stretches])
            self._bytes = msgspec.msgpack.encode(stored)
        return self._bytes

    @classmethod
    def from_bytes(cls, data: bytes, bins: int) -> Self:
        """Read them back.

        Raises
        ------
        StateError
            When the bytes are of another number of bins.
        msgspec.MsgspecError
            When they are something else.
        """
        stored = msgspec.msgpack.decode(data, type=StoredChanges)
        changes = cls(bins)
        changes._settled, changes._bytes = stored.settled, data
        for start_tick, size, events, kind, counts in stored.stretches:
            if kind not in _KINDS or len(counts) != bins * np.dtype(kind).itemsize:
                raise StateError(f"the counts since a change are not of {bins} bins")
            stretch = Stretch(start_tick, size, events, np.frombuffer(counts, kind).astype(np.int64))
            changes._stretches.append(stretch)
        return changes

    def _make_room(self, changed_tick: int) -> None:
        size = 0
        while (place := self._joinable(size, changed_tick)) is not None:
            self._join(place, size + 1)
            size += 1
        if len(self._stretches) <= STRETCHES_MAX:
            return
        if self._stretches[1].start_tick == changed_tick:
            del self._stretches[0]
        else:
            self._join(0, self._stretches[0].size)

    def _joinable(self, size: int, changed_tick: int) -> int | None:
        """Return the oldest of too many stretches of one size that may be joined with the next one."""
        alike = [place for place, stretch in enumerate(self._stretches) if stretch.size == size]
        if len(alike) <= ALIKE_MAX:
            return None
        pairs = [p for p in alike[:-1] if self._stretches[p + 1].size == size]
        return next((p for p in pairs if self._stretches[p + 1].start_tick != changed_tick), None)

    def _join(self, place: int, size: int) -> None:
        self._stretches[place : place + 2] = [self._stretches[place].join(self._stretches[place + 1], size)]


_KINDS = frozenset(np.dtype(f"u{size}").str for size in (1, 2, 4, 8))
