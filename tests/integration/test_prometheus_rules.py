"""The shipped Prometheus configuration, held to the real promtool and to our own metrics."""

import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from service.observability import CATALOGUE

FOLDER = Path(__file__).parents[2] / "deploy" / "prometheus"
HISTOGRAM_PARTS = ("_bucket", "_sum", "_count")


@pytest.fixture
def promtool(program: Callable[[str], str]) -> Callable[..., None]:
    path = program("promtool")

    def run(*arguments: str) -> None:
        result = subprocess.run([path, *arguments], cwd=FOLDER, capture_output=True, text=True, check=False)
        assert result.returncode == 0, result.stdout + result.stderr

    return run


def test_promtool_accepts_the_configuration(promtool: Callable[..., None]) -> None:
    promtool("check", "config", "prometheus.yml")


def test_the_rules_fire_when_they_should_and_not_before(promtool: Callable[..., None]) -> None:
    promtool("test", "rules", "rules_test.yml")


def test_every_rule_has_a_test_in_which_it_fires() -> None:
    rules = set(re.findall(r"- alert: (\w+)", (FOLDER / "rules.yml").read_text()))
    fired = re.findall(r"alertname: (\w+)\n +exp_alerts:\n +- ", (FOLDER / "rules_test.yml").read_text())
    assert rules
    assert set(fired) == rules


def test_the_rules_use_only_metrics_that_exist() -> None:
    used = set(re.findall(r"\blazaretto_[a-z_]+", (FOLDER / "rules.yml").read_text()))
    known = {definition.name for definition in CATALOGUE}
    assert used
    assert {name for name in used if name not in known and not name.endswith(HISTOGRAM_PARTS)} == set()
