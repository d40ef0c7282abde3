"""What a column is: anything per event that can be counted."""

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray


class ColumnKind(StrEnum):
    """How the values of a column are counted."""

    NUMERIC = "numeric"
    CATEGORICAL = "categorical"


class ColumnGroup(StrEnum):
    """What a column speaks about; alerts are named by it."""

    FEATURE = "feature"
    PREDICTION = "prediction"
    SCORE = "score"
    LATENCY = "latency"


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnSpec:
    """Name, kind and group of one column."""

    name: str
    kind: ColumnKind
    group: ColumnGroup = ColumnGroup.FEATURE


@dataclass(frozen=True, slots=True)
class Codes:
    """Values of a categorical column: ``labels[codes]``, -1 missing, -2 invalid.

    Attributes
    ----------
    labels : tuple of str
        The distinct labels that ``codes`` index.
    codes : ndarray of int32, shape (n_events,)
        One per event.
    """

    labels: tuple[str, ...]
    codes: NDArray[np.int32]


Values = NDArray[np.float32] | NDArray[np.float64] | Codes
"""Values of one column. Numeric: NaN is missing, +inf or -inf is invalid."""
