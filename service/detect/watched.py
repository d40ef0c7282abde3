"""One version under one baseline: the open tick, the windows, and the evidence.

Frames of an open tick only add up, and evidence moves when the tick closes, so that nothing depends on how the log was
cut into passes.
"""

import logging
from collections.abc import Iterator, Sequence
from functools import cached_property
from itertools import accumulate

import msgspec
import numpy as np
from numpy.typing import NDArray

from detectors.baseline import season_of
from detectors.binning import count
from detectors.errors import ColumnError
from detectors.evidence import Blame, EvidenceState
from detectors.sums import sums_of
from service.detect.balance import Balance
from service.detect.certificate import Certifier
from service.detect.changes import Changes
from service.detect.columns import columns_of
from service.detect.engines import Engine
from service.detect.parts import Parts
from service.detect.rebuild import Rebuild
from service.detect.segments import SegmentParts
from service.detect.status import columns_status, findings_of, strongest_tick
from service.detect.traffic import Traffic
from service.detect.windows import Windows
from service.domain.certificate import Certificate
from service.domain.ids import Micros
from service.domain.records import ColumnFinding
from service.frames import Frame, FrameError, between, concat_frames, decode_columns, decode_frame
from service.ports import LogEntry

NO_TICK = -1
Body = bytes | memoryview
ROWS_ALONE = 4_000
"""A frame of as many rows gains nothing from company."""
ROWS_TOGETHER = 8_000
BYTES_TOGETHER = 1 << 21
"""Frames of more rows or bytes than this, counted at once, leave the processor's cache."""
JOINT_BLOCK = 250
"""They are looked at in blocks of so many neighbours, which costs less than one here and one there."""
JOINT_EVENTS = 2_000
"""About so many events of a tick are looked at jointly: the scores of a space cost several times what counting does."""
_logger = logging.getLogger("lazaretto.detect")


