"""What the red team found, and which threats are watched: with the code, the threat model and ATLAS agreeing."""

import ast
import re

from service.console.coverage import STRIDE, coverage, threats
from service.domain.atlas import atlas
from service.domain.ids import Actor
from service.domain.records import Version
from service.domain.redteam import AttackRow, BenignRow, Rate, RedTeamRun, RedTeamSummary, ScenarioRow, TechniqueName
from tests.architecture.sources import ROOT
from tests.service.desks.desk import Desk, text_of

EVADE = (TechniqueName(id="AML.T0015", name="Evade AI Model"),)


def rate(hits: int, trials: int) -> Rate:
    return Rate(hits=hits, trials=trials, low=max(0.0, hits / trials - 0.1), high=min(1.0, hits / trials + 0.1))


def attack(title: str, hits: int, successes: int = 20, family: str = "decision-based") -> AttackRow:
    seen = rate(hits, successes)
    return AttackRow(
        victim="digits", attack=title, title=title, family=family, techniques=EVADE, sessions=20, errors=0,
        successes=successes, timely=seen, by_intent=seen, seen=seen, queries_median=None, tiers={},
        blind=hits / successes < 0.5,
    )  # fmt: skip


def filed(desk: Desk, version: Version, *attacks: AttackRow) -> None:
    benign = BenignRow(
        victim="digits", workload="w", title="a retry loop", kind="benign", sessions=100, errors=0,
        alarmed=rate(30, 100), tiers={},
    )  # fmt: skip
    scenario = ScenarioRow(
        scenario="s", title="An alert flood", stride=("D",), techniques=(), defence="one message", outcome="broken",
        checks=2, failed=1, evidence=("forty messages came",), error="",
    )  # fmt: skip
    summary = RedTeamSummary(
        plan="nightly", seed=1, complete=True, done=1, total=1, attacks=attacks, benign=(benign,),
        scenarios=(scenario,), skipped=(("a", "no gradient"),), errors=(),
    )  # fmt: skip
    run = RedTeamRun(version_id=version.id, at_us=desk.clock.now_us(), actor=Actor("ada"), summary=summary)
    with desk.store.control.write() as tx:
        tx.save_redteam_run(run)


def rows(page: str) -> list[tuple[str, bool]]:
    part = page[page.index('id="attacks-title"') : page.index('id="scenarios-title"')]
    found = re.findall(r'<tr class="(blind)?"><th scope="row">(.*?)</th>', part)
    return [(text_of(title), bool(blind)) for blind, title in found]


def test_what_is_not_seen_comes_first_and_is_red(desk: Desk) -> None:
    filed(desk, desk.version("digits"), attack("Boundary", 18), attack("Square", 3), attack("Half", 10))
    page = desk.visitor("ada").page("/red-team")
    assert rows(page) == [
        ("Square decision-based", True),
        ("Half decision-based", False),
        ("Boundary decision-based", False),
    ]
    said = text_of(page)
    assert "1 of 3 attacks that succeed are seen in time in less than half of their successes" in said
    assert "15 % (3 of 20)" in said
    assert "An alert flood one message broken forty messages came" in said
    assert "2 of 3 seen" in said
    assert "30 % (30 of 100)" in said


def test_of_many_scenarios_the_first_are_shown_and_the_others_on_the_next_part(desk: Desk) -> None:
    many = tuple(attack(f"An attack with a name, number {number}", 3) for number in range(60))
    for number in range(53):
        filed(desk, desk.version(f"m{number:02}"), *many)
    page = desk.visitor("ada").page("/red-team")
    assert page.count("An alert flood") == 50
    assert "1 to 50 of 53 scenarios" in page
    later = desk.visitor("ada").page("/red-team?scenarios=2&runs=6")
    assert later.count("An alert flood") == 3
    assert later.count("plan nightly") == 3
    assert len(rows(page)) == 50
    assert "Not tried: 53" in page
    assert len(page.encode()) < 200_000


def test_runs_families_and_blind_spots_are_chosen_by_the_address(desk: Desk) -> None:
    filed(desk, desk.version("digits"), attack("Boundary", 18), attack("Square", 3, family="score-based"))
    filed(desk, desk.version("fraud"), attack("Other", 1))
    ada = desk.visitor("ada")
    assert len(rows(ada.page("/red-team"))) == 3
    assert [title for title, _ in rows(ada.page("/red-team?run=fraud/1"))] == ["Other decision-based"]
    assert [title for title, _ in rows(ada.page("/red-team?family=score-based"))] == ["Square score-based, of digits/1"]
    assert all(blind for _, blind in rows(ada.page("/red-team?only=blind")))
    fred = desk.visitor("fred", models=frozenset({"fraud"}))
    page = fred.page("/red-team?run=digits/1")
    assert [title for title, _ in rows(page)] == ["Other decision-based"]
    assert "digits/1" not in page


def test_without_a_run_the_page_says_what_to_do_and_shows_what_is_watched(desk: Desk) -> None:
    page = desk.visitor("ada").page("/red-team")
    assert "No run was filed yet." in page
    assert "AML.T0043.001" in page
    for row in threats().stride:
        assert row.threat.split("'")[0][:40].replace('"', "&#34;") in page


def test_the_table_of_threats_is_the_one_of_the_threat_model() -> None:
    page = (ROOT / "docs" / "threat-model.md").read_text()
    table = page.split("## STRIDE per element")[1].split("\n`lazaretto redteam` tries")[0]
    documented = []
    for line in table.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if len(cells) == 5 and not cells[0].startswith(("---", "element")):
            letters = tuple(re.findall(r"\*\*(\w)\*\*", cells[1]))
            threat = re.sub(r"^(\*\*\w\*\*\s*)+", "", cells[1])
            now, where, not_yet = (
                cells[2].replace("`", ""),
                re.findall(r"`([^`]+)`", cells[3]),
                cells[4].replace("`", ""),
            )
            documented.append((letters, threat, now, tuple(where), not_yet))
    assert len(documented) > 20
    assert [(row.stride, row.threat, row.now, row.where, row.not_yet) for row in threats().stride] == documented
    assert {letter for row in threats().stride for letter in row.stride} == set(STRIDE)


def test_every_technique_that_a_detector_names_is_in_the_table_and_in_atlas() -> None:
    named: dict[str, set[str]] = {}
    for path in sorted((ROOT / "service" / "detect").glob("*.py")):
        texts = [node.value for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Constant)]
        found = {text for text in texts if isinstance(text, str) and re.fullmatch(r"AML\.T[\d.]+", text)}
        if found:
            named[f"service/detect/{path.name}"] = found
    told: dict[str, set[str]] = {}
    for row in threats().detectors:
        assert (ROOT / row.where).is_file()
        told.setdefault(row.where, set()).update(row.techniques)
        assert set(row.techniques) <= set(atlas().techniques)
    assert len(named) >= 6
    assert {where: told.get(where) for where in named} == named


def test_each_tactic_counts_its_techniques_once() -> None:
    table = atlas()
    for tactic in coverage():
        whole = [
            one
            for one in table.techniques.values()
            if one.id.count(".") == 1 and any(t.id == tactic.id for t in one.tactics)
        ]
        assert tactic.techniques == len(whole)
        seen = {re.sub(r"^(AML\.T\d+)\.\d+$", r"\1", one.id) for one in tactic.watched}
        assert len(tactic.unwatched) == len([one for one in whole if one.id not in seen])
