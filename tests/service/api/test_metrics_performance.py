"""Metrics of labels: of versions that have some, a bounded few each."""

import json
from dataclasses import replace
from typing import Any

from service.api.metrics_performance import FATES, FIGURES_MAX
from tests.service.api.snapshots import a_column, a_snapshot
from tests.service.api.test_metrics import Page

SHARES: dict[str, Any] = {"wrong": [0.08, 0.06, 0.1], "balanced_accuracy": 0.9, "log_loss": 0.3}
CLASSES = SHARES | {"answers": 500, "calibration_error": 0.02, "brier": 0.1, "accuracy": 0.92}
NUMBERS = {"answers": 500, "mae": [1.0, 0.9, 1.1], "bias": [0.1, 0.0, 0.2], "rmse": 1.4, "quantiles": {"0.5": 0.8}}


def page_with(figures: dict[str, Any], joined: int = 500) -> dict[tuple[str, ...], float]:
    page = Page(versions=1)
    window = {"start_us": 0, "end_us": 1, "figures": figures, "delay_median_seconds": 60.0, "delay_p95_seconds": 300.0}
    seen = {"kind": "class", "joined": joined, "late": 3 * bool(joined), "windows": {"1d": window}, "baseline": figures}
    (number,) = page.store.tables.versions
    plain = a_snapshot(number, a_column("age", 1.0))
    status = json.dumps(json.loads(plain.status) | {"performance": seen})
    page.store.tables.snapshots[number] = replace(plain, status=status)
    page.refresh()
    return {key: value for key, value in page.samples().items() if "performance" in key[0] or "label_" in key[0]}


def test_figures_stand_beside_those_of_the_reference() -> None:
    found = page_with(CLASSES)
    figures = {key[-1]: value for key, value in found.items() if key[0] == "lazaretto_model_performance"}
    assert figures == {"wrong": 0.08, "balanced_accuracy": 0.9, "log_loss": 0.3, "calibration_error": 0.02}
    assert len(figures) == FIGURES_MAX
    assert sum(key[0] == "lazaretto_model_performance_baseline" for key in found) == FIGURES_MAX
    fates = {key[-1]: value for key, value in found.items() if "fates" in key[0]}
    assert fates == dict.fromkeys(FATES, 0.0) | {"joined": 500.0, "late": 3.0}
    delays = {key[-1]: value for key, value in found.items() if "delay" in key[0]}
    assert delays == {"0.5": 60.0, "0.95": 300.0}


def test_numbers_have_figures_of_their_own() -> None:
    found = page_with(NUMBERS)
    figures = {key[-1]: value for key, value in found.items() if key[0] == "lazaretto_model_performance"}
    assert figures == {"mae": 1.0, "bias": 0.1, "rmse": 1.4}


def test_a_version_without_labels_has_none() -> None:
    assert page_with(CLASSES, joined=0) == {}
