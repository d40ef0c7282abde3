"""The shipped Prometheus and Alertmanager files, held to promtool, amtool, our own metrics, and the runbooks."""

import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from scripts.dashboards.promql import PROCESS
from service.observability import CATALOGUE, DEFINITIONS
from tests.deploy.test_dashboards import COUNTERS, PARTS, base

DEPLOY = Path(__file__).parents[2] / "deploy"
FOLDER = DEPLOY / "prometheus"
RUNBOOKS = DEPLOY / "runbooks"
RULES: list[dict[str, Any]] = [
    rule for group in yaml.safe_load((FOLDER / "rules.yml").read_text())["groups"] for rule in group["rules"]
]
ALERTS = {rule["alert"]: rule for rule in RULES if "alert" in rule}
RECORDS = {rule["record"]: rule for rule in RULES if "record" in rule}
TESTS: list[dict[str, Any]] = yaml.safe_load((FOLDER / "rules_test.yml").read_text())["tests"]
SEVERITIES = {"page", "ticket", "none"}
HEADINGS = ["What it means", "What it does to users", "Look at", "Do", "When it is over"]
PAGES_WITHOUT_DELAY = {
    "LazarettoModelQuarantined": "a decision was made: there is nothing to wait for",
    "LazarettoQuarantineLeak": "each event is one too many",
    "LazarettoAdversarialIntent": "the alert behind it has waited for its evidence",
    "LazarettoAuditChainShrank": "a chain never shrinks for a moment",
}


@pytest.fixture
def promtool(program: Callable[[str], str]) -> Callable[..., None]:
    path = program("promtool")

    def run(*arguments: str) -> None:
        result = subprocess.run([path, *arguments], cwd=FOLDER, capture_output=True, text=True, check=False)
        assert result.returncode == 0, result.stdout + result.stderr

    return run


def test_promtool_accepts_the_configuration(promtool: Callable[..., None]) -> None:
    promtool("check", "config", "prometheus.yml")


def test_the_rules_fire_when_they_should_and_not_before_and_resolve(promtool: Callable[..., None]) -> None:
    promtool("test", "rules", "rules_test.yml")


def test_amtool_accepts_the_routes(program: Callable[[str], str]) -> None:
    command = [program("amtool"), "check-config", str(DEPLOY / "alertmanager" / "alertmanager.yml")]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize("alert", ALERTS)
