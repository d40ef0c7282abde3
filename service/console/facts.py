"""What a page is made of, read from the store. Reading is here; deciding what to show is in ``read_models.py``."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import msgspec
import numpy as np
from numpy.typing import NDArray

from service.detect.baselines import BaselineView, describe
from service.domain.ids import Actor, Micros
from service.domain.records import (
    Alert,
    Incident,
    IncidentStatus,
    Model,
    Snapshot,
    TimelineItem,
    TransitionRecord,
    Version,
    Window,
)
from service.ports import ReadStore

MINUTE_US = 60_000_000
CHART_MINUTES, MINUTES_MIN = 180, 6
WINDOW_BYTES_MAX = 16 * 1024 * 1024
"""What one page may read of window rows: a version with thousands of columns gets a shorter chart, not a slow page."""
TRANSITIONS_SHOWN = 12
TIMELINE_SHOWN = 30
SPAN, EARLIER_MINUTES = "1h", 60
"""What is shown while nothing has changed: the API's rolling window, the newest minute and so many before."""

Effects = dict[str, float | None]


class StatusColumn(msgspec.Struct, frozen=True, kw_only=True):
    """One column, as the worker wrote it."""

    name: str
    kind: str
    group: str
    log_evidence: float | None = None
    since_us: int | None = None
    direction: str | None = None
    effects: dict[str, Effects] = {}


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """``Snapshot.status``, as the worker wrote it."""

    monitoring: str = "warming"
    events_total: int = 0
    last_arrival_us: int | None = None
    log_evidence: float | None = None
    ticks: int = 0
    columns: tuple[StatusColumn, ...] = ()
    trail: tuple[tuple[int, float | None], ...] = ()
    """The evidence at the newest ticks: (time, natural log)."""


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
    minutes: Sequence[Window] = ()
    """One-minute windows up to the last event, oldest first."""
    alert: Alert | None = None
    """The open one."""
    incident: Incident | None = None
    """The open one, or the one that the open alert belongs to."""
    timeline: Sequence[TimelineItem] = ()
    transitions: Sequence[TransitionRecord] = ()
    """Newest first."""
    approvals: Sequence[Actor] = ()

    @property
    def log_threshold(self) -> float:
        """The budget as evidence, natural logarithm."""
        return log_threshold(self.model, self.snapshot)

    @property
    def current(self) -> Sequence[Window]:
        """The minutes that are compared with the baseline: since the change began, or the newest few."""
        if not self.minutes:
            return ()
        first_us = self.minutes[-1].start_us - EARLIER_MINUTES * MINUTE_US
        if self.alert is not None:
            first_us = min(self.alert.since_us // MINUTE_US * MINUTE_US, self.minutes[-1].start_us)
        return [window for window in self.minutes if window.start_us >= first_us]

    def current_counts(self) -> NDArray[np.int64] | None:
        """Return the merged counts of ``current``, or ``None`` when there were no events."""
        rows = [np.frombuffer(window.counts, dtype=np.int64) for window in self.current]
        counts = np.sum(rows, axis=0) if rows and self.baseline is not None else np.zeros(0, np.int64)
        return counts if counts.any() else None


def log_threshold(model: Model, snapshot: Snapshot | None) -> float:
    """Return the threshold that the worker judged by, or before its first judgement the one of the policy."""
    return snapshot.threshold_log if snapshot else math.log(model.policy.ticks_per_false_alarm)


def gather(read: ReadStore, model: Model, version: Version, now_us: Micros, stale_seconds: float) -> Facts:
    """Read everything that the page of one version shows."""
    snapshot = read.snapshot(version.id)
    status = msgspec.json.decode(snapshot.status, type=Status) if snapshot else Status()
    baseline = read.baseline(version.id)
    view = _described(baseline.digest, baseline.artefact) if baseline else None
    alerts = read.alerts(version_id=version.id, status="open", limit=1)
    incident = _open_incident(read, version, alerts)
    return Facts(
        now_us=now_us,
        stale_seconds=stale_seconds,
        model=model,
        version=version,
        snapshot=snapshot,
        status=status,
        baseline=view,
        minutes=_minutes(read, version, status, view),
        alert=alerts[0] if alerts else None,
        incident=incident,
        timeline=read.timeline(incident.id)[-TIMELINE_SHOWN:] if incident else (),
        transitions=read.transitions(version.id, TRANSITIONS_SHOWN),
        approvals=read.approvals(version.id),
    )


def _open_incident(read: ReadStore, version: Version, alerts: Sequence[Alert]) -> Incident | None:
    if alerts:
        return read.incident(alerts[0].incident_id)
    newest = read.incidents(version_id=version.id, status=None, limit=5)
    return next((incident for incident in newest if incident.status is not IncidentStatus.RESOLVED), None)


def _minutes(read: ReadStore, version: Version, status: Status, view: BaselineView | None) -> Sequence[Window]:
    last_us = status.last_arrival_us
    if last_us is None or view is None:
        return ()
    minutes = max(MINUTES_MIN, min(CHART_MINUTES, WINDOW_BYTES_MAX // (8 * view.total)))
    rows = read.windows(version.id, "1m", Micros(last_us - minutes * MINUTE_US), Micros(last_us))
    return [row for row in rows if row.baseline_id == version.baseline_id]


@lru_cache(maxsize=64)
def _described(digest: str, artefact: bytes) -> BaselineView:  # noqa: ARG001 - the digest makes the look-up cheap and safe
    return describe(artefact)
