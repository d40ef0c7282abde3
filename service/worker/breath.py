"""The worker's way of not being in the way: short rests, so that the API process on the same core has its turns.

A scheduler hands the core over when a process sleeps, or at a tick of up to four milliseconds; a process that waits for
its turn without having slept meanwhile does not get it sooner. So what computes for longer rests now and then. Code
that folds entries into evidence is interrupted by an alarm, as soon as the call that it is in returns; code that reads
and writes files calls by itself, as alarms would cut short its waits for a lock. Where folding reads the log after all,
one wait of it may be cut short: the next alarm is set only when the call has returned.
"""

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import FrameType

SPELL_SECONDS = 0.0003
"""Of the processor, after which a rest is due."""
REST_SECONDS = 0.0001
"""Enough for the scheduler to let another process begin, and a few percent of the worker's time where nobody wants the
core. Yielding is not: a process that has slept for long is owed so much time that it is picked again at once."""
ALARM_SECONDS = 0.0004
"""From the end of a rest to the next alarm while entries are folded."""


@dataclass
class Breath:
    """Rests for a moment when it is called and its thread has used the processor for a while since the last rest."""

    used: Callable[[], float] = time.thread_time
    rest: Callable[[float], None] = time.sleep
    _rested_at: float = field(default=0.0, init=False)
    _thread: int = field(default=0, init=False)
    """Whose breath it is; of others it is none. 0 until ``begin``."""
    _alarming: bool = field(default=False, init=False)

    def begin(self) -> None:
        """Make it the breath of the calling thread, which must be the main one, as alarms go there.

        Raises
        ------
        ValueError
            When called from another thread.
        """
        signal.signal(signal.SIGALRM, self._wake)
        self._thread = threading.get_ident()

    def __call__(self) -> None:
        """Rest, if it is time to."""
        if threading.get_ident() != self._thread:
            return
        now = self.used()
        if now - self._rested_at >= SPELL_SECONDS:
            self._rested_at = now
            self.rest(REST_SECONDS)

    def _wake(self, _number: int, _frame: FrameType | None) -> None:
        """Rest, and only then set the next alarm.

        On a busy machine a rest takes longer than the time between two alarms. One that rang in the rest of another
        would rest in it, and so on, until the stack is full.
        """
        self()
        if self._alarming:
            signal.setitimer(signal.ITIMER_REAL, ALARM_SECONDS)

    @contextmanager
    def alarmed(self) -> Iterator[None]:
        """Rest by alarm within the block, which mostly computes."""
        if threading.get_ident() != self._thread:
            yield
            return
        self._alarming = True
        signal.setitimer(signal.ITIMER_REAL, ALARM_SECONDS)
        try:
            yield
        finally:
            self._alarming = False  # first, because an alarm that is on its way would set the next one
            signal.setitimer(signal.ITIMER_REAL, 0.0)
