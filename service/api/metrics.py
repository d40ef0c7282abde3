"""``/metrics``: the process's counters, and everything else from pictures that are in memory already."""

import math
from collections import Counter as Tally
from collections.abc import Callable, Iterator
from itertools import accumulate
from typing import NamedTuple

import msgspec
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import Metric
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

import service
from service.api.figures import Figures, Picture
from service.api.metrics_notify import add_notifications
from service.api.metrics_performance import add_performance
from service.api.metrics_quality import add_quality
from service.api.metrics_reports import add_reports
from service.api.metrics_review import add_reviews
from service.api.watch import Watch, monitoring, watch_of
from service.domain.records import Model, Snapshot, Version
from service.domain.redteam import newest_of_retired
from service.domain.requests import OVER
from service.domain.schedule import Outcome, Schedule
from service.domain.states import State
from service.gate.fleet import FleetView
from service.gate.refresh import Fleet
from service.log.figures import BOUNDS, LogFigures
from service.observability import Counters, Families
from service.ports import Clock
from service.settings import Settings

SHOWN_EFFECTS = ("psi", "js")
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class WorkerTimes(msgspec.Struct):
    """A histogram among the worker's figures; counts are not cumulative and end with those above the last bound."""

    counts: list[int] = []
    sum_seconds: float = 0.0


class WorkerCounts(msgspec.Struct):
    """The worker's own figures since it started, as it writes them."""

    buckets_seconds: list[float] = []
    passes: int = 0
    dropped_passes: int = 0
    entries: int = 0
    events: int = 0
    pass_seconds: WorkerTimes = msgspec.field(default_factory=WorkerTimes)
    commit_seconds: WorkerTimes = msgspec.field(default_factory=WorkerTimes)
    delivered: int = 0
    delivery_failures: int = 0
    dead_letters: int = 0


class Watched(NamedTuple):
    """A version and the worker's word on it, read once for a scrape."""

    version: Version
    model: Model
    snapshot: Snapshot | None
    watch: Watch

    @property
    def labels(self) -> tuple[str, str]:
        """Return the labels of everything that is said of it."""
        return (self.version.model, self.version.version)


