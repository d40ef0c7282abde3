"""Grow forests that some attacks, a victim or a benign workload is kept from, and judge them on what they never saw."""

import hashlib
from collections.abc import Callable
from functools import cached_property
from pathlib import Path

import msgspec
import numpy as np

from bench.adversarial import train
from bench.adversarial.results import Grown, Results, Unseen, Wronged
from bench.adversarial.sessions import FAMILIES
from detectors.principals.forest import DEPTH, Forest

THINNED = 6
"""These forests are grown from so few of the stories: every sixth."""
STRANGERS = ("random_walk", "sweep", "lime", "noise", "video", "occlusion")
"""Benign workloads that forests are grown without, to see whether clients nobody thought of are wronged."""
TURNS = (4, 2, 1)
"""Forests are grown from a quarter, a half and all of their sources, to see what more of them are worth."""


class Found(msgspec.Struct):
    """What forests that were grown already have shown."""

    unseen: list[Unseen] = msgspec.field(default_factory=list)
    wronged: list[Wronged] = msgspec.field(default_factory=list)
    curve: list[Grown] = msgspec.field(default_factory=list)


class Seminar:
    """All these forests, one after another; what each of them showed is on disk before the next one is grown.

    Parameters
    ----------
    stories : Stories
        Everything that was recorded.
    judged : tuple of str
        Victims that forests are judged on.
    folder : Path
        Where what was found lies: a file for each forest, whose name says from what and how it was grown.
    say : callable
        Is told what goes on.
    """

    def __init__(
        self, stories: train.Stories, judged: tuple[str, ...], folder: Path, say: Callable[[str], None]
    ) -> None:
        self._stories = stories.thinned(THINNED)
        self._half = stories.source % 4 < 2  # sources of recorded sessions are even
        self._rest = {name: self._stories.of(~self._half & (stories.victim == name)) for name in judged}
        self._folder = folder / _recipe(self._stories, judged)
        self._say = say

    @cached_property
    def _whole(self) -> Forest:
        return train.grow(self._stories.of(self._half))

    def hold(self, results: Results) -> None:
        """Grow whatever was not grown yet, and put together what all of them show."""
        works: list[tuple[str, Callable[[], Found]]] = [
            *((f"from one in {turns}", lambda turns=turns: self.fewer(turns)) for turns in TURNS),
            *((f"without {name}", lambda name=name: self.abroad(name)) for name in self._rest),
            *((f"without {family}", lambda family=family: self.without(family)) for family in FAMILIES),
            *((f"without {name}", lambda name=name: self.stranger(name)) for name in STRANGERS),
        ]
        self._folder.mkdir(parents=True, exist_ok=True)
        for name, work in works:
            path = self._folder / f"{name.replace(' ', '-')}.json"
            if not path.exists():
                draft = path.with_suffix(".part")
                draft.write_bytes(msgspec.json.encode(work()))
                draft.replace(path)
            found = msgspec.json.decode(path.read_bytes(), type=Found)
            results.unseen.extend(found.unseen)
            results.wronged.extend(found.wronged)
            results.curve.extend(found.curve)
            self._say(f"forest {name}")

    def fewer(self, turns: int) -> Found:
        """Return what a forest from one in so many sources sees of attacks like those that it was grown from."""
        fewer = self._half & (self._stories.source // 4 % turns == 0)
        forest = self._whole if turns == 1 else train.grow(self._stories.of(fewer))
        count = int(fewer.sum())
        return Found(curve=[Grown(name, count, train.timely(forest, rest)[0]) for name, rest in self._rest.items()])

    def abroad(self, name: str) -> Found:
        """Return what a forest that never saw a victim sees there."""
        forest = train.grow(self._stories.of(self._half & (self._stories.victim != name)))
        rest = self._rest[name]
        return Found(unseen=[Unseen(name, name, *train.timely(forest, rest), train.timely(self._whole, rest)[0])])

    def without(self, family: str) -> Found:
        """Return what a forest that never saw a family of attacks sees of it."""
        forest = train.grow(self._stories.of(self._half & train.without(self._stories, family)))
        return Found(
            unseen=[
                Unseen(family, name, *train.timely(forest, rest, family), train.timely(self._whole, rest, family)[0])
                for name, rest in self._rest.items()
            ]
        )

    def stranger(self, workload: str) -> Found:
        """Return whom a forest wrongs that never saw a benign workload."""
        forest = train.grow(self._stories.of(self._half & (self._stories.workload != workload)))
        rest = self._rest.items()
        return Found(wronged=[Wronged(workload, name, *train.wronged(forest, own, workload)) for name, own in rest])


def _recipe(stories: train.Stories, judged: tuple[str, ...]) -> str:
    """Return what forests are grown from, and how, as a name."""
    of = (THINNED, TURNS, judged, DEPTH, train.TREES, train.LEAF_MIN, train.RATE, train.ROUNDS, train.BOOST, train.SURE,
          sorted(train.ONE_WAY.items()))  # fmt: skip
    digest = hashlib.sha256(repr(of).encode())
    for name in train.Stories.__slots__:
        digest.update(np.ascontiguousarray(getattr(stories, name)).tobytes())
    return f"unseen-{digest.hexdigest()[:16]}"
