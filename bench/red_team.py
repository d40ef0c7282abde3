"""The results of the red team's shipped plans, for docs/red-team.md.

usage: lazaretto redteam run --plan deploy/redteam/NAME.toml --output FOLDER
       python -m bench.red_team NAME FOLDER [--commit HASH]

writes what the run in FOLDER found into docs/red-team.json, and its tables into the page: what
`lazaretto redteam report FOLDER --markdown` prints. A test holds the page to the figures, and both to the plan.
"""

import argparse
import sys
from pathlib import Path

import msgspec

from bench.report import update_page
from bench.run import ROOT, describe_machine
from redteam.plan import load_plan
from redteam.records import Folder
from redteam.report import Summary, summary_of
from redteam.show import markdown
from service.domain.atlas import atlas

PAGE = ROOT / "docs" / "red-team.md"
DATA = PAGE.with_suffix(".json")
PLANS = ROOT / "deploy" / "redteam"
NAMES = ("quick", "everything")


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """A run that was published."""

    commit: str
    """Of the code that was attacked, and that attacked it."""
    summary: Summary


def begin_of(name: str) -> str:
    """Return the marker before the tables of a plan."""
    return f"<!-- measured: begin (written by python -m bench.red_team {name}) -->"


def text_of(run: Run) -> str:
    """Return what stands on the page."""
    return f"Commit {run.commit}. {markdown(run.summary).rstrip()}"


def read(content: bytes) -> dict[str, Run]:
    """Read the figures of published runs, by plan."""
    return msgspec.json.decode(content, type=dict[str, Run])


def main(arguments: list[str]) -> int:
    """Publish a run."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("name", choices=NAMES, help="of the plan in deploy/redteam")
    parser.add_argument("folder", type=Path, help="with its results")
    parser.add_argument("--commit", default=describe_machine()["commit"], help="that was run (this one)")
    given = parser.parse_args(arguments)
    summary = summary_of(Folder(given.folder), {one.id: one.name for one in atlas().techniques.values()})
    if summary is None or not summary.complete:
        parser.error(f"{given.folder} holds no run that is done")
    if summary.plan != load_plan(PLANS / f"{given.name}.toml").digest:
        parser.error(f"{given.folder} is not of {given.name}.toml as it is now")
    runs = read(DATA.read_bytes()) if DATA.exists() else {}
    runs[given.name] = Run(commit=given.commit, summary=summary)
    DATA.write_bytes(msgspec.json.format(msgspec.json.encode(dict(sorted(runs.items()))), indent=1) + b"\n")
    update_page(PAGE, text_of(runs[given.name]), begin_of(given.name))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
