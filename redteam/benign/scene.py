"""What a benign client works with: one input, the split it comes from, dice, and the victim."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from redteam.oracle import Oracle
from redteam.victims import Victim

Rows = NDArray[np.float64]
"""Inputs, shape (n, dimension)."""

NEIGHBOURS = 5
"""A new table row is mixed from a row and one of so many rows next to it."""
APART, TRIES = 0.6, 8
"""A variant is drawn up to so many times, until it is away by this share of the distance between inputs."""
TINY, SAME = 1e-12, 1e-9
"""Added to a standard deviation of nothing; mean squared difference below which two inputs are the same."""
TURN, SIZE, MOVE = 4.0, 0.05, 0.03
"""Standard deviations of a new variant of an image: degrees, share of the size, share of the side."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """The world of one client."""

    victim: Victim
    inputs: Rows
    """All inputs of the split, shape (n, dimension)."""
    classes: NDArray[np.int64]
    """Their true classes, shape (n,)."""
    source: int
    """Which of them the client begins with."""
    rng: np.random.Generator
    oracle: Oracle
    length: int
    """How many requests are wanted, at most."""

    @property
    def root(self) -> Rows:
        """The input that the client begins with, shape (dimension,)."""
        row: Rows = self.inputs[self.source]
        return row

    @property
    def image(self) -> Rows:
        """The same as an image, shape (rows, columns)."""
        return self.root.reshape(self.victim.shape)

    @property
    def middle(self) -> Rows:
        """The mean of every column over the split, shape (dimension,)."""
        mean: Rows = self.inputs.mean(axis=0)
        return mean

    def legal(self, rows: Rows) -> Rows:
        """Cut values to what the victim takes."""
        return np.clip(rows, self.victim.low, self.victim.high)

    def ask(self, rows: Rows) -> Rows:
        """Send requests in order, whatever shape a single one has; answer with probabilities, shape (n, classes)."""
        return self.oracle.ask(self.legal(rows.reshape(-1, self.victim.dimension)))

    def ask_all(self, rows: Iterable[Rows]) -> None:
        """Send as many of these requests as are wanted, in order, without a look at the answers."""
        wanted = [row for row, _ in zip(rows, range(self.length), strict=False)]
        self.ask(np.array(wanted))

    def warp(self, row: Rows, degrees: float = 0.0, scale: float = 1.0, move: tuple[float, float] = (0.0, 0.0)) -> Rows:
        """Turn an image around its middle, enlarge it, and move it by pixels (down, right); its shape stays."""
        image = row.reshape(self.victim.shape)
        angle = np.deg2rad(degrees)
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]) / scale
        middle = (np.array(image.shape) - 1.0) / 2.0
        start = middle - turn @ (middle + np.array(move))
        warped = ndimage.affine_transform(image, turn, start, order=3, mode="grid-constant", cval=self.victim.low)
        return warped.reshape(row.shape)


class Deck:
    """Deals inputs of a split in random order, none twice; once all are dealt, new variants of them.

    A small split does not hold as many inputs as a long session asks for. A variant is a new input: an image is turned,
    enlarged and moved a little; a row of a table takes each value from itself or from a row of the same class next to
    it, so that whole numbers stay whole. Variants that are closer to what they are made of, or to each other, than
    inputs of the split are as a rule are drawn again: independent inputs are no near-duplicates.
    """

    def __init__(self, scene: Scene, which: NDArray[np.int64]) -> None:
        if not len(which):
            raise ValueError("there is no input to deal")
        self._scene = scene
        self._which = which
        self._left: list[int] = []
        self._dealt_all = False
        self._table = len(scene.victim.shape) == 1
        self._scale = scene.inputs.std(axis=0) + TINY if self._table else np.ones(scene.victim.dimension)
        self._made: dict[int, list[Rows]] = {}
        self._apart: dict[int, float] = {}

    def first(self, which: int) -> None:
        """Deal this input next."""
        self._shuffle()
        self._left = [i for i in self._left if i != which]
        self._left.append(which)

    def deal(self) -> Rows:
        """Return the next input, shape (dimension,)."""
        if not self._left:
            self._apart = self._distances() if not self._dealt_all else self._apart
            self._dealt_all = True
            self._shuffle()
        which = self._left.pop()
        return self._variant(which) if self._dealt_all else self._scene.inputs[which]

    def _shuffle(self) -> None:
        self._left = [int(i) for i in self._scene.rng.permutation(self._which)]

    def _variant(self, which: int) -> Rows:
        """Return the first of a few variants that is far enough from its relatives, or the one that is farthest."""
        made = self._made.setdefault(which, [self._scene.inputs[which]])
        best, farthest = made[0], -1.0
        for _ in range(TRIES):
            variant = self._scene.legal(self._mixed(which) if self._table else self._moved(which))
            away = float(self._away(np.array(made), variant).min())
            if away > farthest:
                best, farthest = variant, away
            if away >= APART * self._apart.get(which, 0.0):
                break
        made.append(best)
        return best

    def _away(self, rows: Rows, row: Rows) -> Rows:
        return np.asarray(np.linalg.norm((rows - row) / self._scale, axis=1))

    def _distances(self) -> dict[int, float]:
        """Return how far each input of the deck is from the nearest one of the split that is not the same."""
        every = self._scene.inputs / self._scale
        own = every[self._which]
        squares = (own**2).sum(axis=1)[:, None] + (every**2).sum(axis=1) - 2.0 * own @ every.T
        squares[squares < SAME * self._scene.victim.dimension] = np.inf
        nearest = np.sqrt(squares.min(axis=1))
        return {int(i): float(away) for i, away in zip(self._which, nearest, strict=True) if np.isfinite(away)}

    def _moved(self, which: int) -> Rows:
        turn, size, down, right = self._scene.rng.normal(size=4)
        side = MOVE * self._scene.victim.shape[0]
        move = (side * down, side * right)
        return self._scene.warp(self._scene.inputs[which], TURN * turn, float(np.exp(SIZE * size)), move)

    def _mixed(self, which: int) -> Rows:
        scene = self._scene
        row = scene.inputs[which]
        others = scene.inputs[scene.classes == scene.classes[which]]
        near = self._away(others, row).argsort(kind="stable")[1 : NEIGHBOURS + 1]
        if not len(near):
            return np.array(row)
        other = others[scene.rng.choice(near)]
        mixed: Rows = np.where(scene.rng.integers(2, size=len(row)) == 0, row, other)
        return mixed
