"""What the service says of itself: one catalogue of metrics, counters that live in the process, and JSON logs."""

import contextvars
import logging
import re
import sys
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from types import TracebackType

import msgspec
from prometheus_client import CollectorRegistry
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)


class Kind(StrEnum):
    """How Prometheus reads a metric."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


@dataclass(frozen=True, slots=True)
class Definition:
    """Name, kind, help and labels of one metric. ``docs/metrics.md`` lists exactly these."""

    name: str
    kind: Kind
    help: str
    labels: tuple[str, ...] = ()


_VERSION = ("model", "version")

CATALOGUE: tuple[Definition, ...] = (
    # Counted where it happens.
    Definition("lazaretto_events_total", Kind.COUNTER, "Events received, by outcome.", ("outcome",)),
    Definition("lazaretto_batches_total", Kind.COUNTER, "Requests that brought events, by outcome.", ("outcome",)),
    Definition("lazaretto_labels_total", Kind.COUNTER, "Labels received, by outcome.", ("outcome",)),
    Definition("lazaretto_cloudevents_total", Kind.COUNTER, "Logged inferences received, by outcome.", ("outcome",)),
    Definition("lazaretto_gate_answers_total", Kind.COUNTER, "Answers of the gate.", ("answer",)),
    Definition("lazaretto_http_requests_total", Kind.COUNTER, "Other requests, by class of the status.", ("code",)),
    Definition("lazaretto_authentication_failures_total", Kind.COUNTER, "Requests with no key or a bad one."),
    Definition("lazaretto_connections_refused_total", Kind.COUNTER, "Connections ended by a limit.", ("reason",)),
    # The process and the log.
    Definition("lazaretto_build_info", Kind.GAUGE, "Version of the software; the value is 1.", ("version",)),
    Definition("lazaretto_log_queue_entries", Kind.GAUGE, "Entries that wait for their commit."),
    Definition("lazaretto_log_queue_bytes", Kind.GAUGE, "Bytes that wait for their commit."),
    Definition("lazaretto_log_entries_total", Kind.COUNTER, "Entries that this process made durable."),
    Definition("lazaretto_log_bytes_total", Kind.COUNTER, "Bytes that this process made durable."),
    Definition("lazaretto_log_commit_seconds", Kind.HISTOGRAM, "Time of one commit of the telemetry log."),
    Definition(
        "lazaretto_log_clock_behind_seconds",
        Kind.GAUGE,
        "How far the clock is behind the newest arrival time; ticks wait for it.",
    ),
    Definition("lazaretto_log_position", Kind.GAUGE, "Position of the last durable entry."),
    # The worker and the store.
    Definition("lazaretto_lag_seconds", Kind.GAUGE, "How long the oldest entry has waited for the worker."),
    Definition("lazaretto_worker_position", Kind.GAUGE, "Position up to which the worker has committed."),
    Definition("lazaretto_worker_heartbeat_timestamp_seconds", Kind.GAUGE, "When the worker last wrote."),
    Definition("lazaretto_fleet_checked_timestamp_seconds", Kind.GAUGE, "When the gate's picture was last confirmed."),
    Definition("lazaretto_figures_read_timestamp_seconds", Kind.GAUGE, "When the figures below were last read."),
    Definition("lazaretto_audit_entries_total", Kind.COUNTER, "Links of the audit chain."),
    Definition("lazaretto_worker_passes_total", Kind.COUNTER, "Passes that the worker has committed."),
    Definition("lazaretto_worker_dropped_passes_total", Kind.COUNTER, "Passes computed and not written."),
    Definition("lazaretto_worker_entries_total", Kind.COUNTER, "Log entries that the worker has read."),
    Definition("lazaretto_worker_events_total", Kind.COUNTER, "Events in the entries that the worker has read."),
    Definition("lazaretto_worker_pass_seconds", Kind.HISTOGRAM, "Time of one pass of the worker."),
    Definition("lazaretto_worker_commit_seconds", Kind.HISTOGRAM, "Time of the worker's transaction."),
    Definition("lazaretto_messages_delivered_total", Kind.COUNTER, "Notifications delivered."),
    Definition("lazaretto_message_failures_total", Kind.COUNTER, "Attempts to notify that failed."),
    Definition("lazaretto_message_dead_letters_total", Kind.COUNTER, "Notifications given up."),
    Definition("lazaretto_notifications_pending", Kind.GAUGE, "Notifications that wait.", ("channel",)),
    Definition("lazaretto_notifications_dead", Kind.GAUGE, "Dead letters that were kept.", ("channel",)),
    Definition(
        "lazaretto_notifications_oldest_timestamp_seconds",
        Kind.GAUGE,
        "When the oldest notification that waits was queued.",
        ("channel",),
    ),
    Definition("lazaretto_notifications_unrouted", Kind.GAUGE, "Messages that nobody has routed yet."),
    Definition("lazaretto_notifications_firing", Kind.GAUGE, "Alerts that people were told of and that are not over."),
    Definition(
        "lazaretto_channel_circuit", Kind.GAUGE, "State of a channel's breaker; the value is 1.", ("channel", "circuit")
    ),
    Definition("lazaretto_channel_failing", Kind.GAUGE, "1 while a channel is known to fail, else 0.", ("channel",)),
    Definition("lazaretto_channel_delivered_total", Kind.COUNTER, "Notifications that arrived.", ("channel",)),
    Definition("lazaretto_channel_failures_total", Kind.COUNTER, "Attempts that failed.", ("channel",)),
    Definition("lazaretto_channel_dead_letters_total", Kind.COUNTER, "Notifications given up.", ("channel",)),
    Definition("lazaretto_alert_verdicts", Kind.GAUGE, "Incidents of 30 days that people have judged.", ("verdict",)),
    Definition("lazaretto_alert_unjudged", Kind.GAUGE, "Incidents of 30 days without a verdict."),
    Definition("lazaretto_alert_precision", Kind.GAUGE, "Share of judged incidents that were worth it, 30 days."),
    Definition("lazaretto_alert_false_alarms", Kind.GAUGE, "Incidents with evidence called false alarms, 30 days."),
    Definition("lazaretto_alert_false_alarms_promised", Kind.GAUGE, "At most so many were promised, 30 days."),
    Definition(
        "lazaretto_alert_seconds",
        Kind.GAUGE,
        "Time until people acknowledged or decided, 30 days.",
        ("what", "quantile"),
    ),
    Definition("lazaretto_reports_total", Kind.COUNTER, "Reports about drift, by outcome.", ("outcome",)),
    Definition("lazaretto_reports_waiting", Kind.GAUGE, "Reports that wait or are being made."),
    Definition("lazaretto_report_seconds", Kind.HISTOGRAM, "Time of drawing the rows of a report and rendering it."),
    # Models.
    Definition("lazaretto_model_state", Kind.GAUGE, "State of a version; the value is 1.", (*_VERSION, "state")),
    Definition(
        "lazaretto_model_monitoring", Kind.GAUGE, "How a version is watched; the value is 1.", (*_VERSION, "monitoring")
    ),
    Definition("lazaretto_model_evidence_log", Kind.GAUGE, "Natural logarithm of the model's evidence.", _VERSION),
    Definition("lazaretto_model_threshold_log", Kind.GAUGE, "Natural logarithm of the alarm threshold.", _VERSION),
    Definition("lazaretto_model_events_total", Kind.COUNTER, "Events that the worker has counted.", _VERSION),
    Definition("lazaretto_model_labels_total", Kind.COUNTER, "Labels that the worker has counted.", _VERSION),
    Definition(
        "lazaretto_model_label_fates_total", Kind.COUNTER, "Labels, by whether they met an answer.", (*_VERSION, "fate")
    ),
    Definition(
        "lazaretto_model_label_delay_seconds",
        Kind.GAUGE,
        "From answers to labels, 1 day.",
        (*_VERSION, "quantile"),
    ),
    Definition(
        "lazaretto_model_performance", Kind.GAUGE, "Figures of answers with a label, 1 day.", (*_VERSION, "figure")
    ),
    Definition(
        "lazaretto_model_performance_baseline", Kind.GAUGE, "The same figures of the reference.", (*_VERSION, "figure")
    ),
    Definition("lazaretto_model_leaks_total", Kind.COUNTER, "Events of a version that should get none.", _VERSION),
    Definition("lazaretto_model_errors_total", Kind.COUNTER, "Events with an error.", _VERSION),
    Definition("lazaretto_model_last_event_timestamp_seconds", Kind.GAUGE, "Arrival of the last event.", _VERSION),
    Definition("lazaretto_open_alerts", Kind.GAUGE, "Open alerts.", (*_VERSION, "cause")),
    Definition(
        "lazaretto_open_adversarial_alerts", Kind.GAUGE, "Open alerts about adversarial use.", (*_VERSION, "tier")
    ),
    Definition("lazaretto_contained_principals", Kind.GAUGE, "Principals that are contained now.", _VERSION),
    Definition("lazaretto_requests_examined_total", Kind.COUNTER, "Requests judged one by one.", _VERSION),
    Definition(
        "lazaretto_requests_odd_total",
        Kind.COUNTER,
        "Requests judged one by one whose score is at least so high.",
        (*_VERSION, "score"),
    ),
    Definition(
        "lazaretto_enforcement_seconds",
        Kind.GAUGE,
        "From the newest quarantine to the first request that the gate kept from the version.",
        _VERSION,
    ),
    Definition(
        "lazaretto_enforcement_overdue",
        Kind.GAUGE,
        "1 while a version in quarantine serves after the deadline.",
        _VERSION,
    ),
    Definition("lazaretto_break_glass", Kind.GAUGE, "1 while one person lets a held version serve, else 0.", _VERSION),
    Definition("lazaretto_break_glass_total", Kind.COUNTER, "How often the glass of a version was broken.", _VERSION),
    Definition(
        "lazaretto_review_overdue_seconds",
        Kind.GAUGE,
        "How long a review is past its deadline; 0 before, missing while there is no review.",
        _VERSION,
    ),
    Definition(
        "lazaretto_baselines_proposed", Kind.GAUGE, "Baselines of a version that wait for another person.", _VERSION
    ),
    Definition("lazaretto_redteam_age_seconds", Kind.GAUGE, "Since the latest red-team run was filed.", _VERSION),
    Definition(
        "lazaretto_redteam_detection_ratio",
        Kind.GAUGE,
        "Share of successful attacks of the latest red-team run that were seen in time; of several victims the lowest.",
        (*_VERSION, "attack"),
    ),
    Definition(
        "lazaretto_redteam_defence_held",
        Kind.GAUGE,
        "Whether the defence of a scenario of the latest red-team run held: 1 or 0.",
        (*_VERSION, "scenario"),
    ),
    Definition(
        "lazaretto_redteam_schedule_runs_total",
        Kind.COUNTER,
        "Red-team runs that the service was to start by itself.",
        ("outcome",),
    ),
    Definition("lazaretto_redteam_schedule_running", Kind.GAUGE, "Whether such a run is on."),
    Definition(
        "lazaretto_redteam_schedule_overdue_seconds", Kind.GAUGE, "Since such a run was due that has not begun."
    ),
    Definition("lazaretto_redteam_schedule_age_seconds", Kind.GAUGE, "Since such a run last ended well."),
    Definition(
        "lazaretto_column_effect",
        Kind.GAUGE,
        "Effect sizes over the last hour, of the few columns with the strongest evidence.",
        (*_VERSION, "column", "effect"),
    ),
    Definition("lazaretto_series_dropped", Kind.GAUGE, "Series left out because of the series budget."),
)

DEFINITIONS: Mapping[str, Definition] = {definition.name: definition for definition in CATALOGUE}

OUTCOMES: Mapping[str, tuple[str, ...]] = {
    "lazaretto_events_total": ("accepted", "rejected", "duplicate"),
    "lazaretto_batches_total": ("accepted", "repeated", "refused", "overloaded", "failed"),
    "lazaretto_labels_total": ("accepted", "rejected", "duplicate"),
    "lazaretto_cloudevents_total": ("accepted", "refused"),
    "lazaretto_gate_answers_total": ("allow", "deny", "allow_unknown", "deny_unknown"),
    "lazaretto_http_requests_total": ("2xx", "3xx", "4xx", "5xx"),
    "lazaretto_connections_refused_total": ("too_many", "slow_head", "slow_body", "large_head", "malformed"),
}
"""Every label value of the counters; all of them start at 0, so that ``increase()`` sees the first event."""


class Tally:
    """One counted number. Only the event loop counts, so it needs no lock: a request counts twice or more."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value = 0

    def inc(self, amount: int = 1) -> None:
        """Count."""
        self.value += amount


