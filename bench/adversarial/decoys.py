"""Attacks among decoys, beside the same attacks without them: how many intent tells of, and how many in time.

usage: python -m bench.adversarial.decoys [--sessions N] [--data FOLDER]      rewrites its part of docs/red-team.md

Sessions are of the confirmation split. Nothing is set on them: the threshold is the one of the release.
"""

import argparse
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from bench.adversarial.sessions import CONFIRM, of_attack
from bench.adversarial.setting import Lenses, load
from bench.adversarial.watch import watch
from bench.report import table, update_page
from bench.run import ROOT, describe_machine
from detectors.principals.grown import INTENT, grown
from redteam.attacks import ATTACKS
from redteam.session import Session
from redteam.victims import Victim

PAGE = ROOT / "docs" / "red-team.md"
BEGIN = "<!-- measured: begin (written by python -m bench.adversarial.decoys) -->"
SHOWN = ("nes-linf", "nes-linf+decoys", "simba-dct", "simba-dct+decoys", "simba-dct+decoys3", "hopskipjump-l2",
         "hopskipjump-l2+decoys")  # fmt: skip
HEAD = ("victim", "attack", "sessions", "told of", "in time, of those that succeed", "largest evidence")


def row_of(sessions: Iterable[Session], lenses: Lenses) -> list[str]:
    """Return how many sessions there are, how many are told of and in time, and the largest evidence."""
    count = told = timely = succeeded = 0
    most = -np.inf
    for session in sessions:
        if session.error or not len(session):
            continue
        count += 1
        succeeded += session.success is not None
        evidence = watch(session, lenses.of(session)).intent(grown())
        above = np.flatnonzero(evidence >= INTENT)
        most = max(most, float(evidence.max()))
        told += bool(len(above))
        timely += bool(len(above)) and session.success is not None and int(above[0]) < session.success
    return [str(count), str(told), f"{timely} of {succeeded}", f"{most:.1f}"]


def rows(victim: Victim, count: int) -> Iterator[list[str]]:
    """Yield the rows of a victim."""
    lenses = Lenses(victim, CONFIRM.name)
    for name in SHOWN:
        yield [victim.name, name, *row_of(of_attack(victim, ATTACKS[name], CONFIRM, count), lenses)]


def main(arguments: list[str]) -> int:
    """Measure, and write the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--sessions", type=int, default=20)
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data")
    given = parser.parse_args(arguments)
    lines: list[list[str]] = []
    for name in ("digits", "mnist"):
        for line in rows(load(name, given.data), given.sessions):
            print(" | ".join(line), file=sys.stderr, flush=True)
            lines.append(line)
    update_page(PAGE, f"Commit {describe_machine()['commit']}.\n\n{table(HEAD, lines)}", BEGIN)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