def test_each_alert_goes_to_the_receiver_of_its_severity(program: Callable[[str], str], alert: str) -> None:
    severity = ALERTS[alert]["labels"]["severity"]
    file = DEPLOY / "alertmanager" / "alertmanager.yml"
    command = [program("amtool"), "config", "routes", "test", f"--config.file={file}"]
    command += [f"alertname={alert}", f"severity={severity}"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    expected = "dead-man" if alert == "Watchdog" else {"page": "pager", "ticket": "tickets"}[severity]
    assert result.stdout.split() == [expected], result.stderr


def test_what_silences_others_names_alerts_that_exist() -> None:
    rules = yaml.safe_load((DEPLOY / "alertmanager" / "alertmanager.yml").read_text())["inhibit_rules"]
    assert rules
    for rule in rules:
        for matcher in (*rule["source_matchers"], *rule["target_matchers"]):
            pattern = matcher.split('"')[1]
            assert [alert for alert in ALERTS if re.fullmatch(pattern, alert)], pattern


def _timeline(alert: str) -> list[tuple[float, list[dict[str, Any]]]]:
    """Return when the tests look at an alert, in order, and what they expect."""
    seconds = {"s": 1, "m": 60, "h": 3_600}
    looks = [one for test in TESTS for one in test.get("promql_expr_test", []) if f'alertname="{alert}"' in one["expr"]]
    return sorted(
        ((float(one["eval_time"][:-1]) * seconds[one["eval_time"][-1]], one["exp_samples"]) for one in looks),
        key=lambda look: look[0],
    )


@pytest.mark.parametrize("alert", sorted(ALERTS.keys() - {"Watchdog"}))
def test_every_alert_has_a_test_in_which_it_is_quiet_fires_and_is_over(alert: str) -> None:
    assert [bool(expected) for _, expected in _timeline(alert)] == [False, True, False]


def test_the_dead_mans_switch_fires_from_the_beginning() -> None:
    assert [bool(expected) for _, expected in _timeline("Watchdog")] == [True]


def test_every_record_has_a_test() -> None:
    tested = {one["expr"] for test in TESTS for one in test.get("promql_expr_test", [])}
    assert RECORDS
    assert RECORDS.keys() <= tested
    assert [name for name in RECORDS if not re.fullmatch(r"[a-z_]+:lazaretto_[a-z_]+:[a-z0-9_]+", name)] == []


def test_the_rules_use_only_metrics_labels_and_records_that_exist() -> None:
    for rule in RULES:
        expression = re.sub(r"\{[^}]*\}", "", rule["expr"])
        names = set(re.findall(r"(?<![:\w])(lazaretto_[a-z_]+|process_[a-z_]+)\b(?!:)", expression))
        assert [n for n in names if base(n) not in DEFINITIONS and not n.startswith(PROCESS)] == []
        assert set(re.findall(r"[a-z_]+:lazaretto_[a-z_]+:[a-z0-9_]+", expression)) <= RECORDS.keys()
        known = {label for n in names if base(n) in DEFINITIONS for label in DEFINITIONS[base(n)].labels}
        wanted = {
            word.strip() for group in re.findall(r"(?:by|on) \(([^)]*)\)", expression) for word in group.split(",")
        }
        assert wanted <= known | {"job", "le"}, rule


def test_counters_are_never_compared_as_they_are() -> None:
    for rule in RULES:
        expression = re.sub(r"\{[^}]*\}", "", rule["expr"])
        rated = set(re.findall(r"\b(?:rate|increase|resets)\((\w+)\[", expression))
        used = {name for name in re.findall(r"\blazaretto_[a-z_]+", expression) if name in COUNTERS}
        assert used <= rated, rule


@pytest.mark.parametrize("alert", ALERTS)
def test_an_alert_says_how_urgent_it_is_what_it_is_and_what_to_do(alert: str) -> None:
    rule = ALERTS[alert]
    assert rule["labels"].keys() == {"severity"}
    severity = rule["labels"]["severity"]
    assert severity in SEVERITIES
    assert rule["annotations"].keys() == {"summary", "description", "runbook_url"}
    assert rule["annotations"]["runbook_url"] == f"https://lazaretto.example/runbooks/{alert}.md"
    if severity == "page":
        assert ("for" in rule) != (alert in PAGES_WITHOUT_DELAY)


@pytest.mark.parametrize("alert", ALERTS)
def test_the_words_of_an_alert_name_only_labels_that_it_has(alert: str) -> None:
    said = set(re.findall(r"\$labels\.(\w+)", str(ALERTS[alert]["annotations"])))
    (labels,) = [expected[0]["labels"] for _, expected in _timeline(alert) if expected]
    assert said <= set(re.findall(r'(\w+)="', labels))


@pytest.mark.parametrize("alert", ALERTS)
def test_every_alert_has_a_runbook_of_the_same_form(alert: str) -> None:
    text = (RUNBOOKS / f"{alert}.md").read_text()
    assert text.startswith(f"# {alert}\n\nSeverity: `{ALERTS[alert]['labels']['severity']}`.")
    assert re.findall(r"^## (.+)$", text, flags=re.MULTILINE) == HEADINGS


def test_there_is_no_runbook_without_an_alert_and_the_list_is_whole() -> None:
    assert {path.stem for path in RUNBOOKS.glob("*.md")} == ALERTS.keys() | {"README"}
    listed = dict(
        re.findall(r"^\| \[(\w+)\]\(\w+\.md\) \| (\w+) \|", (RUNBOOKS / "README.md").read_text(), re.MULTILINE)
    )
    assert listed == {name: rule["labels"]["severity"] for name, rule in ALERTS.items()}


def test_the_commands_that_runbooks_name_exist() -> None:
    from service.cli import app

    groups = {command.name or command.callback.__name__ for command in app.registered_commands if command.callback}
    groups |= {group.name for group in app.registered_groups if group.name}
    text = "".join(path.read_text() for path in RUNBOOKS.glob("*.md"))
    named = set(re.findall(r"`lazaretto ([a-z]+)", text))
    assert named
    assert named <= groups


def test_grafana_finds_its_data_source_and_its_dashboards() -> None:
    provisioning = DEPLOY / "grafana" / "provisioning"
    sources = yaml.safe_load((provisioning / "datasources" / "lazaretto.yaml").read_text())
    assert sources["apiVersion"] == 1
    (source,) = sources["datasources"]
    interval = yaml.safe_load((FOLDER / "prometheus.yml").read_text())["global"]["scrape_interval"]
    assert (source["type"], source["jsonData"]["timeInterval"]) == ("prometheus", interval)
    (provider,) = yaml.safe_load((provisioning / "dashboards" / "lazaretto.yaml").read_text())["providers"]
    assert (provider["type"], provider["allowUiUpdates"]) == ("file", False)
    assert provider["options"]["path"]


def test_histograms_are_asked_for_by_their_parts() -> None:
    assert {part for name in COUNTERS for part in PARTS if name.endswith(part)} == set(PARTS)
    assert any(metric.kind == "histogram" for metric in CATALOGUE)
