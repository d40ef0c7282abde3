"""The table of MITRE ATLAS: whole, in order, and the only source of ids."""

import json
import re
from importlib import resources
from pathlib import Path

import msgspec
import pytest

from service.domain.atlas import AtlasError, atlas, parse
from tests.architecture.sources import text_files

TABLE = resources.files("service.domain").joinpath("atlas.json")
NAMED = re.compile(r"AML\.(?:TA|T|M)\d{4}(?:\.\d{3})?")


def test_the_table_is_the_published_one(shared_data: Path) -> None:
    published = json.loads((shared_data / "atlas" / "atlas.json").read_text())
    own = json.loads(TABLE.read_text())
    for part in ("source", "version", "commit", "licence", "tactics", "techniques", "mitigations"):
        assert own[part] == published[part], part


def test_the_table_has_what_its_version_has() -> None:
    table = atlas()
    assert (table.version, len(table.tactics), len(table.techniques), len(table.mitigations)) == ("5.6.0", 16, 170, 35)
    assert "Apache-2.0" in table.licence
    assert [tactic.name for tactic in table.tactics][:4] == [
        "Reconnaissance",
        "Resource Development",
        "Initial Access",
        "AI Model Access",
    ]


def test_every_id_that_the_repository_names_is_in_the_table() -> None:
    table = atlas()
    known = {*table.techniques, *table.mitigations, *(tactic.id for tactic in table.tactics)}
    pages = [(path, text) for path, text in text_files() if not path.endswith("atlas.json")]
    named = {(path, one) for path, text in pages for one in NAMED.findall(text)}
    assert len(named) > 50
    assert {(path, one) for path, one in named if one not in known} == set()


def test_a_part_has_the_tactics_and_the_name_of_the_whole() -> None:
    part = atlas().technique("AML.T0043.001")
    assert part.name == "Craft Adversarial Data: Black-Box Optimization"
    assert [tactic.id for tactic in part.tactics] == ["AML.TA0001"]


def test_an_unknown_technique_is_named() -> None:
    with pytest.raises(AtlasError, match="no technique 'AML.T" + "9999'"):
        atlas().technique("AML.T" + "9999")


def test_a_kill_chain_follows_the_order_of_the_tactics() -> None:
    stages = atlas().kill_chain(["AML.T0024.002", "AML.T0043.001", "AML.T0040", "AML.T0042", "AML.T" + "9999"])
    assert [stage.tactic.name for stage in stages] == ["AI Model Access", "AI Attack Staging", "Exfiltration"]
    assert [technique.id for technique in stages[1].techniques] == ["AML.T0042", "AML.T0043.001"]


def test_a_technique_of_several_tactics_stands_in_each() -> None:
    stages = atlas().kill_chain(["AML.T0015"])
    assert [stage.tactic.name for stage in stages] == ["Initial Access", "Defense Evasion", "Impact"]


def _changed(part: str, **first: object) -> bytes:
    table = json.loads(TABLE.read_text())
    table[part][0] |= first
    return msgspec.json.encode(table)


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"{", "cannot be read"),
        (_changed("techniques", id="AML.T0001"), "stands twice"),
        (_changed("tactics", id="AML.TA0003"), "stands twice"),
        (_changed("techniques", tactics=["AML.TA" + "7777"]), "no tactic"),
        (_changed("techniques", tactics=[]), "no tactic"),
        (_changed("techniques", parent="AML.T" + "9999"), "not there"),
    ],
)
def test_a_table_that_contradicts_itself_is_refused(content: bytes, complaint: str) -> None:
    with pytest.raises(AtlasError, match=complaint):
        parse(content)
