"""Benign clients side by side: how often campaigns name them, accuse them, or call them a burst.

usage: python -m bench.adversarial.crowds [--sessions N] [--victims a,b]      rewrites its part of docs/adversarial.md

Every workload of the benign controls is sent by many clients at once, request by request in turn, through the shared
table of one version, as the worker keeps it: with the hashes of fingerprints and of points, and with those of points
alone. The last row of each lets all clients go around one and the same input. Nothing is set on these sessions.
"""

import argparse
import os
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.adversarial.sessions import CONFIRM, of_workload, turns
from bench.adversarial.setting import VICTIMS, load, salt
from bench.report import update_page
from bench.run import OUT, ROOT, SINGLE_THREADED
from detectors.principals.buckets import Buckets
from detectors.principals.fingerprint import Fingerprinter, salt_tag, take_apart
from detectors.principals.grown import INTENT, grown
from detectors.principals.monitor import Thresholds, Yardstick
from detectors.principals.thresholds import calibrate
from redteam import benign
from redteam.judge import share
from redteam.session import Kind, Session
from redteam.victims import Victim
from service.detect.campaigns import BURST_US, Campaigns, Request
from service.detect.printed import MATCHED_MIN, Printed
from service.detect.yardsticks import Measure
from service.domain.adversarial import Following
from service.domain.ids import Micros

PAGE = ROOT / "docs" / "adversarial.md"
BEGIN = "<!-- measured: begin (written by python -m bench.adversarial.crowds) -->"
SECOND_US = 1_000_000
REQUESTS_MAX = 300
"""Of a client: what comes later lies beyond what most have sent, and costs time only."""
SHARED = ("noise", "lime", "occlusion", "noise_test")
FOLLOW = Following(requests_per_second=10_000, share_of_one=1.0)


@dataclass
class Told:
    """What the campaigns of one crowd said."""

    clients: int = 0
    near: set[int] = field(default_factory=set)
    """Clients that were in a cluster with another one."""
    told: set[int] = field(default_factory=set)
    """Clients with whose request a campaign was told of as intent."""
    accused: set[int] = field(default_factory=set)
    """Clients that were accused by it."""
    bursts: int = 0

    @property
    def eventful(self) -> bool:
        """Whether anything was told."""
        return bool(self.told or self.accused or self.bursts)


@dataclass(frozen=True, kw_only=True)
class Glass:
    """What one version compares requests with."""

    measure: Measure
    maker: Fingerprinter
    tag: int

    def seen(self, session: Session) -> tuple[NDArray[np.float32], NDArray[np.uint64]]:
        """Return the points of a session's requests, and the hashes of their fingerprints."""
        found = take_apart(self.maker.of(session.inputs.astype(np.float64)), self.tag)
        return found.points, found.hashes


def glass_of(victim: Victim) -> Glass:
    """Measure a victim's reference by fingerprints, as a baseline with fingerprints is measured."""
    secret = salt(victim.name, "crowds", 0)
    maker = Fingerprinter(secret, victim.dimension, low=victim.low, high=victim.high)
    inputs = victim.reference[0].astype(np.float32).astype(np.float64)
    answers = victim.predict(inputs)
    points, labels = take_apart(maker.of(inputs), salt_tag(secret)).points, answers.argmax(axis=1)
    yardstick = Yardstick.fit(points, labels, answers, grown())
    limits: Thresholds = calibrate(yardstick, points, labels, answers, INTENT).thresholds
    classes = tuple(f"probabilities.{i}" for i in range(victim.classes))
    return Glass(
        measure=Measure(yardstick, limits, classes, Printed(salt_tag(secret), secret)),
        maker=maker,
        tag=salt_tag(secret),
    )


def crowd(sessions: Iterable[Session], glass: Glass, *, prints: bool) -> Told:
    """Let clients ask in turn, and return what the campaigns make of it; every client is new."""
    campaigns, told = Campaigns(glass.measure, FOLLOW), Told()
    yardstick = glass.measure.yardstick
    buckets = Buckets(yardstick.population, yardstick.dimension, glass.measure.space.key)
    clients = [(session, *glass.seen(session)) for session in sessions]
    told.clients = len(clients)
    at_us = 2 * BURST_US
    for turn in range(max((len(session) for session, *_ in clients), default=0)):
        for number, (session, points, hashes) in enumerate(clients):
            if turn >= min(len(session), REQUESTS_MAX):
                continue
            at_us += SECOND_US // 100
            near = buckets.of(points[turn])
            whole = prints and np.count_nonzero(hashes[turn]) >= MATCHED_MIN
            request = Request(
                name=f"{number + 1:08x}" + "0" * 24,
                point=points[turn],
                label=int(session.labels[turn]),
                answer=session.probabilities[turn].astype(np.float64),
                hashes=np.stack((hashes[turn], near)) if whole else near[None],
                at_us=Micros(at_us),
                fresh=True,
            )
            seen = campaigns.take(request)
            if seen is None:
                continue
            told.near.add(number)
            told.bursts += seen.burst > 0
            if seen.told:
                told.told.add(number)
            if seen.told and seen.accuses:
                told.accused.add(number)
    return told


