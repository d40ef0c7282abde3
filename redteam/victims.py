"""Models to attack: small, real, trained here; data split by source, so that nothing is judged on what set it up."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Split = tuple[NDArray[np.float64], NDArray[np.int64]]
"""Inputs (n, dimension) and their labels (n,)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Victim:
    """A classifier and the data around it.

    The splits are disjoint: ``fit`` trained the classifier, ``reference`` is what the monitor's baseline is compiled
    from, thresholds are set on ``calibration``, and results are reported on ``confirmation``.
    """

    name: str
    predict: Callable[[NDArray[np.float64]], NDArray[np.float64]] = field(repr=False)
    shape: tuple[int, ...]
    """Of one input: (rows, columns) of an image, (columns,) of a table."""
    classes: int
    low: float
    high: float
    """Every value of an input lies between."""
    budget: float
    """Largest L2 distance at which a changed input still counts as the same one."""
    budget_linf: float
    """Largest change of any single value at which it does."""
    fit: Split
    reference: Split
    calibration: Split
    confirmation: Split
    classifier: Any = field(repr=False, default=None)
    """The trained classifier itself, for attacks that need its gradients."""

    @property
    def dimension(self) -> int:
        """Values of one input."""
        return int(np.prod(self.shape))


def _trained(fit: Split, seed: int) -> Any:
    from sklearn.neural_network import MLPClassifier

    return MLPClassifier((64,), max_iter=400, random_state=seed).fit(*fit)


def _cut(data: Split, sizes: tuple[int, ...], seed: int) -> list[Split]:
    """Cut data into disjoint random parts; the last one takes what is left."""
    inputs, labels = data
    order = np.random.default_rng(seed).permutation(len(inputs))
    bounds = np.cumsum(sizes)
    return [(inputs[part], labels[part]) for part in np.split(order, bounds)]


def digits(seed: int = 0) -> Victim:
    """Return a multilayer perceptron on the 8x8 digits that scikit-learn carries (1,797 images)."""
    from sklearn.datasets import load_digits

    inputs, labels = load_digits(return_X_y=True)
    data = (inputs / 16.0, labels.astype(np.int64))
    fit, reference, calibration, confirmation = _cut(data, (700, 400, 340), seed)
    classifier = _trained(fit, seed)
    return Victim(
        name="digits",
        predict=classifier.predict_proba,
        shape=(8, 8),
        classes=10,
        low=0.0,
        high=1.0,
        budget=0.8,
        budget_linf=0.2,
        fit=fit,
        reference=reference,
        calibration=calibration,
        confirmation=confirmation,
        classifier=classifier,
    )


def mnist(folder: Path, seed: int = 0) -> Victim:
    """Return a multilayer perceptron on MNIST (28x28), from ``mnist_test10k.npz`` in a folder.

    Raises
    ------
    FileNotFoundError
        If the file is not there.
    """
    with np.load(folder / "mnist_test10k.npz") as held:
        inputs = held["x"].reshape(len(held["x"]), -1) / 255.0
        labels = held["y"].astype(np.int64)
    fit, reference, calibration, confirmation = _cut((inputs, labels), (4_000, 2_000, 2_000), seed)
    classifier = _trained(fit, seed)
    return Victim(
        name="mnist",
        predict=classifier.predict_proba,
        shape=(28, 28),
        classes=10,
        low=0.0,
        high=1.0,
        budget=2.0,
        budget_linf=0.15,
        fit=fit,
        reference=reference,
        calibration=calibration,
        confirmation=confirmation,
        classifier=classifier,
    )
