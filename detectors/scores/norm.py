"""How long an embedding is."""

import numpy as np
from numpy.typing import NDArray

from detectors.errors import DetectorError


def norm(embeddings: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the Euclidean length of each embedding.

    Parameters
    ----------
    embeddings : ndarray of float32 or float64, shape (n_events, dimension)
        One row per event.

    Returns
    -------
    ndarray of float64, shape (n_events,)
        At least 0, in the embedding's own unit. NaN when a component is NaN; else +inf when one is infinite.

    Raises
    ------
    DetectorError
        When the embeddings are not a matrix.

    Notes
    -----
    Sums are float64, in which the square of a float32 cannot overflow. Time is linear in the number of values.

    Examples
    --------
    >>> norm(np.array([[3.0, 4.0], [0.0, 0.0]], dtype=np.float32))
    array([5., 0.])
    """
    if embeddings.ndim != 2:  # noqa: PLR2004 - events by components
        raise DetectorError(f"embeddings have shape {embeddings.shape}; (events, dimension) is needed")
    with np.errstate(over="ignore"):
        squares = np.einsum("ij,ij->i", embeddings, embeddings, dtype=np.float64)
    return np.asarray(np.sqrt(squares))
