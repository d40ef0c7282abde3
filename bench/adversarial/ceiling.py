"""How much there is to see of the Square attack: what trees see that are grown on nothing else, and see everything.

usage: python -m bench.adversarial.ceiling [--victims NAMES] [--requests N ...] [--attacks N] [--benign N]

From a few requests in a row everything is worked out that points and answers have to say: distances, angles, how many
directions there are, who lies next to whom, and the order of the answers. Trees are grown on Square attacks and benign
clients of three quarters of the calibration sources, and judge the rest. No client may be wronged, as far as there are
benign sessions. That is more than a monitor can have: it is told where an attack begins, and it is grown on the very
clients that it is judged on.
"""

import argparse
import os
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bench.adversarial.sessions import CALIBRATE, of_attack, of_workload
from bench.adversarial.setting import Lenses, cached
from bench.report import table, update_page
from bench.run import ROOT, SINGLE_THREADED
from detectors.principals.population import log_odds
from redteam import benign
from redteam.attacks import ATTACKS
from redteam.session import Kind, Session
from redteam.victims import Victim

PAGE = ROOT / "docs" / "benchmarks-adversarial.md"
BEGIN = "<!-- measured: begin (written by python -m bench.adversarial.ceiling) -->"
SQUARES = ("square-linf", "square-linf+rounded")
FOLDS = 4
UNTIL = 600
"""Of a benign session, requests that are looked at."""
OPPOSITE = -0.5
"""Cosine from which on two requests lie on opposite sides of the first one."""


class Found(NamedTuple):
    """What trees see."""

    victim: str
    requests: int
    successes: int
    possible: int
    """Attacks that succeed after so many requests: whoever waits for these sees no more."""
    seen: int
    """Of those, above everything benign."""
    windows: int


@dataclass(frozen=True)
class Windows:
    """Requests in a row, described."""

    features: NDArray[np.float64]
    source: NDArray[np.int64]


def spread(values: NDArray[np.float64]) -> list[float]:
    """Return what five numbers say of many."""
    return [float(f(values)) for f in (np.mean, np.std, np.min, np.max, np.median)]


