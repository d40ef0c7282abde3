"""Which quarantines has a gateway heard of? Noted where the gate answers, written down by somebody who may wait."""

import threading
from dataclasses import dataclass

from service.domain.ids import Micros, VersionId
from service.ports import Clock


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """The first answer that kept traffic from a version in quarantine, as far as this process knows."""

    version_id: VersionId
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
        self._waiting: dict[VersionId, Heard] = {}

    def note(self, held: tuple[VersionId, int], decision_id: str) -> None:
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
            self._latest[version_id] = lock
            heard = Heard(version_id=version_id, at_us=self._clock.now_us(), decision_id=decision_id)
            self._waiting.setdefault(version_id, heard)

    def waiting(self) -> tuple[Heard, ...]:
        """Return what has not been written down yet."""
        return tuple(self._waiting.values())

    def written(self, heard: Heard) -> None:
        """Forget what has been written down, unless there is something newer."""
        with self._lock:
            if self._waiting.get(heard.version_id) is heard:
                del self._waiting[heard.version_id]
