"""The one list of scores. To add one: a file in ``detectors/scores``, a line here, its row in the docs, a test."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from detectors.scores.entropy import entropy
from detectors.scores.margin import margin
from detectors.scores.norm import norm


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """A pure function that makes something visible as a numeric column.

    Parameters
    ----------
    name : str
        The column is ``score.<name>``, and for embeddings ``score.<name>.<embedding>``.
    needs : {"probabilities", "embedding"}
        What the function takes: a matrix of events by classes, or of events by components.
    function : callable
        Returns one number per event; NaN is missing, +inf is invalid.

    Examples
    --------
    >>> SCORES["margin"].function(np.array([[0.75, 0.25]]))
    array([0.5])
    """

    name: str
    needs: Literal["probabilities", "embedding"]
    function: Callable[[NDArray[Any]], NDArray[np.float64]]


SCORES: Mapping[str, Score] = MappingProxyType(
    {
        "margin": Score(name="margin", needs="probabilities", function=margin),
        "entropy": Score(name="entropy", needs="probabilities", function=entropy),
        "norm": Score(name="norm", needs="embedding", function=norm),
    }
)
"""Every score by name."""
