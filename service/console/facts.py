"""What a page is made of, read from the store. Reading is here; deciding what to show is in ``read_models.py``."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import msgspec
import numpy as np
from numpy.typing import NDArray

from service.console.history import FIRST, History, Span, history_of
from service.detect.baselines import BaselineView, describe
from service.detect.reading import changed_since
from service.detect.windows import KEPT, ROLLING, WIDTHS
from service.domain.calibration import Calibration
from service.domain.ids import Actor, Micros
from service.domain.performance import PerformanceSeen
from service.domain.policy import UNCOUNTED, Cause
from service.domain.principals import Containment
from service.domain.records import (
    Alert,
    ColumnFinding,
    Incident,
    IncidentStatus,
    Model,
    Severity,
    Snapshot,
    TimelineItem,
    Version,
    Window,
)
from service.domain.redteam import RedTeamRun
from service.domain.requests import RequestsSeen
from service.ports import ReadStore
from service.ports_console import Looking
from service.quarantine.decide import held_back

MINUTE_US = 60_000_000
HOUR_MINUTES, MINUTES_MAX, MINUTES_MIN = 60, 180, 6
WINDOW_BYTES_MAX = 16 * 1024 * 1024
"""What one page may read of window rows: a version with thousands of columns gets a shorter chart, not a slow page."""
TIMELINE_SHOWN = 30
INCIDENTS_READ = 20
CONTAINED_READ = 1_000
ATTACK_ALERTS_READ = 100
RANK = {severity: rank for rank, severity in enumerate(Severity)}
EVENTS_ENOUGH, SHARE_ENOUGH = 500, 0.25
SPAN = "1h"
"""The rolling window that is shown while nothing has changed and nobody asks for another."""

Effects = dict[str, float | None]
Intervals = dict[str, tuple[float, float] | None]


class StatusColumn(msgspec.Struct, frozen=True, kw_only=True):
    """One column, as the worker wrote it."""

    name: str
    kind: str
    group: str
    log_evidence: float | None = None
    since_us: int | None = None
    direction: str | None = None
    effects: dict[str, Effects] = {}
    intervals: dict[str, Intervals] = {}


class SegmentColumn(msgspec.Struct, frozen=True, kw_only=True):
    """One of a segment's strongest columns, as the worker wrote it; the numbers are there once it is blamed."""

    name: str
    effects: Effects = {}
    intervals: Intervals = {}


class StatusSegment(msgspec.Struct, frozen=True, kw_only=True):
    """One declared segment, as the worker wrote it."""

    segment: str
    share: float = 0.0
    insufficient: str | None = None
    log_evidence: float | None = None
    columns: tuple[SegmentColumn, ...] = ()


class TrafficColumn(msgspec.Struct, frozen=True, kw_only=True):
    """How much of something comes, as the worker wrote it."""

    name: str
    log_evidence: float | None = None
    text: str = ""
    tolerance: float | None = None


class TrafficStatus(msgspec.Struct, frozen=True, kw_only=True):
    """What the worker wrote of the traffic."""

    state: str = "warming"
    learnt: float = 0.0
    stale_after_seconds: float | None = None
    unknown_fields: tuple[str, ...] = ()
    errors_total: int = 0
    error_kinds: tuple[str, ...] = ()
    odd_probabilities: int = 0
    columns: tuple[TrafficColumn, ...] = ()


class StatusConduct(msgspec.Struct, frozen=True, kw_only=True):
    """What the worker wrote of labels, since it started."""

    labels_joined: int = 0
    labels_unknown: int = 0


class StatusRebuild(msgspec.Struct, frozen=True, kw_only=True):
    """What the worker wrote of the evidence that started again from zero at the alarm."""

    since_us: int
    times: int = 0
    last_us: int | None = None
    ticks: int = 0
    log_evidence: float | None = None


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """``Snapshot.status``, as the worker wrote it."""

    monitoring: str = "warming"
    insufficient: str | None = None
    events_total: int = 0
    last_arrival_us: int = 0
    log_evidence: float | None = None
    ticks: int = 0
    columns: tuple[StatusColumn, ...] = ()
    segments: tuple[StatusSegment, ...] = ()
    traffic: TrafficStatus | None = None
    rebuild: StatusRebuild | None = None
    requests: RequestsSeen | None = None
    performance: PerformanceSeen | None = None
    conduct: StatusConduct = StatusConduct()
    trail: tuple[tuple[int, float | None], ...] = ()
    """The evidence at the newest ticks: (start of the tick, natural log), oldest first."""

    @property
    def last_us(self) -> int | None:
        """When the last event arrived; ``None`` before the first one."""
        return self.last_arrival_us or None


