"""Which quarantines has a gateway heard of? Noted where the gate answers, written down by somebody who may wait."""

import threading
from dataclasses import dataclass

from service.domain.ids import Micros, VersionId
from service.ports import Clock

WAITING_MAX = 10_000
"""Refusals that wait to be written down; while there are so many, the next ones are noted later."""

Held = tuple[VersionId, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """The first answer that kept traffic from a version in quarantine, as far as this process knows."""

    version_id: VersionId
    lock: int
    """Of the version as the gate saw it: it tells this quarantine from every other one of the version."""
    at_us: Micros
    decision_id: str


class Acknowledgements:
    """Remembers the first refusal for each change of a version's state: one look into a dictionary per refusal.

    Parameters
    ----------
    clock
        Dates them.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._latest: dict[VersionId, int] = {}
        """By version, the lock under which it was last refused: never more entries than versions."""
        self._waiting: dict[Held, Heard] = {}
        """By version and lock: while the store is away one quarantine must not stand in the way of the next."""

    def note(self, held: Held, decision_id: str) -> None:
        """Take a refusal; only the first one under a lock costs more than a look.

        Parameters
        ----------
        held
            The version and its lock, from the ruling.
        decision_id
            Of the answer.
        """
        version_id, lock = held
        if self._latest.get(version_id) == lock:
            return
        with self._lock:
            if len(self._waiting) >= WAITING_MAX:
                return
            self._latest[version_id] = lock
            at_us = self._clock.now_us()
            heard = Heard(version_id=version_id, lock=lock, at_us=at_us, decision_id=decision_id)
            self._waiting.setdefault(held, heard)

    def waiting(self) -> tuple[Heard, ...]:
        """Return what has not been written down yet, oldest first."""
        with self._lock:
            return tuple(self._waiting.values())

    def written(self, heard: Heard) -> None:
        """Forget what has been written down."""
        with self._lock:
            self._waiting.pop((heard.version_id, heard.lock), None)
