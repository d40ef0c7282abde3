"""Metric families, their budget, and the log's lines."""

import io
import json
import logging
import math
import re
import subprocess
import sys
from pathlib import Path

import pytest

from service.observability import (
    CATALOGUE,
    OUTCOMES,
    Counters,
    Definition,
    Families,
    JsonFormatter,
    Kind,
    configure_logging,
    request_id,
)

DOCS = Path(__file__).parents[2] / "docs" / "metrics.md"


def line_of(record: logging.LogRecord) -> dict[str, object]:
    text = JsonFormatter().format(record)
    assert "\n" not in text
    line: dict[str, object] = json.loads(text)
    return line


def test_the_documentation_lists_exactly_the_metrics_there_are() -> None:
    rows = re.findall(r"^\| `(lazaretto_\w+)` \| (\w+) \| ([^|]*) \|", DOCS.read_text(), re.MULTILINE)
    documented = {name: (kind, tuple(re.findall(r"`(\w+)`", labels))) for name, kind, labels in rows}
    assert documented == {metric.name: (metric.kind.value, metric.labels) for metric in CATALOGUE}


@pytest.mark.parametrize("metric", CATALOGUE, ids=lambda metric: str(metric.name))
def test_names_say_what_they_count(metric: Definition) -> None:
    assert metric.name.startswith("lazaretto_")
    assert metric.name.endswith("_total") is (metric.kind is Kind.COUNTER)
    assert metric.help.endswith(".")


def test_every_counter_starts_at_zero_for_every_outcome() -> None:
    registry = Counters().registry
    for name, values in OUTCOMES.items():
        (label,) = next(metric.labels for metric in CATALOGUE if metric.name == name)
        for value in values:
            assert registry.get_sample_value(name, {label: value}) == 0.0


def test_over_the_budget_the_later_series_are_dropped_and_counted() -> None:
    families = Families(series_max=3)
    for number in range(5):
        families.add("lazaretto_model_evidence_log", number, "m", str(number))
    families.add_histogram("lazaretto_log_commit_seconds", {1.0: 1, math.inf: 1}, 0.5)
    samples = {(s.name, *s.labels.values()): s.value for family in families.finish() for s in family.samples}
    assert samples == {
        ("lazaretto_model_evidence_log", "m", "0"): 0,
        ("lazaretto_model_evidence_log", "m", "1"): 1,
        ("lazaretto_model_evidence_log", "m", "2"): 2,
        ("lazaretto_series_dropped",): 2 + 4,
    }


def test_a_log_line_is_one_object_with_time_level_and_extras() -> None:
    record = logging.makeLogRecord({"name": "n", "levelname": "INFO", "msg": "a\nb %s", "args": ("c",), "status": 7})
    token = request_id.set("r-1")
    try:
        line = line_of(record)
    finally:
        request_id.reset(token)
    assert line["message"] == "a\nb c"
    assert (line["level"], line["logger"], line["status"], line["request_id"]) == ("info", "n", 7, "r-1")
    assert str(line["at"]).endswith("+00:00")


def test_a_key_in_a_log_line_is_cut_to_its_public_part() -> None:
    key = "lzk_" + "a1B2c3D4" + "S" * 36
    line = line_of(logging.makeLogRecord({"msg": f"bad key {key}", "nested": {"header": [key]}}))
    assert "S" * 5 not in json.dumps(line)
    assert "lzk_a1B2c3D4..." in str(line["message"])


def test_hostile_text_cannot_break_a_log_line() -> None:
    record = logging.makeLogRecord({"msg": "\ud800 \x00", "odd": b"\xff", "nested": {"a": ["\udfff"]}})
    assert line_of(record)["message"] == "\\ud800 \x00"


def test_exceptions_are_logged_with_their_traceback() -> None:
    error = ValueError("inside")
    record = logging.makeLogRecord({"msg": "x", "exc_info": (ValueError, error, None)})
    assert "ValueError: inside" in str(line_of(record)["exception"])


def test_configured_logging_writes_json_to_standard_error(monkeypatch: pytest.MonkeyPatch) -> None:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    try:
        configure_logging("warning")
        logging.getLogger("lazaretto.x").info("quiet")
        logging.getLogger("lazaretto.x").warning("loud")
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)
    assert [json.loads(line)["message"] for line in stream.getvalue().splitlines()] == ["loud"]


def test_what_nobody_catches_is_a_line_of_the_log_in_any_thread() -> None:
    program = """
import threading
from service.observability import configure_logging, log_uncaught

configure_logging("info")
log_uncaught()
thread = threading.Thread(target=lambda: 1 / 0, name="helper")
thread.start()
thread.join()
raise ValueError("first\\nsecond")
"""
    ended = subprocess.run([sys.executable, "-c", program], check=False, capture_output=True, text=True, timeout=120)
    of_thread, of_process = (json.loads(line) for line in ended.stderr.splitlines())
    assert ended.returncode == 1
    assert (of_thread["level"], of_thread["thread_name"]) == ("critical", "helper")
    assert "ZeroDivisionError" in of_thread["exception"]
    assert of_process["message"] == "an unexpected error ends the process"
    assert "ValueError: first\nsecond" in of_process["exception"]
