"""Traffic of one version under one baseline: how many events come, and which share of them is oddly made.

It is a part of the model's evidence beside the baseline's columns: both are worth at most the ticks so far on average,
and so is their weighted mean.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import msgspec
import numpy as np
from numpy.typing import NDArray

from detectors.baseline import Baseline
from detectors.columns import ColumnGroup
from detectors.errors import StateError
from detectors.evidence import PartEvidence
from detectors.evidence.options import QUALITY
from detectors.traffic import RATE, Moved, TrafficMonitor, TrafficOptions
from detectors.traffic.repeats import Repeats
from service.detect.baselines import EFFECTS
from service.detect.columns import odd
from service.detect.engines import Engine
from service.detect.failures import Errors, StoredErrors
from service.detect.plan import Era
from service.detect.repeats import hashes_of
from service.domain.ids import Micros
from service.domain.policy import SECONDS_PER_DAY, Tuning
from service.domain.records import ColumnFinding
from service.domain.schema import (
    ERROR,
    LATENCY,
    PREDICTION,
    PROBABILITY_PREFIX,
    UNKNOWN_FIELDS,
    UNKNOWN_SEPARATOR,
)
from service.frames import Frame

TRAFFIC = ColumnGroup.TRAFFIC.value
SHARE = 0.1
"""Of the budget, unless the policy says otherwise."""
UNKNOWN = "quality.unknown_fields"
ABSENT = "quality.absent_columns"
ERRORS = "quality.errors"
REPEATED = "quality.repeated_events"
ALWAYS = (UNKNOWN, ABSENT, ERRORS)
"""Shares that are always counted; where they stand in a row follows from this."""
NAMES_KEPT = 20
"""Of unknown fields, in the order of their coming."""
NAMED = 3
"""In a sentence."""
STOPPED = -1
Row = list[int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What people see of one column of traffic."""

    name: str
    group: str
    log_evidence: float
    direction: str
    since_us: Micros | None
    text: str
    tolerance: float | None


class StoredTraffic(msgspec.Struct, array_like=True):
    """How a snapshot keeps it."""

    row: list[int]
    unknown: list[str]
    monitor: bytes
    repeats: bytes | None = None
    errors: StoredErrors = msgspec.field(default_factory=StoredErrors)
    odd_probabilities: int = 0


