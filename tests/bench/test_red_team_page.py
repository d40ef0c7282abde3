"""What docs/red-team.md shows is what was measured: of the shipped plans, and of the benchmark."""

import re
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import msgspec
import pytest

from bench.adversarial import decoys
from bench.adversarial.blind import ELSEWHERE, HEAD
from bench.adversarial.fuzz import BEGIN as FUZZ
from bench.adversarial.report import GOAL_R, share
from bench.adversarial.report_cost import RED
from bench.red_team import DATA, NAMES, PAGE, PLANS, begin_of, read, text_of
from bench.report import END, table
from bench.run import ROOT
from redteam.attacks import ATTACKS
from redteam.judge import Interval, Share
from redteam.plan import load_plan
from service.domain.atlas import atlas
from tests.detectors.test_boiling_frog import FOUND_AT

FIGURES = PAGE.with_name("benchmarks-adversarial.json")
BLIND = "<!-- measured: begin (written by make bench-adversarial) -->"


def block(begin: str, page: Path = PAGE) -> str:
    """Return what stands between markers, each of which stands there once."""
    text = page.read_text()
    assert text.count(begin) == 1
    return text.partition(begin)[2].partition(END)[0].strip()


@pytest.mark.parametrize("name", NAMES)
def test_the_page_shows_the_figures_of_each_shipped_plan(name: str) -> None:
    run = read(DATA.read_bytes())[name]
    assert block(begin_of(name)) == text_of(run)
    assert run.summary.plan == load_plan(PLANS / f"{name}.toml").digest
    assert run.summary.complete
    assert re.fullmatch("[0-9a-f]{7,40}", run.commit)


def test_every_attack_of_the_run_of_all_that_is_seen_too_seldom_is_red_with_its_ids() -> None:
    summary = read(DATA.read_bytes())["everything"].summary
    tried = {row.attack for row in summary.attacks} | {name for _, name in summary.skipped}
    assert tried | set(decoys.SHOWN) >= set(ATTACKS)
    _, _, spots = block(begin_of("everything")).partition("Blind spots:")
    for row in summary.attacks:
        seldom = bool(row.timely.trials) and row.timely.hits < row.timely.trials / 2
        shown = [line for line in spots.splitlines() if f" {RED} {row.title} |" in line]
        assert len(shown) == seldom
        assert all(one.id in line for line in shown for one in row.techniques)


def test_the_table_of_decoys_has_their_attacks_and_shows_that_they_hide() -> None:
    shown = [line.strip("| ").split(" | ") for line in block(decoys.BEGIN).splitlines() if line.startswith("| ")]
    assert tuple(shown[0]) == decoys.HEAD
    for victim in ("digits", "mnist"):
        rows = {row[1]: row for row in shown if row[0] == victim}
        assert tuple(rows) == decoys.SHOWN
        assert int(rows["nes-linf+decoys"][3]) < int(rows["nes-linf"][3])


def test_the_blind_spots_of_the_benchmark_are_those_of_its_figures() -> None:
    figures = msgspec.json.decode(FIGURES.read_bytes())
    lines = block(BLIND).splitlines()
    known = {(row["detector"], row["victim"], row["workload"]): row["attack"] for row in figures["rows"]
             if "attack" in row and row["rule"] == "every"}  # fmt: skip
    tried = [(victim, name) for detector, victim, name in known if detector == "monitor" and name in ATTACKS]
    rows, silent = [], []
    for victim, name in tried:
        found, together = _timely(known, "monitor", victim, name), _timely(known, "campaign", victim, name)
        if not found.trials:
            silent.append(f"{name} on {victim}")
        elif found.ratio < GOAL_R:
            red = name not in ELSEWHERE and (not together.trials or together.ratio < GOAL_R)
            rows.append([victim, f"{RED} {ATTACKS[name].title}" if red else ATTACKS[name].title,
                         str(known["monitor", victim, name]["sessions"]), str(found.trials), share(found),
                         share(together), ELSEWHERE.get(name, "-"), _techniques(name)])  # fmt: skip
    shown = table(HEAD, rows).splitlines()
    assert lines[0].startswith(f"{sum(RED in line for line in shown)} of {len(tried)} attacks, ")
    assert f"thresholds `{figures['thresholds'][:8]}`" in lines[0]
    start = lines.index(shown[0])
    assert sorted(lines[start : start + len(shown)]) == sorted(shown)
    assert set(lines[-1].removesuffix(".").rpartition(": ")[2].split(", ")) == set(silent)


def test_every_goal_has_a_command_that_is_there_and_figures_that_are_linked() -> None:
    _, _, rest = PAGE.read_text().partition("## Goals, and what repeats each measurement")
    rows = [line.strip("| ").split(" | ") for line in rest.partition("\n## ")[0].splitlines() if line.startswith("| ")][
        1:
    ]
    assert len(rows) >= 10
    for _, where, command in rows:
        for tool, rest in re.findall(r"`(python -m|make|lazaretto redteam run --plan) ([^`]+)`", command):
            name, *given = rest.split()
            if tool == "make":
                assert re.search(rf"^{name}:", (ROOT / "Makefile").read_text(), re.MULTILINE)
            elif tool == "python -m":
                assert find_spec(name) is not None
                assert all((ROOT / one).is_file() for one in given if one.startswith("tests/"))
            else:
                assert load_plan(ROOT / name).digest
        assert re.search("`(python -m|make|lazaretto) ", command)
        for target, anchor in re.findall(r"\]\(([^)#]*)#([^)]+)\)", where):
            titles = re.findall("^#+ (.+)$", (PAGE.parent / (target or PAGE.name)).read_text(), re.MULTILINE)
            assert anchor in {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}
    told = next(where for goal, where, _ in rows if goal.startswith("a drift of 1 %"))
    assert f"at {FOUND_AT:.2f} at the latest" in told


def test_the_fuzzing_on_the_page_is_as_long_as_its_goal() -> None:
    rows = [
        line.split(" | ") for line in block(FUZZ).splitlines() if line.startswith("| ") and "quarantines" not in line
    ]
    default = next(row for row in rows if row[0] == "| default, principals followed")
    assert int(default[1].replace(",", "")) >= 100_000
    assert default[2] == "**0**"


def _timely(known: dict[tuple[str, str, str], Any], detector: str, victim: str, name: str) -> Share:
    row = known.get((detector, victim, name), {}).get("timely", {"hits": 0, "trials": 0, "interval": [0.0, 1.0]})
    return Share(hits=row["hits"], trials=row["trials"], interval=Interval(*row["interval"]))


def _techniques(name: str) -> str:
    names = atlas().techniques
    return "; ".join(f"{one} {names[one].name}" if one in names else one for one in ATTACKS[name].techniques)