class Metrics(Collector):
    """Builds the metric families of one scrape; reads memory only and never raises.

    Parameters
    ----------
    settings
        The series budget, and how many columns a version may show.
    counters
        What was counted where it happened.
    fleet
        States and policies.
    figures
        Evidence, alerts, worker.
    log_figures
        Returns the telemetry log's own figures.
    clock
        Decides what is stale.
    """

    def __init__(
        self,
        settings: Settings,
        counters: Counters,
        fleet: Fleet,
        figures: Figures,
        log_figures: Callable[[], LogFigures],
        clock: Clock,
    ) -> None:
        self._settings = settings
        self._counters = counters
        self._fleet = fleet
        self._figures = figures
        self._log_figures = log_figures
        self._clock = clock
        self._registry = CollectorRegistry()
        self._registry.register(self)
        ProcessCollector(registry=self._registry)

    def render(self) -> bytes:
        """Return the page; costs milliseconds with thousands of series: call it in a thread."""
        return generate_latest(self._counters.registry) + generate_latest(self._registry)

    def describe(self) -> list[Metric]:
        """Nothing to describe: the families depend on the fleet."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Yield every family, the important ones first: they are the last to fall to the budget."""
        families = Families(self._settings.metrics_series_max)
        view, picture = self._fleet.view, self._figures.picture
        families.add("lazaretto_build_info", 1, service.__version__)
        families.add("lazaretto_fleet_checked_timestamp_seconds", self._fleet.checked_us / 1e6)
        self._add_log(families)
        if picture is not None:
            self._add_worker(families, picture)
            add_notifications(families, picture.notifications)
            add_quality(families, picture.quality)
            add_reports(families, picture.reports)
        for version in view.by_id.values():
            families.add("lazaretto_model_state", 1, version.model, version.version, version.state)
        if picture is not None:
            self._add_schedule(families, picture.schedule)
            self._add_enforcements(families, view, picture)
            self._add_alerts(families, view, picture)
            self._add_adversarial(families, view, picture)
            watched = self._watched(view, picture)
            for add in (self._add_judgement, self._add_traffic, self._add_requests):
                for one in watched:
                    add(families, one)
            for one in watched:
                add_performance(families, one.watch.performance, one.labels)
            add_reviews(families, view, picture.reviews, self._clock.now_us())
            self._add_contained(families, view)
            self._add_redteam(families, view, picture)
            for one in watched:
                self._add_columns(families, one)
        yield from families.finish()

    def _add_log(self, families: Families) -> None:
        figures = self._log_figures()
        families.add("lazaretto_log_queue_entries", figures.queue_entries)
        families.add("lazaretto_log_queue_bytes", figures.queue_bytes)
        families.add("lazaretto_log_entries_total", figures.entries)
        families.add("lazaretto_log_bytes_total", figures.bytes)
        families.add("lazaretto_log_clock_behind_seconds", figures.clock_behind_seconds)
        bounds = (*BOUNDS, float("inf"))
        buckets = dict(zip(bounds, accumulate(figures.commit_seconds.counts), strict=True))
        families.add_histogram("lazaretto_log_commit_seconds", buckets, figures.commit_seconds.total_seconds)

    def _add_worker(self, families: Families, picture: Picture) -> None:
        families.add("lazaretto_figures_read_timestamp_seconds", picture.read_us / 1e6)
        families.add("lazaretto_log_position", self._figures.head)
        families.add("lazaretto_lag_seconds", self._figures.lag_seconds(picture.worker.position))
        families.add("lazaretto_worker_position", picture.worker.position)
        families.add("lazaretto_worker_heartbeat_timestamp_seconds", picture.worker.heartbeat_us / 1e6)
        families.add("lazaretto_audit_entries_total", picture.audit_entries)
        counts = msgspec.json.decode(picture.worker.stats, type=WorkerCounts)
        families.add("lazaretto_worker_passes_total", counts.passes)
        families.add("lazaretto_worker_dropped_passes_total", counts.dropped_passes)
        families.add("lazaretto_worker_entries_total", counts.entries)
        families.add("lazaretto_worker_events_total", counts.events)
        families.add("lazaretto_messages_delivered_total", counts.delivered)
        families.add("lazaretto_message_failures_total", counts.delivery_failures)
        families.add("lazaretto_message_dead_letters_total", counts.dead_letters)
        bounds = (*counts.buckets_seconds, float("inf"))
        for name, times in (("pass", counts.pass_seconds), ("commit", counts.commit_seconds)):
            if len(times.counts) == len(bounds):
                buckets = dict(zip(bounds, accumulate(times.counts), strict=True))
                families.add_histogram(f"lazaretto_worker_{name}_seconds", buckets, times.sum_seconds)

    def _add_alerts(self, families: Families, view: FleetView, picture: Picture) -> None:
        open_alerts = Tally((alert.version_id, alert.cause) for alert in picture.alerts)
        for (version_id, cause), number in open_alerts.items():
            alarmed = view.by_id.get(version_id)
            if alarmed is None:  # registered after the picture of the fleet was taken
                continue
            families.add("lazaretto_open_alerts", number, alarmed.model, alarmed.version, cause)

    def _add_adversarial(self, families: Families, view: FleetView, picture: Picture) -> None:
        """Count the alerts by tier."""
        uses = ((a.version_id, a.adversarial.kind) for a in picture.alerts if a.adversarial is not None)
        for (version_id, tier), number in Tally(uses).items():
            accused = view.by_id.get(version_id)
            if accused is not None:
                families.add("lazaretto_open_adversarial_alerts", number, accused.model, accused.version, tier)

    def _add_contained(self, families: Families, view: FleetView) -> None:
        """Count the principals that are contained, for each version: never say who they are."""
        now_us = self._clock.now_us()
        for version in view.by_id.values():
            held = sum(now_us < until_us for until_us in view.contained.get(version.id, {}).values())
            families.add("lazaretto_contained_principals", held, version.model, version.version)

    def _add_enforcements(self, families: Families, view: FleetView, picture: Picture) -> None:
        """Show how quickly gateways followed the newest quarantine of each version, and which they do not follow."""
        for one in picture.enforcements:
            version = view.by_id.get(one.version_id)
            if version is None:
                continue
            labels = (version.model, version.version)
            if one.seconds is not None:
                families.add("lazaretto_enforcement_seconds", one.seconds, *labels)
            families.add("lazaretto_enforcement_overdue", one.overdue_us is not None, *labels)

    def _add_redteam(self, families: Families, view: FleetView, picture: Picture) -> None:
        """Show what the latest red-team run of each version found; an attack without a success has no ratio."""
        retired = {version.id for version in view.by_id.values() if version.state is State.RETIRED}
        for run in newest_of_retired(picture.redteam, retired.__contains__):
            version = view.by_id.get(run.version_id)
            if version is None:
                continue
            labels = (version.model, version.version)
            age = max(0.0, (self._clock.now_us() - run.at_us) / 1e6)
            families.add("lazaretto_redteam_age_seconds", age, *labels)
            shown = run.summary.attacks[: self._settings.metrics_redteam_attacks_max]
            worst: dict[str, float] = {}
            for row in shown:
                if row.timely.ratio is not None:
                    worst[row.attack] = min(row.timely.ratio, worst.get(row.attack, 1.0))
            for attack, ratio in worst.items():
                families.add("lazaretto_redteam_detection_ratio", ratio, *labels, attack)
            for scene in run.summary.scenarios:
                if scene.outcome != "unknown":
                    held = float(scene.outcome == "held")
                    families.add("lazaretto_redteam_defence_held", held, *labels, scene.scenario)

    def _add_schedule(self, families: Families, schedule: Schedule) -> None:
        """Show how the runs go that the service starts by itself, once there was one."""
        if schedule.outcome is Outcome.NONE:
            return
        for outcome, number in (("done", schedule.done), ("failed", schedule.failed), ("missed", schedule.missed)):
            families.add("lazaretto_redteam_schedule_runs_total", number, outcome)
        families.add("lazaretto_redteam_schedule_running", float(schedule.outcome is Outcome.RUNNING))
        now_us = self._clock.now_us()
        overdue = 0.0 if schedule.outcome is Outcome.RUNNING else max(0.0, (now_us - schedule.next_us) / 1e6)
        families.add("lazaretto_redteam_schedule_overdue_seconds", overdue)
        if schedule.good_us:
            families.add("lazaretto_redteam_schedule_age_seconds", max(0.0, (now_us - schedule.good_us) / 1e6))

    def _watched(self, view: FleetView, picture: Picture) -> list[Watched]:
        snapshots = {snapshot.version_id: snapshot for snapshot in picture.snapshots}
        found = []
        for version in view.by_id.values():
            snapshot = snapshots.get(version.id)
            found.append(Watched(version, view.models[version.model], snapshot, watch_of(snapshot)))
        return found

    def _add_judgement(self, families: Families, one: Watched) -> None:
        """Show what alerts are made of. Version by version, so that whoever has evidence has a threshold."""
        snapshot, watch = one.snapshot, one.watch
        threshold = math.log(one.model.policy.ticks_per_false_alarm) if snapshot is None else snapshot.threshold_log
        families.add("lazaretto_model_threshold_log", threshold, *one.labels)
        if watch.log_evidence is not None:
            families.add("lazaretto_model_evidence_log", watch.log_evidence, *one.labels)
        families.add("lazaretto_model_leaks_total", snapshot.leaks_total if snapshot else 0, *one.labels)
        watched = monitoring(watch, self._clock.now_us(), self._settings.stale_seconds)
        families.add("lazaretto_model_monitoring", 1, *one.labels, watched)

    def _add_traffic(self, families: Families, one: Watched) -> None:
        snapshot, watch = one.snapshot, one.watch
        families.add("lazaretto_model_events_total", snapshot.events_total if snapshot else 0, *one.labels)
        if watch.traffic is not None:
            families.add("lazaretto_model_errors_total", watch.traffic.errors_total, *one.labels)
        families.add("lazaretto_model_labels_total", snapshot.labels_total if snapshot else 0, *one.labels)
        if watch.last_arrival_us:
            families.add("lazaretto_model_last_event_timestamp_seconds", watch.last_arrival_us / 1e6, *one.labels)

    def _add_requests(self, families: Families, one: Watched) -> None:
        watch = one.watch
        if watch.requests is not None:
            families.add("lazaretto_requests_examined_total", watch.requests.examined, *one.labels)
            for score, number in zip(OVER, watch.requests.over, strict=False):
                families.add("lazaretto_requests_odd_total", number, *one.labels, str(score))

    def _add_columns(self, families: Families, one: Watched) -> None:
        for column in one.watch.strongest()[: self._settings.metrics_columns_per_version]:
            effects = column.effects.get("1h", {})
            for effect in SHOWN_EFFECTS:
                value = effects.get(effect)
                if value is not None:
                    families.add("lazaretto_column_effect", value, *one.labels, column.name, effect)