def described(points: NDArray[np.float64], odds: NDArray[np.float64]) -> list[float]:
    """Return what points (n, dimension), in typical distances, and odds (n,) of the first one's class have to say."""
    count = len(points)
    apart = np.sqrt(np.maximum(np.square(points[:, None] - points).sum(axis=-1), 0.0))
    before = np.where(np.tri(count, k=-1) > 0, apart, np.inf)[1:]
    near, parent = before.min(axis=1), before.argmin(axis=1)
    steps = np.diff(points, axis=0)
    length = np.maximum(np.linalg.norm(steps, axis=1), 1e-9)
    turns = (steps[1:] * steps[:-1]).sum(axis=1) / length[1:] / length[:-1]
    away = (points[1:] - points[0]) / np.maximum(apart[0, 1:, None], 1e-9)
    angles = (away @ away.T)[np.tri(count - 1, k=-1) > 0]
    directions = np.square(np.linalg.svd(points - points.mean(axis=0), compute_uv=False))[:6]
    lowest = np.array([1 + odds[1:i].argmin() if i > 1 else 0 for i in range(1, count)])
    latest = parent == np.arange(count - 1)
    further = [(apart[i, 1:i] < apart[i, lowest[i - 1]]).mean() for i in range(2, count)]
    falls = np.minimum.accumulate(odds)[:-1] - odds[1:]
    return [
        *spread(apart[0, 1:]), *spread(near), *spread(length), *spread(turns), *spread(angles), *spread(odds),
        *(directions / max(float(directions.sum()), 1e-12)), float((angles < OPPOSITE).mean()),
        float((parent == lowest).mean()), float((parent == lowest)[~latest].mean()) if not latest.all() else -1.0,
        float(latest.mean()), float((parent == 0).mean()), float(np.mean(further)), float((falls > 0).sum()),
        float(falls.max()), float(falls.mean()), float(odds[0]), float(odds[1]), float((odds < 0).mean()),
        float(near[count // 2 :].mean() / max(near[: count // 2].mean(), 1e-9)),
        float(length[count // 2 :].mean() / max(length[: count // 2].mean(), 1e-9)),
    ]  # fmt: skip


def windows(session: Session, lenses: Lenses, count: int, starts: Iterable[int]) -> Iterator[list[float]]:
    """Yield what so many requests in a row say, for each start; requests that are there already count once."""
    population = lenses.of(session).yardstick.population
    _, new = np.unique(session.inputs, axis=0, return_index=True)
    new.sort()
    points = lenses.of(session).points(session)[new].astype(np.float64)
    answers, labels = session.probabilities[new], session.labels[new]
    for start in starts:
        if start + count > len(new):
            return
        label = int(labels[start])
        odds = log_odds(answers[start : start + count], np.full(count, label)) / population.spread
        yield described(points[start : start + count] / float(population.typical[label]), odds)


def gathered(sessions: Iterable[Session], lenses: Lenses, count: int, stride: int | None) -> Windows:
    """Return the first window of each session, or every so-manieth."""
    rows: list[list[float]] = []
    sources: list[int] = []
    for session in sessions:
        starts = range(1) if stride is None else range(0, UNTIL, stride)
        made = list(windows(session, lenses, count, starts))
        rows += made
        sources += [session.source] * len(made)
    return Windows(np.nan_to_num(np.array(rows)), np.array(sources, np.int64))


def ceiling(victim: Victim, count: int, attacks: int, each: int) -> Found:
    """Return what is seen of Square attacks from their first requests, with nothing benign above."""
    from sklearn.ensemble import HistGradientBoostingClassifier

    lenses = Lenses(victim, CALIBRATE.name)
    every = [s for name in SQUARES for s in of_attack(victim, ATTACKS[name], CALIBRATE, attacks) if not s.error]
    success = np.array([np.inf if s.success is None else s.success for s in every])
    possible = [s for s, at in zip(every, success, strict=True) if count <= at < np.inf]
    hostile = gathered(possible, lenses, count, None)
    workloads = benign.workloads_for(victim, Kind.ORDINARY, Kind.EXPLANATION)
    harmless = gathered((s for w in workloads for s in of_workload(victim, w, CALIBRATE, each)), lenses, count, count)
    scores = np.full(len(hostile.features), -np.inf), np.full(len(harmless.features), -np.inf)
    for fold in range(FOLDS):
        out = [side.source // 2 % FOLDS == fold for side in (hostile, harmless)]
        rows = np.concatenate([side.features[~own] for side, own in zip((hostile, harmless), out, strict=True)])
        truth = np.repeat([1, 0], [int((~own).sum()) for own in out])
        weight = np.where(truth == 1, (truth == 0).sum() / max(int((truth == 1).sum()), 1), 1.0)
        trees = HistGradientBoostingClassifier(max_iter=150, max_depth=4, min_samples_leaf=10, random_state=0)
        trees.fit(rows, truth, sample_weight=weight)
        for told, side, own in zip(scores, (hostile, harmless), out, strict=True):
            if own.any():
                told[own] = trees.decision_function(side.features[own])
    seen = int((scores[0] > scores[1].max()).sum())
    return Found(victim.name, count, int(np.isfinite(success).sum()), len(possible), seen, len(harmless.features))


def main(arguments: list[str]) -> int:
    """Measure, and write the table."""
    if any(os.environ.get(name) != value for name, value in SINGLE_THREADED.items()):
        command = [sys.executable, "-m", "bench.adversarial.ceiling", *arguments]
        os.execve(sys.executable, command, os.environ | SINGLE_THREADED)
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--victims", default="digits")
    parser.add_argument("--requests", type=int, nargs="+", default=[8, 16, 32])
    parser.add_argument("--attacks", type=int, default=100)
    parser.add_argument("--benign", type=int, default=20)
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data")
    given = parser.parse_args(arguments)
    rows = []
    for name in given.victims.split(","):
        for count in given.requests:
            found = ceiling(cached(name, given.data), count, given.attacks, given.benign)
            rows.append([*map(str, found[:3]), f"{found.possible / found.successes:.2f}",
                         f"{found.seen / found.successes:.2f}", f"{found.windows:,}"])  # fmt: skip
            print(rows[-1], file=sys.stderr, flush=True)
    head = ("victim", "requests", "attacks that succeed", "later than that", "seen by then, of all that succeed",
            "benign windows, none above")  # fmt: skip
    update_page(PAGE, table(head, rows), BEGIN)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
