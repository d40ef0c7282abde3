"""A model of requests, and what it would have said of its own reference had that come later."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from detectors.columns import Codes
from detectors.requests.constraints import Constraint
from detectors.requests.model import Batch, RequestModel, halves

KEPT = "none"
"""The label of requests that break no rule."""
CHUNK = 4_096


@dataclass(frozen=True, slots=True, eq=False)
class Honest:
    """A model with the bets and broken rules of its reference.

    Parameters
    ----------
    model : RequestModel
        Learnt from one half of the reference, ranked against the other.
    bets : ndarray of float64, shape (n,)
        Of each reference request, by a model that was not learnt from it.
    rules : Codes
        Likewise, the rule that each request breaks.
    """

    model: RequestModel
    bets: NDArray[np.float64]
    rules: Codes

    @classmethod
    def fit(
        cls,
        names: tuple[tuple[str, ...], tuple[str, ...]],
        reference: Batch,
        declared: Sequence[Constraint] = (),
        *,
        mined: bool = True,
    ) -> "Honest":
        """Learn from a reference twice, the halves swapped; only the first model is kept.

        Parameters
        ----------
        names : tuple of two tuples of str
            Of the numeric and of the categorical inputs.
        reference : Batch
            In the order in which they came.
        declared : sequence of Constraint
            Rules that a person knows.
        mined : bool, optional
            Whether the reference is asked for rules as well.

        Returns
        -------
        Honest
            The bets are distributed as those of later requests.

        Raises
        ------
        DetectorError
            As ``RequestModel.fit``.
        """
        model = RequestModel.fit(names, reference, declared, mined=mined)
        twin = RequestModel.fit(names, reference, declared, mined=mined, swap=True)
        bets, labels = np.empty(reference.rows), np.empty(reference.rows, object)
        for start in range(0, reference.rows, CHUNK):
            part = np.arange(start, min(start + CHUNK, reference.rows))
            own = reference.taken(part)
            judged = model.judge(own)
            bets[part], labels[part] = judged.bets, first_broken(model, judged.broken)
        for one, rows in ((model, halves(reference.rows)[1]), (twin, halves(reference.rows)[0])):
            bets[rows] = one.fusion.means
        learnt = halves(reference.rows)[0]
        for start in range(0, len(learnt), CHUNK):
            part = learnt[start : start + CHUNK]
            labels[part] = first_broken(twin, twin.rules.broken(reference.taken(part).numeric))
        known, codes = np.unique(labels.astype(str), return_inverse=True)
        return cls(model, bets, Codes(tuple(known.tolist()), codes.astype(np.int32)))


def first_broken(model: RequestModel, broken: NDArray[np.bool_]) -> NDArray[np.object_]:
    """Return the name of the rule that each request breaks; of several the one that held-out requests keep best.

    Parameters
    ----------
    model : RequestModel
        Whose rules they are.
    broken : ndarray of bool, shape (n_constraints, n)
        Which rules are broken.

    Returns
    -------
    ndarray of object, shape (n,)
        Names, or ``none``.
    """
    labels = np.full(broken.shape[1], KEPT, object)
    some = np.flatnonzero(broken.any(axis=0))
    if len(some):
        order = np.argsort(model.held_broken, kind="stable")
        names = np.array([model.rules.constraints[place].name for place in order], object)
        labels[some] = names[broken[order][:, some].argmax(axis=0)]
    return labels
