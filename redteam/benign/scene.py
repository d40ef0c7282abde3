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

    A small split does not hold as many inputs as a long session asks for. A variant is a new input that is almost as
    far from the one it is made of as two inputs next to each other are: an image is turned, enlarged and moved a
    little; a row of a table takes each value from itself or from a row of the same class next to it, so that whole
    numbers stay whole.
    """

    def __init__(self, scene: Scene, which: NDArray[np.int64]) -> None:
        if not len(which):
            raise ValueError("there is no input to deal")
        self._scene = scene
        self._which = which
        self._left: list[int] = []
        self._dealt_all = False

    def first(self, which: int) -> None:
        """Deal this input next."""
        self._shuffle()
        self._left = [i for i in self._left if i != which]
        self._left.append(which)

    def deal(self) -> Rows:
        """Return the next input, shape (dimension,)."""
        if not self._left:
            self._dealt_all = True
            self._shuffle()
        which = self._left.pop()
        return self._variant(which) if self._dealt_all else self._scene.inputs[which]

    def _shuffle(self) -> None:
        self._left = [int(i) for i in self._scene.rng.permutation(self._which)]

    def _variant(self, which: int) -> Rows:
        scene = self._scene
        if len(scene.victim.shape) == 1:
            return self._mixed(which)
        turn, size, down, right = scene.rng.normal(size=4)
        side = MOVE * scene.victim.shape[0]
        return scene.warp(scene.inputs[which], TURN * turn, float(np.exp(SIZE * size)), (side * down, side * right))

    def _mixed(self, which: int) -> Rows:
        scene = self._scene
        row = scene.inputs[which]
        others = scene.inputs[scene.classes == scene.classes[which]]
        spread = scene.inputs.std(axis=0) + 1e-12
        near = np.argsort((((others - row) / spread) ** 2).sum(axis=1), kind="stable")[1 : NEIGHBOURS + 1]
        if not len(near):
            return np.array(row)
        other = others[scene.rng.choice(near)]
        mixed: Rows = np.where(scene.rng.integers(2, size=len(row)) == 0, row, other)
        return mixed
