"""From many bets to one model-level evidence, and back to the columns to blame."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from detectors.columns import ColumnGroup


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Evidence:
    """How strongly the ticks so far contradict the baseline.

    Parameters
    ----------
    log_model : float
        Natural logarithm of the model's evidence: the mean over its columns. -inf before the first tick.
    log_columns : ndarray of float64, shape (n_columns,)
        The same of each column, in the baseline's order.
    ticks : int
        Ticks so far. Without any change the evidence of each column, and of the model, is at most this on average.
    """

    log_model: float
    log_columns: NDArray[np.float64]
    ticks: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Blame:
    """A column that changed.

    Parameters
    ----------
    name : str
        The column.
    group : ColumnGroup
        What it speaks about.
    direction : str
        The bet that won the most, such as ``mean up``; ``distribution`` for the learned bet.
    log_evidence : float
        Natural logarithm of the column's own evidence.
    since_tick : int
        When the change began: the restart after which any bet of the column has won the most.
    """

    name: str
    group: ColumnGroup
    direction: str
    log_evidence: float
    since_tick: int


def log_sum(values: NDArray[np.float64]) -> float:
    """Return ``log(sum(exp(values)))`` without overflow.

    Parameters
    ----------
    values : ndarray of float64, shape (n,)
        At least one; -inf counts nothing.

    Returns
    -------
    float
        -inf when all values are.

    Examples
    --------
    >>> log_sum(np.array([1e6, 1e6 - 800.0]))
    1000000.0
    """
    top = float(np.maximum.reduce(values))
    if top == -np.inf:
        return top
    return top + float(np.log(np.add.reduce(np.exp(values - top))))


def log_sum_by(values: NDArray[np.float64], starts: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return ``log_sum`` of each run of values.

    Parameters
    ----------
    values : ndarray of float64, shape (n,)
        Grouped by run.
    starts : ndarray of int64, shape (n_runs,)
        Where each run begins; the first is 0.

    Returns
    -------
    ndarray of float64, shape (n_runs,)
        One per run.

    Examples
    --------
    >>> log_sum_by(np.log([1.0, 2.0, 5.0]), np.array([0, 2])).round(3)
    array([1.099, 1.609])
    """
    tops = np.maximum.reduceat(values, starts)
    sizes = np.diff(np.append(starts, len(values)))
    finite = np.where(np.isfinite(tops), tops, 0.0)
    sums = np.add.reduceat(np.exp(values - np.repeat(finite, sizes)), starts)
    with np.errstate(divide="ignore"):
        return np.asarray(finite + np.log(sums))


def blamed(
    log_columns: NDArray[np.float64], log_threshold: float, log_shares: NDArray[np.float64]
) -> NDArray[np.int64]:
    """Choose the columns to blame with the e-BH procedure.

    Parameters
    ----------
    log_columns : ndarray of float64, shape (n_columns,)
        Natural logarithm of each column's evidence.
    log_threshold : float
        Natural logarithm of the model's alarm threshold A.
    log_shares : ndarray of float64, shape (n_columns,)
        Natural logarithm of each column's share of the budget; -inf for columns that are never blamed.

    Returns
    -------
    ndarray of int64, shape (n_blamed,)
        Indices, strongest first: the largest k columns whose evidence times share is at least ``A / k`` each. When
        there is no such k, the strongest column alone.

    References
    ----------
    .. [1] Wang, R., Ramdas, A. (2022). False discovery rate control with e-values. Journal of the Royal Statistical
       Society B 84(3).

    Examples
    --------
    >>> blamed(np.log([1e9, 3.0, 2e8, 1.0]), np.log(1e5), np.log(np.full(4, 0.25)))
    array([0, 2])
    """
    weighted = np.where(np.isneginf(log_shares), -np.inf, log_columns + log_shares)
    order = np.argsort(-weighted, kind="stable")
    line = log_threshold - np.log(np.arange(1, len(order) + 1))
    passing = np.flatnonzero(weighted[order] >= line)
    keep = int(passing[-1]) + 1 if len(passing) else 1
    return np.asarray(order[:keep], dtype=np.int64)
