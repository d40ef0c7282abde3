"""Explainers and robustness tests of one row of a table."""

from collections.abc import Iterator
from itertools import combinations

import numpy as np

from redteam.benign.explainers import coalitions
from redteam.benign.scene import Rows, Scene

BACKGROUND = 10
"""Rows that stand in for what a coalition leaves out."""
QUARTILES = 4
GRID_FIRST, GRID_SECOND, GRID_LINE = 25, 24, 20
"""Values of the two columns of a grid search; values of each column when one is changed at a time."""


def lime(scene: Scene) -> None:
    """Draw every column anew: a quartile of the split as often as it occurs, and a value of the split in it."""
    drawn = np.empty((scene.length, scene.victim.dimension))
    for column, values in enumerate(np.sort(scene.inputs, axis=0).T):
        parts = [part for part in np.array_split(values, QUARTILES) if len(part)]
        which = scene.rng.choice(len(parts), size=scene.length, p=[len(part) / len(values) for part in parts])
        drawn[:, column] = [parts[k][scene.rng.integers(len(parts[k]))] for k in which]
    drawn[0] = scene.root
    scene.ask(drawn)


def _kernelshap(scene: Scene, *, paired: bool) -> None:
    background = scene.inputs[scene.rng.choice(len(scene.inputs), BACKGROUND, replace=len(scene.inputs) < BACKGROUND)]
    keep = coalitions(scene.rng, scene.victim.dimension, -(-scene.length // BACKGROUND), paired=paired)
    rows = np.where(keep[:, None, :], scene.root, background)
    scene.ask(rows.reshape(-1, scene.victim.dimension)[: scene.length])


def kernelshap(scene: Scene) -> None:
    """Fill what is not in a random coalition of columns from each of ten rows of the split."""
    _kernelshap(scene, paired=False)


def kernelshap_paired(scene: Scene) -> None:
    """Do the same, each coalition followed by its complement."""
    _kernelshap(scene, paired=True)


def occlusion(scene: Scene) -> None:
    """Put the mean of the split into each column, then into each pair of columns."""
    scene.ask_all(_occluded(scene))


def _occluded(scene: Scene) -> Iterator[Rows]:
    yield scene.root
    for size in (1, 2):
        for columns in combinations(range(scene.victim.dimension), size):
            row = scene.root.copy()
            row[list(columns)] = scene.middle[list(columns)]
            yield row


def noise_test(scene: Scene) -> None:
    """Send the row itself, then with fresh noise of a tenth of every column's standard deviation."""
    noise = 0.1 * scene.inputs.std(axis=0) * scene.rng.normal(size=(scene.length, scene.victim.dimension))
    noise[0] = 0.0
    scene.ask(scene.root + noise)


def grid_search(scene: Scene) -> None:
    """Set two columns, drawn at random, to every pair of values of a grid over their ranges."""
    first, second = scene.rng.choice(scene.victim.dimension, size=2, replace=False)
    scene.ask_all(_grid(scene, int(first), int(second)))


def _grid(scene: Scene, first: int, second: int) -> Iterator[Rows]:
    low, high = scene.inputs.min(axis=0), scene.inputs.max(axis=0)
    for one in np.linspace(low[first], high[first], GRID_FIRST):
        for other in np.linspace(low[second], high[second], GRID_SECOND):
            row = scene.root.copy()
            row[first], row[second] = one, other
            yield row


def one_at_a_time(scene: Scene) -> None:
    """Lead one column after the other over its range, the others as they are (individual conditional expectation)."""
    scene.ask_all(_lines(scene))


def _lines(scene: Scene) -> Iterator[Rows]:
    low, high = scene.inputs.min(axis=0), scene.inputs.max(axis=0)
    for column in range(scene.victim.dimension):
        for value in np.linspace(low[column], high[column], GRID_LINE):
            row = scene.root.copy()
            row[column] = value
            yield row
