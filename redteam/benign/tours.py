"""Clients that lead one image along a path laid out beforehand: sweeps, grids and a film."""

from collections.abc import Iterator

import numpy as np
from scipy import fft, ndimage

from redteam.benign.scene import Rows, Scene

STEPS = 32
"""Severities and brightnesses of a sweep, each."""
QUALITY = (95.0, 20.0)
BLUR = (0.0, 1.0 / 12.0)
"""Standard deviations of the blur, as a share of the side."""
BRIGHTNESS = 0.2
TURNS, SIZES = 25, 24
"""Angles and scales of a grid search, each."""
ANGLE, SCALE = 60.0, 0.3
SCENE_FRAMES = 60
"""Frames of a film from one image to the next; in the last third one fades into the other."""
SENSOR = 0.01
"""Noise of a camera, as a share of the range: no two frames are the same bits."""
BLOCK = 8
MIDDLING = 50.0
"""The quality at which the steps are those of the table."""
QUANTUM = np.array(
    [
        [16, 11, 10, 16, 24, 40, 51, 61],
        [12, 12, 14, 19, 26, 58, 60, 55],
        [14, 13, 16, 24, 40, 57, 69, 56],
        [14, 17, 22, 29, 51, 87, 80, 62],
        [18, 22, 37, 56, 68, 109, 103, 77],
        [24, 35, 55, 64, 81, 104, 113, 92],
        [49, 64, 78, 87, 103, 121, 120, 101],
        [72, 92, 95, 98, 112, 100, 103, 99],
    ]
)
"""The example table for luminance of the JPEG standard (ITU-T T.81, table K.1)."""


def compressed(image: Rows, quality: float) -> Rows:
    """Quantise an image in 0..1 as JPEG does at a quality in 1..100: blocks of cosines, steps by the table."""
    scale = 5_000.0 / quality if quality < MIDDLING else 200.0 - 2.0 * quality
    steps = np.clip(np.floor((QUANTUM * scale + 50.0) / 100.0), 1.0, 255.0)
    rows, columns = image.shape
    padded = np.pad(image * 255.0 - 128.0, [(0, -rows % BLOCK), (0, -columns % BLOCK)], mode="edge")
    blocks = padded.reshape(padded.shape[0] // BLOCK, BLOCK, -1, BLOCK).swapaxes(1, 2)
    waves = fft.dctn(blocks, axes=(2, 3), norm="ortho")
    back = fft.idctn(np.round(waves / steps) * steps, axes=(2, 3), norm="ortho")
    whole: Rows = back.swapaxes(1, 2).reshape(padded.shape)[:rows, :columns]
    return (whole + 128.0) / 255.0


def _swept(scene: Scene, degraded: Iterator[Rows]) -> Iterator[Rows]:
    span = scene.victim.high - scene.victim.low
    for image in degraded:
        for light in np.linspace(-BRIGHTNESS, BRIGHTNESS, STEPS):
            yield image + light * span


def sweep(scene: Scene) -> None:
    """Compress the image ever more, and make every version darker and brighter."""
    low, span = scene.victim.low, scene.victim.high - scene.victim.low
    unit = (scene.image - low) / span
    scene.ask_all(_swept(scene, (low + span * compressed(unit, float(q)) for q in np.linspace(*QUALITY, STEPS))))


def blur_sweep(scene: Scene) -> None:
    """Blur the image ever more, and make every version darker and brighter."""
    side = scene.image.shape[0]
    blurs = np.linspace(*BLUR, STEPS) * side
    scene.ask_all(_swept(scene, (ndimage.gaussian_filter(scene.image, float(s)) for s in blurs)))


def grid_search(scene: Scene) -> None:
    """Turn and enlarge the image over a grid."""
    scene.ask_all(
        scene.warp(scene.image, float(angle), float(scale))
        for angle in np.linspace(-ANGLE, ANGLE, TURNS)
        for scale in np.linspace(1.0 - SCALE, 1.0 + SCALE, SIZES)
    )


def video(scene: Scene) -> None:
    """Film: an image swings, turns and fades into one of another class, and so on."""
    scene.ask_all(_frames(scene))


def _frames(scene: Scene) -> Iterator[Rows]:
    shape = scene.victim.shape
    noise = SENSOR * (scene.victim.high - scene.victim.low)
    here = scene.source
    swing = scene.rng.uniform(0.5, 1.5, size=3) / SCENE_FRAMES
    frame = 0
    while True:
        others = np.flatnonzero(scene.classes != scene.classes[here])
        there = int(scene.rng.choice(others if len(others) else np.arange(len(scene.inputs))))
        for step in range(SCENE_FRAMES):
            fade = max(0.0, 3.0 * step / SCENE_FRAMES - 2.0)
            mixed = (1.0 - fade) * scene.inputs[here] + fade * scene.inputs[there]
            turn, down, right = np.sin(2.0 * np.pi * swing * frame)
            side = 0.1 * shape[0]
            moved = scene.warp(mixed, float(15.0 * turn), 1.0, (float(side * down), float(side * right)))
            yield moved + noise * scene.rng.normal(size=len(moved))
            frame += 1
        here = there
