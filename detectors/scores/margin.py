"""How far the winning class is ahead."""

import numpy as np
from numpy.typing import NDArray

from detectors.errors import DetectorError

PAIR = 2


def margin(probabilities: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the largest class probability less the second largest.

    Parameters
    ----------
    probabilities : ndarray of float64, shape (n_events, n_classes)
        Class probabilities, at least two classes; they need not sum to 1.

    Returns
    -------
    ndarray of float64, shape (n_events,)
        From 0 (undecided) to 1 (sure), if the probabilities are within [0, 1]. NaN when one of an event's
        probabilities is NaN; else +inf when one is infinite.

    Raises
    ------
    DetectorError
        When there are fewer than two classes.

    Notes
    -----
    Time is linear in the number of values; memory is one copy of them. Inputs near a decision boundary, such as
    those of a model-extraction or evasion attack, have small margins; so have inputs the model was not trained on.

    References
    ----------
    .. [1] Scheffer, T., Decomain, C., Wrobel, S. (2001). Active hidden Markov models for information extraction.
       Advances in Intelligent Data Analysis, LNCS 2189.

    Examples
    --------
    >>> margin(np.array([[0.7, 0.2, 0.1], [0.5, 0.5, 0.0]])).round(3)
    array([0.5, 0. ])
    """
    if probabilities.ndim != 2 or probabilities.shape[1] < 2:  # noqa: PLR2004 - events by at least two classes
        raise DetectorError(f"probabilities have shape {probabilities.shape}; (events, 2 or more classes) is needed")
    values = probabilities.astype(np.float64)
    classes = values.shape[1]
    with np.errstate(invalid="ignore"):
        if classes == PAIR:  # one is the largest and the other the second largest: no need to sort
            ahead = np.abs(values[:, 1] - values[:, 0])
        else:
            top = np.partition(values, classes - 2, axis=1)[:, -2:]
            ahead = top[:, 1] - top[:, 0]
    if not np.isfinite(values).all():
        ahead[np.isinf(values).any(axis=1)] = np.inf
        ahead[np.isnan(values).any(axis=1)] = np.nan
    return np.asarray(ahead)
