"""The metrics page."""

import json
import os
import shutil
import subprocess
from dataclasses import replace

import pytest
from prometheus_client.parser import text_string_to_metric_families

from service.api.figures import Figures, Lag
from service.api.metrics import Metrics
from service.domain.ids import Micros, Position
from service.domain.notices import Backlog, ChannelBacklog, ChannelState, Circuit
from service.domain.reports import REPORT_SECONDS, ReportFigures
from service.domain.schedule import Outcome, Schedule
from service.domain.states import State
from service.gate.refresh import Fleet
from service.log.figures import BOUNDS, Latency, LogFigures
from service.observability import CATALOGUE, DEFINITIONS, Counters
from service.settings import Settings
from service.worker.stats import WorkerStats
from tests.fakes.clock import NOVEMBER, ManualClock
from tests.fakes.store import InMemoryStore
from tests.service.api.snapshots import a_column, a_snapshot
from tests.service.api.test_requests import ODD, RULE
from tests.service.gate.fleets import a_fleet
from tests.service.uses import ANN, BOB, Bench, finding, intent

LOG = LogFigures(
    healthy=True,
    queue_entries=3,
    queue_bytes=300,
    commits=2,
    entries=5,
    bytes=500,
    repeated=0,
    refused=0,
    failed_commits=0,
    last_error=None,
    commit_seconds=Latency(counts=(1, *[0] * (len(BOUNDS) - 1), 1), total_seconds=7.0),
)


class Page:
    """A store with a fleet, and the metrics over it."""

    def __init__(self, versions: int = 2, series_max: int = 5_000) -> None:
        self.store, self.clock = InMemoryStore(), ManualClock()
        states = [State.ACTIVE, State.QUARANTINED]
        fleet = a_fleet(*[("fraud", str(n), states[n % 2]) for n in range(versions)])
        tables = self.store.tables
        tables.models = {model.id: model for model in fleet.models.values()}
        tables.versions = dict(fleet.by_id)
        tables.stats = WorkerStats(passes=4).to_json()
        tables.position, tables.heartbeat_us, tables.revision = Position(7), NOVEMBER, 1
        columns = [a_column(f"c{n}", float(n)) for n in range(10)]
        for number in tables.versions:
            snapshot = a_snapshot(number, *columns, last_arrival_us=NOVEMBER)
            status = json.loads(snapshot.status) | {"traffic": {"errors_total": 5}}
            tables.snapshots[number] = replace(snapshot, status=json.dumps(status))
        self.fleet = Fleet(self.store.read, self.clock)
        self.figures = Figures(self.store.read, lambda: Position(9), self.clock)
        self.counters = Counters()
        settings = Settings(metrics_series_max=series_max)
        self.metrics = Metrics(settings, self.counters, self.fleet, self.figures, lambda: LOG, self.clock)

    def refresh(self) -> None:
        self.fleet.refresh()
        self.figures.sample()
        self.figures.refresh()

    def samples(self) -> dict[tuple[str, ...], float]:
        return {
            (sample.name, *in_order(sample.name, sample.labels)): sample.value
            for family in text_string_to_metric_families(self.metrics.render().decode())
            for sample in family.samples
        }


def in_order(name: str, labels: dict[str, str]) -> list[str]:
    """Return label values in the catalogue's order; the page sorts them."""
    known = DEFINITIONS.get(name)
    return [labels[label] for label in known.labels] if known else list(labels.values())


@pytest.fixture
def page() -> Page:
    return Page()


NEEDS_MORE = {
    "lazaretto_open_alerts",
    "lazaretto_open_adversarial_alerts",
    "lazaretto_redteam_age_seconds",
    "lazaretto_redteam_detection_ratio",
    "lazaretto_model_label_delay_seconds",
    "lazaretto_model_label_fates_total",
    "lazaretto_model_performance",
    "lazaretto_model_performance_baseline",
    "lazaretto_requests_examined_total",
    "lazaretto_requests_odd_total",
    "lazaretto_redteam_defence_held",
    "lazaretto_redteam_schedule_runs_total",
    "lazaretto_redteam_schedule_running",
    "lazaretto_redteam_schedule_overdue_seconds",
    "lazaretto_redteam_schedule_age_seconds",
    "lazaretto_enforcement_seconds",
    "lazaretto_enforcement_overdue",
    "lazaretto_review_overdue_seconds",
    "lazaretto_alert_verdicts",
    "lazaretto_alert_unjudged",
    "lazaretto_alert_precision",
    "lazaretto_alert_false_alarms",
    "lazaretto_alert_false_alarms_promised",
    "lazaretto_alert_seconds",
}
"""Shown once there is an alert or a quarantine, a red-team run was filed or scheduled, or requests are looked at."""


