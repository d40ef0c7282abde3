"""Which events had an error, and of which kinds the latest ones were."""

from collections import Counter
from collections.abc import Iterable

import msgspec
import numpy as np

from service.domain.schema import NO_ERROR, SOME_ERROR
from service.frames import INVALID, Coded

OPEN_MAX = 256
"""Kinds of the open tick that are told apart: those whose names come first in the order of the alphabet, whatever the
order they came in."""
KEPT = 20
"""Kinds that are remembered: the most frequent of late."""
LATEST = 50
"""Of so many errors at most; once there are more, all counts are halved. An alarm takes about as many new ones, so it
names what is new first. Kinds that hardly ever come vanish by it."""
Counts = list[tuple[str, int]]


class StoredErrors(msgspec.Struct, array_like=True):
    """How a snapshot keeps them."""

    total: int = 0
    opened: Counts = []
    latest: Counts = []


class Errors:
    """The errors of one version. It does not matter in which batches, or in which order within a tick, they came."""

    def __init__(self, stored: StoredErrors | None = None) -> None:
        stored = stored or StoredErrors()
        self.total = stored.total
        """Events with an error."""
        self._open = Counter(dict(stored.opened))
        self._latest = dict(stored.latest)

    def see(self, column: Coded) -> int:
        """Count events of the open tick, and return how many of them had an error."""
        counts = np.bincount(column.codes - INVALID, minlength=len(column.labels) - INVALID).tolist()
        # A column that somebody else wrote may say *missing*: nothing was told.
        found = {label: events for label, events in zip(column.labels, counts[-INVALID:], strict=True) if events}
        found.pop(NO_ERROR, None)
        odd = counts[0]
        if odd:
            found[SOME_ERROR] = found.get(SOME_ERROR, 0) + odd
        self._open.update(found)
        if len(self._open) > OPEN_MAX:
            self._open = Counter({kind: self._open[kind] for kind in sorted(self._open)[:OPEN_MAX]})
        failed: int = sum(found.values())
        self.total += failed
        return failed

    def close(self) -> None:
        """Close the tick."""
        if not self._open:
            return
        latest = Counter(self._latest) + self._open
        while latest.total() > LATEST:
            latest = Counter({kind: half for kind, events in latest.items() if (half := events // 2)})
        self._latest, self._open = dict(_ordered(latest.items())[:KEPT]), Counter()

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of the latest errors, the most frequent first; none where none has a name."""
        kinds = tuple(self._latest)
        return () if kinds == (SOME_ERROR,) else kinds

    def stored(self) -> StoredErrors:
        """Return everything that is needed to go on."""
        return StoredErrors(self.total, sorted(self._open.items()), list(self._latest.items()))


def _ordered(counts: Iterable[tuple[str, int]]) -> Counts:
    return sorted(counts, key=lambda one: (-one[1], one[0]))
