"""The service itself: does it take telemetry, answer the gate, and keep up."""

from scripts.dashboards.panels import GOOD_OR_BAD, Dashboard, Panel, Query, Row
from scripts.dashboards.promql import age, gauge, quantile, series, told, total

NOW = (
    Panel(
        title="Answers",
        description="Instances that answer Prometheus.",
        queries=(Query(series("up"), "{{instance}}"),),
        unit="bool_yes_no",
        kind="stat",
        width=4,
        height=4,
        base="red",
        steps=((1, "green"),),
        runbook="LazarettoDown",
    ),
    Panel(
        title="Version",
        description="Version of the software of each instance.",
        queries=(Query(gauge("lazaretto_build_info", "instance, version"), "{{version}}"),),
        unit="none",
        kind="stat",
        width=4,
        height=4,
        base="blue",
    ),
    Panel(
        title="Lag",
        description="How long the oldest entry has waited for the worker. Events are safe meanwhile, evidence is late.",
        queries=(Query(gauge("lazaretto_lag_seconds", "instance"), "{{instance}}"),),
        unit="s",
        kind="stat",
        width=4,
        height=4,
        steps=((10, "orange"), (60, "red")),
        runbook="LazarettoWorkerBehind",
    ),
    Panel(
        title="Worker last wrote",
        description="Age of the worker's heartbeat.",
        queries=(Query(age("lazaretto_worker_heartbeat_timestamp_seconds", "job"), "worker"),),
        unit="s",
        kind="stat",
        width=4,
        height=4,
        steps=((30, "orange"), (120, "red")),
        runbook="LazarettoWorkerAway",
    ),
    Panel(
        title="Gate's picture",
        description="Age of the gate's picture of the fleet. Without the store it answers from the last one.",
        queries=(Query(age("lazaretto_fleet_checked_timestamp_seconds", "instance"), "{{instance}}"),),
        unit="s",
        kind="stat",
        width=4,
        height=4,
        steps=((10, "orange"), (60, "red")),
        runbook="LazarettoStoreAway",
    ),
    Panel(
        title="Series left out",
        description="Series that found no room in the series budget.",
        queries=(Query(gauge("lazaretto_series_dropped", "instance"), "{{instance}}"),),
        unit="short",
        kind="stat",
        width=4,
        height=4,
        steps=GOOD_OR_BAD,
        runbook="LazarettoSeriesDropped",
    ),
)

REQUESTS = (
    Panel(
        title="Events",
        description="Events a second that were sent, by what became of them.",
        queries=(Query(total("lazaretto_events_total", "outcome"), "{{outcome}}"),),
        unit="reqps",
    ),
    Panel(
        title="Batches",
        description="Requests with events. overloaded: 503, the queue was full; failed: a bug.",
        queries=(Query(total("lazaretto_batches_total", "outcome"), "{{outcome}}"),),
        unit="reqps",
        runbook="LazarettoOverloaded",
    ),
    Panel(
        title="Labels and logged inferences",
        description="Labels, and inferences in CloudEvents, by outcome.",
        queries=(
            Query(total("lazaretto_labels_total", "outcome"), "labels {{outcome}}"),
            Query(total("lazaretto_cloudevents_total", "outcome"), "inferences {{outcome}}"),
        ),
        unit="reqps",
    ),
    Panel(
        title="Answers of the gate",
        description="What gateways were told. unknown: a model that is not registered.",
        queries=(Query(total("lazaretto_gate_answers_total", "answer"), "{{answer}}"),),
        unit="reqps",
    ),
    Panel(
        title="Other requests",
        description="API and console, by class of the status.",
        queries=(Query(total("lazaretto_http_requests_total", "code"), "{{code}}"),),
        unit="reqps",
        runbook="LazarettoServerErrors",
    ),
    Panel(
        title="Refused",
        description="Requests without a good key, and connections that a limit ended.",
        queries=(
            Query(total("lazaretto_authentication_failures_total"), "no good key"),
            Query(total("lazaretto_connections_refused_total", "reason"), "{{reason}}"),
        ),
        unit="reqps",
        runbook="LazarettoAuthenticationFailures",
    ),
)

LOG = (
    Panel(
        title="Waiting for a commit",
        description="Entries in the queue of the telemetry log; at log_queue_entries_max senders get 503.",
        queries=(Query(gauge("lazaretto_log_queue_entries", "instance"), "{{instance}}"),),
        unit="short",
        width=6,
        steps=((3_000, "red"),),
        runbook="LazarettoLogQueueFull",
    ),
    Panel(
        title="Bytes waiting for a commit",
        description="Bytes in the queue of the telemetry log; at log_queue_bytes_max senders get 503.",
        queries=(Query(gauge("lazaretto_log_queue_bytes", "instance"), "{{instance}}"),),
        unit="bytes",
        width=6,
        runbook="LazarettoLogQueueFull",
    ),
    Panel(
        title="Made durable",
        description="Entries a second that this process committed.",
        queries=(Query(total("lazaretto_log_entries_total"), "entries"),),
        unit="wps",
        width=6,
    ),
    Panel(
        title="Bytes made durable",
        description="Bytes a second that this process committed.",
        queries=(Query(total("lazaretto_log_bytes_total"), "bytes"),),
        unit="Bps",
        width=6,
    ),
    Panel(
        title="Time of a commit of the log",
        description="Quantiles of the time of one commit: mostly that of the disk.",
        queries=tuple(Query(quantile(q, "lazaretto_log_commit_seconds"), f"p{q * 100:g}") for q in (0.5, 0.99)),
        unit="s",
        empty="Nothing was committed in this time",
        steps=((0.5, "orange"),),
        runbook="LazarettoLogCommitsSlow",
    ),
    Panel(
        title="Clock behind",
        description="How far the clock is behind the newest arrival time. No tick closes meanwhile.",
        queries=(Query(gauge("lazaretto_log_clock_behind_seconds", "instance"), "{{instance}}"),),
        unit="s",
        steps=((5, "red"),),
        runbook="LazarettoClockBehind",
    ),
    Panel(
        title="Entries that the worker has not read",
        description="Position of the last durable entry, less that of the worker.",
        queries=(
            Query(f"{gauge('lazaretto_log_position', 'job')} - {gauge('lazaretto_worker_position', 'job')}", "entries"),
        ),
        unit="short",
        runbook="LazarettoWorkerBehind",
    ),
)

