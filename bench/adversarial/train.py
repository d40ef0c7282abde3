"""Grow the forest that tells attacks from benign near-duplicates, and write it down as data of ``detectors``.

usage: python -m bench.adversarial.train record VICTIM [--data DIRECTORY] [--attacks N] [--benign N]
       python -m bench.adversarial.train grow [--write]

``record`` keeps stories of sessions of a victim's calibration split: even sources, the odd ones are for thresholds.
``grow`` fits on all that was recorded, and says what that is worth on recorded sessions of every second source.
"""

import argparse
import base64
import sys
import textwrap
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.adversarial.setting import VICTIMS, Lenses, cached
from bench.adversarial.sessions import GROW, Sizes, streams
from bench.adversarial.watch import scores, watch
from bench.run import OUT, ROOT
from detectors.principals.cluster import FEATURES
from detectors.principals.forest import DEPTH, Forest
from redteam.session import Kind

TREES = 120
LEAF_MIN = 300
RATE = 0.1
AFTER = 20
"""Stories of an attack count until so many requests after its success."""
DENSE = 20
"""Of more stories in a session, every second one is kept."""
ONE_WAY = dict.fromkeys(
    ("gain", "choices", "flips", "hugging", "steepness", "mean steepness", "mirrored", "fallen", "lowest"), 1
) | dict.fromkeys(("nearness", "nearest"), -1)
"""Features that may only speak one way: more (1) or less (-1) of them never makes a cluster look more harmless."""
TARGET = ROOT / "detectors" / "principals" / "forest_data.py"
CHUNK = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Stories:
    """What was recorded: one row per story."""

    features: NDArray[np.float32]
    """Shape (n, features)."""
    at: NDArray[np.int32]
    """Shape (n,): the request in its session."""
    session: NDArray[np.int32]
    """Shape (n,)."""
    workload: NDArray[np.str_]
    """Shape (sessions,)."""
    kind: NDArray[np.str_]
    """Shape (sessions,)."""
    success: NDArray[np.int32]
    """Shape (sessions,): -1 where there was none."""
    source: NDArray[np.int32]
    """Shape (sessions,)."""
    victim: NDArray[np.str_]
    """Shape (sessions,)."""

    def of(self, chosen: NDArray[np.bool_]) -> "Stories":
        """Return those of some sessions, shape (sessions,)."""
        number = np.cumsum(chosen) - 1
        rows = chosen[self.session]
        return Stories(
            features=self.features[rows],
            at=self.at[rows],
            session=number[self.session[rows]].astype(np.int32),
            **{name: getattr(self, name)[chosen] for name in ("workload", "kind", "success", "source", "victim")},
        )


def joined(parts: list[Stories]) -> Stories:
    """Put recordings together."""
    offsets = np.cumsum([0, *(len(part.workload) for part in parts[:-1])])
    moved = [replace(p, session=(p.session + o).astype(np.int32)) for p, o in zip(parts, offsets, strict=True)]
    return Stories(**{name: np.concatenate([getattr(p, name) for p in moved]) for name in Stories.__slots__})


def record(name: str, data: Path, sizes: Sizes) -> Stories:
    """Let the monitor look at sessions, and keep what near-duplicates tell."""
    victim = cached(name, data)
    lenses = Lenses(victim, "grow")
    rows: list[NDArray[np.float32]] = []
    at: list[NDArray[np.int32]] = []
    head: dict[str, list[Any]] = {key: [] for key in ("workload", "kind", "success", "source")}
    for session in streams(victim, GROW, sizes):
        if session.error or not len(session):
            continue
        trace = watch(session, lenses.of(session))
        told = np.arange(len(trace.told))
        if session.kind is Kind.ATTACK and session.success is not None:
            told = told[trace.told <= session.success + AFTER]
        told = told[::2] if len(told) > DENSE else told
        rows.append(trace.stories[told].astype(np.float32))
        at.append(trace.told[told].astype(np.int32))
        success = -1 if session.success is None else session.success
        for key, value in zip(head, (session.workload, str(session.kind), success, session.source), strict=True):
            head[key].append(value)
    return Stories(
        features=np.concatenate(rows),
        at=np.concatenate(at),
        session=np.repeat(np.arange(len(rows)), [len(each) for each in rows]).astype(np.int32),
        workload=np.array(head["workload"]),
        kind=np.array(head["kind"]),
        success=np.array(head["success"], np.int32),
        source=np.array(head["source"], np.int32),
        victim=np.full(len(rows), name),
    )


