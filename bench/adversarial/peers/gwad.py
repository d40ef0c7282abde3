"""GWAD (Park et al., CVPR 2025): how the directions of a client's steps are distributed."""

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

WINDOW, BINS = 256, 200
STRIDE = 16
"""Training looks at a window so often; the detector at every one."""


def histograms(inputs: NDArray[np.float64]) -> NDArray[np.float32]:
    """Return histograms of the cosines between successive steps, a row for each request from the 258th on."""
    steps = np.diff(inputs - inputs.mean(), axis=0)
    lengths = np.linalg.norm(steps, axis=1)
    cosines = np.einsum("ij,ij->i", steps[1:], steps[:-1]) / np.maximum(lengths[1:] * lengths[:-1], 1e-12)
    if len(cosines) < WINDOW:
        return np.zeros((0, BINS), np.float32)
    where = np.clip(((cosines + 1.0) / 2.0 * BINS).astype(np.int64), 0, BINS - 1)
    counts = np.cumsum(np.eye(BINS, dtype=np.float32)[where], axis=0)
    counts[WINDOW:] -= counts[:-WINDOW].copy()
    return counts[WINDOW - 1 :] / WINDOW


class Gwad:
    """Score: log-odds of a perceptron over the histogram that the session is an attack's.

    The published network tells six attacks and harmless clients apart; this one is trained on the sessions that the
    monitor's forest is grown from, to tell attacks from benign sessions. The edge screener of its extension is left
    out: it is for photographs.

    Parameters
    ----------
    sessions : iterable of (inputs, whether it is an attack)
        To train on.
    """

    name = "GWAD"

    def __init__(self, sessions: Iterable[tuple[NDArray[np.float64], bool]]) -> None:
        from sklearn.neural_network import MLPClassifier

        rows, truths = [], []
        for inputs, attack in sessions:
            found = histograms(inputs)[::STRIDE]
            rows.append(found)
            truths.append(np.full(len(found), attack))
        self._net: Any = MLPClassifier((128, 64), alpha=1e-3, max_iter=60, random_state=0)
        self._net.fit(np.concatenate(rows), np.concatenate(truths))

    def scores(self, inputs: NDArray[np.float64], _: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the score of each request, shape (n,); minus infinity before the 258th."""
        found = histograms(inputs)
        scores = np.full(len(inputs), -np.inf)
        if len(found):
            odds = self._net.predict_log_proba(found)
            scores[len(inputs) - len(found) :] = odds[:, 1] - odds[:, 0]
        return scores
