"""Documentation that names what is not there is worse than none."""

import re
from pathlib import Path

import pytest

from service.observability import CATALOGUE
from service.settings import Settings
from tests.architecture.sources import ROOT, name, repository_files

PAGES = [path for path in repository_files() if path.suffix == ".md"]
FOLDERS = "service|detectors|tests|docs|bench|deploy|migrations|scripts|client|redteam|\\.ci"
NAMED_PATH = re.compile(rf"`((?:{FOLDERS})/[\w./-]*)(?::\d+)?`")
LINK = re.compile(r"\]\((?!https?://|#|mailto:)([^)#\s]+)(?:#[^)]*)?\)")
DECISION_PARTS = ["## Context", "## Decision", "## Consequences", "## Alternatives", "## Enforced by"]


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_path_that_a_page_names_exists(page: Path) -> None:
    text = page.read_text()
    missing = [path for path in NAMED_PATH.findall(text) if not (ROOT / path).exists()]
    missing += [link for link in LINK.findall(text) if not (page.parent / link).exists()]
    assert missing == []


def _documented(page: str) -> str:
    path = ROOT / "docs" / page
    assert path.is_file(), f"docs/{page} is missing"
    return path.read_text()


def test_every_setting_is_documented_for_operators() -> None:
    text = _documented("operations.md")
    names = Settings.model_fields
    assert len(names) > 30
    undocumented = [field for field in names if not re.search(rf"\bLAZARETTO_{field.upper()}\b|`{field}`", text)]
    assert undocumented == []


def test_no_setting_is_documented_that_does_not_exist() -> None:
    known = {f"LAZARETTO_{field.upper()}" for field in Settings.model_fields} | {"LAZARETTO_CONFIG"}
    for page in PAGES:
        named = set(re.findall(r"\bLAZARETTO_[A-Z_]*[A-Z]\b", page.read_text()))
        assert named - known == set(), name(page)


def test_the_metrics_page_lists_exactly_the_metrics() -> None:
    listed = set(re.findall(r"`(lazaretto_[a-z_]+)", _documented("metrics.md")))
    assert listed == {definition.name for definition in CATALOGUE}


def test_every_decision_record_is_one_page_of_the_same_form() -> None:
    records = [path for path in PAGES if path.parent.name == "decisions"]
    assert len(records) >= 5
    assert [int(path.name[:4]) for path in records] == list(range(1, len(records) + 1))
    for path in records:
        lines = path.read_text().splitlines()
        assert [line for line in lines if line.startswith("## ")] == DECISION_PARTS, name(path)
        assert len(lines) <= 60, name(path)
