"""What bets on the stories of a principal would win, one after the other: an e-detector for each, e-BH over all.

usage: python -m bench.adversarial.persistence [--victims NAMES] [--benign N] [--attacks N]

A story is what the first near-duplicates of one input tell; its p value is its rank among the stories of calibration
sessions, the largest of all benign workloads: valid for a client of any of them, and for one that goes from one to the
other. The bet on it wins half of one over the square root of p. Whoever attacks input after input multiplies what is
won, and is told of among so many principals, with one in twenty told of wrongly, when it reaches twenty times their
number.
"""

import argparse
import math
import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bench.adversarial.sessions import CALIBRATE, CONFIRM, Part, of_attack, of_workload, plain
from bench.adversarial.setting import Lenses, cached
from bench.adversarial.watch import watch
from bench.report import table, update_page
from bench.run import ROOT, SINGLE_THREADED
from detectors.principals.grown import INTENT, grown
from redteam import benign
from redteam.session import Kind, Session
from redteam.victims import Victim

PAGE = ROOT / "docs" / "benchmarks-adversarial.md"
BEGIN = "<!-- measured: begin (written by python -m bench.adversarial.persistence) -->"
WITHIN = 64
"""Near-duplicates of an input whose largest evidence is the story's."""
PRINCIPALS = 100
WRONG = 0.05
"""Share of those told of who are told of wrongly."""


class Won(NamedTuple):
    """What the bets on the stories of one kind of client win."""

    name: str
    stories: int
    mean: float
    """Of what a bet wins: no more than 1 of a benign client."""
    growth: float
    """Of the decimal logarithm of the capital, by each story."""
    alone: float
    """Share of the stories that reach the threshold of intent by themselves."""


def story(session: Session, lenses: Lenses) -> float:
    """Return the largest evidence of intent of a session's first near-duplicates; none without any."""
    trace = watch(session, lenses.of(session))
    told = trace.intent(grown())[trace.told[:WITHIN]]
    return float(told.max(initial=-math.inf))


def stories(sessions: Iterable[Session], lenses: Lenses) -> NDArray[np.float64]:
    """Return those of many sessions that came to an end."""
    return np.array([story(session, lenses) for session in sessions if not session.error])


def worst_rank(found: float, calibrated: list[NDArray[np.float64]]) -> float:
    """Return the p value, in (0, 1]: the largest rank of a story among those of each workload."""
    return max((1 + int((of >= found).sum())) / (1 + len(of)) for of in calibrated)


def won(name: str, found: NDArray[np.float64], calibrated: list[NDArray[np.float64]]) -> Won:
    """Return what the bets on stories win."""
    bets = np.array([0.5 / math.sqrt(worst_rank(one, calibrated)) for one in found.tolist()])
    return Won(name, len(bets), float(bets.mean()), float(np.log10(bets).mean()), float((found >= INTENT).mean()))


def needed(growth: float) -> str:
    """Return how many stories it takes until a principal is told of."""
    return "never" if growth <= 0.0 else f"{math.ceil(math.log10(PRINCIPALS / WRONG) / growth):,}"


def benign_stories(victim: Victim, part: Part, lenses: Lenses, count: int) -> dict[str, NDArray[np.float64]]:
    """Return the stories of each benign workload."""
    workloads = benign.workloads_for(victim, Kind.ORDINARY, Kind.EXPLANATION)
    return {one.name: stories(of_workload(victim, one, part, count), lenses) for one in workloads}


def measure(victim: Victim, attacks: int, count: int) -> list[Won]:
    """Return what is won on every attack that hides nothing, and on the benign workload that wins most."""
    calibrated = list(benign_stories(victim, CALIBRATE, Lenses(victim, CALIBRATE.name), count).values())
    lenses = Lenses(victim, CONFIRM.name)
    found = [
        won(attack.name, stories(of_attack(victim, attack, CONFIRM, attacks), lenses), calibrated)
        for attack in plain(victim)
    ]
    harmless = benign_stories(victim, CONFIRM, lenses, count)
    worst = max((won(name, of, calibrated) for name, of in harmless.items()), key=lambda one: one.growth)
    return [*sorted(found, key=lambda one: -one.growth), worst._replace(name=f"{worst.name} (benign, wins most)")]


def main(arguments: list[str]) -> int:
    """Measure, and write the table."""
    if any(os.environ.get(name) != value for name, value in SINGLE_THREADED.items()):
        command = [sys.executable, "-m", "bench.adversarial.persistence", *arguments]
        os.execve(sys.executable, command, os.environ | SINGLE_THREADED)
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--victims", default="digits,mnist")
    parser.add_argument("--attacks", type=int, default=24)
    parser.add_argument("--benign", type=int, default=48, help="sessions of each workload: as many as a baseline has")
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data")
    given = parser.parse_args(arguments)
    rows = []
    for name in given.victims.split(","):
        for one in measure(cached(name, given.data), given.attacks, given.benign):
            rows.append([name, one.name, str(one.stories), f"{one.alone:.2f}", f"{one.mean:.2f}",
                         f"{one.growth:+.2f}", needed(one.growth)])  # fmt: skip
            print(rows[-1], file=sys.stderr, flush=True)
    head = ("victim", "client", "stories", "seen by one story", "mean of a bet", "powers of ten by a story",
            f"stories until told of among {PRINCIPALS}")  # fmt: skip
    update_page(PAGE, table(head, rows), BEGIN)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
