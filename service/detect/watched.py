"""One version under one baseline: the open tick, the windows, and the evidence.

Frames of an open tick only add up, and evidence moves when the tick closes, so that nothing depends on how the log was
cut into passes.
"""

import logging
import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from detectors.binning import count
from detectors.errors import ColumnError
from detectors.evidence import EvidenceState
from service.detect.changes import Changes
from service.detect.columns import columns_of
from service.detect.engines import Engine
from service.detect.status import columns_status, findings_of
from service.detect.windows import Windows
from service.domain.records import ColumnFinding
from service.frames import Frame, FrameError, concat_frames, decode_columns
from service.ports import LogEntry

NO_TICK = -1
Body = bytes | memoryview
ROWS_ALONE = 500
"""A frame of as many rows gains nothing from company."""
ROWS_TOGETHER = 4_000
"""More rows than this at once leave the processor's cache."""
_logger = logging.getLogger("lazaretto.detect")


class Watched:
    """The evidence of one era of a version that has a baseline."""

    def __init__(self, engine: Engine, windows: Windows, tick_us: int) -> None:
        self.engine = engine
        self.windows = windows
        self.tick_us = tick_us
        self.open_tick = NO_TICK
        self.open_events = 0
        self.open_counts = np.zeros(engine.baseline.total, np.int64)
        self.changes = Changes(engine.baseline.total)
        """What effect sizes of a change are read from, undiluted by the time before it."""
        self._pending: list[Body] = []
        """Frames of the open tick that are not counted yet; counted together, they cost a fraction."""
        self._pending_rows = 0
        self._columns_json: bytes | None = None
        self.set_evidence(engine.bets.start())

    def set_evidence(self, state: EvidenceState, stored: bytes | None = None) -> None:
        """Put an evidence state in place of the one before; ``stored`` are its bytes, when they are at hand."""
        self.evidence = state
        self.read = self.engine.bets.read(state)
        self._evidence_bytes = stored
        self._columns_json = None

    @property
    def closes_us(self) -> int | None:
        """When the open tick ends; ``None`` when there is none."""
        return None if self.open_tick == NO_TICK else (self.open_tick + 1) * self.tick_us

    def take(self, entry: LogEntry) -> None:
        """Add the events of one entry to the open tick."""
        self.open_tick = entry.arrival_us // self.tick_us
        self.open_events += entry.rows
        if entry.rows >= ROWS_ALONE:
            self._count_together([entry.body])
            return
        self._pending.append(entry.body)
        self._pending_rows += entry.rows
        if self._pending_rows >= ROWS_TOGETHER:
            self.settle()

    def settle(self) -> None:
        """Count the pending frames together, as the cost of a call is that of a thousand rows."""
        bodies, self._pending, self._pending_rows = self._pending, [], 0
        self._count_together(bodies)

    def flush(self) -> NDArray[np.int64]:
        """Close the open tick: its counts go to the windows, and are returned."""
        self.settle()
        counts = self.open_counts
        if self.open_tick != NO_TICK:
            self.windows.add(self.open_tick * self.tick_us, self.open_events, counts)
            self.open_counts = np.zeros_like(counts)
            self.open_tick, self.open_events = NO_TICK, 0
            self._columns_json = None
        return counts

    def step(self) -> bool:
        """Close the open tick and let it bear on the evidence; False when no column had a value."""
        tick, events, counts = self.open_tick, self.open_events, self.flush()
        if tick == NO_TICK or not counts.any():
            return False
        self.set_evidence(self.engine.bets.step(self.evidence, tick, counts))
        self.windows.note(self.read.log_model, self.read.log_columns)
        self.changes.add(tick, events, counts, self._changed_tick())
        return True

    def findings(self, threshold_log: float) -> tuple[ColumnFinding, ...]:
        """Return the blamed columns, strongest first; none below the threshold."""
        if self.read.log_model < threshold_log:
            return ()
        counts = self.changes.since(self._changed_tick()).counts
        return findings_of(self.engine, self.evidence, counts, self.tick_us, threshold_log)

    def _changed_tick(self) -> int:
        """Return since when the strongest column has changed, if it has."""
        return self.engine.bets.blame(self.evidence, math.inf)[0].since_tick

    def _count_together(self, bodies: Sequence[Body]) -> None:
        for frame in concat_frames([frame for frame in map(_decoded, bodies) if frame is not None]):
            self._count(frame)

    def _count(self, frame: Frame) -> None:
        try:
            columns = columns_of(frame, self.engine.names, self.engine.baseline.spaces)
            self.open_counts += count(self.engine.baseline, columns)
        except ColumnError as error:
            _logger.error("frame not counted", extra={"reason": str(error), "rows": frame.rows})  # noqa: TRY400 - the message says it all

    def columns_json(self, threshold_log: float) -> bytes:
        """Return every column with its evidence and effects, as JSON; written anew after a tick."""
        if self._columns_json is None:
            self._columns_json = columns_status(self.engine, self.read, self.windows, self.findings(threshold_log))
        return self._columns_json

    def forget_status(self) -> None:
        """Let the status be written anew: what was promised may have changed."""
        self._columns_json = None

    def evidence_bytes(self) -> bytes:
        """Return the evidence state as bytes; made anew after a tick."""
        if self._evidence_bytes is None:
            self._evidence_bytes = self.evidence.to_bytes()
        return self._evidence_bytes


def _decoded(body: Body) -> Frame | None:
    """Return a frame of the log. One that was damaged on disk is left out: it must not stop all versions for ever."""
    try:
        return decode_columns(body)
    except FrameError as error:
        _logger.error("frame not readable", extra={"reason": str(error), "bytes": len(body)})  # noqa: TRY400 - the message says it all
        return None
