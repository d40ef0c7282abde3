"""The threat model speaks ATLAS correctly."""

import json
import re
from pathlib import Path

from tests.architecture.sources import ROOT


def test_every_atlas_id_is_real_and_followed_by_its_name(shared_data: Path) -> None:
    atlas = json.loads((shared_data / "atlas" / "atlas.json").read_text())
    entries = [*atlas["tactics"], *atlas["techniques"], *atlas["mitigations"]]
    names = {entry["id"]: entry["name"] for entry in entries}
    page = " ".join((ROOT / "docs" / "threat-model.md").read_text().split())
    named = re.findall(r"(AML\.[A-Z0-9]+(?:\.[0-9]+)?) ([A-Z][\w -]+(?:: [\w -]+)?)", page)
    assert len(named) > 20
    assert len(named) == page.count("AML.")
    wrong = []
    for identity, text in named:
        parent = names.get(identity.rsplit(".", 1)[0])
        name = names.get(identity, "not in ATLAS")
        accepted = (name, f"{parent}: {name}")
        if not text.startswith(accepted):
            wrong.append((identity, text, name))
    assert wrong == []
    assert atlas["version"] in page
