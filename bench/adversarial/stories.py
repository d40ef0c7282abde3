"""Grow what tells stories that are over apart, rank those of benign sessions, and write both down as data.

usage: python -m bench.adversarial.stories record VICTIM [--data DIRECTORY] [--attacks N] [--benign N] [--ranks]
       python -m bench.adversarial.stories grow [--write]

``record`` keeps what stories come to: of even sources of a victim's calibration split to grow from, and of odd ones,
only of benign sessions, to rank among. ``grow`` fits the trees, and writes the ladders of ranks beside them.
"""

import argparse
import base64
import sys
import textwrap
import time
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.adversarial.sessions import CALIBRATE, GROW, Part, hidden, of_attack, of_workload, plain
from bench.adversarial.setting import VICTIMS, Lens, Lenses, cached
from bench.adversarial.train import AFTER, Stories, forest_of, gathered, joined, weights
from bench.adversarial.watch import scores
from bench.run import OUT, ROOT
from detectors.principals.forest import DEPTH, Forest
from detectors.principals.monitor import Principal
from detectors.principals.stories import PEAK, SUMMARY, Story
from redteam import benign
from redteam.session import Kind, Session
from redteam.victims import Victim

TREES = 120
LEAF_MIN = 40
RATE = 0.08
SESSIONS = 100
"""Benign sessions of each workload that stories are ranked among."""
QUERIES = 200
"""Of an attack, and"""
REQUESTS = 300
"""of a benign session, at most: stories are short."""
TARGET = ROOT / "detectors" / "principals" / "story_data.py"


class Recorder:
    """Stands where bets do, and takes down what every story comes to."""

    def __init__(self) -> None:
        self.summaries: list[NDArray[np.float64]] = []

    def log_bet(self, story: Story) -> float:
        """Keep a story."""
        self.summaries.append(story.summary())
        return 0.0


def told(session: Session, lens: Lens) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return what the stories of a session come to, shape (stories, len(SUMMARY)), and which request ended each.

    The session is one client, however many accounts it has; the last story ends with it.
    """
    recorder = Recorder()
    principal = Principal(replace(lens.yardstick, bets=recorder))
    points, labels = lens.points(session), session.labels
    ends: list[int] = []
    for i in range(min(len(session), REQUESTS)):
        principal.take(points[i], int(labels[i]), session.probabilities[i])
        ends += [i] * (len(recorder.summaries) - len(ends))
    principal.persistence.close(recorder)
    ends += [len(session) - 1] * (len(recorder.summaries) - len(ends))
    return np.array(recorder.summaries).reshape(len(ends), len(SUMMARY)), np.array(ends, np.int64)


def kept(victim: Victim, sessions: Iterable[Session], part: Part) -> Stories:
    """Return what the stories of many sessions come to."""
    lenses = Lenses(victim, part.name)
    rows: list[NDArray[np.float32]] = []
    at: list[NDArray[np.int32]] = []
    head: dict[str, list[Any]] = {key: [] for key in ("workload", "kind", "success", "source")}
    for session in sessions:
        if session.error or not len(session):
            continue
        summaries, ends = told(session, lenses.of(session))
        success = -1 if session.success is None else session.success
        if session.kind is Kind.ATTACK and success >= 0:
            # One story goes on beyond the success; those that begin after it tell of no attack.
            before = np.concatenate([[True], ends[:-1] <= success + AFTER])[: len(ends)]
            summaries, ends = summaries[before], ends[before]
        rows.append(summaries.astype(np.float32))
        at.append(ends.astype(np.int32))
        for key, value in zip(head, (session.workload, str(session.kind), success, session.source), strict=True):
            head[key].append(value)
    return gathered(victim.name, rows, at, head)


def hostile(victim: Victim, part: Part, count: int) -> Iterator[Session]:
    """Yield sessions of attacks by queries, and of disguises, of each so many."""
    for attack in plain(victim) + hidden(victim):
        yield from of_attack(victim, attack, part, count, QUERIES)


def calm(victim: Victim, part: Part, count: int) -> Iterator[Session]:
    """Yield benign sessions, of each workload so many."""
    for workload in benign.workloads_for(victim, Kind.ORDINARY, Kind.EXPLANATION):
        yield from of_workload(victim, workload, part, count)


def fit(stories: Stories) -> Any:
    """Fit the trees with the library that grows them."""
    from sklearn.ensemble import HistGradientBoostingClassifier

    model = HistGradientBoostingClassifier(
        max_iter=TREES,
        max_depth=DEPTH,
        min_samples_leaf=LEAF_MIN,
        learning_rate=RATE,
        l2_regularization=5.0,
        early_stopping=False,
        random_state=0,
    )
    attack = (stories.kind == Kind.ATTACK)[stories.session]
    return model.fit(stories.features, attack, sample_weight=weights(stories, np.ones(len(attack))))


def grow(stories: Stories) -> Forest:
    """Grow a forest, and make sure that it says what the library's does."""
    model = fit(stories)
    forest = forest_of(model, len(SUMMARY))
    apart = np.abs(model.decision_function(stories.features) - scores(forest, stories.features.astype(np.float64)))
    if apart.max() > 1e-5:
        raise ValueError(f"the forest is off by {apart.max():g}")
    return forest


