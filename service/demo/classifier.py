"""The monitored model: a small neural network that reads handwritten digits."""

import numpy as np
from numpy.typing import NDArray
from sklearn.neural_network import MLPClassifier

from service.demo.world import CLASSES, Pictures


class Classifier:
    """A neural network on pictures, each first brought to the same light and contrast."""

    def __init__(self, seed: int) -> None:
        self._network = MLPClassifier((96,), max_iter=25, n_iter_no_change=25, tol=0.0, random_state=seed)

    def fit(self, pictures: Pictures, labels: NDArray[np.int64]) -> None:
        """Learn from labelled pictures."""
        inputs = self._inputs(pictures)
        for _ in range(self._network.max_iter):
            self._network.partial_fit(inputs, labels, classes=np.arange(len(CLASSES)))

    def probabilities(self, pictures: Pictures) -> NDArray[np.float32]:
        """Return the probability of each class, shape (n, 10)."""
        return np.asarray(self._network.predict_proba(self._inputs(pictures)), dtype=np.float32)

    @staticmethod
    def _inputs(pictures: Pictures) -> NDArray[np.float32]:
        flat = pictures.reshape(len(pictures), -1).astype(np.float32)
        flat -= flat.mean(axis=1, keepdims=True)
        flat /= flat.std(axis=1, keepdims=True) + 1.0
        return flat
