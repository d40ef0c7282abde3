"""A model of the attacker's own, made from what the victim answered."""

import numpy as np
from numpy.typing import NDArray

FEATURES = 800
RIDGE = 30.0
FLOOR = 1e-3
"""Answers below are taken for it: their logarithms would outweigh everything."""


class Thief:
    """Random rectified features under ridge regression on the centred logarithms of the victim's answers.

    Training solves one linear system, so that a thief can be trained again at every checkpoint. On the digits it agrees
    with the victim as often as a logistic regression, or more often.

    Parameters
    ----------
    dimension : int
        Values of an input.
    classes : int
        Classes of the victim.
    rng : numpy.random.Generator
        Draws the features.
    """

    def __init__(self, dimension: int, classes: int, rng: np.random.Generator) -> None:
        self._first = rng.standard_normal((dimension, FEATURES)) / np.sqrt(dimension)
        self._shift = 0.5 * rng.standard_normal(FEATURES)
        self._second: NDArray[np.float64] = np.zeros((FEATURES + 1, classes))
        self._middle: NDArray[np.float64] = np.zeros(dimension)
        self._scale = 1.0

    def fit(self, inputs: NDArray[np.float64], answers: NDArray[np.float64]) -> "Thief":
        """Learn answers (n, classes), probabilities or one-hot, to inputs (n, dimension)."""
        self._middle = np.asarray(inputs.mean(axis=0), dtype=np.float64)
        self._scale = max(float(inputs.std()), 1e-6)
        features = self._features(inputs)
        wanted = np.log(np.maximum(answers, FLOOR))
        wanted -= wanted.mean(axis=1, keepdims=True)
        if len(features) < features.shape[1]:
            kernel = features @ features.T + RIDGE * np.eye(len(features))
            self._second = features.T @ np.asarray(np.linalg.solve(kernel, wanted), dtype=np.float64)
        else:
            gram = features.T @ features + RIDGE * np.eye(features.shape[1])
            self._second = np.asarray(np.linalg.solve(gram, features.T @ wanted), dtype=np.float64)
        return self

    def labels(self, inputs: NDArray[np.float64]) -> NDArray[np.int64]:
        """Return labels, shape (n,), of inputs (n, dimension)."""
        labels: NDArray[np.int64] = self.scores(inputs).argmax(axis=1)
        return labels

    def scores(self, inputs: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return scores, shape (n, classes), whose largest makes the label."""
        scores: NDArray[np.float64] = self._features(inputs) @ self._second
        return scores

    def slopes(self, inputs: NDArray[np.float64], labels: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return gradients (n, dimension) of each input's score of its label (n,), less the best other score."""
        features = self._features(inputs)
        scores = features @ self._second
        scores[np.arange(len(inputs)), labels] = -np.inf
        weights = (self._second[:-1, labels] - self._second[:-1, scores.argmax(axis=1)]).T
        slopes: NDArray[np.float64] = (weights * (features[:, :-1] > 0)) @ self._first.T / self._scale
        return slopes

    def _features(self, inputs: NDArray[np.float64]) -> NDArray[np.float64]:
        hidden = np.maximum((inputs - self._middle) / self._scale @ self._first + self._shift, 0.0)
        return np.concatenate([hidden, np.ones((len(inputs), 1))], axis=1)
