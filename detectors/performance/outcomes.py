"""Outcomes as columns: what a label says of an answer, in numbers of which more is worse."""

import numpy as np
from numpy.typing import NDArray

PREFIX = "performance."
WRONG = f"{PREFIX}wrong"
"""1 where the answer was another class than the true one, 0 where it was that."""
MISSED_PREFIX = f"{PREFIX}missed."
"""The same of the answers whose true class is the one named."""
ERROR = f"{PREFIX}error"
"""Absolute difference of answer and label."""
MISSED_MAX = 8
"""With more classes than these, only all answers together are looked at."""


def class_outcomes(
    classes: tuple[str, ...], truth: NDArray[np.int64], right: NDArray[np.bool_]
) -> dict[str, NDArray[np.float64]]:
    """Return the outcomes of answers that are classes.

    Parameters
    ----------
    classes : tuple of str
        With a place of their own.
    truth : ndarray of int64, shape (n,)
        Places of the true classes; ``len(classes)`` for all others.
    right : ndarray of bool, shape (n,)
        Whether the answer was that class.

    Returns
    -------
    dict of str to ndarray of float64
        By column, one value for each answer, NaN where it does not speak of it: of all answers, and of those of each
        class where there are at most eight. How often a class comes changes what all answers together do, and nothing
        of what its own do.

    Examples
    --------
    >>> found = class_outcomes(("a", "b"), np.array([0, 1, 1]), np.array([True, False, True]))
    >>> found["performance.wrong"], found["performance.missed.b"]
    (array([0., 1., 0.]), array([nan,  1.,  0.]))
    """
    wrong = (~right).astype(np.float64)
    found = {WRONG: wrong}
    if len(classes) <= MISSED_MAX:
        found |= {MISSED_PREFIX + name: np.where(truth == place, wrong, np.nan) for place, name in enumerate(classes)}
    return found


def number_outcomes(answers: NDArray[np.float64], labels: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
    """Return the outcomes of answers that are numbers.

    Parameters
    ----------
    answers, labels : ndarray of float64, shape (n,)
        Finite.

    Returns
    -------
    dict of str to ndarray of float64
        The absolute errors, by column.

    Examples
    --------
    >>> number_outcomes(np.array([1.0, 4.0]), np.array([2.0, 2.0]))
    {'performance.error': array([1., 2.])}
    """
    largest = float(np.finfo(np.float64).max)
    with np.errstate(over="ignore"):
        return {ERROR: np.minimum(np.abs(answers - labels), largest)}