def peaks(forest: Forest, stories: Stories) -> NDArray[np.float64]:
    """Return the largest of what each detector makes of a session's stories, shape (2, sessions)."""
    most = np.full((2, len(stories.workload)), -np.inf)
    found = scores(forest, stories.features.astype(np.float64)), stories.features[:, PEAK].astype(np.float64)
    for own, of in zip(most, found, strict=True):
        np.maximum.at(own, stories.session, of)
    return most


def ladders(forest: Forest, stories: Stories) -> NDArray[np.float64]:
    """Return the ladders of benign sessions, shape (2, SESSIONS): rank by rank the worst victim and workload."""
    most = peaks(forest, stories)
    steps = np.full((2, SESSIONS), -np.inf)
    for name in np.unique(stories.victim):
        for workload in np.unique(stories.workload[stories.victim == name]):
            own = most[:, (stories.victim == name) & (stories.workload == workload)][:, :SESSIONS]
            # A session that broke off may have been anything.
            own = np.pad(own, ((0, 0), (0, SESSIONS - own.shape[1])), constant_values=np.inf)
            steps = np.maximum(steps, -np.sort(-own, axis=1))
    return steps


def save(stories: Stories, name: str, part: str) -> None:
    """Keep a recording."""
    OUT.mkdir(parents=True, exist_ok=True)
    stories.save(OUT / f"summaries-{part}-{name}.npz")


def recorded(part: str) -> Stories:
    """Read everything that was recorded for a part."""
    parts = []
    for path in [path for name in VICTIMS if (path := OUT / f"summaries-{part}-{name}.npz").exists()]:
        with np.load(path) as held:
            parts.append(Stories(**{name: held[name] for name in Stories.__slots__}))
    return joined(parts)


def describe(growing: Stories, ranking: Stories) -> str:
    """Say what the data was made from."""
    attack = growing.kind == Kind.ATTACK
    victims = ", ".join(dict.fromkeys(growing.victim.tolist()))
    return (
        f"Grown from {len(growing.features):,} stories of {int(attack.sum()):,} attacks and {int((~attack).sum()):,} "
        f"benign sessions of the victims' calibration splits ({victims}): {TREES} trees of depth {DEPTH}, at least "
        f"{LEAF_MIN} stories a leaf. The ladders are of {len(ranking.workload):,} benign sessions of other sources, "
        f"{SESSIONS} of each workload at each victim."
    )


def write(forest: Forest, steps: NDArray[np.float64], how: str, target: Path = TARGET) -> None:
    """Write forest and ladders as a module."""
    texts = {"CONTENT": forest.to_bytes(), "LADDERS": steps.astype("<f4").tobytes()}
    said = {"CONTENT": "``Forest.to_bytes``, in base 85.", "LADDERS": "Two rows of float32, in base 85."}
    made = "\n".join(textwrap.wrap(how, 116))
    head = "Stories that are over, as data: written by ``python -m bench.adversarial.stories grow --write``."
    body = [f'"""{head}\n\n{made}\n"""\n', f'DIGEST = "{forest.digest}"\n"""SHA-256 of the bytes of the forest."""']
    for name, content in texts.items():
        text = base64.b85encode(content).decode()
        lines = "\n".join(f'    "{text[i : i + 100]}"' for i in range(0, len(text), 100))
        body.append(f'{name} = (\n{lines}\n)\n"""{said[name]}"""')
    target.write_text("\n".join(body) + "\n")


def main(arguments: list[str]) -> int:
    """Record, or grow."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("work", choices=("record", "grow"))
    parser.add_argument("victim", nargs="?", choices=VICTIMS)
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data")
    parser.add_argument("--attacks", type=int, default=60)
    parser.add_argument("--benign", type=int, default=SESSIONS)
    parser.add_argument("--ranks", action="store_true", help="record only what stories are ranked among")
    parser.add_argument("--write", action="store_true")
    given = parser.parse_args(arguments)
    if given.work == "record":
        begin, victim = time.process_time(), cached(given.victim, given.data)
        sessions = chain(hostile(victim, GROW, given.attacks), calm(victim, GROW, given.benign))
        if not given.ranks:
            save(kept(victim, sessions, GROW), given.victim, GROW.name)
        save(kept(victim, calm(victim, CALIBRATE, SESSIONS), CALIBRATE), given.victim, CALIBRATE.name)
        print(f"{given.victim}: {time.process_time() - begin:.0f} s")
        return 0
    growing, ranking = recorded(GROW.name), recorded(CALIBRATE.name)
    forest = grow(growing)
    steps = ladders(forest, ranking)
    print(describe(growing, ranking), forest.digest)
    print("highest of forest and of intent:", np.round(steps[:, :5], 2).tolist())
    if given.write:
        write(forest, steps, describe(growing, ranking))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