def test_scheduled_red_team_runs_are_counted_by_outcome_with_how_late_they_are(page: Page) -> None:
    second = 1_000_000
    schedule = Schedule(
        outcome=Outcome.DONE,
        next_us=Micros(page.clock.now_us() - 30 * second),
        good_us=Micros(page.clock.now_us() - 90 * second),
        done=4,
        failed=2,
        missed=1,
    )
    page.figures = Figures(page.store.read, lambda: Position(9), page.clock, lambda: schedule)
    settings = Settings()
    page.metrics = Metrics(settings, page.counters, page.fleet, page.figures, lambda: LOG, page.clock)
    page.refresh()
    samples = page.samples()
    runs = {key[1]: value for key, value in samples.items() if key[0] == "lazaretto_redteam_schedule_runs_total"}
    assert runs == {"done": 4, "failed": 2, "missed": 1}
    assert samples["lazaretto_redteam_schedule_overdue_seconds",] == 30
    assert samples["lazaretto_redteam_schedule_age_seconds",] == 90
    assert samples["lazaretto_redteam_schedule_running",] == 0


def test_every_metric_of_the_catalogue_but_alerts_appears(page: Page) -> None:
    page.refresh()
    waiting = ChannelBacklog(name="ops", pending=2, dead=1, oldest_us=NOVEMBER)
    state = ChannelState(name="ops", circuit=Circuit.OPEN, failing_us=NOVEMBER, delivered_total=4)
    backlog = Backlog(channels={"ops": waiting}, states={"ops": state}, unrouted=1, firing=3)
    assert page.figures.picture is not None
    made = ReportFigures(waiting=1, done=2, failed=1, refused=0, counts=(0,) * (len(REPORT_SECONDS) + 1), seconds=0.0)
    page.figures.picture = replace(page.figures.picture, notifications=backlog, reports=made)
    names = {name for name, *_ in page.samples()}
    expected = {m.name if m.kind != "histogram" else f"{m.name}_bucket" for m in CATALOGUE}
    assert expected - NEEDS_MORE <= names


def test_adversarial_alerts_are_counted_by_tier_and_contained_principals_by_number(page: Page) -> None:
    bench = Bench(versions=tuple(page.store.tables.versions.values()))
    bench.judge(finding(ANN), intent(ANN), intent(BOB, flips=0))
    page.store.tables.alerts = dict(bench.alerts)
    page.store.tables.containments = dict(bench.containments)
    page.refresh()
    samples = page.samples()
    assert samples["lazaretto_open_adversarial_alerts", "fraud", "0", "probing"] == 1
    assert samples["lazaretto_open_adversarial_alerts", "fraud", "0", "intent"] == 2
    assert samples["lazaretto_open_alerts", "fraud", "0", "adversarial"] == 3
    assert samples["lazaretto_contained_principals", "fraud", "0"] == 2
    assert samples["lazaretto_contained_principals", "fraud", "1"] == 0
    assert not any(ANN in part for key in samples for part in key)
    page.clock.advance(24 * 3_600)
    assert page.samples()["lazaretto_contained_principals", "fraud", "0"] == 0


def test_odd_requests_are_counted_by_score_and_nothing_else(page: Page) -> None:
    tables = page.store.tables
    (first, *_) = tables.snapshots
    snapshot = tables.snapshots[first]
    told = {"examined": 100, "over": [6, 2, 1], "rules": [RULE] * 50, "oddest": [ODD] * 50}
    tables.snapshots[first] = replace(snapshot, status=json.dumps(json.loads(snapshot.status) | {"requests": told}))
    page.refresh()
    found = {key: value for key, value in page.samples().items() if key[0].startswith("lazaretto_requests")}
    assert found == {
        ("lazaretto_requests_examined_total", "fraud", "0"): 100,
        ("lazaretto_requests_odd_total", "fraud", "0", "0.95"): 6,
        ("lazaretto_requests_odd_total", "fraud", "0", "0.99"): 2,
        ("lazaretto_requests_odd_total", "fraud", "0", "0.999"): 1,
    }


