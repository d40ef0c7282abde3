"""Several engines under one false-alarm budget: all events together, and parts of them such as segments.

Each part has a share of the budget, and the model's evidence is the mean of the parts' evidence by share. Every part's
sum less the number of its own ticks falls on average while nothing changes, and no part has more ticks than there are:
so the mean less the number of ticks falls too, whatever depends on whatever, and the promise on false alarms stays
what it was with one engine.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from detectors.errors import DetectorError
from detectors.evidence.fusion import blamed, log_sum

SHARES_OFF = 1e-9
"""Shares may add up to this much more than 1, by rounding."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PartEvidence:
    """What one part says.

    Parameters
    ----------
    log_share : float
        Natural logarithm of its share of the budget; below 0, or 0 for a part that is alone.
    log_model : float
        Natural logarithm of its evidence, the mean over its columns; -inf before its first tick.
    log_columns : ndarray of float64, shape (n_columns,)
        The same of each of its columns.
    log_shares : ndarray of float64, shape (n_columns,)
        Natural logarithm of each column's share within the part; -inf for columns that are never blamed.
    """

    log_share: float
    log_model: float
    log_columns: NDArray[np.float64]
    log_shares: NDArray[np.float64]


def log_rest(log_shares: Sequence[float]) -> float:
    """Return what parts leave to the engine of all events together.

    Parameters
    ----------
    log_shares : sequence of float
        Natural logarithms of the parts' shares of the budget.

    Returns
    -------
    float
        Natural logarithm of 1 less the shares; 0 without parts.

    Raises
    ------
    DetectorError
        When the parts leave nothing.

    Examples
    --------
    >>> round(log_rest([np.log(0.25), np.log(0.25)]), 6) == round(float(np.log(0.5)), 6)
    True
    """
    if not log_shares:
        return 0.0
    given = float(np.exp(log_shares).sum())
    if given >= 1.0:
        raise DetectorError(f"the parts have {given:g} of the budget; together they must have less than 1")
    return float(np.log1p(-given))


def mean_of(parts: Sequence[PartEvidence]) -> float:
    """Return the evidence of the model.

    Parameters
    ----------
    parts : sequence of PartEvidence
        At least one; their shares add up to at most 1.

    Returns
    -------
    float
        Natural logarithm of the mean of their evidence by share. Of a part that is alone, its evidence bit for bit.

    Raises
    ------
    DetectorError
        When the shares add up to more than 1, which would break the promise.

    Examples
    --------
    >>> none = np.zeros(0)
    >>> halves = [
    ...     PartEvidence(log_share=np.log(0.5), log_model=np.log(e), log_columns=none, log_shares=none)
    ...     for e in (10.0, 30.0)
    ... ]
    >>> round(float(np.exp(mean_of(halves))), 9)
    20.0
    """
    shares = np.array([part.log_share for part in parts])
    if np.exp(shares).sum() > 1.0 + SHARES_OFF:
        raise DetectorError(f"the parts have {np.exp(shares).sum():g} of the budget; together at most 1 is there")
    if len(parts) == 1 and shares[0] == 0.0:
        return parts[0].log_model
    return log_sum(np.array([part.log_model for part in parts]) + shares)


def blamed_of(parts: Sequence[PartEvidence], log_threshold: float) -> list[tuple[int, int]]:
    """Choose the columns to blame among those of all parts, with the e-BH procedure.

    Parameters
    ----------
    parts : sequence of PartEvidence
        At least one, with at least one column that may be blamed.
    log_threshold : float
        Natural logarithm of the model's alarm threshold A.

    Returns
    -------
    list of (int, int)
        Part and column, strongest first; at least one. See ``fusion.blamed``: a column's share is that of its part
        times its own.

    Examples
    --------
    >>> even = np.log([0.5, 0.5])
    >>> parts = [
    ...     PartEvidence(log_share=np.log(0.5), log_model=0.0, log_columns=np.log(e), log_shares=even)
    ...     for e in ([3.0, 2e6], [5e6, 1.0])
    ... ]
    >>> blamed_of(parts, np.log(1e5))
    [(1, 0), (0, 1)]
    """
    log_columns = np.concatenate([part.log_columns for part in parts])
    log_shares = np.concatenate([part.log_shares + part.log_share for part in parts])
    starts = np.concatenate([[0], np.cumsum([len(part.log_columns) for part in parts])])
    chosen = blamed(log_columns, log_threshold, log_shares)
    of_part = np.searchsorted(starts, chosen, side="right") - 1
    return list(zip(of_part.tolist(), (chosen - starts[of_part]).tolist(), strict=True))