class Traffic:
    """The monitor of one version, with what of the open tick it has not been told yet."""

    def __init__(self, options: TrafficOptions, share: float, optional: tuple[str, ...]) -> None:
        self.monitor = TrafficMonitor(options)
        self.unknown: dict[str, None] = {}
        """Names of unknown fields that came."""
        self.errors = Errors()
        self.odd_probabilities = 0
        """Events with the probabilities of all classes, of which one is negative or which do not add up to one."""
        self.row: Row = [0] * (1 + 2 * len(options.shares))
        """Events of the open tick, then tries and hits of each share; the first is ``STOPPED`` once the tick does not
        count, because traffic stopped on purpose."""
        self.repeats = Repeats() if REPEATED in options.shares else None
        self._optional = optional
        self._log_share = math.log(share)

    @classmethod
    def of(cls, era: Era, engine: Engine) -> "Traffic | None":
        """Return the traffic of an era; ``None`` where the policy watches none."""
        said = era.tuning.traffic
        if not said.learn_days:
            return None
        options = TrafficOptions(
            tick_us=era.tick_us,
            learn_us=max(1, round(said.learn_days * SECONDS_PER_DAY * 1e6)),
            minimum_ratio=said.minimum_ratio,
            minimum_share=said.minimum_share,
            quiet_us=None if said.stale_after_seconds is None else round(said.stale_after_seconds * 1e6),
            shares=(*ALWAYS, REPEATED) if said.duplicates else ALWAYS,
        )
        return cls(options, share_of(era.tuning, engine.baseline), _optional(engine.names))

    def carry_on(self, before: "Traffic") -> None:
        """Go on with what another era under the same baseline has learnt; evidence starts from zero."""
        self.monitor.carry_on(before.monitor)
        self.unknown, self.errors = before.unknown, before.errors
        self.odd_probabilities = before.odd_probabilities
        if self.repeats is not None and before.repeats is not None:
            self.repeats = before.repeats

    def stored(self) -> StoredTraffic:
        """Return everything that is needed to go on."""
        repeats = None if self.repeats is None else self.repeats.to_bytes()
        monitor, errors = self.monitor.to_bytes(), self.errors.stored()
        return StoredTraffic(self.row, list(self.unknown), monitor, repeats, errors, self.odd_probabilities)

    def adopt(self, stored: StoredTraffic) -> None:
        """Go on from a snapshot.

        Raises
        ------
        StateError
            When it was written under other options.
        """
        self.monitor = TrafficMonitor.from_bytes(self.monitor.options, stored.monitor)
        if len(stored.row) != len(self.row):
            raise StateError("the traffic of the open tick does not fit its columns")
        self.row, self.unknown, self.errors = stored.row, dict.fromkeys(stored.unknown), Errors(stored.errors)
        self.odd_probabilities = stored.odd_probabilities
        if self.repeats is not None:
            self.repeats = Repeats.from_bytes(stored.repeats or b"")

    def take(self, events: int, *, serving: bool) -> None:
        """Count events that came; those of a version that should get none stop the clock."""
        if not serving:
            self.row[0] = STOPPED
            if not self.monitor.resting:
                self.monitor.pause()
        elif self.row[0] != STOPPED:
            self.row[0] += events

    def see(self, frame: Frame) -> None:
        """Count what is odd about the making of events."""
        row = self.row
        row[1] += frame.rows
        row[3] += frame.rows
        row[5] += frame.rows
        unknown, error, lacks, classes = _make_of(frame.numeric_names, frame.categorical_names, self._optional)
        failed = 0 if error is None else self.errors.see(frame.categorical[error])
        row[6] += failed
        if unknown is not None:
            column = frame.categorical[unknown]
            row[2] += int(np.count_nonzero(column.codes >= 0))
            for label in column.labels:
                self._note(label)
        if lacks:
            # An error instead of an answer is one surprise, not two.
            row[4] += frame.rows - failed
        if classes:
            self.odd_probabilities += int(np.count_nonzero(odd(frame.numeric[list(classes)])))
        if self.repeats is not None:
            self.repeats.add(hashes_of(frame))

    def close(self, tick: int) -> None:
        """Tell the monitor about the open tick."""
        row, self.row = self.row, [0] * len(self.row)
        self.errors.close()
        if self.repeats is not None and row[0] > 0:
            row[7], row[8] = self.repeats.close()
        elif self.repeats is not None:
            self.repeats.drop()
        if row[0] > 0:
            self.monitor.step(tick, row)

    @property
    def log_share(self) -> float:
        """Natural logarithm of its share of the budget; -inf until something is learnt."""
        return self._log_share if self.monitor.active else -math.inf

    def evidence(self) -> PartEvidence:
        """Return what it says now."""
        monitor = self.monitor
        return PartEvidence(
            log_share=self.log_share,
            log_model=monitor.log_model,
            log_columns=monitor.log_columns,
            log_shares=monitor.log_shares,
        )

    def standings(self) -> list[Standing]:
        """Return what people see of each column that is bet on."""
        tick_us = self.monitor.options.tick_us
        usual = dict(zip(self.monitor.options.names, self.monitor.usual, strict=True))
        return [
            Standing(
                name=moved.name,
                group=TRAFFIC if moved.name == RATE else QUALITY,
                log_evidence=moved.log_evidence,
                direction=_direction(moved, self._named(moved.name)),
                since_us=Micros(moved.since_tick * tick_us) if moved.since_tick else None,
                text=f"{moved.times:.2g} times the usual",
                tolerance=None if (own := usual[moved.name]) is None else round(own.ratio, 3),
            )
            for moved in self.monitor.moved()
        ]

    def findings(self, places: NDArray[np.int64], tick_us: int) -> list[ColumnFinding]:  # noqa: ARG002 - as other parts
        """Return some columns as an alert tells them, see ``service.detect.parts.Outer``."""
        standing = {each.name: each for each in self.standings()}
        return [_finding(standing[self.monitor.options.names[place]]) for place in places.tolist()]

    def status(self) -> dict[str, object]:
        """Return what people see of the traffic, for JSON."""
        monitor = self.monitor
        quiet = monitor.quiet_us
        return {
            "state": _state(monitor),
            "learnt": round(monitor.progress, 4),
            "stale_after_seconds": None if quiet is None else quiet / 1e6,
            "beat_seconds": monitor.options.beat_ticks * monitor.options.tick_us / 1e6,
            "unknown_fields": list(self.unknown),
            "errors_total": self.errors.total,
            "error_kinds": self.errors.kinds,
            "odd_probabilities": self.odd_probabilities,
            "columns": [
                {
                    "name": standing.name,
                    "group": standing.group,
                    "log_evidence": round(standing.log_evidence, 6) if math.isfinite(standing.log_evidence) else None,
                    "text": standing.text,
                    "tolerance": standing.tolerance,
                }
                for standing in self.standings()
            ],
        }

    def _named(self, name: str) -> Sequence[str]:
        """Return what a column's change can be told by: names of unknown fields, or of errors."""
        if name == ERRORS:
            return self.errors.kinds
        return tuple(self.unknown) if name == UNKNOWN else ()

    def _note(self, label: str) -> None:
        """Remember the fields that one request had; those of an earlier release may stand in one piece."""
        for name in label.split(UNKNOWN_SEPARATOR):
            if name not in self.unknown and len(self.unknown) < NAMES_KEPT:
                self.unknown[name] = None


