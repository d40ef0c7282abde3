"""The status of one version, put together from what the store holds."""

import math
from dataclasses import dataclass

import msgspec

from service.api.enforcement import EnforcementStatus
from service.api.performance import PerformanceStatus, performance_of
from service.api.rolling import ColumnsOver
from service.api.status_principals import PrincipalsStatus
from service.api.views import View, iso, iso_or_none
from service.api.views_review import GlassView, ReviewView
from service.api.watch import (
    NO_EFFECTS,
    NO_INTERVALS,
    STATUS_WINDOW,
    ColumnWatch,
    ConductWatch,
    Effects,
    Intervals,
    RebuildWatch,
    SegmentWatch,
    TrafficWatch,
    e_value,
    log10,
    monitoring,
    watch_of,
)
from service.detect.windows import Extent
from service.domain.certificate import Certificate
from service.domain.ids import Micros
from service.domain.policy import Policy
from service.domain.records import Snapshot, Version
from service.domain.requests import RequestsSeen
from service.domain.schema import PREDICTION, FeatureKind, PredictionKind, Schema, Treatment


class BudgetView(View, frozen=True, kw_only=True):
    """The false alarms that the model may raise, and the ticks that this means."""

    false_alarms: float
    per_days: float
    tick_seconds: float
    ticks: float


class WindowStatus(View, frozen=True, kw_only=True):
    """A rolling window: the events of all closed ticks that started within."""

    start: str
    end: str
    """The end of the newest tick with events: where events stop, the window stands still."""
    events: int


class ColumnStatus(View, frozen=True, kw_only=True):
    """One column; effects and their intervals (95 %) are of the rolling window that was asked for."""

    name: str
    kind: str
    group: str
    evidence: float
    evidence_log10: float | None
    direction: str | None
    since: str | None
    effects: Effects
    intervals: Intervals


class SegmentColumnStatus(View, frozen=True, kw_only=True):
    """One of a segment's strongest columns; effects and intervals are of its events since the change, once blamed."""

    name: str
    evidence: float
    evidence_log10: float | None
    direction: str | None
    since: str | None
    effects: Effects
    intervals: Intervals


class SegmentStatus(View, frozen=True, kw_only=True):
    """A declared part of the traffic."""

    segment: str
    value: str
    share: float
    """Of the false-alarm budget; 0 when it is not watched by itself."""
    reference_rows: int
    insufficient: str | None
    """What is missing for evidence of its own."""
    evidence: float
    evidence_log10: float | None
    events_total: int
    """Since its evidence last started from zero."""
    ticks: int
    columns: list[SegmentColumnStatus]


class TrafficColumnStatus(View, frozen=True, kw_only=True):
    """How much of something comes, against what the version has learnt to be usual."""

    name: str
    group: str
    evidence: float
    evidence_log10: float | None
    now: str
    """The newest counts, in words."""
    tolerance: float | None
    """How many times more or less is still usual."""


class TrafficStatus(View, frozen=True, kw_only=True):
    """The traffic of a version."""

    monitoring: str
    """``warming`` while it is learnt, ``watching``, or ``insufficient`` where no rate is usual."""
    learnt: float
    """How much of the learning span is over, from 0 to 1."""
    stale_after_seconds: float | None
    """A pause of this length is an alert; ``null`` until it is learnt."""
    beat_seconds: float
    """The step in which traffic is counted."""
    unknown_fields: list[str]
    """Fields that came and that the schema does not know: the first twenty."""
    errors_total: int
    """Events with an error, since the traffic is watched under this baseline."""
    error_kinds: list[str]
    """Kinds of the latest errors, the most frequent first; at most twenty."""
    odd_probabilities: int
    """Events whose class probabilities are negative or do not add up to one, by more than 0.02."""
    columns: list[TrafficColumnStatus]


class RebuildStatus(View, frozen=True, kw_only=True):
    """The evidence that started again from zero at the alarm, to tell whether the change lasts."""

    since: str
    """When it started again: the alarm."""
    times: int
    """How often it has reached the threshold since; every time it starts from zero once more."""
    last: str | None
    """When it last reached the threshold; ``null`` when it has not."""
    ticks: int
    """With events, since it last started from zero."""
    evidence: float
    """Of these ticks."""
    evidence_log10: float | None


class RequestsStatus(View, frozen=True, kw_only=True):
    """How many single requests were looked at by themselves; ``GET .../requests`` tells which are odd."""

    examined: int
    unexamined: int
    """Requests beyond the limit, or without what it takes."""
    invalid: dict[str, int]
    """Requests that cannot be judged, by what is wrong with them."""