class Counters:
    """The counters of this process, with their children at hand: counting must cost next to nothing."""

    def __init__(self) -> None:
        self._tallies: dict[str, Mapping[str, Tally]] = {}
        self.events = self._labelled("lazaretto_events_total")
        self.batches = self._labelled("lazaretto_batches_total")
        self.labels = self._labelled("lazaretto_labels_total")
        self.cloudevents = self._labelled("lazaretto_cloudevents_total")
        self.gate = self._labelled("lazaretto_gate_answers_total")
        self.requests = self._labelled("lazaretto_http_requests_total")
        self.connections = self._labelled("lazaretto_connections_refused_total")
        self.authentication_failures = Tally()
        self.registry = CollectorRegistry()
        self.registry.register(self)

    def _labelled(self, name: str) -> Mapping[str, Tally]:
        tallies = self._tallies[name] = {value: Tally() for value in OUTCOMES[name]}
        return tallies

    def describe(self) -> Iterator[Metric]:
        """Yield every counter without its samples."""
        return self.collect()

    def collect(self) -> Iterator[Metric]:
        """Yield every counter, for a scrape."""
        for name, tallies in self._tallies.items():
            family = _family(DEFINITIONS[name])
            for value, tally in tallies.items():
                family.add_metric([value], tally.value)
            yield family
        family = _family(DEFINITIONS["lazaretto_authentication_failures_total"])
        family.add_metric([], self.authentication_failures.value)
        yield family


