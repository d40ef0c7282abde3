"""What a column is: anything per event that can be counted."""

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

SUM_OFF = 0.02
"""Probabilities whose sum is further from one are no answer."""


class ColumnKind(StrEnum):
    """How the values of a column are counted.

    Examples
    --------
    >>> ColumnKind("numeric")
    <ColumnKind.NUMERIC: 'numeric'>
    """

    NUMERIC = "numeric"
    CATEGORICAL = "categorical"


class ColumnGroup(StrEnum):
    """What a column speaks about; alerts are named by it.

    Examples
    --------
    >>> ColumnGroup.SCORE.value
    'score'
    """

    FEATURE = "feature"
    PREDICTION = "prediction"
    SCORE = "score"
    LATENCY = "latency"
    ERROR = "error"
    MULTIVARIATE = "multivariate"
    TRAFFIC = "traffic"
    PERFORMANCE = "performance"


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnSpec:
    """Name, kind and group of one column.

    Parameters
    ----------
    name : str
        Unique within a baseline.
    kind : ColumnKind
        How the values are counted.
    group : ColumnGroup, optional
        What the column speaks about.

    Examples
    --------
    >>> ColumnSpec(name="age", kind=ColumnKind.NUMERIC).group.value
    'feature'
    """

    name: str
    kind: ColumnKind
    group: ColumnGroup = ColumnGroup.FEATURE


@dataclass(frozen=True, slots=True)
class Codes:
    """Values of a categorical column: ``labels[codes]``, -1 missing, -2 invalid.

    Parameters
    ----------
    labels : tuple of str
        The labels that ``codes`` index; usually distinct, but need not be.
    codes : ndarray of int32, shape (n_events,)
        One per event, from -2 to ``len(labels) - 1``.

    Examples
    --------
    >>> Codes(("DE", "FR"), np.array([0, 1, 1, -1], dtype=np.int32)).labels
    ('DE', 'FR')
    """

    labels: tuple[str, ...]
    codes: NDArray[np.int32]


Values = NDArray[np.float32] | NDArray[np.float64] | Codes
"""Values of one column. Numeric: NaN is missing, +inf or -inf is invalid."""
