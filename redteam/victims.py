"""Models to attack: small, real, trained here; data split by source, so that nothing is judged on what set it up."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Split = tuple[NDArray[np.float64], NDArray[np.int64]]
"""Inputs (n, dimension) and their labels (n,)."""
Predict = Callable[[NDArray[np.float64]], NDArray[np.float64]]
Timed = Callable[[NDArray[np.float64]], tuple[NDArray[np.float64], NDArray[np.float64]]]
"""From inputs (n, dimension) to class probabilities (n, classes), and the milliseconds (n,) that each answer took."""

MNIST = "mnist_test10k.npz"
TABLE_BOUND = 5.0
"""Tables are in robust units, and no value is further from its median than so many interquartile ranges."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Victim:
    """A classifier and the data around it.

    The splits are disjoint: ``fit`` trained the classifier, ``reference`` is what the monitor's baseline is compiled
    from, thresholds are set on ``calibration``, and results are reported on ``confirmation``.
    """

    name: str
    predict: Predict = field(repr=False)
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
    grain: float
    """Smallest difference between two values that the data shows; rounding to it is what a careful attacker does."""
    fit: Split = field(repr=False)
    reference: Split = field(repr=False)
    calibration: Split = field(repr=False)
    confirmation: Split = field(repr=False)
    classifier: Any = field(repr=False, default=None)
    """The trained classifier itself, for attacks that need its gradients."""
    strangers: NDArray[np.float64] | None = field(repr=False, default=None)
    """Real inputs of another data set, shape (n, dimension), brought into this shape."""
    timed: Timed | None = field(repr=False, default=None)
    """Answers one at a time with how long each took, where that can be measured; else it is simulated."""

    @property
    def dimension(self) -> int:
        """Values of one input."""
        return int(np.prod(self.shape))


def cut(data: Split, sizes: tuple[int, ...], seed: int) -> list[Split]:
    """Cut data into disjoint random parts; the last one takes what is left."""
    inputs, labels = data
    order = np.random.default_rng(seed).permutation(len(inputs))
    bounds = np.cumsum(sizes)
    return [(inputs[part], labels[part]) for part in np.split(order, bounds)]


def _perceptron(fit: Split, seed: int) -> tuple[Any, Predict]:
    """Train a multilayer perceptron; its answers are worked out here, because one row at a time is what attacks ask."""
    from sklearn.neural_network import MLPClassifier

    classifier = MLPClassifier((64,), max_iter=400, random_state=seed).fit(*fit)
    (first, second), (shift, bias) = classifier.coefs_, classifier.intercepts_

    def predict(inputs: NDArray[np.float64]) -> NDArray[np.float64]:
        scores = np.maximum(inputs @ first + shift, 0.0) @ second + bias
        scores = np.exp(scores - scores.max(axis=1, keepdims=True))
        answers: NDArray[np.float64] = scores / scores.sum(axis=1, keepdims=True)
        return answers

    return classifier, predict


def _forest(fit: Split, seed: int) -> tuple[Any, Predict]:
    """Train a random forest; its trees are asked directly, because the forest itself takes milliseconds a row."""
    from sklearn.ensemble import RandomForestClassifier

    classifier = RandomForestClassifier(50, min_samples_leaf=2, random_state=seed).fit(*fit)
    trees = [tree.tree_ for tree in classifier.estimators_]

    def predict(inputs: NDArray[np.float64]) -> NDArray[np.float64]:
        rows = np.ascontiguousarray(inputs, dtype=np.float32)
        answers: NDArray[np.float64] = np.mean([tree.predict(rows) for tree in trees], axis=0).reshape(len(rows), -1)
        return answers

    return classifier, predict


def _softmax(fit: Split, seed: int) -> tuple[Any, Predict]:
    """Train a logistic regression on several classes."""
    from sklearn.linear_model import LogisticRegression

    classifier = LogisticRegression(max_iter=2_000, random_state=seed).fit(*fit)
    weights, bias = classifier.coef_.T, classifier.intercept_

    def predict(inputs: NDArray[np.float64]) -> NDArray[np.float64]:
        scores = inputs @ weights + bias
        scores = np.exp(scores - scores.max(axis=1, keepdims=True))
        answers: NDArray[np.float64] = scores / scores.sum(axis=1, keepdims=True)
        return answers

    return classifier, predict


def _logistic(fit: Split, seed: int) -> tuple[Any, Predict]:
    """Train a logistic regression on two classes."""
    from sklearn.linear_model import LogisticRegression

    classifier = LogisticRegression(max_iter=2_000, random_state=seed).fit(*fit)
    weights, bias = classifier.coef_[0], classifier.intercept_[0]

    def predict(inputs: NDArray[np.float64]) -> NDArray[np.float64]:
        second = 1.0 / (1.0 + np.exp(-(inputs @ weights + bias)))
        return np.stack([1.0 - second, second], axis=1)

    return classifier, predict


