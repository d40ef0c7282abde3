"""Who gets how much of the one false-alarm budget.

The evidence of the model is the mean of all bets by weight, and weights add up to one: any such mean keeps the promise
on false alarms, whatever depends on whatever. Weights decide only how soon each kind of change is seen: a share ten
times as large is as good as a threshold ten times as low.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from detectors.baseline import Baseline
from detectors.columns import ColumnGroup
from detectors.evidence.bets import Bets
from detectors.evidence.options import QUALITY, ColumnOptions

TOGETHER_MAX = 0.2
"""Unless groups have shares, the scores of all inputs together have at most so much of the budget: they are many, and
most of what goes wrong shows in a single column."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Shares:
    """Each column's share of the budget.

    Parameters
    ----------
    columns : ndarray of float64, shape (n_columns,)
        Adding up to 1; 0 for columns that are ignored.
    quality : ndarray of float64, shape (n_columns,) or None
        The part of each share, from 0 to 1, that is for the bets on special bins; None leaves it as the bets have it.
    """

    columns: NDArray[np.float64]
    quality: NDArray[np.float64] | None

    def weigh(self, bets: Sequence[Bets]) -> list[Bets]:
        """Give each column's bets their weights within it.

        Parameters
        ----------
        bets : sequence of Bets
            One for each column.

        Returns
        -------
        list of Bets
            The same with other weights, which again add up to 1.
        """
        if self.quality is None:
            return list(bets)
        parts = self.quality.tolist()
        return [_split(own, part) if part else own for own, part in zip(bets, parts, strict=True)]


def shares_of(baseline: Baseline, own: Sequence[ColumnOptions], groups: Sequence[tuple[str, float]]) -> Shares:
    """Divide the budget.

    Parameters
    ----------
    baseline : Baseline
        Whose columns.
    own : sequence of ColumnOptions
        One for each column.
    groups : sequence of (str, float)
        Shares by group, relative to one another; none at all divides by the columns' weights alone.

    Returns
    -------
    Shares
        Once any group has a share, the budget is divided by group and then by weight. A group that is not named has
        1; one without columns leaves its share to the others. The group ``quality`` exists only when it is named.
        Without any, the columns of the group ``multivariate`` have at most a fifth of the budget together.

    Examples
    --------
    >>> from detectors.baseline import compile_baseline
    >>> from detectors.columns import ColumnGroup, ColumnKind, ColumnSpec
    >>> x = np.arange(1000.0)
    >>> specs = [ColumnSpec(name=name, kind=ColumnKind.NUMERIC) for name in "ab"]
    >>> specs.append(ColumnSpec(name="ms", kind=ColumnKind.NUMERIC, group=ColumnGroup.LATENCY))
    >>> baseline = compile_baseline([(spec, x) for spec in specs]).baseline
    >>> own = [ColumnOptions(name="a", weight=3.0), ColumnOptions(name="b"), ColumnOptions(name="ms")]
    >>> shares_of(baseline, own, ()).columns
    array([0.6, 0.2, 0.2])
    >>> shares_of(baseline, own, [("latency", 0.25)]).columns
    array([0.6, 0.2, 0.2])
    >>> shares_of(baseline, own, [("feature", 4.0), ("quality", 1.0)]).columns.round(3)
    array([0.6, 0.2, 0.2])
    """
    weights = np.array([0.0 if options.ignore else options.weight for options in own])
    if not groups:
        weights = _capped(baseline, weights)
        return Shares(columns=weights / weights.sum(), quality=None)
    told = dict(groups)
    plain = np.zeros(len(weights))
    names = np.array([column.spec.group.value for column in baseline.columns])
    for group in np.unique(names).tolist():
        inside = np.where(names == group, weights, 0.0)
        if inside.any():
            plain += told.get(group, 1.0) * inside / inside.sum()
    if QUALITY not in told:
        return Shares(columns=plain / plain.sum(), quality=None)
    special = told[QUALITY] * weights / weights.sum()
    whole = plain + special
    part = np.divide(special, whole, out=np.zeros(len(whole)), where=whole > 0.0)
    return Shares(columns=whole / whole.sum(), quality=part)


def _capped(baseline: Baseline, weights: NDArray[np.float64]) -> NDArray[np.float64]:
    together = np.array([column.spec.group is ColumnGroup.MULTIVARIATE for column in baseline.columns])
    own, others = float(weights[together].sum()), float(weights[~together].sum())
    most = TOGETHER_MAX / (1.0 - TOGETHER_MAX) * others
    if not 0.0 < most < own:
        return weights
    return np.where(together, weights * (most / own), weights)


def _split(bets: Bets, quality: float) -> Bets:
    """Let the bets on special bins have a part of the column's weight, and all others the rest."""
    special = np.where(bets.special, bets.weights, 0.0)
    rest = bets.weights - special
    left = rest.sum() + bets.learned
    if not left:
        return bets
    weights = special / special.sum() * quality + rest / left * (1.0 - quality)
    return replace(bets, weights=weights, learned=bets.learned / left * (1.0 - quality))
