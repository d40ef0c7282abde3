"""How big a change is: effect sizes of merged histograms against the baseline.

Evidence says whether something changed; these say how much. All are read off the bins, for all columns at once, so
they can be had for any window whose tick histograms were kept or merged.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.special import chdtrc

from detectors.baseline import Baseline, NumericColumn
from detectors.errors import DetectorError

EMPTY = 0.5
"""What an empty bin counts as in the PSI, when the other side has events there."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Effects:
    """Effect sizes, one per column; NaN where undefined or without events.

    Parameters
    ----------
    psi : ndarray of float64, shape (n_columns,)
        Population stability index, at least 0, in nats.
    js : ndarray of float64, shape (n_columns,)
        Jensen-Shannon distance, the square root of the divergence in bits; from 0 to 1.
    ks : ndarray of float64, shape (n_columns,)
        Kolmogorov-Smirnov distance over the bins' edges; from 0 to 1. Numeric columns only.
    wasserstein : ndarray of float64, shape (n_columns,)
        Earth mover's distance in standard deviations of the baseline; at least 0. Numeric columns only.
    hellinger : ndarray of float64, shape (n_columns,)
        Hellinger distance; from 0 to 1.
    chi2 : ndarray of float64, shape (n_columns,)
        Chi-square statistic of homogeneity; at least 0.
    chi2_p : ndarray of float64, shape (n_columns,)
        Its p-value. For information: with many events it is tiny for changes that do not matter.
    """

    psi: NDArray[np.float64]
    js: NDArray[np.float64]
    ks: NDArray[np.float64]
    wasserstein: NDArray[np.float64]
    hellinger: NDArray[np.float64]
    chi2: NDArray[np.float64]
    chi2_p: NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Tables:
    """What is the same for every call with one baseline.

    Parameters
    ----------
    column : ndarray of int64, shape (total,)
        The column of each flat bin.
    numeric : ndarray of bool, shape (n_columns,)
        Of each column.
    ordered : ndarray of float64, shape (total,)
        1 where the bin has a rank in its numeric column, else 0.
    gaps : ndarray of float64, shape (total,)
        Distance from a bin's position to the next one's; 0 at the end of a column.
    stds : ndarray of float64, shape (n_columns,)
        Standard deviation of the baseline; NaN where there is none.
    """

    column: NDArray[np.int64]
    numeric: NDArray[np.bool_]
    ordered: NDArray[np.float64]
    gaps: NDArray[np.float64]
    stds: NDArray[np.float64]


@lru_cache(maxsize=128)
def tables_of(baseline: Baseline) -> Tables:
    """Return what effect sizes need of a baseline, made once for each.

    Parameters
    ----------
    baseline : Baseline
        What was normal.

    Returns
    -------
    Tables
        Shared: not to be changed.
    """
    sizes = [len(column.counts) for column in baseline.columns]
    ordered, gaps = np.zeros(baseline.total), np.zeros(baseline.total)
    stds = np.full(len(sizes), np.nan)
    for i, column in enumerate(baseline.columns):
        if isinstance(column, NumericColumn):
            start = int(baseline.starts[i])
            ordered[start : start + column.ordered] = 1.0
            with np.errstate(over="ignore"):
                steps = np.diff(_positions(column))
            gaps[start : start + column.ordered - 1] = np.minimum(steps, np.finfo(np.float64).max)
            stds[i] = column.std if column.std > 0.0 else np.nan
    numeric = np.array([isinstance(column, NumericColumn) for column in baseline.columns])
    return Tables(np.repeat(np.arange(len(sizes)), sizes), numeric, ordered, gaps, stds)


def _positions(column: NumericColumn) -> NDArray[np.float64]:
    """Where the events of an ordered bin are taken to be: its mean; values out of range at the range's ends."""
    low, high = float(column.edges[0]), float(np.nextafter(column.edges[-1], column.edges[0]))
    empty = column.counts[1 : column.regular + 1] == 0
    means = np.where(empty, column.edges[:-1][column.targets >= 0].astype(np.float64), column.bin_means)
    return np.concatenate([[low], np.clip(means, low, high), [high]])


