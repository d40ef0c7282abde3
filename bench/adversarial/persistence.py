"""Clients who go on, input after input: when bets on their stories tell of them, and whether anybody benign is wronged.

usage: python -m bench.adversarial.persistence [--victims NAMES] [--clients N] [--inputs N] [--benign N]

A client attacks one input after the other and gives each one up after 64 requests, or explains, sweeps or just asks, of
one workload all its life. What its stories win is what the product's bets win, with the ladders that a baseline of the
victim's reference gives; the thresholds of single stories are the product's own. No source, seed or salt was among what
the forest of stories was grown from or its ladders are of.
"""

import argparse
import math
import os
import sys
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from bench.adversarial.sessions import CONFIRM, of_attack, of_workload, plain
from bench.adversarial.setting import Lens, Lenses, cached
from bench.report import table, update_page
from bench.run import ROOT, SINGLE_THREADED
from detectors.principals.grown import INTENT, grown
from detectors.principals.monitor import Principal, Thresholds, Tier
from detectors.principals.persistence import WRONG, Bets
from detectors.principals.ranked import ranked
from detectors.principals.thresholds import calibrate
from redteam import benign
from redteam.attacks import ATTACKS, Attack
from redteam.session import Kind, Session
from redteam.victims import Victim

PAGE = ROOT / "docs" / "benchmarks-adversarial.md"
BEGIN = "<!-- measured: begin (written by python -m bench.adversarial.persistence) -->"
REQUESTS = 64
"""After so many an input is given up."""
CALM = 150
"""Requests of a benign client for each input, at most."""
AMONG = 100
LOG_THRESHOLD = math.log(AMONG / WRONG)
HIDING = ("nes-linf+decoys", "simba-dct+decoys3", "simba-dct+cover10")


class Life(NamedTuple):
    """What was seen of one client."""

    inputs: int
    stories: int
    told_after: int | None
    """Inputs until bets told of it among so many; ``None``: they did not."""
    alarm_after: int | None
    """Inputs until a threshold of a single story or of closeness did."""
    log_evidence: float
    """At the end."""


class Eye:
    """What a version of the victim makes of one client."""

    def __init__(self, lens: Lens, limits: Thresholds, bets: Bets) -> None:
        self._lens, self._limits = lens, limits
        self._yardstick = replace(lens.yardstick, forest=grown(), bets=bets)

    def follow(self, sessions: Iterable[Session], requests: int) -> Life:
        """Follow a client through its sessions, one input each."""
        principal = Principal(self._yardstick)
        told = alarm = None
        number = 0
        for number, session in enumerate((one for one in sessions if not one.error), start=1):
            points = self._lens.points(session)
            for i in range(min(len(session), requests)):
                reading = principal.take(points[i], int(session.labels[i]), session.probabilities[i])
                if told is None and principal.persistence.log_evidence >= LOG_THRESHOLD:
                    told = number
                if alarm is None and any(reading.evidence[tier] >= self._limits.of(tier) for tier in Tier):
                    alarm = number
        own = principal.persistence
        return Life(number, own.stories, told, alarm, own.log_evidence)


class Eyes:
    """One for each salt of a part of the protocol, calibrated on the reference as a baseline is."""

    def __init__(self, victim: Victim) -> None:
        self._victim, self._lenses = victim, Lenses(victim, CONFIRM.name)

    def of(self, salt: int) -> Eye:
        """Return the one of a salt."""
        lens = self._lenses.salted(salt)
        inputs = self._victim.reference[0].astype(np.float32).astype(np.float64)
        answers = self._victim.predict(inputs)
        yardstick, points = replace(lens.yardstick, forest=grown()), lens.maker.points(inputs)
        held = calibrate(yardstick, points, answers.argmax(axis=1), answers, INTENT, ranked())
        return Eye(lens, held.thresholds, Bets(ranked().forest, np.array(held.ladders)))


def lives(eyes: list[Eye], sessions: Iterator[Session], inputs: int, requests: int) -> list[Life]:
    """Deal sessions out to clients, one after the other, and follow each of them."""
    return [eye.follow([one for _, one in zip(range(inputs), sessions, strict=False)], requests) for eye in eyes]


def row(victim: str, name: str, found: list[Life]) -> list[str]:
    """Return what the table says of the clients of one kind."""
    told = [one.told_after for one in found if one.told_after is not None]
    alarms = [one.alarm_after for one in found if one.alarm_after is not None]
    stories = sum(one.stories for one in found) / max(sum(one.inputs for one in found), 1)
    return [
        victim,
        name,
        f"{len(told)} of {len(found)}",
        f"{np.median(told):.0f} / {max(told)}" if told else "-",
        f"{len(alarms)} of {len(found)}",
        f"{np.median(alarms):.0f} / {max(alarms)}" if alarms else "-",
        f"{stories:.1f}",
        f"{np.median([one.log_evidence for one in found]) / math.log(10.0):+.1f}",
    ]


def attacks_of(victim: Victim) -> list[Attack]:
    """Return the attacks by queries, and some that hide."""
    return plain(victim) + [ATTACKS[name] for name in HIDING if ATTACKS[name].fits(victim)]


def measure(victim: Victim, clients: int, inputs: int, calm: int) -> Iterator[list[str]]:
    """Yield a row for each attack, and one for each benign workload."""
    eyes = Eyes(victim)
    own = [eyes.of(salt) for salt in range(max(clients, calm))]
    for attack in attacks_of(victim):
        found = of_attack(victim, attack, CONFIRM, clients * inputs, REQUESTS)
        yield row(victim.name, attack.name, lives(own[:clients], found, inputs, REQUESTS))
    for workload in benign.workloads_for(victim, Kind.ORDINARY, Kind.EXPLANATION):
        found = of_workload(victim, workload, CONFIRM, calm * inputs)
        yield row(victim.name, f"*{workload.name}*", lives(own[:calm], found, inputs, CALM))


def main(arguments: list[str]) -> int:
    """Measure, and write the table."""
    if any(os.environ.get(name) != value for name, value in SINGLE_THREADED.items()):
        command = [sys.executable, "-m", "bench.adversarial.persistence", *arguments]
        os.execve(sys.executable, command, os.environ | SINGLE_THREADED)
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--victims", default="digits,mnist")
    parser.add_argument("--clients", type=int, default=6, help="attackers of each kind; at most the salts there are")
    parser.add_argument("--inputs", type=int, default=40)
    parser.add_argument("--benign", type=int, default=6, help="benign clients of each workload")
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data")
    given = parser.parse_args(arguments)
    rows = []
    for name in given.victims.split(","):
        for one in measure(cached(name, given.data), given.clients, given.inputs, given.benign):
            rows.append(one)
            print(one, file=sys.stderr, flush=True)
    head = ("victim", "client (*benign*)", f"told of among {AMONG}", "inputs until then, median / most",
            "a threshold told of", "inputs until then", "stories an input", "powers of ten at the end")  # fmt: skip
    update_page(PAGE, table(head, rows), BEGIN)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