class Status(View, frozen=True, kw_only=True):
    """Of ``GET .../status``."""

    model: str
    version: str
    state: str
    since: str
    reason: str
    held_back: str | None
    """Why the policy does less than open alerts call for: a dry run, or the blast-radius cap."""
    monitoring: str
    insufficient: str | None
    """What the baseline lacks for a promise about false alarms; until there is more, nothing alarms."""
    warnings: list[dict[str, str]]
    """What the policy says about columns and groups without effect: ``at`` and ``reason``."""
    evidence: float
    evidence_log10: float | None
    threshold: float
    threshold_log10: float
    budget: BudgetView
    baseline_id: str | None
    events_total: int
    labels_total: int
    leaks_total: int
    ticks: int
    last_event: str | None
    lag_seconds: float
    window: str
    """The rolling window whose effects the columns show."""
    windows: dict[str, WindowStatus]
    """What each rolling window spans; empty before the first tick."""
    columns: list[ColumnStatus]
    segments: list[SegmentStatus]
    """Those that the policy declares."""
    traffic: TrafficStatus | None
    """``null`` without a baseline, or where the policy watches no traffic."""
    rebuild: RebuildStatus | None
    """``null`` while the evidence is below the threshold, and where it is the traffic that raises it."""
    principals: PrincipalsStatus | None
    """``null`` where the policy follows nobody, or the baseline has nothing to measure them with."""
    conduct: ConductWatch
    """What is known of cost, of labels and of canaries, since the worker started."""
    requests: RequestsStatus | None
    """``null`` where the policy looks at no single requests, or the baseline has nothing to measure them with."""
    performance: PerformanceStatus | None
    """``null`` while neither answers with an event id nor labels are known."""
    enforcement: EnforcementStatus | None = None
    """Whether gateways follow the newest quarantine; ``null`` where there never was one."""
    review: ReviewView | None = None
    """Whose review it is, and until when; ``null`` when it is not under review."""
    break_glass: GlassView | None = None
    """Who lets the version serve although it is held, and until when; ``null`` while nobody does."""
    baselines_proposed: int = 0
    """Baselines that wait for another person."""
    left_out: int
    """Events that did not count because their principal had its part of the tick: ``adversarial.events_of_one``."""
    certificate: Certificate | None
    """What one principal can do to the evidence at most; ``null`` where every event counts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """When the status is asked for, and how the worker is doing."""

    now_us: Micros
    stale_seconds: float
    lag_seconds: float


def status_of(
    version: Version,
    policy: Policy,
    snapshot: Snapshot | None,
    moment: Moment,
    held_back: str | None = None,
    *,
    over: ColumnsOver | None = None,
) -> Status:
    """Return the status; columns strongest first, every one of them listed.

    Effects are those of the hour, which the snapshot has, or those that ``over`` brings.
    """
    watch = watch_of(snapshot)
    threshold_log = snapshot.threshold_log if snapshot else math.log(policy.ticks_per_false_alarm)
    columns = watch.strongest() or columns_of_schema(version.schema)
    last_us = Micros(watch.last_arrival_us) if watch.last_arrival_us else None
    return Status(
        model=version.model,
        version=version.version,
        state=version.state,
        since=iso(version.since_us),
        reason=version.reason,
        held_back=held_back,
        monitoring=monitoring(watch, moment.now_us, moment.stale_seconds),
        insufficient=watch.insufficient,
        warnings=[{"at": note.at, "reason": note.reason} for note in watch.notes],
        evidence=e_value(watch.log_evidence),
        evidence_log10=log10(watch.log_evidence),
        threshold=e_value(threshold_log),
        threshold_log10=log10(threshold_log) or 0.0,
        budget=_budget(policy),
        baseline_id=version.baseline_id,
        events_total=snapshot.events_total if snapshot else 0,
        labels_total=snapshot.labels_total if snapshot else 0,
        leaks_total=snapshot.leaks_total if snapshot else 0,
        ticks=watch.ticks,
        last_event=iso_or_none(last_us),
        lag_seconds=moment.lag_seconds,
        window=STATUS_WINDOW if over is None else over.window,
        windows={name: _window(extent) for name, extent in watch.windows.items()},
        columns=[_column(column, over) for column in columns],
        segments=[_segment(segment) for segment in watch.segments],
        traffic=None if watch.traffic is None else _traffic(watch.traffic),
        rebuild=None if watch.rebuild is None else _rebuild(watch.rebuild),
        principals=None if watch.principals is None else PrincipalsStatus(**msgspec.structs.asdict(watch.principals)),
        conduct=watch.conduct,
        requests=None if watch.requests is None else _requests(watch.requests),
        performance=None if watch.performance is None else performance_of(watch.performance),
        left_out=watch.left_out,
        certificate=watch.certificate,
    )


def _budget(policy: Policy) -> BudgetView:
    return BudgetView(
        false_alarms=policy.budget.false_alarms,
        per_days=policy.budget.per_days,
        tick_seconds=policy.tick_seconds,
        ticks=policy.ticks_per_false_alarm,
    )


def _requests(seen: RequestsSeen) -> RequestsStatus:
    return RequestsStatus(examined=seen.examined, unexamined=seen.unexamined, invalid=seen.invalid)


def columns_of_schema(schema: Schema) -> list[ColumnWatch]:
    """Return what will be watched as far as the schema tells: until there is a baseline, nothing is counted yet."""
    features = [
        ColumnWatch(name=feature.name, kind=feature.kind.value)
        for feature in schema.features
        if feature.treatment is not Treatment.DROP and feature.kind is not FeatureKind.EMBEDDING
    ]
    kind = "categorical" if schema.prediction.kind is PredictionKind.CLASS else "numeric"
    return [*features, ColumnWatch(name=PREDICTION, kind=kind, group="prediction")]


def _traffic(traffic: TrafficWatch) -> TrafficStatus:
    return TrafficStatus(
        monitoring=traffic.state,
        learnt=traffic.learnt,
        stale_after_seconds=traffic.stale_after_seconds,
        beat_seconds=traffic.beat_seconds,
        unknown_fields=list(traffic.unknown_fields),
        errors_total=traffic.errors_total,
        error_kinds=list(traffic.error_kinds),
        odd_probabilities=traffic.odd_probabilities,
        columns=[
            TrafficColumnStatus(
                name=column.name,
                group=column.group,
                evidence=e_value(column.log_evidence),
                evidence_log10=log10(column.log_evidence),
                now=column.text,
                tolerance=column.tolerance,
            )
            for column in traffic.columns
        ],
    )


def _rebuild(rebuild: RebuildWatch) -> RebuildStatus:
    return RebuildStatus(
        since=iso(Micros(rebuild.since_us)),
        times=rebuild.times,
        last=None if rebuild.last_us is None else iso(Micros(rebuild.last_us)),
        ticks=rebuild.ticks,
        evidence=e_value(rebuild.log_evidence),
        evidence_log10=log10(rebuild.log_evidence),
    )


def _window(extent: Extent) -> WindowStatus:
    return WindowStatus(start=iso(Micros(extent.start_us)), end=iso(Micros(extent.end_us)), events=extent.events)


def _column(column: ColumnWatch, over: ColumnsOver | None) -> ColumnStatus:
    if over is None:
        effects = column.effects.get(STATUS_WINDOW, NO_EFFECTS)
        intervals = column.intervals.get(STATUS_WINDOW, NO_INTERVALS)
    else:
        effects, intervals = over.columns.get(column.name, (NO_EFFECTS, NO_INTERVALS))
    return ColumnStatus(
        name=column.name,
        kind=column.kind,
        group=column.group,
        evidence=e_value(column.log_evidence),
        evidence_log10=log10(column.log_evidence),
        direction=column.direction,
        since=None if column.since_us is None else iso(Micros(column.since_us)),
        effects=effects,
        intervals=intervals,
    )


def _segment(segment: SegmentWatch) -> SegmentStatus:
    return SegmentStatus(
        segment=segment.segment,
        value=segment.value,
        share=segment.share,
        reference_rows=segment.rows,
        insufficient=segment.insufficient,
        evidence=e_value(segment.log_evidence),
        evidence_log10=log10(segment.log_evidence),
        events_total=segment.events_total,
        ticks=segment.ticks,
        columns=[
            SegmentColumnStatus(
                name=column.name,
                evidence=e_value(column.log_evidence),
                evidence_log10=log10(column.log_evidence),
                direction=column.direction,
                since=None if column.since_us is None else iso(Micros(column.since_us)),
                effects=column.effects,
                intervals=column.intervals,
            )
            for column in segment.columns
        ],
    )