def weights(stories: Stories) -> NDArray[np.float64]:
    """Let every session weigh the same, and all attacks as much as everything benign."""
    of_session = 1.0 / np.maximum(np.bincount(stories.session, minlength=len(stories.workload)), 1)
    weight = of_session[stories.session]
    attack = (stories.kind == Kind.ATTACK)[stories.session]
    weight[attack] *= weight[~attack].sum() / weight[attack].sum()
    return np.asarray(weight * len(weight) / weight.sum(), np.float64)


def fit(stories: Stories) -> Any:
    """Fit the trees with the library that grows them."""
    from sklearn.ensemble import HistGradientBoostingClassifier

    model = HistGradientBoostingClassifier(
        max_iter=TREES,
        max_depth=DEPTH,
        min_samples_leaf=LEAF_MIN,
        learning_rate=RATE,
        l2_regularization=1.0,
        early_stopping=False,
        random_state=0,
        monotonic_cst=[ONE_WAY.get(name, 0) for name in FEATURES],
    )
    attack = (stories.kind == Kind.ATTACK)[stories.session]
    return model.fit(stories.features, attack, sample_weight=weights(stories))


def forest_of(model: Any) -> Forest:
    """Turn the library's trees into complete ones: below a leaf that comes early, everything is that leaf."""
    features, cuts, values = [], [], []
    for (tree,) in model._predictors:  # noqa: SLF001 - the library shows its trees nowhere else
        inner, threshold, leaves = np.zeros(15, np.int8), np.full(15, np.inf, np.float32), np.zeros(16, np.float32)
        todo = [(0, 0, 0)]
        while todo:
            node, place, depth = todo.pop()
            held = tree.nodes[node]
            if held["is_leaf"]:
                first = (place + 1 << DEPTH - depth) - 1 - ((1 << DEPTH) - 1)
                leaves[first : first + (1 << DEPTH - depth)] = held["value"]
                continue
            inner[place] = held["feature_idx"]
            threshold[place] = _rounded_down(float(held["num_threshold"]))
            todo += [(held["left"], 2 * place + 1, depth + 1), (held["right"], 2 * place + 2, depth + 1)]
        features.append(inner)
        cuts.append(threshold)
        values.append(leaves)
    start = float(np.ravel(model._baseline_prediction)[0])  # noqa: SLF001 - as above
    return Forest(np.array(features), np.array(cuts), np.array(values), start)


def _rounded_down(cut: float) -> np.float32:
    """Return the largest 32-bit number that is not above: a 32-bit value is above both or neither."""
    near = np.float32(cut)
    return near if float(near) <= cut else np.nextafter(near, np.float32(-np.inf), dtype=np.float32)


