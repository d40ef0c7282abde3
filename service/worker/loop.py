"""The worker's loop: passes over the log until told to stop, and patience when something is away."""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from threading import Event

from service.domain.errors import Unavailable
from service.domain.ids import Position
from service.pipeline import Memory, WorkStages, process_batches
from service.ports import StaleControl
from service.worker.stats import WorkerStats

HEARTBEAT_SECONDS = 1.0
BACK_OFF_SECONDS = (0.05, 0.2, 1.0, 2.0, 5.0)
"""How long to wait after the first failure in a row, the second, ...; the last one repeats."""

GATHER_SECONDS = 0.2
"""How long entries may gather after a pass that has caught up. A pass has a fixed cost, above all its commit: taking
many entries at once is what keeps the worker cheap, and a fifth of a second is nothing to people."""
LULL_SECONDS = 0.025
"""When nothing has come for so long, what has gathered is all there will be for now."""

_logger = logging.getLogger("lazaretto.worker")


@dataclass
class Worker:
    """Runs passes, one after the other, in the thread that calls ``run``."""

    stages: WorkStages
    stats: WorkerStats
    idle_seconds: float = 0.02
    pulse: Callable[[], None] | None = None
    """Told before every pass, whatever comes of it: the loop goes round."""
    _memory: Memory | None = field(default=None, init=False)
    _failures: int = field(default=0, init=False)
    _beat_at: float = field(default=0.0, init=False)
    _gathers: bool = field(default=False, init=False)
    """Whether the last pass has caught up with entries that came meanwhile."""
    _full_rests: int = field(default=0, init=False)
    """How many in a row were not cut short."""

    def run(self, stop: Event) -> None:
        """Work until ``stop`` is set; a pass that has begun is finished."""
        while not stop.is_set():
            wait = self.step()
            if self._gathers:
                self._gather(stop)
            elif wait:
                stop.wait(wait)

    def step(self) -> float:
        """Do one pass and return for how many seconds there is nothing to do."""
        self._gathers = False
        if self.pulse is not None:
            self.pulse()
        try:
            wait = self._pass()
        except StaleControl as stale:
            # Somebody was faster. Nothing was written: read again what they decided, and compute anew.
            self._drop(str(stale))
            return 0.0
        except Unavailable as away:
            self._drop(away.detail)
            self._failures += 1
            return BACK_OFF_SECONDS[min(self._failures, len(BACK_OFF_SECONDS)) - 1]
        self._failures = 0
        return wait

    def _gather(self, stop: Event) -> None:
        """Let entries gather, until they stop coming; cut short every other time at most, for a trickle's sake."""
        until = time.perf_counter() + GATHER_SECONDS
        head: Position | None = None
        self._full_rests += 1
        while (left := until - time.perf_counter()) > 0 and not stop.wait(min(left, LULL_SECONDS)):
            if self._full_rests == 1:
                continue
            try:
                before, head = head, self.stages.log.head()
            except Unavailable:  # the next pass meets it too
                return
            if head == before:
                self._full_rests = 0
                return

    def _pass(self) -> float:
        """Do one pass and return how long to wait before the next."""
        started = time.perf_counter()
        if self._memory is None:
            self._memory = Memory(self.stages)
            self._beat_at = started
        progress = process_batches(self.stages, self._memory)
        ended = time.perf_counter()
        if progress.commit_seconds is None:
            self._beat(ended)
            return self.idle_seconds
        self._beat_at = ended
        self.stats.passes += 1
        self.stats.entries += progress.entries
        self.stats.events += progress.events
        self.stats.pass_seconds.observe(ended - started)
        self.stats.commit_seconds.observe(progress.commit_seconds)
        if progress.entries == 0:
            return self.idle_seconds
        self._gathers = progress.caught_up
        return GATHER_SECONDS if progress.caught_up else 0.0

    def _beat(self, now: float) -> None:
        """Say that the worker is there, and keep its lease, while there is nothing to write."""
        if self._memory is None or now - self._beat_at < HEARTBEAT_SECONDS:
            return
        self._beat_at = now
        if self.stages.store.position() != self._memory.position:
            raise StaleControl("the cursor has moved")

    def _drop(self, reason: str) -> None:
        self._memory = None
        self.stats.dropped_passes += 1
        _logger.warning("pass dropped", extra={"reason": reason})
