"""How undecided a prediction is."""

import numpy as np
from numpy.typing import NDArray

from detectors.errors import DetectorError


def entropy(probabilities: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the entropy of the class probabilities, relative to the largest possible.

    Parameters
    ----------
    probabilities : ndarray of float64, shape (n_events, n_classes)
        Class probabilities, at least two classes; each event's are divided by their sum.

    Returns
    -------
    ndarray of float64, shape (n_events,)
        From 0 (all on one class) to 1 (all classes alike). NaN when one of an event's probabilities is NaN; else
        +inf when one is negative or infinite, or their sum is 0.

    Raises
    ------
    DetectorError
        When there are fewer than two classes.

    Notes
    -----
    Time is linear in the number of values; memory is a few copies of them.

    References
    ----------
    .. [1] Shannon, C. E. (1948). A mathematical theory of communication. Bell System Technical Journal 27.

    Examples
    --------
    >>> entropy(np.array([[0.5, 0.5], [1.0, 0.0], [0.9, 0.1]])).round(3)
    array([1.   , 0.   , 0.469])
    """
    if probabilities.ndim != 2 or probabilities.shape[1] < 2:  # noqa: PLR2004 - events by at least two classes
        raise DetectorError(f"probabilities have shape {probabilities.shape}; (events, 2 or more classes) is needed")
    values = probabilities.astype(np.float64)
    clean = values.size > 0 and values.min() > 0.0 and values.max() < np.inf  # NaN is neither
    if clean:
        return _of_shares(values)
    missing = np.isnan(values).any(axis=1)
    largest = values.max(axis=1, initial=0.0, where=~np.isnan(values))
    broken = np.isinf(values).any(axis=1) | (values < 0.0).any(axis=1) | (largest == 0.0)
    usable = np.where((missing | broken)[:, None], 1.0, values)
    found = _of_shares(usable)
    found[broken] = np.inf
    found[missing] = np.nan
    return found


def _of_shares(usable: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the entropy of rows without a bad value; an event's is the same, bit for bit, whatever comes with it."""
    usable = usable / usable.max(axis=1, keepdims=True)
    shares = usable / usable.sum(axis=1, keepdims=True)
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = shares * np.log(shares)
    if not shares.all():
        terms[shares == 0.0] = 0.0
    return np.asarray(np.clip((0.0 - terms.sum(axis=1)) / np.log(usable.shape[1]), 0.0, 1.0))
