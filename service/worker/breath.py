"""The worker's way of not being in the way: short rests, so that the API process on the same core has its turns."""

import time
from collections.abc import Callable
from dataclasses import dataclass

SPELL_SECONDS = 0.0003
"""Of the processor, after which a rest is due."""
REST_SECONDS = 0.0001
"""Enough for the scheduler to let another process begin, and a few percent of the worker's time where nobody wants the
core. Yielding is not: a process that has slept for long is owed so much time that it is picked again at once."""


@dataclass
class Breath:
    """Rests for a moment when it is called and the thread has used the processor for a while since the last rest."""

    used: Callable[[], float] = time.thread_time
    rest: Callable[[float], None] = time.sleep
    _rested_at: float = 0.0

    def __call__(self) -> None:
        """Rest, if it is time to."""
        now = self.used()
        if now - self._rested_at >= SPELL_SECONDS:
            self.rest(REST_SECONDS)
            self._rested_at = now
