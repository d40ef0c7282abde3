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

from bench.adversarial.sessions import GROW, Sizes, streams
from bench.adversarial.setting import VICTIMS, Lenses, cached
from bench.adversarial.watch import scores, watch
from bench.run import OUT, ROOT
from detectors.principals.cluster import FEATURES
from detectors.principals.forest import DEPTH, Forest
from redteam.judge import quantile
from redteam.session import Kind

TREES = 160
LEAF_MIN = 200
RATE = 0.1
ROUNDS, BOOST, SURE = 3, 10.0, 2.0
"""How often the forest is grown again with the benign stories that deceived it: one at log-odds ``SURE`` then weighs
``1 + BOOST / 2`` times as much as before. A threshold lies above the *largest* evidence of a benign session, and these
make it."""
AFTER = 20
"""Stories of an attack count until so many requests after its success."""
DENSE = 20
"""Of more stories in a session, every second one is kept."""
ONE_WAY = dict.fromkeys(
    ("gain", "choices", "flips", "hugging", "steepness", "mean steepness", "mirrored", "fallen", "lowest", "following",
     "steering", "turning", "mean following", "mean steering", "spent", "records", "falling"), 1
) | dict.fromkeys(("nearness", "nearest"), -1)  # fmt: skip
"""Features that may only speak one way: more (1) or less (-1) of them never makes a cluster look more harmless."""
TARGET = ROOT / "detectors" / "principals" / "forest_data.py"
NEVER = 1 << 30


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

    def thinned(self, step: int) -> "Stories":
        """Return every so-manieth story."""
        rows = slice(None, None, step)
        return replace(self, features=self.features[rows], at=self.at[rows], session=self.session[rows])

    def save(self, target: Path) -> None:
        """Write them to a file."""
        np.savez(target, **{name: getattr(self, name) for name in Stories.__slots__})


def without(stories: Stories, family: str) -> NDArray[np.bool_]:
    """Tell which sessions are no attack of a family, shape (sessions,)."""
    of_family = np.char.startswith(stories.workload, family) & (stories.kind == Kind.ATTACK)
    return np.asarray(~of_family, np.bool_)


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
    return gathered(name, rows, at, head)


def gathered(
    victim: str, rows: list[NDArray[np.float32]], at: list[NDArray[np.int32]], head: dict[str, list[Any]]
) -> Stories:
    """Put the stories of sessions together; ``head`` has a value of each session for each of its other fields."""
    return Stories(
        features=np.concatenate(rows),
        at=np.concatenate(at),
        session=np.repeat(np.arange(len(rows)), [len(each) for each in rows]).astype(np.int32),
        workload=np.array(head["workload"]),
        kind=np.array(head["kind"]),
        success=np.array(head["success"], np.int32),
        source=np.array(head["source"], np.int32),
        victim=np.full(len(rows), victim),
    )