WORKER = (
    Panel(
        title="Passes",
        description="Passes a second that the worker committed, and those that were computed and not written.",
        queries=(
            Query(told("lazaretto_worker_passes_total", "job"), "committed"),
            Query(told("lazaretto_worker_dropped_passes_total", "job"), "not written"),
        ),
        unit="ops",
        runbook="LazarettoWorkerDropsPasses",
    ),
    Panel(
        title="Read by the worker",
        description="Entries and events a second.",
        queries=(
            Query(told("lazaretto_worker_entries_total", "job"), "entries"),
            Query(told("lazaretto_worker_events_total", "job"), "events"),
        ),
        unit="rps",
    ),
    Panel(
        title="Time of a pass and of its transaction",
        description="99 % of the worker's passes, and of its transactions, took no longer.",
        queries=(
            Query(quantile(0.99, "lazaretto_worker_pass_seconds"), "pass p99"),
            Query(quantile(0.99, "lazaretto_worker_commit_seconds"), "transaction p99"),
        ),
        unit="s",
        empty="The worker had nothing to do in this time",
    ),
    Panel(
        title="Links of the audit chain",
        description="Gained in the interval. It never shrinks, unless a backup was restored or somebody cut it.",
        queries=(Query(told("lazaretto_audit_entries_total", "job", over="increase"), "links"),),
        unit="short",
        runbook="LazarettoAuditChainShrank",
    ),
    Panel(
        title="Age of the figures",
        description="When the figures of models and worker were last read from the store.",
        queries=(Query(age("lazaretto_figures_read_timestamp_seconds", "instance"), "{{instance}}"),),
        unit="s",
        steps=((60, "red"),),
        runbook="LazarettoStoreAway",
    ),
    Panel(
        title="A scrape",
        description="How long Prometheus waits for /metrics.",
        queries=(Query(series("scrape_duration_seconds"), "{{instance}}"),),
        unit="s",
        steps=((5, "orange"),),
    ),
)

PROCESS = (
    Panel(
        title="Memory",
        description="Resident memory of the API process.",
        queries=(Query(series("process_resident_memory_bytes"), "{{instance}}"),),
        unit="bytes",
        width=6,
    ),
    Panel(
        title="Processor",
        description="Processors that the API process keeps busy.",
        queries=(Query(f"rate({series('process_cpu_seconds_total')}[$__rate_interval])", "{{instance}}"),),
        unit="short",
        width=6,
    ),
    Panel(
        title="Open files",
        description="Open files and sockets, as a share of what the process may open.",
        queries=(Query(f"{series('process_open_fds')} / {series('process_max_fds')}", "{{instance}}"),),
        unit="percentunit",
        width=6,
        steps=((0.8, "red"),),
        runbook="LazarettoFilesRunOut",
    ),
    Panel(
        title="Series of a scrape",
        description="Series that Prometheus took from /metrics.",
        queries=(Query(series("scrape_samples_scraped"), "{{instance}}"),),
        unit="short",
        width=6,
    ),
)

REPORTS = (
    Panel(
        title="Reports about drift",
        description="Reports that ended, and those that were refused because too many waited.",
        queries=(Query(total("lazaretto_reports_total", "outcome", over="increase"), "{{outcome}}"),),
        unit="short",
    ),
    Panel(
        title="Reports that wait",
        description="Reports that wait or are being made; at reports_queue_max more are refused.",
        queries=(Query(gauge("lazaretto_reports_waiting", "job"), "reports"),),
        unit="short",
        steps=((8, "red"),),
    ),
    Panel(
        title="Time of a report",
        description="Quantiles of the time of drawing rows and rendering them, in processes of their own.",
        queries=tuple(Query(quantile(q, "lazaretto_report_seconds"), f"p{q * 100:g}") for q in (0.5, 0.9)),
        unit="s",
        empty="No report was made in this time",
    ),
)

HEALTH = Dashboard(
    uid="lazaretto-health",
    title="Lazaretto / Service health",
    description="Does the service take telemetry, answer the gate, and keep up.",
    rows=(
        Row("Now", NOW),
        Row("Requests", REQUESTS),
        Row("Telemetry log", LOG),
        Row("Worker and store", WORKER),
        Row("Reports", REPORTS),
        Row("Process", PROCESS),
    ),
)
