"""What a model answered, as single principals are judged by it: probabilities, or the predicted label alone."""

import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from detectors.columns import Codes, Values

SURE = 4.0
"""Log-odds that a label without probabilities stands for: all that is told of it is whether it changes."""


def answers_of(
    classes: tuple[str, ...], labels: Values | None, columns: Mapping[str, Values], rows: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Return the answers to some events, shape (rows, classes); ``labels`` are the predicted ones where only those are.

    A row without answer, or with a label that the reference does not have, is not finite.
    """
    if labels is None:
        return np.stack([np.asarray(columns[name], np.float64)[rows] for name in classes], axis=1)
    if not isinstance(labels, Codes):
        return np.full((len(rows), len(classes)), np.nan)
    place = {label: i for i, label in enumerate(classes)}
    known = np.array([place.get(label, -1) for label in labels.labels] + [-1, -1], np.int64)
    # The codes of what is missing and of what is invalid are -1 and -2.
    told = known[labels.codes[rows]]
    other = 1.0 / (math.exp(SURE) + len(classes) - 1)
    answers = np.full((len(rows), len(classes)), other)
    answers[np.arange(len(rows)), told] = other * math.exp(SURE)
    answers[told < 0] = np.nan
    return answers


def labels_in(values: Values) -> tuple[str, ...]:
    """Return the labels that a column has, in order."""
    if not isinstance(values, Codes):
        return ()
    there = np.unique(values.codes)
    return tuple(sorted(values.labels[code] for code in there.tolist() if code >= 0))