def effect_sizes(baseline: Baseline, counts: NDArray[np.int64]) -> Effects:
    """Compare merged counts with the baseline.

    Parameters
    ----------
    baseline : Baseline
        What was normal.
    counts : ndarray of int64, shape (baseline.total,)
        Flat counts, of any number of ticks.

    Returns
    -------
    Effects
        Of each column, in the baseline's order.

    Raises
    ------
    DetectorError
        When the counts have another shape.

    Notes
    -----
    With shares ``p`` of the baseline and ``q`` of the events, over all bins of a column, special ones included:

    * ``psi = sum (q - p) * log(q / p)``. A bin that is empty on both sides counts nothing; a bin that is empty on one
      side counts as half an event there. Without empty bins this is the plain formula.
    * ``js = sqrt(sum (p * log2(p / m) + q * log2(q / m)) / 2)`` with ``m = (p + q) / 2``.
    * ``hellinger = sqrt(1 - sum sqrt(p * q))``.
    * ``chi2`` is the statistic of a 2 by k table of baseline and event counts, with k - 1 degrees of freedom, k being
      the bins that are not empty on both sides; NaN when k is 1.

    Over the events with a numeric value only (``missing``, ``invalid`` and ``between`` left out):

    * ``ks`` is the largest difference of the two cumulative shares at a bin's edge: at most the exact distance, and
      equal to it when every value has its own bin.
    * ``wasserstein`` takes the events of a bin to lie at the mean of the baseline's values there, and values out of
      range at the end of the range: shifts far out of range are understated. It is divided by the baseline's
      standard deviation; NaN when that is 0.

    Time and memory are linear in the number of bins: about 100 microseconds for 25 columns.

    References
    ----------
    .. [1] Lin, J. (1991). Divergence measures based on the Shannon entropy. IEEE Transactions on Information Theory
       37(1).
    .. [2] Siddiqi, N. (2006). Credit risk scorecards. Wiley. (PSI)

    Examples
    --------
    >>> from detectors.baseline import compile_baseline
    >>> from detectors.columns import Codes, ColumnKind, ColumnSpec
    >>> spec = ColumnSpec(name="answer", kind=ColumnKind.CATEGORICAL)
    >>> codes = Codes(("yes", "no"), np.repeat(np.array([0, 1], dtype=np.int32), 500))
    >>> baseline = compile_baseline([(spec, codes)]).baseline
    >>> baseline.columns[0].bin_labels[:2]
    ('no', 'yes')
    >>> effects = effect_sizes(baseline, np.array([75, 25, 0, 0, 0, 0]))
    >>> round(float(effects.psi[0]), 4), round(float(effects.js[0]), 4), round(float(effects.chi2[0]), 2)
    (0.2747, 0.2209, 22.77)
    """
    if counts.shape != (baseline.total,):
        raise DetectorError(f"counts have shape {counts.shape}; {(baseline.total,)} is needed")
    tables = tables_of(baseline)
    starts = baseline.starts
    reference, events = baseline.counts.astype(np.float64), counts.astype(np.float64)
    totals = np.add.reduceat(events, starts)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        p = reference / np.add.reduceat(reference, starts)[tables.column]
        q = events / totals[tables.column]
        overlap = np.add.reduceat(np.sqrt(p * q), starts)
        ks, wasserstein = _ordered(tables, starts, reference, events)
        chi2, chi2_p = _chi2(tables, starts, reference, events)
        found = Effects(
            psi=_psi(tables, starts, reference, events),
            js=_js(starts, p, q),
            ks=ks,
            wasserstein=wasserstein,
            hellinger=np.sqrt(np.clip(1.0 - overlap, 0.0, 1.0)),
            chi2=chi2,
            chi2_p=chi2_p,
        )
    for values in (found.psi, found.js, found.ks, found.wasserstein, found.hellinger, found.chi2, found.chi2_p):
        values[totals == 0.0] = np.nan
    return found


def _psi(
    tables: Tables, starts: NDArray[np.int64], reference: NDArray[np.float64], events: NDArray[np.float64]
) -> NDArray[np.float64]:
    used = (reference > 0.0) | (events > 0.0)
    filled = [np.where(used, np.maximum(side, EMPTY), 0.0) for side in (reference, events)]
    p, q = (side / np.add.reduceat(side, starts)[tables.column] for side in filled)
    terms = np.where(used, (q - p) * np.log(q / p), 0.0)
    return np.asarray(np.add.reduceat(terms, starts))


def _js(starts: NDArray[np.int64], p: NDArray[np.float64], q: NDArray[np.float64]) -> NDArray[np.float64]:
    middle = (p + q) / 2.0
    terms = sum(np.where(side > 0.0, side * np.log2(side / middle), 0.0) for side in (p, q))
    return np.sqrt(np.clip(np.add.reduceat(terms, starts) / 2.0, 0.0, 1.0))


def _ordered(
    tables: Tables, starts: NDArray[np.int64], reference: NDArray[np.float64], events: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    shares = []
    for side in (reference, events):
        ranked = side * tables.ordered
        shares.append(ranked / np.add.reduceat(ranked, starts)[tables.column])
    difference = np.where(tables.ordered > 0.0, shares[1] - shares[0], 0.0)
    running = np.cumsum(np.nan_to_num(difference))
    before = np.concatenate([[0.0], running])[starts]
    cumulative = np.abs(running - before[tables.column])
    undefined = ~tables.numeric | np.isnan(np.add.reduceat(difference, starts))
    ks = np.where(undefined, np.nan, np.minimum(np.maximum.reduceat(cumulative * tables.ordered, starts), 1.0))
    moved = np.add.reduceat(cumulative * tables.gaps, starts)
    return ks, np.where(undefined, np.nan, moved / tables.stds)


def _chi2(
    tables: Tables, starts: NDArray[np.int64], reference: NDArray[np.float64], events: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    ratio = np.sqrt(np.add.reduceat(events, starts) / np.add.reduceat(reference, starts))[tables.column]
    both = reference + events
    terms = np.where(both > 0.0, (reference * ratio - events / ratio) ** 2 / both, 0.0)
    freedom = np.add.reduceat((both > 0.0).astype(np.float64), starts) - 1.0
    statistic = np.where(freedom > 0.0, np.add.reduceat(terms, starts), np.nan)
    return statistic, np.asarray(chdtrc(freedom, statistic))