@dataclass
class Families:
    """Metric families built fresh for one scrape, under a budget of series; what is over it is dropped and counted.

    Ask for the important ones first.
    """

    series_max: int
    used: int = 0
    dropped: int = 0
    _families: dict[str, Metric] = field(default_factory=dict)

    def add(self, name: str, value: float, *labels: str) -> None:
        """Add one sample of a gauge or counter of the catalogue."""
        if not self._take(1):
            return
        family = self._families.get(name)
        if family is None:
            family = self._families[name] = _family(DEFINITIONS[name])
        if not isinstance(family, GaugeMetricFamily | CounterMetricFamily):
            raise TypeError(f"{name} is not a gauge or counter")
        family.add_metric(list(labels), value)

    def add_histogram(self, name: str, buckets: Mapping[float, int], total: float) -> None:
        """Add a histogram without labels; ``buckets`` are cumulative counts by upper bound, ending with infinity."""
        if not self._take(len(buckets) + 2):
            return
        definition = DEFINITIONS[name]
        bounds = [("+Inf" if bound == float("inf") else repr(bound), float(count)) for bound, count in buckets.items()]
        self._families[name] = HistogramMetricFamily(name, definition.help, buckets=bounds, sum_value=total)

    def finish(self) -> Iterator[Metric]:
        """Yield every family, with the number of series that found no room."""
        dropped = DEFINITIONS["lazaretto_series_dropped"]
        yield from self._families.values()
        yield GaugeMetricFamily(dropped.name, dropped.help, value=self.dropped)

    def _take(self, series: int) -> bool:
        if self.used + series > self.series_max:
            self.dropped += series
            return False
        self.used += series
        return True


