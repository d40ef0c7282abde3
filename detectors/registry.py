"""The one list of scores. To add one: a file in ``detectors/scores``, a line here, its row in the docs, a test."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from detectors.exact import Coordinates, Fitted
from detectors.scores.directions import directions, fit_directions
from detectors.scores.entropy import entropy
from detectors.scores.mahalanobis import fit_mahalanobis, mahalanobis
from detectors.scores.margin import margin
from detectors.scores.norm import norm
from detectors.scores.pairs import fit_pairs, pairs
from detectors.scores.residual import fit_residual, residual
from detectors.scores.typicality import fit_typicality, typicality, without_each


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


@dataclass(frozen=True, slots=True, kw_only=True)
class FittedScore:
    """A score that learns from the reference, once, how to make one number of all inputs of an event.

    Parameters
    ----------
    name : str
        The column is ``score.<name>`` for the features together, and ``score.<name>.<embedding>`` for an embedding.
    fit : callable
        Takes the reference's coordinates and returns what is to be kept: bounded, and no reference row in it; or
        None when the score would say nothing. A second argument may be a fit to more events: whatever would make the
        scores of the two differ in kind, such as a number of components or a width, is taken from it.
    apply : callable
        Takes that and events' coordinates; returns one finite number per event, the same in whatever batch it comes.
    weighted : bool, optional
        Whether what is kept has amplitudes.
    of : {"features", "embeddings"}, optional
        What it is for; both by default.
    without_each : callable, optional
        A faster way to what ``fit`` returns without each of some parts of the reference in turn. Takes the coordinates,
        where each part begins and the last one ends, and the fit to all of them; returns one fit for each part.

    Notes
    -----
    Coordinates are whole numbers in units of 2^-7 robust deviations, shape (n_coordinates, n_events), see
    ``detectors.spaces``. A missing or invalid input is at the centre.

    Examples
    --------
    >>> reference = np.array([[128.0, -128.0, 0.0, 0.0], [0.0, 0.0, 128.0, -128.0]], dtype=np.float32)
    >>> score = FITTED["mahalanobis"]
    >>> fitted = score.fit(reference, None)
    >>> score.apply(fitted, reference).round(2)
    array([1.41, 1.41, 1.41, 1.41])
    """

    name: str
    fit: Callable[[Coordinates, Fitted | None], Fitted | None]
    apply: Callable[[Fitted, Coordinates], NDArray[np.float64]]
    weighted: bool = False
    of: Literal["features", "embeddings"] | None = None
    without_each: Callable[[Coordinates, NDArray[np.int64], Fitted], list[Fitted]] | None = None


FITTED: Mapping[str, FittedScore] = MappingProxyType(
    {
        "mahalanobis": FittedScore(name="mahalanobis", fit=fit_mahalanobis, apply=mahalanobis),
        "residual": FittedScore(name="residual", fit=fit_residual, apply=residual),
        "typicality": FittedScore(
            name="typicality", fit=fit_typicality, apply=typicality, weighted=True, without_each=without_each
        ),
        "pairs": FittedScore(name="pairs", fit=fit_pairs, apply=pairs, of="features"),
        "direction": FittedScore(name="direction", fit=fit_directions, apply=directions, of="embeddings"),
    }
)
"""Every fitted score by name."""
