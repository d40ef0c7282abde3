"""The world outside: handwritten digits, a camera that may degrade, and what can be measured on its pictures.

The digits data set has 1,797 images. Drawing 20,000 events from a few hundred of them again and again would itself be
a drift from the baseline, so the images are split into three disjoint sets (training, baseline, live) and every event
is a new photograph: shifted, turned, scaled, more or less in focus, lit differently, with sensor noise of its own.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import fft, ndimage

SIDE = 16
"""Pictures are 16 x 16 pixels; the scanned digits are 8 x 8."""
CLASSES = tuple(str(digit) for digit in range(10))
FEATURES = (
    "brightness", "contrast", "dark_level", "bright_level", "ink", "sharpness", "edges", "grain",
    "centre_x", "centre_y", "width", "height",
)  # fmt: skip
"""What the model server reports of each picture, in this order."""

_NOISE_KERNEL = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], dtype=np.float32)

Pictures = NDArray[np.uint8]
"""Shape (n, SIDE, SIDE)."""


@dataclass(frozen=True, slots=True)
class Digits:
    """Scanned digits, 0 to 1."""

    images: NDArray[np.float32]
    labels: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Split:
    """Three disjoint sets of digits, each with every class in equal share."""

    training: Digits
    baseline: Digits
    live: Digits


def split_digits(seed: int) -> Split:
    """Deal the digits into three disjoint sets, class by class."""
    from sklearn.datasets import load_digits

    data = load_digits()
    images = (data.images / 16.0).astype(np.float32)
    labels = data.target.astype(np.int64)
    rng = np.random.default_rng(seed)
    parts: tuple[list[int], list[int], list[int]] = ([], [], [])
    for label in range(len(CLASSES)):
        for place, index in enumerate(rng.permutation(np.flatnonzero(labels == label))):
            parts[place % 3].append(int(index))
    sets = [Digits(images[order], labels[order]) for order in (rng.permutation(part) for part in parts)]
    return Split(*sets)


@dataclass(frozen=True, slots=True)
class Camera:
    """A camera in use: every picture differs a little, and ``wear`` (0 to 1) adds blur and noise to all of them."""

    wear: float = 0.0

    def photograph(self, digits: NDArray[np.float32], rng: np.random.Generator) -> Pictures:
        """Take one picture of each scanned digit, shape (n, 8, 8)."""
        pictures = _place(digits, rng)
        n = len(pictures)
        focus = rng.uniform(0.3, 1.0, n) + 1.6 * self.wear
        light = rng.uniform(0.55, 1.0, n).astype(np.float32)[:, None, None]
        glare = rng.uniform(0.0, 0.2, n).astype(np.float32)[:, None, None]
        grain = (rng.uniform(0.02, 0.06, n) + 0.14 * self.wear).astype(np.float32)[:, None, None]
        pictures = _blur(pictures, focus) * light + glare
        pictures += grain * rng.standard_normal(pictures.shape, dtype=np.float32)
        quantised: Pictures = np.rint(np.clip(pictures, 0.0, 1.0) * 255.0).astype(np.uint8)
        return quantised


def _place(digits: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    """Turn, scale and shift each digit, and sample it on the finer grid."""
    n, rows, _ = digits.shape
    angle = np.deg2rad(rng.uniform(-14.0, 14.0, n))
    scale = rng.uniform(0.85, 1.15, n) * rows / SIDE
    shift = rng.uniform(-0.9, 0.9, (2, n))
    grid = np.arange(SIDE) - (SIDE - 1) / 2
    y, x = np.meshgrid(grid, grid, indexing="ij")
    cos, sin = (np.cos(angle) * scale)[:, None, None], (np.sin(angle) * scale)[:, None, None]
    centre = (rows - 1) / 2
    source_y = cos * y - sin * x + centre + shift[0][:, None, None]
    source_x = sin * y + cos * x + centre + shift[1][:, None, None]
    which = np.broadcast_to(np.arange(n)[:, None, None], source_y.shape)
    placed = ndimage.map_coordinates(digits, [which, source_y, source_x], order=1, mode="constant")
    return np.asarray(placed, dtype=np.float32)


def _blur(pictures: NDArray[np.float32], sigma: NDArray[np.float64]) -> NDArray[np.float32]:
    """Blur each picture by its own Gaussian, all at once in the frequency domain."""
    frequency_y, frequency_x = fft.fftfreq(SIDE)[:, None], fft.rfftfreq(SIDE)[None, :]
    radius = frequency_y**2 + frequency_x**2
    transfer = np.exp(-2.0 * np.pi**2 * sigma[:, None, None] ** 2 * radius)
    blurred = fft.irfft2(fft.rfft2(pictures) * transfer, s=(SIDE, SIDE))
    return np.asarray(blurred, dtype=np.float32)


def measure(pictures: Pictures) -> NDArray[np.float32]:
    """Return the ``FEATURES`` of each picture, shape (n, 12)."""
    light = pictures.astype(np.float32) / 255.0
    n = len(light)
    flat = light.reshape(n, -1)
    dark, bright = np.percentile(flat, [10, 95], axis=1)
    middle = ((dark + bright) / 2)[:, None]
    smooth = ndimage.gaussian_filter(light, sigma=1.0, axes=(1, 2))
    slope = np.hypot(np.diff(smooth, axis=1)[:, :, 1:], np.diff(smooth, axis=2)[:, 1:])
    step_y, step_x = np.diff(light, axis=1), np.diff(light, axis=2)
    grain = ndimage.convolve(light, _NOISE_KERNEL[None])[:, 1:-1, 1:-1]
    weight = np.clip(light - dark[:, None, None], 0.0, None)
    weight /= weight.sum(axis=(1, 2), keepdims=True) + 1e-6
    grid = np.arange(SIDE, dtype=np.float32)
    column, row = weight.sum(axis=1), weight.sum(axis=2)
    centre_x, centre_y = column @ grid, row @ grid
    values = (
        flat.mean(axis=1),
        flat.std(axis=1),
        dark,
        bright,
        (flat > middle).mean(axis=1),
        np.percentile(slope.reshape(n, -1), 95, axis=1) / (bright - dark + 0.05),
        (np.abs(step_y).mean(axis=(1, 2)) + np.abs(step_x).mean(axis=(1, 2))) / 2,
        np.abs(grain).mean(axis=(1, 2)) / 6.0 * np.sqrt(np.pi / 2),
        centre_x,
        centre_y,
        np.sqrt(np.clip(column @ grid**2 - centre_x**2, 0.0, None)),
        np.sqrt(np.clip(row @ grid**2 - centre_y**2, 0.0, None)),
    )
    return np.stack(values, axis=1).astype(np.float32)
