"""The series budget: computed from the catalogue, and held with 1,000 models of 100 columns."""

import json
import math
import time
from collections import Counter
from dataclasses import replace

import pytest

from service.api.metrics import SHOWN_EFFECTS
from service.api.metrics_performance import FATES, FIGURES_MAX
from service.domain.policy import Cause
from service.domain.records import Verdict
from service.domain.requests import OVER
from service.observability import CATALOGUE, DEFINITIONS, OUTCOMES, Kind
from service.settings import Settings
from tests.fakes.clock import NOVEMBER
from tests.service.api.snapshots import a_column, a_snapshot
from tests.service.api.test_metrics import Page
from tests.service.api.test_requests import ODD, RULE

MODELS, COLUMNS = 1_000, 100
CHANNELS, SCENARIOS, BUCKETS = 20, 20, 20
TIERS = ("probing", "intent", "extraction", "membership", "cost", "persistence", "poisoning", "canary", "artefact")
SETTINGS = Settings()
BOUNDS = {
    "state": 1,  # one series a version: the state it is in
    "monitoring": 1,
    "circuit": 1,
    "cause": len(Cause),
    "tier": len(TIERS),
    "score": len(OVER),
    "column": SETTINGS.metrics_columns_per_version,
    "effect": len(SHOWN_EFFECTS),
    "attack": SETTINGS.metrics_redteam_attacks_max,
    "scenario": SCENARIOS,
    "channel": CHANNELS,
    "verdict": len(Verdict),
    "fate": len(FATES),
    "figure": FIGURES_MAX,
    "what": 2,
    "quantile": 2,
}
SPARSE = {
    "lazaretto_open_alerts": "versions with an alert",
    "lazaretto_open_adversarial_alerts": "versions that are attacked",
    "lazaretto_enforcement_seconds": "versions that were ever in quarantine",
    "lazaretto_enforcement_overdue": "versions that were ever in quarantine",
    "lazaretto_review_overdue_seconds": "versions that are under review",
    "lazaretto_model_label_fates_total": "versions with labels",
    "lazaretto_model_label_delay_seconds": "versions with labels",
    "lazaretto_model_performance": "versions with labels",
    "lazaretto_model_performance_baseline": "versions with labels and a reference that had some",
    "lazaretto_redteam_age_seconds": "versions with red-team results",
    "lazaretto_redteam_detection_ratio": "versions with red-team results",
    "lazaretto_redteam_defence_held": "versions with red-team results",
}
"""Metrics that not every version has."""
ESSENTIAL = ("state", "threshold_log", "evidence_log", "leaks_total", "monitoring")


def most(name: str) -> int:
    """Return how many series a metric has at most: of one version, or in all where no version is named."""
    metric = DEFINITIONS[name]
    if name in OUTCOMES:
        return len(OUTCOMES[name])
    labels = [label for label in metric.labels if label not in ("model", "version", "outcome")]
    outcomes = 3 if "outcome" in metric.labels else 1
    buckets = BUCKETS + 3 if metric.kind is Kind.HISTOGRAM else 1
    return math.prod(BOUNDS[label] for label in labels) * buckets * outcomes


def of_versions(name: str) -> bool:
    return "model" in DEFINITIONS[name].labels


def a_large_fleet(series_max: int) -> Page:
    page = Page(versions=MODELS, series_max=series_max)
    tables = page.store.tables
    columns = [a_column(f"column_{number:03d}", float(number)) for number in range(COLUMNS)]
    told: dict[str, object] = {"traffic": {"errors_total": 5}}
    told |= {"requests": {"examined": 100, "over": [6, 2, 1], "rules": [RULE], "oddest": [ODD]}}
    status = json.dumps(json.loads(a_snapshot(1, *columns, last_arrival_us=NOVEMBER).status) | told)
    for number in tables.versions:
        tables.snapshots[number] = replace(a_snapshot(number), status=status)
    page.refresh()
    return page


def counted(page: Page) -> Counter[str]:
    """Return how many series each metric has on the page."""
    found: Counter[str] = Counter()
    for line in page.metrics.render().decode().splitlines():
        name = line.partition("{")[0].partition(" ")[0]
        for part in ("_bucket", "_sum", "_count"):
            if name.removesuffix(part) in DEFINITIONS:
                name = name.removesuffix(part)
        if name in DEFINITIONS:
            found[name] += 1
    return found


def test_the_bounds_are_about_every_label_of_the_catalogue() -> None:
    labels = {label for metric in CATALOGUE for label in metric.labels if metric.name not in OUTCOMES}
    assert labels - {"model", "version", "outcome"} == BOUNDS.keys()
    assert SPARSE.keys() <= DEFINITIONS.keys()


def test_what_every_version_has_fits_the_budget_a_thousand_times() -> None:
    always = sum(most(m.name) for m in CATALOGUE if of_versions(m.name) and m.name not in SPARSE)
    once = sum(most(metric.name) for metric in CATALOGUE if not of_versions(metric.name))
    assert always == 23
    assert MODELS * always + once <= SETTINGS.metrics_series_max


def test_a_thousand_models_of_a_hundred_columns_are_shown_whole() -> None:
    page = a_large_fleet(SETTINGS.metrics_series_max)
    found = counted(page)
    assert page.samples()["lazaretto_series_dropped",] == 0
    for name, number in found.items():
        assert number <= most(name) * (MODELS if of_versions(name) else 1), name
    for metric in CATALOGUE:
        if of_versions(metric.name) and metric.name not in SPARSE:
            assert found[metric.name] == MODELS * most(metric.name), metric.name
    assert sum(found.values()) <= SETTINGS.metrics_series_max


def test_a_smaller_budget_takes_columns_and_traffic_before_what_alerts_are_made_of() -> None:
    page = a_large_fleet(5_300)
    found = counted(page)
    assert [name for name in ESSENTIAL if found[f"lazaretto_model_{name}"] != MODELS] == []
    assert found["lazaretto_column_effect"] == 0
    assert found["lazaretto_model_events_total"] < MODELS
    assert page.samples()["lazaretto_series_dropped",] > 0


def test_whoever_has_evidence_has_a_threshold_however_small_the_budget() -> None:
    found = counted(a_large_fleet(2_500))
    assert found["lazaretto_model_state"] == MODELS
    assert 0 < found["lazaretto_model_evidence_log"] <= found["lazaretto_model_threshold_log"] < MODELS


@pytest.mark.slow
def test_such_a_page_is_made_well_within_the_ten_seconds_that_a_scrape_may_take() -> None:
    page = a_large_fleet(SETTINGS.metrics_series_max)
    took, size = [], 0
    for _ in range(3):
        begun = time.perf_counter()
        size = len(page.metrics.render())
        took.append(time.perf_counter() - begun)

    assert min(took) < 3
    assert size < 4_000_000