def shared(victim: Victim, count: int) -> Iterator[Session]:
    """Yield clients that explain and test one and the same input, each with dice of its own."""
    known = {one.name: one for one in benign.workloads_for(victim, Kind.EXPLANATION)}
    workloads = [known[name] for name in SHARED if name in known]
    source, _ = next(turns(list(range(len(victim.confirmation[0]))), CONFIRM, 1))
    for number in range(count):
        yield benign.session_of(workloads[number % len(workloads)], victim, "confirmation", source, 9_000 + number)


def rows_of(victim: Victim, count: int) -> Iterator[tuple[str, Told, Told]]:
    """Yield each workload with what is said of it by fingerprints, and by the hashes of points."""
    glass = glass_of(victim)
    for workload in benign.workloads_for(victim, Kind.ORDINARY, Kind.EXPLANATION):
        held = list(of_workload(victim, workload, CONFIRM, count))
        yield workload.name, crowd(held, glass, prints=True), crowd(held, glass, prints=False)
    held = list(shared(victim, count))
    yield "one input for all", crowd(held, glass, prints=True), crowd(held, glass, prints=False)


def cells(told: Told) -> list[str]:
    """Return what is said of a crowd."""
    wronged = share(len(told.accused), told.clients)
    bound = f"{len(told.accused)} ({100 * wronged.interval.low:.0f}-{100 * wronged.interval.high:.0f} %)"
    return [str(len(told.near)), str(len(told.told)), bound, str(told.bursts)]


def table_of(victims: Iterable[Victim], count: int) -> str:
    """Return the table of all victims."""
    columns = ["victim", "workload", "clients"]
    columns += [f"{how}: {what}" for how in ("prints", "points") for what in ("near", "told", "accused", "bursts")]
    lines = ["| " + " | ".join(columns) + " |", "|---" * len(columns) + "|"]
    totals: dict[str, list[int]] = {}
    quiet: dict[str, int] = {}
    """Workloads of each victim of which nothing was told."""
    for victim in victims:
        for name, prints, points in rows_of(victim, count):
            cut = [victim.name, name, str(prints.clients), *cells(prints), *cells(points)]
            row = "| " + " | ".join(cut) + " |"
            print(row, file=sys.stderr, flush=True)
            if prints.eventful or points.eventful:
                lines.append(row)
            else:
                quiet[victim.name] = quiet.get(victim.name, 0) + 1
            kind = "shared" if name == "one input for all" else "apart"
            for how, told in (("prints", prints), ("points", points)):
                total = totals.setdefault(f"{kind} {how}", [0, 0])
                total[0] += len(told.accused)
                total[1] += told.clients
    said = [f"* Nothing was told of the other workloads: {', '.join(f'{n} on {v}' for v, n in quiet.items())}."]
    for key, (hits, trials) in totals.items():
        kind, how = key.split()
        what = "Clients apart from each other" if kind == "apart" else "Clients around one input"
        bounds = share(hits, trials).interval
        said.append(f"* {what}, by {how}: {hits} of {trials} accused, at most {100 * bounds.high:.1f} % (95 %).")
    return "\n".join([*lines, "", *said])


def main(arguments: list[str]) -> int:
    """Measure, and write the table."""
    if any(os.environ.get(name) != value for name, value in SINGLE_THREADED.items()):
        command = [sys.executable, "-m", "bench.adversarial.crowds", *arguments]
        os.execve(sys.executable, command, os.environ | SINGLE_THREADED)
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--sessions", type=int, default=20)
    parser.add_argument("--victims", default="digits,cancer-logistic")
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data")
    given = parser.parse_args(arguments)
    names = given.victims.split(",")
    if unknown := [name for name in names if name not in VICTIMS]:
        parser.error(f"unknown victim {', '.join(unknown)}; known: {', '.join(VICTIMS)}")
    text = table_of((load(name, given.data) for name in names), given.sessions)
    OUT.mkdir(parents=True, exist_ok=True)
    (OUT / "crowds.txt").write_text(text + "\n")
    update_page(PAGE, text, BEGIN)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