def _blocks(images: NDArray[np.float64]) -> NDArray[np.float64]:
    """Reduce images of 28 x 28 to 8 x 8 as the 8 x 8 digits once were: padded to 32, then means of 4 x 4."""
    padded = np.pad(images.reshape(-1, 28, 28), ((0, 0), (2, 2), (2, 2)))
    reduced: NDArray[np.float64] = padded.reshape(-1, 8, 4, 8, 4).mean(axis=(2, 4)).reshape(len(images), -1)
    return reduced


def _enlarged(images: NDArray[np.float64]) -> NDArray[np.float64]:
    """Enlarge images of 8 x 8 to 28 x 28: each value three times, and a margin."""
    large = images.reshape(-1, 8, 8).repeat(3, axis=1).repeat(3, axis=2)
    return np.pad(large, ((0, 0), (2, 2), (2, 2))).reshape(len(images), -1)


def _digits_data() -> Split:
    from sklearn.datasets import load_digits

    inputs, labels = load_digits(return_X_y=True)
    return inputs / 16.0, labels.astype(np.int64)


def _mnist_data(folder: Path) -> Split:
    with np.load(folder / MNIST) as held:
        return held["x"].reshape(len(held["x"]), -1) / 255.0, held["y"].astype(np.int64)


def digits(seed: int = 0, folder: Path | None = None, model: str = "perceptron") -> Victim:
    """Return a classifier of the 8x8 digits that scikit-learn carries (1,797 images).

    Parameters
    ----------
    seed : int
        Of the splits and of the training.
    folder : Path or None
        With one that holds MNIST, the strangers are its images in 8x8.
    model : str
        ``perceptron``, ``logistic`` or ``forest``; the last two are named ``digits-logistic`` and ``digits-forest``.

    Raises
    ------
    KeyError
        If the model is none of these.
    """
    train = {"perceptron": _perceptron, "logistic": _softmax, "forest": _forest}[model]
    fit, reference, calibration, confirmation = cut(_digits_data(), (700, 400, 340), seed)
    classifier, predict = train(fit, seed)
    return Victim(
        name="digits" if model == "perceptron" else f"digits-{model}",
        predict=predict,
        shape=(8, 8),
        classes=10,
        low=0.0,
        high=1.0,
        budget=0.8,
        budget_linf=0.2,
        grain=1 / 16,
        fit=fit,
        reference=reference,
        calibration=calibration,
        confirmation=confirmation,
        classifier=classifier,
        strangers=None if folder is None else _blocks(_mnist_data(folder)[0]),
    )


def mnist(folder: Path, seed: int = 0) -> Victim:
    """Return a multilayer perceptron on MNIST (28x28), from ``mnist_test10k.npz`` in a folder.

    The strangers are the 8x8 digits, enlarged.

    Raises
    ------
    FileNotFoundError
        If the file is not there.
    """
    fit, reference, calibration, confirmation = cut(_mnist_data(folder), (4_000, 2_000, 2_000), seed)
    classifier, predict = _perceptron(fit, seed)
    return Victim(
        name="mnist",
        predict=predict,
        shape=(28, 28),
        classes=10,
        low=0.0,
        high=1.0,
        budget=2.0,
        budget_linf=0.15,
        grain=1 / 255,
        fit=fit,
        reference=reference,
        calibration=calibration,
        confirmation=confirmation,
        classifier=classifier,
        strangers=_enlarged(_digits_data()[0]),
    )


def cancer(model: str = "logistic", seed: int = 0) -> Victim:
    """Return a classifier of the breast-cancer table that scikit-learn carries (569 rows, 30 columns).

    Values are in robust units: from the median of the training rows, in interquartile ranges, at most five either way.

    Parameters
    ----------
    model : str
        ``logistic``, whose gradients an attacker may hold, or ``forest``.
    seed : int
        Of the splits and of the training.

    Raises
    ------
    KeyError
        If the model is neither.
    """
    from sklearn.datasets import load_breast_cancer

    train = {"logistic": _logistic, "forest": _forest}[model]
    inputs, labels = load_breast_cancer(return_X_y=True)
    parts = cut((inputs, labels.astype(np.int64)), (200, 130, 120), seed)
    low, middle, high = np.quantile(parts[0][0], [0.25, 0.5, 0.75], axis=0)
    fit, reference, calibration, confirmation = (
        (np.clip((rows - middle) / (high - low), -TABLE_BOUND, TABLE_BOUND), names) for rows, names in parts
    )
    classifier, predict = train(fit, seed)
    return Victim(
        name=f"cancer-{model}",
        predict=predict,
        shape=(inputs.shape[1],),
        classes=2,
        low=-TABLE_BOUND,
        high=TABLE_BOUND,
        budget=3.0,
        budget_linf=0.6,
        grain=0.01,
        fit=fit,
        reference=reference,
        calibration=calibration,
        confirmation=confirmation,
        classifier=classifier,
    )
