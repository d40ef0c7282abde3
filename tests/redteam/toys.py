"""Victims without training, for tests."""

from dataclasses import fields
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from redteam.victims import Victim

Rows = NDArray[np.float64]


def toy_victim(shape: tuple[int, ...], *, low: float, high: float, count: int) -> Victim:
    """A victim whose classes are three centres, and whose probabilities fall with the distance from them."""
    rng = np.random.default_rng(5)
    dimension = int(np.prod(shape))
    centres = rng.uniform(low, high, size=(3, dimension))
    span = (high - low) * np.sqrt(dimension)

    def predict(inputs: Rows) -> Rows:
        away = np.linalg.norm(inputs[:, None] - centres, axis=2) / span
        scores = np.exp(-30.0 * away)
        return np.asarray(scores / scores.sum(axis=1, keepdims=True))

    classes = np.arange(count) % 3
    noise = 0.15 * (high - low) * rng.normal(size=(count, dimension))
    inputs = np.clip(centres[classes] + noise, low, high)
    split = (inputs, classes.astype(np.int64))
    numbers = ("budget", "budget_linf", "grain")
    own = {field.name for field in fields(Victim)}
    limits: dict[str, Any] = {name: 1.0 for name in numbers if name in own}
    return Victim(
        name="toy",
        predict=predict,
        shape=shape,
        classes=3,
        low=low,
        high=high,
        fit=split,
        reference=split,
        calibration=split,
        confirmation=(inputs[::-1].copy(), classes[::-1].astype(np.int64)),
        **limits,
    )


@cache
def victims() -> tuple[Victim, ...]:
    """Return a small image, a larger one, a table, and an image with other bounds; a session is longer than a split."""
    return (
        toy_victim((8, 8), low=0.0, high=1.0, count=90),
        toy_victim((20, 20), low=0.0, high=1.0, count=90),
        toy_victim((12,), low=-2.0, high=3.0, count=60),
        toy_victim((9, 11), low=0.25, high=0.75, count=30),
    )


def shape_name(value: object) -> str:
    """Return what a victim in the parameters of a test is called."""
    return "x".join(map(str, value.shape)) if isinstance(value, Victim) else ""
