"""PRADA (Juuti et al., EuroS&P 2019): whether distances between a client's requests are normally distributed."""

import numpy as np
from numpy.typing import NDArray
from scipy.stats import shapiro

from bench.adversarial.peers.neighbours import distances

EVERY = 10
CLASS_MIN = 10
VALUES_MIN = 100
OUTLIER = 3.0
KEPT = 500
"""The statistic's distribution moves with how many values it looks at: only the last are."""


class Prada:
    """Score: one minus the statistic of Shapiro and Wilk; published: an alarm above 0.04 to 0.1."""

    name = "PRADA"

    def scores(self, inputs: NDArray[np.float64], probabilities: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the score of each request, shape (n,); minus infinity before there are 100 distances."""
        away = distances(inputs)
        labels = probabilities.argmax(axis=1)
        members: dict[int, list[int]] = {}
        nearest: dict[int, list[float]] = {}
        bars: dict[int, float] = {}
        scores = np.full(len(inputs), -np.inf)
        for i, label in enumerate(labels.tolist()):
            own = members.setdefault(label, [])
            found = nearest.setdefault(label, [])
            if not own:
                own.append(i)
                bars[label] = 0.0
            else:
                least = float(away[i, own].min())
                found.append(least)
                if least > bars[label]:
                    own.append(i)
                    values = np.array(found[-KEPT:])
                    bars[label] = max(bars[label], float(values.mean() - values.std()))
            if i:
                scores[i] = scores[i - 1]
            if i % EVERY == EVERY - 1:
                scores[i] = _statistic([each for each in nearest.values() if len(each) >= CLASS_MIN])
        return scores


def _statistic(classes: list[list[float]]) -> float:
    values = np.concatenate(classes) if classes else np.zeros(0)
    if len(values) < VALUES_MIN:
        return -np.inf
    values = values[-KEPT:]
    values = values[np.abs(values - values.mean()) <= OUTLIER * values.std()]
    return 1.0 - float(shapiro(values).statistic) if np.ptp(values) > 0.0 else 1.0