class Watched:
    """The evidence of one era of a version that has a baseline."""

    def __init__(
        self,
        engine: Engine,
        windows: Windows,
        tick_us: int,
        traffic: Traffic | None = None,
        balance: Balance | None = None,
    ) -> None:
        self.engine = engine
        self.balance = balance
        """Whose events count; ``None``: everybody's, all of them."""
        self.traffic = traffic
        """How many events come; ``None`` where the policy watches no traffic."""
        self.windows = windows
        if balance is not None and not windows.newest():
            balance.since_us = 0
        self.tick_us = tick_us
        self.open_tick = NO_TICK
        self.open_events = 0
        self.open_counts = np.zeros(engine.baseline.width, np.int64)
        """Of each bin, and behind them the sums of the spaces."""
        self.changes = Changes(engine.baseline.total)
        """What effect sizes of a change are read from, undiluted by the time before it."""
        self.last_events = 0
        """Of the tick before: a busy one says how densely the scores of spaces look at this one."""
        self._pending: list[tuple[int, Body]] = []
        """Frames of the open tick that are not counted yet, each with how many events came before it in the tick;
        counted together, they cost a fraction."""
        self._pending_rows = self._pending_bytes = 0
        self._sample: list[Frame] = []
        """Events of a busy tick that the joint scores have not looked at yet."""
        self._sample_rows = 0
        self._columns_json: bytes | None = None
        self._segments_json: bytes | None = None
        self.segments = SegmentParts(engine)
        self.parts = Parts(self.segments.parts, () if traffic is None else (traffic,))
        self.rebuild: Rebuild | None = None
        """The evidence that started again from zero at the alarm; ``None`` while there is none."""
        self.set_evidence(engine.bets.start())

    @cached_property
    def _certifier(self) -> Certifier | None:
        return None if self.balance is None else Certifier(self.engine, self.balance.events_of_one)

    def certificate(self) -> Certificate | None:
        """Return what one principal can do to the evidence at most; ``None`` where every event counts."""
        if self._certifier is None or self.balance is None or self.balance.since_us is None:
            return None
        # A window that goes back to before the policy said so holds ticks in which more counted.
        since_us, whole = self.balance.since_us, self.windows.extents(self.tick_us)
        extents = {name: extent for name, extent in whole.items() if extent.start_us >= since_us}
        return self._certifier.certificate(extents, {one: self.windows.merged(one) for one in extents}, self.tick_us)

    def set_evidence(self, state: EvidenceState, stored: bytes | None = None) -> None:
        """Put an evidence state in place of the one before; ``stored`` are its bytes, when they are at hand."""
        self.evidence = state
        self.read = self.engine.bets.read(state)
        self._evidence_bytes = stored
        self.forget_status()

    @property
    def closes_us(self) -> int | None:
        """When the open tick ends; ``None`` when there is none."""
        return None if self.open_tick == NO_TICK else (self.open_tick + 1) * self.tick_us

    @property
    def log_model(self) -> float:
        """Natural logarithm of the model's evidence: of all events, of segments, and of traffic once learnt."""
        return self.parts.log_model(self.engine.bets, self.read)

    def take(self, entry: LogEntry, *, serving: bool = True) -> None:
        """Add the events of one entry to the open tick; traffic counts only while the version serves."""
        if self.traffic is not None:
            self.traffic.take(entry.rows, serving=serving)
        self.open_tick = entry.arrival_us // self.tick_us
        first, self.open_events = self.open_events, self.open_events + entry.rows
        if entry.rows >= ROWS_ALONE:
            self._count_together([(first, entry.body)])
            return
        self._pending.append((first, entry.body))
        self._pending_rows += entry.rows
        self._pending_bytes += len(entry.body)
        if self._pending_rows >= ROWS_TOGETHER or self._pending_bytes >= BYTES_TOGETHER:
            self.settle()

    def take_outcomes(self, at_us: Micros, counts: NDArray[np.int64]) -> None:
        """Add what labels say of answers to the open tick; a tick may hold nothing else."""
        self.open_tick = at_us // self.tick_us
        self.open_counts[: len(counts)] += counts

    def settle(self) -> None:
        """Count the pending frames together, as the cost of a call is that of a thousand rows."""
        pending, self._pending = self._pending, []
        self._pending_rows = self._pending_bytes = 0
        self._count_together(pending)
        self._count_sample()

    def flush(self) -> NDArray[np.int64]:
        """Close the open tick: its counts go to the windows, and are returned with its sums."""
        self.settle()
        counts = self.open_counts
        if self.open_tick != NO_TICK:
            self.windows.add(self.open_tick * self.tick_us, self.open_events, counts[: self.engine.baseline.total])
            if self.traffic is not None:
                self.traffic.close(self.open_tick)
            if self.balance is not None:
                self.balance.close(self.open_tick * self.tick_us)
            self.open_counts = np.zeros_like(counts)
            self.open_tick, self.open_events, self.last_events = NO_TICK, 0, self.open_events or self.last_events
            self.forget_status()
        return counts

    def step(self) -> bool:
        """Close the open tick and let it bear on the evidence; False when no column had a value."""
        tick, events, counts = self.open_tick, self.open_events, self.flush()
        if tick == NO_TICK:
            return False
        season = season_of(tick * self.tick_us, self.tick_us)
        self.parts.step(tick, season)
        if not counts.any():
            return False
        self.set_evidence(self.engine.bets.step(self.evidence, tick, counts, season))
        if self.rebuild is not None:
            self.rebuild.step(tick, season, counts, self.segments.parts)
        self.windows.note(self.log_model, self.read.log_columns)
        bins = counts[: self.engine.baseline.total]
        self.changes.add(tick, events, bins, strongest_tick(self.engine, self.evidence))
        return True

    def findings(self, threshold_log: float) -> tuple[ColumnFinding, ...]:
        """Return the blamed columns, strongest first; none below the threshold."""
        if self.log_model < threshold_log:
            return ()
        bets = self.engine.bets
        if not self.parts:
            return self._findings(bets.blame(self.evidence, threshold_log))
        return self.parts.findings(bets, self.read, threshold_log, self._named, self.tick_us)

    def judge_rebuild(self, log_model: float, threshold_log: float, at_us: Micros) -> tuple[ColumnFinding, ...]:
        """Let evidence start again beside itself at an alarm, and forget that once the alarm's is below the threshold.

        Returns the blamed columns when the second evidence reaches the threshold first. Where it is the traffic that
        raises the alarm there is none, as it takes no part in it.
        """
        if log_model < threshold_log:
            self.rebuild = None
            return ()
        bets = self.engine.bets
        if not self.engine.sufficient or self.parts.log_inside(bets, self.read) < threshold_log:
            self.rebuild = None
            return ()
        if self.rebuild is None:
            self.rebuild = Rebuild(self.engine, at_us)
            return ()
        return self.rebuild.judge(threshold_log, at_us, self.tick_us, self.changes)

    def settle_changes(self) -> None:
        """Keep the beginning of the change readable: an alarm was raised."""
        self.changes.settle()
        self.parts.settle()

    def _named(self, places: NDArray[np.int64]) -> tuple[ColumnFinding, ...]:
        return self._findings(self.engine.bets.name(self.evidence, places))

    def _findings(self, blames: Sequence[Blame]) -> tuple[ColumnFinding, ...]:
        counts = self.changes.since(strongest_tick(self.engine, self.evidence)).counts
        return findings_of(self.engine, blames, counts, self.tick_us)

    def _count_together(self, pending: Sequence[tuple[int, Body]]) -> None:
        """Count frames; of a busy tick, let the scores of spaces look at every so manieth block in the log's order.

        Which events those are depends on the log alone, not on how it was cut into batches or passes.
        """
        stride = max(1, self.last_events // JOINT_EVENTS) if self.engine.joint else 1
        key = self.segments.key
        balance = self.balance
        frames = [(n, frame) for n, body in pending if (frame := _decoded(body, key, owned=balance is not None))]
        joined = concat_frames([frame for _, frame in frames])
        if self.traffic is not None:
            for frame in joined:
                self.traffic.see(frame)
        if balance is not None:
            kept = [own for _, frame in frames if (own := balance.only(frame)).rows]
            ends = accumulate((own.rows for own in kept), initial=balance.counted - sum(own.rows for own in kept))
            frames, joined = list(zip(ends, kept, strict=False)), concat_frames(kept)
        for frame in joined:
            self._count(frame, jointly=stride == 1)
        if stride > 1:
            for first, frame in frames:
                for start, stop in _chosen(first, frame.rows, stride):
                    self._sample.append(between(frame, start, stop))
                    self._sample_rows += stop - start
            if self._sample_rows >= ROWS_ALONE:
                self._count_sample()

    def _count_sample(self) -> None:
        sample, self._sample, self._sample_rows = self._sample, [], 0
        for frame in concat_frames(sample):
            self._count(frame, jointly=True, only=self.engine.joint)

    def _count(self, frame: Frame, *, jointly: bool, only: frozenset[str] | None = None) -> None:
        baseline = self.engine.baseline
        try:
            columns = columns_of(
                frame, self.engine.names, baseline.spaces if jointly else (), shares=self.engine.shares
            )
            if jointly and self.engine.requests is not None:
                columns |= self.engine.requests.columns(frame, columns)
            if only is not None:
                columns = {name: values for name, values in columns.items() if name in only}
            self.open_counts[: baseline.total] += count(baseline, columns)
            if baseline.sums and jointly:
                self.open_counts[baseline.total :] += sums_of(baseline, columns)
            if only is None:
                self.segments.count(frame, columns)
        except ColumnError as error:
            _logger.error("frame not counted", extra={"reason": str(error), "rows": frame.rows})  # noqa: TRY400 - the message says it all

    def columns_json(self, threshold_log: float) -> bytes:
        """Return every column with its evidence and effects, as JSON; written anew after a tick."""
        if self._columns_json is None:
            self._columns_json = columns_status(self.engine, self.read, self.windows, self.findings(threshold_log))
        return self._columns_json

    def forget_status(self) -> None:
        """Let the status be written anew: what was promised may have changed."""
        self._columns_json = self._segments_json = None

    def segments_json(self, threshold_log: float) -> bytes:
        """Return every declared segment with its evidence, as JSON; written anew after a tick."""
        if self._segments_json is None:
            self._segments_json = msgspec.json.encode(self.segments.status(self.findings(threshold_log)))
        return self._segments_json

    def evidence_bytes(self) -> bytes:
        """Return the evidence state as bytes; made anew after a tick."""
        if self._evidence_bytes is None:
            self._evidence_bytes = self.evidence.to_bytes()
        return self._evidence_bytes


def _chosen(first: int, rows: int, stride: int) -> Iterator[tuple[int, int]]:
    """Yield the ranges of a frame's rows that fall into chosen blocks; the frame begins with event ``first``."""
    block = first // JOINT_BLOCK
    block += -block % stride
    while (begin := block * JOINT_BLOCK - first) < rows:
        yield max(begin, 0), min(begin + JOINT_BLOCK, rows)
        block += stride


def _decoded(body: Body, segment: str | None, *, owned: bool) -> Frame | None:
    """Return a frame of the log. One that was damaged on disk is left out: it must not stop all versions for ever."""
    try:
        return decode_frame(body) if owned else decode_columns(body, segment)
    except FrameError as error:
        _logger.error("frame not readable", extra={"reason": str(error), "bytes": len(body)})  # noqa: TRY400 - the message says it all
        return None
