"""The worker's word on a version, read from its snapshot: how it is watched, and what each column shows."""

import math
from typing import Final

import msgspec

from service.detect.windows import Extent
from service.domain.certificate import Certificate
from service.domain.errors import Place
from service.domain.ids import Micros, VersionId
from service.domain.performance import PerformanceSeen
from service.domain.records import Snapshot
from service.domain.requests import RequestsSeen

EFFECTS = ("psi", "js", "ks", "wasserstein", "hellinger", "chi2")
INTERVALS = ("psi", "js", "ks", "wasserstein", "hellinger")
EVIDENCE_MAX = 1e300
LOG_10 = math.log(10.0)
STATUS_WINDOW: Final = "1h"
"""Whose effects are in the snapshot, so that asking for them costs nothing."""

Effects = dict[str, float | None]
NO_EFFECTS: Effects = dict.fromkeys(EFFECTS)
Intervals = dict[str, tuple[float, float] | None]
"""Lower and upper end by effect, 95 %."""
NO_INTERVALS: Intervals = dict.fromkeys(INTERVALS)


class ColumnWatch(msgspec.Struct, frozen=True, kw_only=True):
    """One column in the snapshot's status."""

    name: str
    kind: str
    group: str = "feature"
    log_evidence: float | None = None
    since_us: int | None = None
    direction: str | None = None
    effects: dict[str, Effects] = {}
    intervals: dict[str, Intervals] = {}


class SegmentColumn(msgspec.Struct, frozen=True, kw_only=True):
    """One of a segment's strongest columns in the snapshot's status."""

    name: str
    log_evidence: float | None = None
    since_us: int | None = None
    direction: str | None = None
    effects: Effects = {}
    intervals: Intervals = {}


class SegmentWatch(msgspec.Struct, frozen=True, kw_only=True):
    """One declared segment in the snapshot's status."""

    segment: str
    value: str
    rows: int = 0
    share: float = 0.0
    insufficient: str | None = None
    log_evidence: float | None = None
    events_total: int = 0
    ticks: int = 0
    columns: tuple[SegmentColumn, ...] = ()


class TrafficColumnWatch(msgspec.Struct, frozen=True, kw_only=True):
    """One column of traffic in the snapshot's status."""

    name: str
    group: str
    log_evidence: float | None = None
    text: str = ""
    tolerance: float | None = None


class TrafficWatch(msgspec.Struct, frozen=True, kw_only=True):
    """The traffic in the snapshot's status."""

    state: str = "warming"
    learnt: float = 0.0
    stale_after_seconds: float | None = None
    beat_seconds: float = 0.0
    unknown_fields: tuple[str, ...] = ()
    errors_total: int = 0
    error_kinds: tuple[str, ...] = ()
    odd_probabilities: int = 0
    columns: tuple[TrafficColumnWatch, ...] = ()


class RebuildWatch(msgspec.Struct, frozen=True, kw_only=True):
    """The evidence that started again from zero at the alarm, in the snapshot's status."""

    since_us: int
    times: int = 0
    last_us: int | None = None
    ticks: int = 0
    log_evidence: float | None = None


class PrincipalsWatch(msgspec.Struct, frozen=True, kw_only=True):
    """Who is followed one by one, in the snapshot's status."""

    followed: int = 0
    forgotten: int = 0
    examined: int = 0
    unexamined: int = 0
    invalid: int = 0
    invalid_answers: int = 0
    fingerprints: dict[str, int] = {}
    campaigns: int = 0
    unkept: int = 0
    thresholds: dict[str, float] = {}
    calibrated: dict[str, bool] = {}
    calibration: dict[str, dict[str, float]] = {}
    persistence: dict[str, float] = {}


class ConductWatch(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of cost, of labels, and of what is vouched for, since the worker started."""

    canaries_checked: int = 0
    canaries_wrong: int = 0
    vouched_odd: int = 0
    """Events whose canary is unknown or has no answer, or whose digest is none."""
    cost_rounds: int = 0
    """Rounds in which enough principals could be compared."""
    labels_joined: int = 0
    labels_unknown: int = 0
    """Labels of events that are not remembered."""


class Watch(msgspec.Struct, frozen=True, kw_only=True):
    """The snapshot's status."""

    monitoring: str = "warming"
    insufficient: str | None = None
    """What the baseline lacks for a promise about false alarms."""
    notes: tuple[Place, ...] = ()
    """What the policy says about evidence without effect."""
    events_total: int = 0
    last_arrival_us: int = 0
    log_evidence: float | None = None
    ticks: int = 0
    windows: dict[str, Extent] = {}
    """What each rolling window spans."""
    columns: tuple[ColumnWatch, ...] = ()
    segments: tuple[SegmentWatch, ...] = ()
    traffic: TrafficWatch | None = None
    rebuild: RebuildWatch | None = None
    principals: PrincipalsWatch | None = None
    conduct: ConductWatch = ConductWatch()
    requests: RequestsSeen | None = None
    performance: PerformanceSeen | None = None
    left_out: int = 0
    certificate: Certificate | None = None

    def strongest(self) -> list[ColumnWatch]:
        """Return the columns by evidence, strongest first; those without any in their order at the end."""
        return sorted(self.columns, key=lambda column: -_rank(column.log_evidence))


UNSEEN = Watch()
VERSIONS_MAX = 1024
_newest: dict[VersionId, tuple[str, Watch]] = {}
"""By version, the status that was read last: earlier ones do not come back, and they can be large."""


def watch_of(snapshot: Snapshot | None) -> Watch:
    """Return what the snapshot says; ``warming`` before the worker has seen the version."""
    if snapshot is None:
        return UNSEEN
    known = _newest.get(snapshot.version_id)
    if known is not None and known[0] == snapshot.status:
        return known[1]
    watch = msgspec.json.decode(snapshot.status, type=Watch)
    if len(_newest) >= VERSIONS_MAX:
        _newest.clear()
    _newest[snapshot.version_id] = snapshot.status, watch
    return watch


def monitoring(watch: Watch, now_us: Micros, stale_seconds: float) -> str:
    """Return how the version is watched, ``stale`` when its events have stopped."""
    if watch.last_arrival_us and now_us - watch.last_arrival_us > stale_seconds * 1e6:
        return "stale"
    return watch.monitoring


def e_value(log_evidence: float | None) -> float:
    """Return evidence as the e-value it is, capped where a double would overflow; 0 before the first tick."""
    if log_evidence is None or log_evidence == -math.inf:
        return 0.0
    # Twelve digits: what is lost in the logarithm must not make 100000 read as 99999.99999999996.
    return min(EVIDENCE_MAX, float(f"{math.exp(min(log_evidence, 700.0)):.12g}"))


def log10(log_evidence: float | None) -> float | None:
    """Return the decimal logarithm of evidence, nothing before the first tick."""
    return log_evidence / LOG_10 if log_evidence is not None and math.isfinite(log_evidence) else None


def _rank(log_evidence: float | None) -> float:
    return -math.inf if log_evidence is None or math.isnan(log_evidence) else log_evidence
