"""What others may read of a snapshot's own bytes."""

from dataclasses import dataclass

import msgspec
import numpy as np
from numpy.typing import NDArray

from detectors.errors import StateError
from service.detect.changes import Changes
from service.detect.fold import FORMAT, Stored
from service.domain.ids import Micros
from service.domain.records import Snapshot


@dataclass(frozen=True, slots=True)
class Change:
    """The events since a change began, counted in the baseline's bins."""

    since_us: Micros
    """Where the count begins: the start of a tick, at or after the one that was asked for where that can be told."""
    events: int
    counts: NDArray[np.int64]


def changed_since(snapshot: Snapshot, since_us: Micros, bins: int) -> Change | None:
    """Return what was counted since a change began, as its alert dates it.

    ``None`` when nothing was counted, and for a snapshot of another release or another baseline: what it holds is
    shown otherwise.
    """
    try:
        stored = msgspec.msgpack.decode(snapshot.blob, type=Stored)
        if stored.format != FORMAT or not stored.changes:
            return None
        changes = Changes.from_bytes(stored.changes, bins)
    except (msgspec.MsgspecError, StateError):
        return None
    found = changes.since(since_us // stored.tick_us)
    if not found.events:
        return None
    return Change(Micros(found.start_tick * stored.tick_us), found.events, found.counts)
