"""Grafana's dashboards: what is committed is what the generator writes, and keeps to the rules of a linter."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from scripts.dashboards.__main__ import DASHBOARDS, FOLDER, files, outdated
from scripts.dashboards.panels import render
from scripts.dashboards.promql import PROCESS, quantile, rate, series
from service.observability import CATALOGUE, DEFINITIONS, Kind

PARTS = ("_bucket", "_sum", "_count")
NOT_SHOWN: dict[str, str] = {}
"""Metrics that no panel shows, with the reason."""
UNITS = {"short", "none", "s", "bytes", "Bps", "reqps", "rps", "wps", "ops", "percentunit", "bool_yes_no"}
KINDS = {"timeseries", "stat", "table", "bargauge"}
SELECTOR = re.compile(r"\b((?:lazaretto|process|scrape)_[a-z_]+|up)\b(\{[^}]*\})?")
COUNTERS = {f"{m.name}{part}" for m in CATALOGUE if m.kind is Kind.HISTOGRAM for part in PARTS} | {
    metric.name for metric in CATALOGUE if metric.kind is Kind.COUNTER
}
BOARDS = [json.loads(text) for text in files().values()]
ALL = [(board, panel) for board in BOARDS for panel in board["panels"] if panel["type"] != "row"]


def title(value: Any) -> str:
    return str(value["title"]) if isinstance(value, dict) and "title" in value else ""


def expressions() -> list[str]:
    return [target["expr"] for _, panel in ALL for target in panel["targets"]]


def base(name: str) -> str:
    return next((name.removesuffix(part) for part in PARTS if name.removesuffix(part) in DEFINITIONS), name)


def test_what_is_committed_is_what_the_generator_writes() -> None:
    assert outdated() == [], "run python -m scripts.dashboards"


def test_the_generator_writes_the_same_bits_each_time() -> None:
    assert [render(board) for board in DASHBOARDS] == [render(board) for board in DASHBOARDS]


def test_the_five_dashboards_are_there_with_ids_and_titles_of_their_own() -> None:
    assert sorted(path.name for path in FOLDER.glob("*.json")) == sorted(files())
    assert len({board["uid"] for board in BOARDS}) == len({board["title"] for board in BOARDS}) == 5
    assert all(len(board["uid"]) <= 40 and board["editable"] is False and board["tags"] for board in BOARDS)


@pytest.mark.parametrize("board", BOARDS, ids=title)
def test_variables_are_as_the_linter_wants_them(board: dict[str, Any]) -> None:
    listed = {variable["name"]: variable for variable in board["templating"]["list"]}
    sources = [v for v in listed.values() if v["type"] == "datasource"]
    assert [(v["name"], v["label"], v["query"]) for v in sources] == [("datasource", "Data source", "prometheus")]
    chosen = [variable for variable in listed.values() if variable["type"] == "query"]
    assert {"job", "instance"} <= {variable["name"] for variable in chosen}
    for variable in chosen:
        assert variable["label"] == variable["name"].title()
        assert variable["datasource"]["uid"] == "$datasource"
        assert (variable["multi"], variable["includeAll"], variable["allValue"], variable["refresh"]) == (
            True,
            True,
            ".+",
            2,
        )
        metric, label = re.fullmatch(r"label_values\((\w+)(?:\{.*\})?, (\w+)\)", variable["definition"]).groups()  # type: ignore[union-attr]
        assert label in (*DEFINITIONS[metric].labels, "job", "instance")
    used = set(re.findall(r"\$\{?([a-z]+)\b", json.dumps(board))) - {"datasource"}
    assert used <= set(listed)


@pytest.mark.parametrize(("board", "panel"), ALL, ids=title)
def test_a_panel_says_what_it_shows_in_which_unit(board: dict[str, Any], panel: dict[str, Any]) -> None:
    assert panel["title"]
    assert len(panel["description"]) > 15, "say more than the title"
    assert panel["description"].endswith(".")
    assert panel["type"] in KINDS
    assert panel["fieldConfig"]["defaults"]["unit"] in UNITS
    assert panel["datasource"] == {"type": "prometheus", "uid": "$datasource"}
    assert panel["targets"]
    assert all(target["datasource"]["uid"] == "$datasource" for target in panel["targets"])
    values = [step["value"] for step in panel["fieldConfig"]["defaults"]["thresholds"]["steps"]]
    assert values[0] is None
    assert values[1:] == sorted(values[1:])
    assert board["title"]


@pytest.mark.parametrize("board", BOARDS, ids=title)
def test_panels_have_ids_of_their_own_and_do_not_overlap(board: dict[str, Any]) -> None:
    ids = [panel["id"] for panel in board["panels"]]
    assert len(ids) == len(set(ids))
    taken: set[tuple[int, int]] = set()
    for panel in board["panels"]:
        at = panel["gridPos"]
        assert at["x"] + at["w"] <= 24
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not cells & taken, panel["title"]
        taken |= cells


@pytest.mark.parametrize("expression", expressions())
def test_every_selector_names_a_metric_that_exists_and_keeps_to_job_and_instance(expression: str) -> None:
    found = SELECTOR.findall(expression)
    assert found
    for name, matchers in found:
        assert base(name) in DEFINITIONS or name == "up" or name.startswith(PROCESS), name
        assert 'job=~"$job"' in matchers
        assert 'instance=~"$instance"' in matchers
        known = (
            (*DEFINITIONS[base(name)].labels, "job", "instance") if base(name) in DEFINITIONS else ("job", "instance")
        )
        assert set(re.findall(r"(\w+)(?:=~|!=|!~|=)\"", matchers)) <= set(known), name


@pytest.mark.parametrize("expression", expressions())
def test_counters_and_only_they_are_asked_for_their_rate(expression: str) -> None:
    bare = re.sub(r"\{[^}]*\}", "", expression)
    rated = set(re.findall(r"\b(?:rate|increase)\((\w+)\[\$__rate_interval\]\)", bare))
    assert {name for name, _ in SELECTOR.findall(bare) if name in COUNTERS} <= rated
    assert all(name in COUNTERS or name == "process_cpu_seconds_total" for name in rated)
    assert set(re.findall(r"\[([^\]]+)\]", bare)) <= {"$__rate_interval", "$__range"}


def test_every_metric_of_the_catalogue_is_shown_or_said_not_to_be() -> None:
    shown = {base(name) for expression in expressions() for name, _ in SELECTOR.findall(expression)}
    assert {metric.name for metric in CATALOGUE} - shown == set(NOT_SHOWN)


def test_a_zero_is_only_said_while_the_service_is_scraped() -> None:
    assert [expression for expression in expressions() if "vector(" in expression] == []
    assert [e for e in expressions() if " or " in e and " or 0 * max(lazaretto_build_info{" not in e] == []


def test_links_lead_to_runbooks_that_exist_and_to_pages_of_the_console() -> None:
    text = "".join(files().values())
    runbooks = set(re.findall(r"\$\{runbooks\}/(\w+)\.md", text))
    assert len(runbooks) > 15
    assert [name for name in runbooks if not (FOLDER.parents[1] / "runbooks" / f"{name}.md").is_file()] == []
    routes = (Path(__file__).parents[2] / "service" / "console" / "routes.py").read_text()
    assert '"/models/{model}/versions/{version}"' in routes
    assert "${console}/models/${__field.labels.model}/versions/${__field.labels.version}" in text


def test_what_links_to_a_version_has_its_labels() -> None:
    linked = [panel for _, panel in ALL if panel["fieldConfig"]["defaults"]["links"]]
    assert len(linked) > 8
    for panel in linked:
        assert all(re.search(r"by \(model, version", target["expr"]) for target in panel["targets"]), panel["title"]


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: series("lazaretto_no_such_metric"),
        lambda: rate("lazaretto_lag_seconds"),
        lambda: quantile(0.5, "lazaretto_events_total"),
    ],
)
def test_the_generator_refuses_what_the_catalogue_does_not_have(wrong: Any) -> None:
    with pytest.raises(ValueError, match="lazaretto_"):
        wrong()