def weights(stories: Stories, harder: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return what stories weigh, shape (n,), on average 1: all attacks together as much as everything benign.

    Within a victim every session weighs the same but for what is ``harder`` (n,), which counts so many times more.
    Victims are made equal before attacks are: one with a larger part of attacks than others ends up with another
    weight.
    """
    of_session = 1.0 / np.maximum(np.bincount(stories.session, minlength=len(stories.workload)), 1)
    weight = of_session[stories.session] * harder
    for name in np.unique(stories.victim):
        own = (stories.victim == name)[stories.session]
        weight[own] /= weight[own].sum()
    attack = (stories.kind == Kind.ATTACK)[stories.session]
    weight[attack] *= weight[~attack].sum() / weight[attack].sum()
    return np.asarray(weight * len(weight) / weight.sum(), np.float64)


def fit(stories: Stories, harder: NDArray[np.float64]) -> Any:
    """Fit the trees with the library that grows them; some stories are harder than others, shape (n,)."""
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
    return model.fit(stories.features, attack, sample_weight=weights(stories, harder))


def forest_of(model: Any, width: int = len(FEATURES)) -> Forest:
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
    return Forest(np.array(features), np.array(cuts), np.array(values), start, width)


def _rounded_down(cut: float) -> np.float32:
    """Return the largest 32-bit number that is not above: a 32-bit value is above both or neither."""
    near = np.float32(cut)
    return near if float(near) <= cut else np.nextafter(near, np.float32(-np.inf), dtype=np.float32)


def grow(stories: Stories) -> Forest:
    """Grow a forest, and make sure that it says what the library's does."""
    benign = (stories.kind != Kind.ATTACK)[stories.session]
    harder = np.ones(len(stories.features))
    model = fit(stories, harder)
    for _ in range(ROUNDS):
        deceived = 1.0 + BOOST / (1.0 + np.exp(SURE - model.decision_function(stories.features)))
        harder = np.where(benign, harder * deceived, harder)
        model = fit(stories, harder)
    forest = forest_of(model)
    sample = stories.features[:: max(1, len(stories.features) // 20_000)]
    apart = np.abs(model.decision_function(sample) - scores(forest, sample.astype(np.float64))).max()
    if apart > 1e-5:
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
    counts = {
        name: (int((attack & (stories.victim == name)).sum()), int((~attack & (stories.victim == name)).sum()))
        for name in dict.fromkeys(stories.victim.tolist())
    }
    of = ", ".join(f"{hostile} and {benign} on {name}" for name, (hostile, benign) in counts.items())
    return (
        f"Grown from {len(stories.features):,} stories of {int(attack.sum()):,} attacks and {int((~attack).sum()):,} "
        f"benign sessions of the victims' calibration splits ({of}), every session with one of a dozen salts: "
        f"{TREES} trees of depth {DEPTH}, at least {LEAF_MIN} stories a leaf, grown {ROUNDS} more times with benign "
        f"stories that deceive weighing more. Benign sessions that nothing tells from "
        f"an attack are in neither."
    )


def _bars(most: NDArray[np.float64], stories: Stories) -> dict[str, float]:
    """Return the 99 % quantile of session maxima of each benign workload."""
    attack = stories.kind == Kind.ATTACK
    held = {str(n): most[~attack & (stories.workload == n)].tolist() for n in np.unique(stories.workload[~attack])}
    return {name: quantile(values, 0.99) for name, values in held.items()}


def wronged(forest: Forest, stories: Stories, workload: str) -> tuple[int, int]:
    """Return how many sessions of a benign workload alarm if it has no say in the threshold, and of how many."""
    own = stories.workload == workload
    most = np.full(len(own), -np.inf)
    np.maximum.at(most, stories.session, scores(forest, stories.features.astype(np.float64)))
    bars = _bars(most, stories)
    return int((most[own] > max(bar for name, bar in bars.items() if name != workload)).sum()), int(own.sum())


def evaluate(forest: Forest, stories: Stories) -> tuple[dict[str, float], NDArray[np.int64]]:
    """Return what sets the threshold by workload, and the request of the first alarm of each session, if any."""
    told = scores(forest, stories.features.astype(np.float64))
    sessions = len(stories.workload)
    most = np.full(sessions, -np.inf)
    np.maximum.at(most, stories.session, told)
    bars = _bars(most, stories)
    above = told > max(bars.values())
    first = np.full(sessions, NEVER)
    np.minimum.at(first, stories.session[above], stories.at[above])
    return bars, first


def timely(forest: Forest, stories: Stories, family: str = "") -> tuple[float, int]:
    """Return which share of the successful attacks of a family is seen before the success, and of how many."""
    _, first = evaluate(forest, stories)
    own = ~without(stories, family) & (stories.success >= 0)
    return float((first[own] < stories.success[own]).mean()) if own.any() else float("nan"), int(own.sum())


def told(forest: Forest, stories: Stories) -> str:
    """Say how a forest does."""
    bars, _ = evaluate(forest, stories)
    worst = sorted(bars, key=lambda name: -bars[name])[:4]
    attacks = np.unique(stories.workload[stories.kind == Kind.ATTACK]).tolist()
    rates = {name: timely(forest, stories, name) for name in attacks}
    return (
        f"{' '.join(f'{name} {bars[name]:.1f}' for name in worst)}; all {timely(forest, stories)[0]:.3f}; "
        f"{', '.join(f'{name} {ratio:.2f} of {count}' for name, (ratio, count) in rates.items())}"
    )


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
        stories.save(OUT / f"stories-{given.victim}.npz")
        print(f"{describe(stories)} {time.process_time() - begin:.0f} s")
        return 0
    stories = recorded()
    half = stories.source % 4 < 2
    for name in np.unique(stories.victim):
        own = stories.victim == name
        print(name, "other sources:", told(grow(stories.of(half)), stories.of(~half & own)))
        if not own.all():
            print(name, "never seen:", told(grow(stories.of(~own)), stories.of(own)))
    forest = grow(stories)
    print(describe(stories), forest.digest)
    if given.write:
        write(forest, describe(stories))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