def grow(stories: Stories) -> Forest:
    """Grow a forest, and make sure that it says what the library's does."""
    model = fit(stories)
    forest = forest_of(model)
    sample = stories.features[:: max(1, len(stories.features) // 20_000)]
    apart = np.abs(model.decision_function(sample) - scores(forest, sample.astype(np.float64))).max()
    if apart > 1e-5:  # noqa: PLR2004 - 32-bit leaves, added up
        raise ValueError(f"the forest is off by {apart:g}")
    return forest


def write(forest: Forest, how: str, target: Path = TARGET) -> None:
    """Write the forest as a module."""
    content = base64.b85encode(forest.to_bytes()).decode()
    lines = "\n".join(f'    "{content[i : i + 100]}"' for i in range(0, len(content), 100))
    made = "\n".join(textwrap.wrap(how, 116))
    target.write_text(
        f'"""The forest, as data: written by ``python -m bench.adversarial.train grow --write``.\n\n{made}\n"""\n\n'
        f'DIGEST = "{forest.digest}"\n"""SHA-256 of the bytes."""\nCONTENT = (\n{lines}\n)\n'
        '"""``Forest.to_bytes``, in base 85."""\n'
    )


def recorded() -> Stories:
    """Read everything that was recorded."""
    paths = [path for name in VICTIMS if (path := OUT / f"stories-{name}.npz").exists()]
    parts = []
    for path in paths:
        with np.load(path) as held:
            parts.append(Stories(**{name: held[name] for name in Stories.__slots__}))
    return joined(parts)


def describe(stories: Stories) -> str:
    """Say what a forest was grown from."""
    attack = stories.kind == Kind.ATTACK
    of = ", ".join(
        f"{int((attack & (stories.victim == name)).sum())} and {int((~attack & (stories.victim == name)).sum())} on {name}"
        for name in dict.fromkeys(stories.victim.tolist())
    )
    return (
        f"Grown from {len(stories.features):,} stories of {int(attack.sum()):,} attacks and {int((~attack).sum()):,} "
        f"benign sessions of the victims' calibration splits ({of}), every session with one of a dozen salts: "
        f"{TREES} trees of depth {DEPTH}, at least {LEAF_MIN} stories a leaf. Benign sessions that nothing tells from "
        f"an attack are in neither."
    )


def evaluate(forest: Forest, stories: Stories, level: float = 0.99) -> str:
    """Say which share of successful attacks is seen in time, with at most 1 % of any benign workload above."""
    told = scores(forest, stories.features.astype(np.float64))
    sessions = len(stories.workload)
    most = np.full(sessions, -np.inf)
    np.maximum.at(most, stories.session, told)
    attack = stories.kind == Kind.ATTACK
    bars = {}
    for name in np.unique(stories.workload[~attack]):
        held = np.sort(most[~attack & (stories.workload == name)])
        bars[name] = held[int(np.ceil(level * len(held))) - 1]
    bar = max(bars.values())
    above = told > bar
    first = np.full(sessions, 1 << 30)
    np.minimum.at(first, stories.session[above], stories.at[above])
    found = {
        str(n): f"{(first[own] < stories.success[own]).mean():.2f}@{np.median(first[own]):.0f}/{own.sum()}"
        for n in np.unique(stories.workload[attack])
        if (own := attack & (stories.workload == n) & (stories.success >= 0)).any()
    }
    own = attack & (stories.success >= 0)
    worst = sorted(bars, key=lambda n: -bars[n])[:4]
    tell = " ".join(f"{n} {bars[n]:.1f}" for n in worst)
    return f"bar {bar:.2f} ({tell}); all {(first[own] < stories.success[own]).mean():.3f}; {found}"


def main(arguments: list[str]) -> int:
    """Record, or grow."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("work", choices=("record", "grow"))
    parser.add_argument("victim", nargs="?", choices=VICTIMS)
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data")
    parser.add_argument("--attacks", type=int, default=60)
    parser.add_argument("--benign", type=int, default=40)
    parser.add_argument("--write", action="store_true")
    given = parser.parse_args(arguments)
    begin = time.process_time()
    if given.work == "record":
        stories = record(given.victim, given.data, Sizes(attacks=given.attacks, benign=given.benign))
        OUT.mkdir(parents=True, exist_ok=True)
        np.savez(OUT / f"stories-{given.victim}.npz", **{n: getattr(stories, n) for n in Stories.__slots__})
        print(f"{describe(stories)} {time.process_time() - begin:.0f} s")
        return 0
    stories = recorded()
    half = stories.source % 4 < 2  # noqa: PLR2004 - sources are even: every second one
    for name in np.unique(stories.victim):
        own = stories.victim == name
        print(name, "other sources:", evaluate(grow(stories.of(half)), stories.of(~half & own)))
        if not own.all():
            print(name, "never seen:", evaluate(grow(stories.of(~own)), stories.of(own)))
    forest = grow(stories)
    print(describe(stories), forest.digest)
    if given.write:
        write(forest, describe(stories))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
