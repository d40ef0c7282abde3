"""Evidence that starts again from zero at an alarm, beside the one that raised it: whether the change lasts.

Evidence goes on from where it stands until people settle it, and falls slowly once a change is over, so it cannot say
whether the change still lasts. From the alarm on a second state therefore takes the same ticks. Whenever it reaches
the threshold too, the change has come back, and it starts from zero once more. It takes part in no decision.

It is made of all events together and of each segment, fused as these are. Traffic has no part in it: what it has learnt
to be usual, and the beat it counts in, are no state that could be left behind.
"""

from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from detectors.evidence import EvidenceState
from service.detect.changes import Changes
from service.detect.engines import Engine
from service.detect.parts import Parts, StoredPart
from service.detect.segments import SegmentPart, SegmentParts
from service.detect.status import findings_of, finite, strongest_tick
from service.domain.ids import Micros
from service.domain.records import ColumnFinding


class StoredRebuild(msgspec.Struct, array_like=True):
    """How a snapshot keeps it."""

    since_us: int
    times: int
    last_us: int
    evidence: bytes
    parts: list[StoredPart]


class Rebuild:
    """The second evidence of one version, from an alarm on."""

    def __init__(self, engine: Engine, since_us: Micros) -> None:
        self._engine = engine
        self.since_us = since_us
        """Of the alarm."""
        self.times = 0
        """How often it has reached the threshold."""
        self.last_us = Micros(0)
        """When it last did; then it started from zero once more."""
        self._start()

    def _start(self) -> None:
        self._segments: tuple[SegmentPart, ...] = SegmentParts(self._engine).parts
        self._parts = Parts(self._segments)
        # Its segments tell how they changed from what was counted since, in one piece.
        self._parts.settle()
        self._set(self._engine.bets.start())

    def _set(self, state: EvidenceState) -> None:
        self._state, self._read = state, self._engine.bets.read(state)

    @property
    def log_model(self) -> float:
        """Natural logarithm of its evidence since it last started from zero."""
        return self._parts.log_model(self._engine.bets, self._read)

    def step(self, tick: int, season: int, counts: NDArray[np.int64], segments: Sequence[SegmentPart]) -> None:
        """Take the tick that all events together and the segments of the first evidence have just taken."""
        for second, first in zip(self._segments, segments, strict=True):
            second.follow(first)
        self._parts.step(tick, season)
        self._set(self._engine.bets.step(self._state, tick, counts, season))

    def judge(self, threshold_log: float, at_us: Micros, tick_us: int, changes: Changes) -> tuple[ColumnFinding, ...]:
        """Start from zero once more where it has reached the threshold; return the blamed columns the first time.

        ``changes`` are those of all events together.
        """
        if self.log_model < threshold_log:
            return ()
        findings = () if self.times else self._findings(threshold_log, tick_us, changes)
        self.times += 1
        self.last_us = at_us
        self._start()
        return findings

    def _findings(self, threshold_log: float, tick_us: int, changes: Changes) -> tuple[ColumnFinding, ...]:
        engine, bets, state = self._engine, self._engine.bets, self._state

        def own(places: NDArray[np.int64]) -> Sequence[ColumnFinding]:
            counts = changes.since(strongest_tick(engine, state)).counts
            return findings_of(engine, bets.name(state, places), counts, tick_us)

        return self._parts.findings(bets, self._read, threshold_log, own, tick_us)

    def status(self) -> dict[str, object]:
        """Return what people see of it, for JSON."""
        return {
            "since_us": self.since_us,
            "times": self.times,
            "last_us": self.last_us or None,
            "ticks": self._read.ticks,
            "log_evidence": finite(self.log_model),
        }

    def stored(self) -> StoredRebuild:
        """Return everything that is needed to go on."""
        return StoredRebuild(self.since_us, self.times, self.last_us, self._state.to_bytes(), self._parts.stored())

    @classmethod
    def adopt(cls, engine: Engine, stored: StoredRebuild) -> "Rebuild":
        """Go on from a snapshot, bit for bit.

        Raises
        ------
        StateError
            When it is of another engine.
        msgspec.MsgspecError
            When it is something else.
        """
        rebuild = cls(engine, Micros(stored.since_us))
        rebuild.times, rebuild.last_us = stored.times, Micros(stored.last_us)
        rebuild._parts.restore(stored.parts)
        rebuild._set(EvidenceState.from_bytes(engine.bets, stored.evidence))
        return rebuild