def test_states_evidence_and_threshold_are_there_per_version(page: Page) -> None:
    page.refresh()
    samples = page.samples()
    assert samples["lazaretto_model_state", "fraud", "0", "active"] == 1
    assert samples["lazaretto_model_state", "fraud", "1", "quarantined"] == 1
    assert ("lazaretto_model_state", "fraud", "1", "active") not in samples
    assert samples["lazaretto_model_evidence_log", "fraud", "1"] == 1.0
    assert samples["lazaretto_model_threshold_log", "fraud", "1"] == 14.8
    assert samples["lazaretto_model_leaks_total", "fraud", "1"] == 2
    assert samples["lazaretto_model_errors_total", "fraud", "1"] == 5


def test_errors_of_a_version_whose_traffic_nobody_watches_are_not_said_to_be_none(page: Page) -> None:
    tables = page.store.tables
    for number in tables.versions:
        tables.snapshots[number] = a_snapshot(number)
    page.refresh()
    assert not [key for key in page.samples() if key[0] == "lazaretto_model_errors_total"]


def test_only_the_strongest_columns_are_shown(page: Page) -> None:
    page.refresh()
    shown = {key[3] for key in page.samples() if key[0] == "lazaretto_column_effect" and key[2] == "1"}
    assert shown == {"c9", "c8", "c7"}


def test_the_log_and_the_worker_are_there(page: Page) -> None:
    page.refresh()
    samples = page.samples()
    assert samples[("lazaretto_log_queue_entries",)] == 3
    assert samples["lazaretto_log_commit_seconds_bucket", "+Inf"] == 2
    assert samples[("lazaretto_log_commit_seconds_sum",)] == 7.0
    assert samples[("lazaretto_worker_passes_total",)] == 4
    assert samples[("lazaretto_worker_position",)] == 7
    page.clock.advance(2.5)
    assert page.samples()[("lazaretto_lag_seconds",)] == 2.5


def test_a_scrape_asks_the_store_nothing(page: Page) -> None:
    page.refresh()
    page.store.failing = True
    assert page.samples()["lazaretto_model_state", "fraud", "0", "active"] == 1


def test_before_the_first_look_at_the_store_the_page_works(page: Page) -> None:
    assert page.samples()[("lazaretto_fleet_checked_timestamp_seconds",)] == 0


def test_a_large_fleet_stays_within_its_budget_and_says_what_is_missing() -> None:
    page = Page(versions=500, series_max=600)
    page.refresh()
    samples = page.samples()
    own = [key for key in samples if key[0].startswith("lazaretto_")]
    counters = len(list(text_string_to_metric_families(render_counters(page.counters))))
    assert len([key for key in own if key[0] == "lazaretto_model_state"]) == 500
    assert len(own) <= 600 + 50 * counters
    assert samples[("lazaretto_series_dropped",)] > 0
    assert len([key for key in own if key[0].startswith("lazaretto_model_")]) < 600


def render_counters(counters: Counters) -> str:
    from prometheus_client import generate_latest

    return generate_latest(counters.registry).decode()


def test_promtool_finds_nothing_to_say(page: Page) -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        if os.environ.get("CI") == "true":
            pytest.fail("promtool is not installed")
        pytest.skip("promtool is not installed")
    page.refresh()
    checked = subprocess.run(
        [promtool, "check", "metrics"], input=page.metrics.render(), capture_output=True, timeout=30, check=False
    )
    assert (checked.returncode, checked.stdout + checked.stderr) == (0, b"")


def test_the_lag_is_that_of_the_oldest_entry_that_waits() -> None:
    lag = Lag()
    for head, at_us in ((10, 1_000_000), (10, 2_000_000), (20, 3_000_000)):
        lag.saw(Position(head), Micros(at_us))
    now_us = Micros(5_000_000)
    assert lag.seconds(Position(5), now_us) == 4.0
    assert lag.seconds(Position(10), now_us) == 2.0
    assert lag.seconds(Position(20), now_us) == 0.0
    assert lag.seconds(Position(20), now_us) == 0.0
