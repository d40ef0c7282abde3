"""Explainers and robustness tests of one image: many requests close to each other, laid out before any answer comes."""

import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from redteam.benign.scene import Rows, Scene

WIDTHS = (0.01, 0.03, 0.1)
"""Of a finite difference, as shares of the range; a client has one of them."""
SEGMENTS = 40
"""Superpixels of an image; one too small for them is cut into blocks of two by two."""
SMALL = 16
"""Pixels on a side below which an image is small."""
LLOYD_ROUNDS = 10
COMPACT = 0.5
"""Weight of the place against the brightness when pixels are grouped."""
KEPT = 0.5
"""Probability that a mask keeps a superpixel or a cell."""
SHAP_GRID = 4
RISE_GRID = 7
NOISE = 0.1
"""Standard deviation of the noise test, as a share of the range."""


def segments(image: Rows) -> NDArray[np.int64]:
    """Group the pixels of an image into superpixels; their numbers, shape (rows, columns), have no gaps from 0 on."""
    rows, columns = image.shape
    down, right = np.mgrid[:rows, :columns]
    if min(rows, columns) < SMALL:
        return np.asarray((down // 2) * -(-columns // 2) + right // 2, dtype=np.int64)
    step = math.sqrt(image.size / SEGMENTS)
    span = max(float(np.ptp(image)), 1e-12)
    pixels = np.stack([down / step * COMPACT, right / step * COMPACT, image / span], axis=-1).reshape(-1, 3)
    starts = np.ix_(np.arange(step / 2, rows, step).astype(int), np.arange(step / 2, columns, step).astype(int))
    centres = pixels.reshape(rows, columns, 3)[starts].reshape(-1, 3)
    owner = np.zeros(len(pixels), dtype=np.int64)
    for _ in range(LLOYD_ROUNDS):
        owner = ((pixels[:, None] - centres) ** 2).sum(axis=2).argmin(axis=1)
        for k in np.unique(owner):
            centres[k] = pixels[owner == k].mean(axis=0)
    return np.asarray(np.unique(owner, return_inverse=True)[1].reshape(rows, columns), dtype=np.int64)


def lime(scene: Scene) -> None:
    """Fill random halves of the superpixels with their own means; the first request is the image itself."""
    groups = segments(scene.image)
    means = np.asarray(ndimage.mean(scene.image, groups, np.arange(groups.max() + 1)))
    keep = scene.rng.random((scene.length, len(means))) < KEPT
    keep[0] = True
    scene.ask(np.where(keep[:, groups], scene.image, means[groups]))


def coalitions(rng: np.random.Generator, players: int, length: int, *, paired: bool) -> NDArray[np.bool_]:
    """Draw coalitions as KernelSHAP does, shape (length, players): all, none, then sizes by Shapley's kernel.

    When they are paired, each one is followed by its complement.
    """
    sizes = np.arange(1, players)
    mass = 1.0 / (sizes * (players - sizes))
    drawn = rng.choice(sizes, size=length, p=mass / mass.sum())
    chosen = rng.random((length, players)).argsort(axis=1).argsort(axis=1) < drawn[:, None]
    if paired:
        chosen[3::2] = ~chosen[2::2][: len(chosen[3::2])]
    chosen[:1] = True
    chosen[1:2] = False
    return chosen


def _kernelshap(scene: Scene, *, paired: bool) -> None:
    rows, columns = scene.image.shape
    fill = ndimage.gaussian_filter(scene.image, rows / 8.0)
    player = (np.arange(rows) * SHAP_GRID // rows)[:, None] * SHAP_GRID + np.arange(columns) * SHAP_GRID // columns
    keep = coalitions(scene.rng, SHAP_GRID * SHAP_GRID, scene.length, paired=paired)
    scene.ask(np.where(keep[:, player], scene.image, fill))


def kernelshap(scene: Scene) -> None:
    """Blur what is not in a random coalition of the cells of a 4x4 grid."""
    _kernelshap(scene, paired=False)


def kernelshap_paired(scene: Scene) -> None:
    """Do the same, each coalition followed by its complement."""
    _kernelshap(scene, paired=True)


def occlusion(scene: Scene) -> None:
    """Slide a patch with the image's mean over it, pixel by pixel; then larger patches, up to half the side."""
    scene.ask_all(_occluded(scene.image))


def _occluded(image: Rows) -> Iterator[Rows]:
    rows, columns = image.shape
    yield image
    for side in range(max(2, round(rows / 8)), rows // 2 + 1):
        for down in range(rows - side + 1):
            for right in range(columns - side + 1):
                patched = image.copy()
                patched[down : down + side, right : right + side] = image.mean()
                yield patched


def sensitivity(scene: Scene) -> None:
    """Change one value after the other up and down by the same, in random order: finite differences of the answers."""
    width = scene.rng.choice(WIDTHS) * (scene.victim.high - scene.victim.low)
    order = scene.rng.permutation(scene.victim.dimension)
    rows = np.repeat(scene.root[None], 2 * len(order) + 1, axis=0)
    rows[1 + 2 * np.arange(len(order)), order] += width
    rows[2 + 2 * np.arange(len(order)), order] -= width
    rows = scene.legal(rows)
    # A value at its end stays as it is one way: nobody asks for the same again.
    told = np.concatenate([[True], (rows[1:] != rows[0]).any(axis=1)])
    scene.ask_all(rows[told])


def _stretched(cells: int, pixels: int) -> Rows:
    """Return the matrix that interpolates linearly between the middles of cells, shape (pixels, cells)."""
    place = np.clip((np.arange(pixels) + 0.5) * cells / pixels - 0.5, 0.0, cells - 1.0)
    return np.maximum(0.0, 1.0 - np.abs(place[:, None] - np.arange(cells)))


def rise(scene: Scene) -> None:
    """Darken the image by smooth random masks; the first request is the image itself."""
    rows, columns = scene.image.shape
    cell = -(-max(rows, columns) // RISE_GRID)
    matrix = _stretched(RISE_GRID, (RISE_GRID + 1) * cell)
    coarse = (scene.rng.random((scene.length, RISE_GRID, RISE_GRID)) < KEPT).astype(np.float64)
    shifts = scene.rng.integers(0, cell, size=(scene.length, 2))
    smooth = matrix @ coarse @ matrix.T
    masks = np.array([m[d : d + rows, r : r + columns] for m, (d, r) in zip(smooth, shifts, strict=True)])
    masks[0] = 1.0
    low = scene.victim.low
    scene.ask(low + masks * (scene.image - low))


def noise_test(scene: Scene) -> None:
    """Send the input itself, then with fresh noise each time."""
    noise = (
        NOISE * (scene.victim.high - scene.victim.low) * scene.rng.normal(size=(scene.length, scene.victim.dimension))
    )
    noise[0] = 0.0
    scene.ask(scene.root + noise)