def _family(definition: Definition) -> CounterMetricFamily | GaugeMetricFamily:
    family = CounterMetricFamily if definition.kind is Kind.COUNTER else GaugeMetricFamily
    return family(definition.name, definition.help, labels=definition.labels)


request_id: contextvars.ContextVar[str | None] = contextvars.ContextVar("request_id", default=None)
"""Of the request that is being answered, for everything logged meanwhile."""

KEY_IN_TEXT = re.compile(r"lzk_[0-9A-Za-z]{8,}")


_USUAL = frozenset(vars(logging.makeLogRecord({}))) | {"message", "taskName", "asctime", "color_message"}


class JsonFormatter(logging.Formatter):
    """One JSON object a line; anything that looks like an API key is cut to its public id."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line; what a caller gives as ``extra`` becomes members."""
        entry: dict[str, object] = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        current = request_id.get()
        if current is not None:
            entry["request_id"] = current
        entry.update((name, value) for name, value in vars(record).items() if name not in _USUAL)
        if record.exc_info:
            entry["exception"] = self.formatException(record.exc_info)
        text = msgspec.json.encode({name: _legal(value) for name, value in entry.items()}).decode()
        return KEY_IN_TEXT.sub(lambda found: found.group()[:12] + "...", text)


def _legal(value: object) -> object:
    """Return a value as JSON can say it; lone surrogates from hostile input are shown escaped."""
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, Mapping):
        return {str(name): _legal(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_legal(item) for item in value]
    return str(value).encode("utf-8", "backslashreplace").decode()


def configure_logging(level: str) -> None:
    """Send every log record of the process to standard error as JSON."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for noisy in ("uvicorn.access", "uvicorn.error", "alembic", "httpx"):
        logging.getLogger(noisy).setLevel(logging.WARNING)


def log_uncaught() -> None:
    """Let an exception that nobody catches, in any thread, be a line of the log before it ends what it ends."""
    logger = logging.getLogger("lazaretto")

    def of_process(kind: type[BaseException], error: BaseException, where: TracebackType | None) -> None:
        if issubclass(kind, KeyboardInterrupt):
            sys.__excepthook__(kind, error, where)
        else:
            logger.critical("an unexpected error ends the process", exc_info=(kind, error, where))

    def of_thread(args: threading.ExceptHookArgs) -> None:
        if args.exc_value is not None and not isinstance(args.exc_value, SystemExit):
            extra = {"thread_name": None if args.thread is None else args.thread.name}
            exc_info = (args.exc_type, args.exc_value, args.exc_traceback)
            logger.critical("an unexpected error ends a thread", exc_info=exc_info, extra=extra)

    sys.excepthook = of_process
    threading.excepthook = of_thread
