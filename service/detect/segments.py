"""Segments: parts of the traffic with evidence of their own, from the events of one value of a column each."""

from collections.abc import Collection

import msgspec
import numpy as np
from numpy.typing import NDArray

from detectors.baseline import Baseline
from detectors.binning import count
from detectors.columns import Values
from detectors.errors import StateError
from detectors.evidence import EvidenceState, PartEvidence
from service.detect.baselines import Limits, Sizes, sized
from service.detect.changes import Changes
from service.detect.engines import Engine, Segment
from service.detect.splitting import labels_of, places_of, split
from service.detect.status import findings_of, finite, strongest_tick
from service.domain.policy import SEGMENT_PREFIX
from service.domain.records import ColumnFinding
from service.frames import Frame

COLUMNS_SHOWN = 5
"""Of each segment, in the status: the strongest ones."""


class _Stored(msgspec.Struct, array_like=True):
    events_total: int
    open_events: int
    open_counts: bytes
    changes: bytes
    evidence: bytes


class SegmentPart:
    """The evidence of one segment, see ``service.detect.parts.Part``."""

    def __init__(self, segment: Segment, engine: Engine) -> None:
        self.segment = segment
        self.engine = engine
        self.changes = Changes(engine.baseline.total)
        self.events_total = 0
        self._open_events = 0
        self._open_counts = np.zeros(engine.baseline.total, np.int64)
        self.closed: tuple[int, NDArray[np.int64]] | None = None
        """Events and counts of the tick that was closed last, if it had any."""
        self._evidence_bytes: bytes | None = None
        self._blamed: Baseline | None = None
        """The baseline of the columns that were blamed last: what effect sizes work out of it once is kept with it."""
        self._set(engine.bets.start())

    def _set(self, state: EvidenceState, stored: bytes | None = None) -> None:
        self.state, self.read = state, self.engine.bets.read(state)
        self._evidence_bytes = stored

    @property
    def name(self) -> str:
        """What people call the segment."""
        return self.segment.name

    @property
    def log_share(self) -> float:
        """Of the budget."""
        return self.segment.log_share

    def evidence(self) -> PartEvidence:
        """Return what it says now."""
        return PartEvidence(
            log_share=self.log_share,
            log_model=self.read.log_model,
            log_columns=self.read.log_columns,
            log_shares=self.engine.bets.log_shares,
        )

    def add(self, events: int, columns: dict[str, Values]) -> None:
        """Count events of the open tick."""
        self._open_counts += count(self.engine.baseline, columns)
        self._open_events += events

    def follow(self, first: "SegmentPart") -> None:
        """Take what another part of the same segment counted in the tick that it has just closed."""
        if first.closed is not None:
            self._open_events, self._open_counts = first.closed

    def step(self, tick: int, season: int) -> None:
        """Let the open tick bear on the evidence, if it had a value."""
        events, counts = self._open_events, self._open_counts
        self.closed = (events, counts) if events else None
        if not events:
            return
        self.events_total += events
        self._open_events, self._open_counts = 0, np.zeros_like(counts)
        if counts.any():
            self._set(self.engine.bets.step(self.state, tick, counts, season))
            self.changes.add(tick, events, counts, strongest_tick(self.engine, self.state))

    def findings(self, places: NDArray[np.int64], tick_us: int) -> tuple[ColumnFinding, ...]:
        """Describe the change of some columns."""
        counts = self.changes.since(strongest_tick(self.engine, self.state)).counts
        blames = self.engine.bets.name(self.state, places)
        return findings_of(self.engine, blames, counts, tick_us, self.name)

    def sized(self, names: Collection[str]) -> dict[str, tuple[Sizes, Limits]]:
        """Return the effect sizes of some columns, over the events since the change, and their intervals."""
        if not names:
            return {}
        if self._blamed is None or set(self._blamed.names) != set(names):
            self._blamed = self.engine.baseline.only(names)
        counts = self.changes.since(strongest_tick(self.engine, self.state)).counts
        index, slices = self.engine.baseline.index, self.engine.baseline.slices
        own = np.concatenate([counts[slices[index[name]]] for name in self._blamed.names])
        return dict(zip(self._blamed.names, zip(*sized(self._blamed, own), strict=True), strict=True))

    def settle(self) -> None:
        """Keep the beginning of the change readable."""
        self.changes.settle()

    def to_bytes(self) -> bytes:
        """Return all that it remembers."""
        if self._evidence_bytes is None:
            self._evidence_bytes = self.state.to_bytes()
        stored = _Stored(
            self.events_total,
            self._open_events,
            self._open_counts.tobytes() if self._open_events else b"",
            self.changes.to_bytes(),
            self._evidence_bytes,
        )
        return msgspec.msgpack.encode(stored)

    def restore(self, data: bytes) -> None:
        """Take it back, bit for bit."""
        stored, total = msgspec.msgpack.decode(data, type=_Stored), self.engine.baseline.total
        if stored.open_events and len(stored.open_counts) != 8 * total:
            raise StateError(f"the open tick of {self.name} is not of {total} bins")
        self._set(EvidenceState.from_bytes(self.engine.bets, stored.evidence), stored.evidence)
        self.changes = Changes.from_bytes(stored.changes, total)
        self.events_total, self._open_events = stored.events_total, stored.open_events
        if stored.open_events:
            self._open_counts = np.frombuffer(stored.open_counts, np.int64).copy()