@dataclass(frozen=True, slots=True)
class Current:
    """The newest events, counted in the baseline's bins."""

    since_us: int
    events: int
    counts: NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """All that is known about one version when its page is made."""

    now_us: Micros
    stale_seconds: float
    model: Model
    version: Version
    snapshot: Snapshot | None = None
    status: Status = field(default_factory=Status)
    baseline: BaselineView | None = None
    calibration: Calibration | None = None
    change: Current | None = None
    """Since the change began as the strongest alert dates it: from a tick on, not from a minute on."""
    minutes: Sequence[Window] = ()
    """One-minute windows up to the last event, oldest first."""
    hours: Sequence[Window] = ()
    """The same by the hour, where a rolling window that is asked for is made of hours."""
    history: History = field(default_factory=History)
    """What happened over the span of the timeline."""
    asked: str | None = None
    """The rolling window that the viewer chose."""
    column: str | None = None
    """The column that the viewer chose to see."""
    alerts: Sequence[Alert] = ()
    """The open ones, at most one for each cause, strongest first."""
    incident: Incident | None = None
    """The one that the strongest alert belongs to, or else an open one."""
    incidents_open: int = 0
    attacks: Sequence[Incident] = ()
    """Unresolved incidents of adversarial use, the worst first."""
    attack_alerts: Sequence[Alert] = ()
    """Open alerts of adversarial use, newest first."""
    contained: Sequence[Containment] = ()
    """Principals that are contained now, newest first."""
    redteam: RedTeamRun | None = None
    """The latest red-team run that was filed here."""
    timeline: Sequence[TimelineItem] = ()
    approvals: Sequence[Actor] = ()
    held_back: str | None = None
    """Why the policy does less than the open alerts call for."""

    @property
    def alert(self) -> Alert | None:
        """The strongest open alert that evidence stands behind: silence is shown as silence."""
        return next((alert for alert in self.alerts if alert.cause not in UNCOUNTED), None)

    @property
    def findings(self) -> dict[str, ColumnFinding]:
        """The blamed columns of all open alerts, strongest first; not those that changed in a segment only."""
        return {finding.name: finding for finding in self._found if finding.segment is None}

    @property
    def inside(self) -> list[ColumnFinding]:
        """What is blamed in segments, strongest first."""
        return [finding for finding in self._found if finding.segment is not None]

    @property
    def _found(self) -> list[ColumnFinding]:
        found = [finding for alert in self.alerts for finding in alert.columns]
        return sorted(found, key=lambda finding: -finding.evidence_log)

    @property
    def log_threshold(self) -> float:
        """The budget as evidence, natural logarithm."""
        return log_threshold(self.model, self.snapshot)

    @property
    def current(self) -> Current | None:
        """What is compared with the baseline: the window asked for, the events since the change, or the last hour."""
        if self.baseline is None or not self.minutes:
            return None
        if self.asked is not None or self.alert is None:
            return self._rolling(self.asked or SPAN)
        recent = _since(self.minutes, min(self.alert.since_us // MINUTE_US * MINUTE_US, self.minutes[-1].start_us))
        change = self.change
        # Exactly the change is best, unless it has too few events to see a shape in.
        if change is not None and (change.events >= EVENTS_ENOUGH or change.events >= recent.events * SHARE_ENOUGH):
            return change
        return recent

    def _rolling(self, name: str) -> Current | None:
        level, earlier = ROLLING[name]
        rows = self.minutes if level == "1m" else self.hours
        return _since(rows, rows[-1].start_us - earlier * WIDTHS[level]) if rows else None


def _since(rows: Sequence[Window], first_us: int) -> Current:
    chosen = [row for row in rows if row.start_us >= first_us]
    counts = np.sum([np.frombuffer(row.counts, np.int64) for row in chosen], axis=0)
    return Current(chosen[0].start_us, sum(row.events for row in chosen), counts)


def log_threshold(model: Model, snapshot: Snapshot | None) -> float:
    """Return the threshold that the worker judged by, or before its first judgement the one of the policy."""
    return snapshot.threshold_log if snapshot else math.log(model.policy.ticks_per_false_alarm)


@dataclass(frozen=True, slots=True)
class Sources:
    """Who is asked."""

    read: ReadStore
    looking: Looking
    fleet: Callable[[], Sequence[Version]]
    """Returns every version, at most a second old."""


@dataclass(frozen=True, slots=True)
class Chosen:
    """What the viewer chose to see."""

    window: str | None = None
    span: Span = FIRST
    column: str | None = None


PLAIN = Chosen()


def gather(
    sources: Sources,
    model: Model,
    version: Version,
    now_us: Micros,
    stale_seconds: float,
    chosen: Chosen = PLAIN,
) -> Facts:
    """Read everything that the page of one version shows."""
    read, asked = sources.read, chosen.window
    snapshot = read.snapshot(version.id)
    status = msgspec.json.decode(snapshot.status, type=Status) if snapshot else Status()
    baseline = read.baseline(version.id)
    view = _described(baseline.digest, baseline.artefact) if baseline else None
    alerts = read.alerts(version_id=version.id, status="open", limit=len(Cause), adversarial=False)
    alerts = sorted(alerts, key=lambda alert: -alert.evidence_log)
    unresolved, attacks = (_unresolved(read, version, adversarial=adversarial) for adversarial in (False, True))
    attacks.sort(key=lambda one: (-RANK[one.severity], -one.opened_us))
    incident = _incident(read, alerts, [*unresolved, *attacks])
    return Facts(
        now_us=now_us,
        stale_seconds=stale_seconds,
        model=model,
        version=version,
        snapshot=snapshot,
        status=status,
        baseline=view,
        calibration=read.calibration(baseline.id) if baseline else None,
        change=_change(snapshot, view, alerts),
        minutes=_minutes(read, version, status, view, alerts),
        hours=_hours(read, version, status, view) if asked is not None and ROLLING[asked][0] == "1h" else (),
        history=history_of(read, sources.looking, version, status.last_us, now_us, chosen.span),
        asked=asked,
        column=chosen.column,
        alerts=alerts,
        incident=incident,
        incidents_open=len(unresolved) + len(attacks),
        attacks=attacks,
        attack_alerts=read.alerts(version_id=version.id, status="open", limit=ATTACK_ALERTS_READ, adversarial=True),
        contained=read.containments(version_id=version.id, holding_us=now_us, limit=CONTAINED_READ),
        redteam=sources.looking.redteam(version.id),
        timeline=read.timeline(incident.id)[-TIMELINE_SHOWN:] if incident else (),
        approvals=read.approvals(version.id),
        held_back=held_back(alerts, version, model.policy, sources.fleet()) if alerts else None,
    )


def _incident(read: ReadStore, alerts: Sequence[Alert], unresolved: Sequence[Incident]) -> Incident | None:
    if alerts:
        return read.incident(alerts[0].incident_id)
    return unresolved[0] if unresolved else None


def _unresolved(read: ReadStore, version: Version, *, adversarial: bool) -> list[Incident]:
    newest = read.incidents(version_id=version.id, status=None, limit=INCIDENTS_READ, adversarial=adversarial)
    return [incident for incident in newest if incident.status is not IncidentStatus.RESOLVED]


def _minutes(
    read: ReadStore, version: Version, status: Status, view: BaselineView | None, alerts: Sequence[Alert]
) -> Sequence[Window]:
    """Read the minutes that may be compared with the baseline: the last hour, and all since the change."""
    last_us = status.last_us
    if last_us is None or view is None:
        return ()
    since_us = min([last_us - HOUR_MINUTES * MINUTE_US, *(alert.since_us for alert in alerts)])
    needed = min(MINUTES_MAX, (last_us - since_us) // MINUTE_US + 2)
    minutes = max(MINUTES_MIN, min(needed, WINDOW_BYTES_MAX // (8 * view.total)))
    rows = read.windows(version.id, "1m", Micros(last_us - minutes * MINUTE_US), Micros(last_us))
    return [row for row in rows if row.baseline_id == version.baseline_id]


def _hours(read: ReadStore, version: Version, status: Status, view: BaselineView | None) -> Sequence[Window]:
    last_us = status.last_us
    if last_us is None or view is None:
        return ()
    hours = max(1, min(KEPT["1h"], WINDOW_BYTES_MAX // (8 * view.total)))
    rows = read.windows(version.id, "1h", Micros(last_us - hours * WIDTHS["1h"]), Micros(last_us))
    return [row for row in rows if row.baseline_id == version.baseline_id]


def _change(snapshot: Snapshot | None, view: BaselineView | None, alerts: Sequence[Alert]) -> Current | None:
    """Read what the worker has counted since the strongest alert's change."""
    if snapshot is None or view is None or not alerts:
        return None
    change = changed_since(snapshot, alerts[0].since_us, view.total)
    return Current(change.since_us, change.events, change.counts) if change else None


@lru_cache(maxsize=64)
def _described(digest: str, artefact: bytes) -> BaselineView:  # noqa: ARG001 - the digest makes the look-up cheap and safe
    return describe(artefact)
