"""The raw values of the inputs of an event, side by side."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detectors.columns import Codes, Values
from detectors.errors import ColumnError
from detectors.numbers import place_of

ABSENT_SHARE = 0.5
"""An event that lacks more of its inputs has no scores."""


def stacked(inputs: Sequence[str], categorical: Sequence[bool], columns: Mapping[str, Values]) -> NDArray[np.float64]:
    """Return the raw values of inputs.

    Parameters
    ----------
    inputs : sequence of str
        Columns, in order.
    categorical : sequence of bool
        Which of them are categorical.
    columns : mapping of str to Values
        With all inputs.

    Returns
    -------
    ndarray of float64, shape (n_raw, n_events)
        NaN where an input is missing, infinite where it is invalid.

    Raises
    ------
    ColumnError
        When an input is of the other kind.
    """
    rows: list[NDArray[Any]] = []
    for name, kind in zip(inputs, categorical, strict=True):
        values = columns[name]
        if isinstance(values, Codes) != kind:
            raise ColumnError(f"column {name!r} is {'numeric' if kind else 'categorical'} here only")
        rows.append(_located(values) if isinstance(values, Codes) else values)
    return np.array(rows, dtype=np.float64)


def lacking(values: NDArray[Any]) -> NDArray[np.bool_] | None:
    """Tell which events lack more than half of their raw values.

    Parameters
    ----------
    values : ndarray of float64, shape (n_raw, n_events)
        Raw values.

    Returns
    -------
    ndarray of bool, shape (n_events,), or None
        None when nothing is lacking at all.
    """
    usable = np.isfinite(values)
    if usable.all():
        return None
    return np.asarray(usable.mean(axis=0) < 1.0 - ABSENT_SHARE)


def _located(values: Codes) -> NDArray[np.float64]:
    """Return the place of each event's label; NaN for a missing one, infinite for an invalid one."""
    # Codes -2 and -1 count from the end of this table: invalid and missing.
    table = np.array([*map(place_of, values.labels), np.inf, np.nan])
    return np.asarray(table[values.codes])