def share_of(tuning: Tuning, baseline: Baseline) -> float:
    """Return the share of traffic in the budget: what the policy says against the other groups, or a tenth."""
    told = dict(tuning.shares)
    if TRAFFIC not in told:
        return SHARE
    groups = {column.spec.group.value for column in baseline.columns}
    rest = sum(told.get(group, 1.0) for group in groups) + told.get(QUALITY, 0.0)
    return told[TRAFFIC] / (told[TRAFFIC] + rest)


def _finding(standing: Standing) -> ColumnFinding:
    return ColumnFinding(
        name=standing.name,
        group=standing.group,
        direction=standing.direction,
        evidence_log=standing.log_evidence,
        since_us=standing.since_us or Micros(0),
        effects=dict.fromkeys(EFFECTS),
    )


def _direction(moved: Moved, named: Sequence[str]) -> str:
    """Return what a person reads of a change."""
    text = f"{moved.direction}, {moved.times:.2g} times the usual"
    return f"{text}: {', '.join(named[:NAMED])}" if named else text


def _state(monitor: TrafficMonitor) -> str:
    if not monitor.learnt:
        return "warming"
    return "watching" if monitor.usual[0] is not None else "insufficient"


def _optional(names: tuple[str, ...]) -> tuple[str, ...]:
    """Return the baseline's columns that telemetry may leave out: lacking values are counted as such in all others."""
    return tuple(name for name in names if name in {PREDICTION, LATENCY} or name.startswith(PROBABILITY_PREFIX))


@lru_cache(maxsize=4096)
def _make_of(
    numeric: tuple[str, ...], categorical: tuple[str, ...], optional: tuple[str, ...]
) -> tuple[int | None, int | None, bool, tuple[int, ...]]:
    """Return where a frame has unknown fields and errors, whether it lacks columns, and where the probabilities stand.

    Nowhere, unless it has those of all classes, and of two at least. Once for frames of one make.
    """
    carried = {*numeric, *categorical}
    places = [categorical.index(name) if name in categorical else None for name in (UNKNOWN_FIELDS, ERROR)]
    classes = [name for name in optional if name.startswith(PROBABILITY_PREFIX)]
    whole = len(classes) > 1 and carried.issuperset(classes)
    probabilities = tuple(numeric.index(name) for name in classes) if whole else ()
    return places[0], places[1], any(name not in carried for name in optional), probabilities