class SegmentParts:
    """All segments of one version that have evidence of their own, and how events come to them."""

    def __init__(self, engine: Engine) -> None:
        self._all = engine.segments
        self._column = engine.column or ""
        self.parts = tuple(SegmentPart(own, own.engine) for own in engine.segments if own.engine is not None)
        self._values = tuple(part.segment.value for part in self.parts)
        self._names = frozenset(name for part in self.parts for name in part.engine.names)

    @property
    def key(self) -> str | None:
        """The key of the events' ``segment`` that must be read; ``None`` when none is needed."""
        wanted = bool(self.parts) and self._column.startswith(SEGMENT_PREFIX)
        return self._column.removeprefix(SEGMENT_PREFIX) if wanted else None

    def count(self, frame: Frame, columns: dict[str, Values]) -> None:
        """Count the events of a frame in the segments they belong to."""
        labels = labels_of(frame, self._column) if self.parts else None
        if labels is None:
            return
        own = {name: values for name, values in columns.items() if name in self._names}
        for place, events, values in split(own, places_of(labels, self._values)):
            self.parts[place].add(events, values)

    def status(self, findings: tuple[ColumnFinding, ...]) -> list[dict[str, object]]:
        """Return every declared segment with its evidence and its strongest columns, as the status shows them."""
        parts = {part.name: part for part in self.parts}
        return [_shown(segment, parts.get(segment.name), findings) for segment in self._all]


def _shown(segment: Segment, part: SegmentPart | None, findings: tuple[ColumnFinding, ...]) -> dict[str, object]:
    blamed = {finding.name: finding for finding in findings if finding.segment == segment.name}
    common: dict[str, object] = {
        "segment": segment.name,
        "value": segment.value,
        "rows": segment.rows,
        "share": round(float(np.exp(segment.log_share)), 6),
        "insufficient": segment.insufficient,
    }
    if part is None:
        return common
    logs = part.read.log_columns
    strongest = np.argsort(-(logs + part.engine.bets.log_shares), kind="stable")[:COLUMNS_SHOWN].tolist()
    names = part.engine.names
    shown = [*blamed, *(names[place] for place in strongest if names[place] not in blamed)][:COLUMNS_SHOWN]
    place_of, sizes = part.engine.baseline.index, part.sized(blamed)
    return common | {
        "log_evidence": finite(part.read.log_model),
        "events_total": part.events_total,
        "ticks": part.read.ticks,
        "columns": [
            _column(name, float(logs[place_of[name]]), blamed.get(name), sizes.get(name, ({}, {}))) for name in shown
        ],
    }


def _column(
    name: str, log_evidence: float, finding: ColumnFinding | None, sizes: tuple[Sizes, Limits]
) -> dict[str, object]:
    return {
        "name": name,
        "log_evidence": finite(log_evidence),
        "since_us": None if finding is None else finding.since_us,
        "direction": None if finding is None else finding.direction,
        "effects": sizes[0],
        "intervals": sizes[1],
    }
