"""Frames to columns: which values of a batch are counted under which name."""

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from detectors.columns import SUM_OFF, Codes, ColumnGroup, ColumnKind, ColumnSpec, Values
from detectors.registry import SCORES
from detectors.spaces import Space
from service.domain.schema import (
    ERROR,
    LATENCY,
    NO_ERROR,
    PERFORMANCE_PREFIX,
    PREDICTION,
    PROBABILITY_PREFIX,
    SCORE_PREFIX,
    FeatureKind,
    Schema,
)
from service.frames import Frame

NORM_PREFIX = f"{SCORE_PREFIX}norm."
REMEMBERED_MAX = 1024
REMEMBERED_CHARACTERS = 64 * 1024
"""Makes of frames that are remembered, and how long their names may be."""
CLASSES_MIN = 2
"""Margin and entropy say something only of two classes or more."""


class Picks(NamedTuple):
    """Where the wanted columns stand in every frame of the same make."""

    numeric: tuple[tuple[str, int], ...]
    categorical: tuple[tuple[str, int], ...]
    norms: tuple[tuple[str, str], ...]
    """Column name and embedding name."""
    scores: tuple[tuple[str, str], ...]
    """Column name and score name, of the scores of the probabilities."""
    probabilities: tuple[int, ...]
    """The rows of the probabilities, by class name: a sum over classes must not depend on the order they came in."""
    errorless: bool
    """Whether errors are wanted of frames that tell of none: all their events are without."""


def columns_of(
    frame: Frame, wanted: tuple[str, ...], spaces: Sequence[Space] = (), *, shares: bool = False
) -> dict[str, Values]:
    """Return the values of those wanted columns that the frame carries, and what the spaces make of them.

    Where probabilities are ``shares`` of one, those of an event that are none (``odd``) are invalid, and its scores.
    """
    # Clients may send probabilities of classes with long names of their own: such frames leave nothing behind.
    short = sum(map(len, frame.numeric_names)) <= REMEMBERED_CHARACTERS
    picked = _remembered if short else _picks
    picks = picked(frame.numeric_names, frame.categorical_names, tuple(frame.embeddings), wanted)
    columns: dict[str, Values] = {name: frame.numeric[row] for name, row in picks.numeric}
    for name, row in picks.categorical:
        coded = frame.categorical[row]
        columns[name] = Codes(coded.labels, coded.codes)
    if picks.errorless:
        columns[ERROR] = Codes((NO_ERROR,), np.zeros(frame.rows, np.int32))
    for name, embedding in picks.norms:
        columns[name] = SCORES["norm"].function(frame.embeddings[embedding])
    if picks.scores:
        probabilities = probabilities_of(frame, picks.probabilities)
        for name, score in picks.scores:
            columns[name] = SCORES[score].function(probabilities)[: frame.rows]
    if shares and picks.probabilities:
        _refuse(columns, frame, picks)
    for space in spaces:
        if space.name and space.name in frame.embeddings:
            columns |= space.values_of_embedding(frame.embeddings[space.name], wanted)
        elif space.inputs and all(name in columns for name in space.inputs):
            columns |= space.values(columns, wanted)
    return columns


def _refuse(columns: dict[str, Values], frame: Frame, picks: Picks) -> None:
    """Make all probabilities of an event invalid where they are no shares of one, and its scores: any may be wrong."""
    wrong = odd(frame.numeric[list(picks.probabilities)])
    if wrong.any():
        for name in (*(frame.numeric_names[row] for row in picks.probabilities), *(name for name, _ in picks.scores)):
            columns[name] = np.where(wrong, np.inf, np.asarray(columns[name]))


def odd(probabilities: NDArray[np.floating]) -> NDArray[np.bool_]:
    """Tell of which events the class probabilities, shape (classes, events), are no shares of one.

    One of them is negative or infinite, or their sum is off one by more than ``SUM_OFF``. Who lacks one is not told of.
    """
    with np.errstate(invalid="ignore"):
        sound = np.abs(probabilities.sum(axis=0, dtype=np.float64) - 1.0) <= SUM_OFF
        sound &= probabilities.min(axis=0) >= 0.0
    if not sound.all():
        sound |= np.isnan(probabilities).any(axis=0)
    return np.asarray(~sound)


def names_of(schema: Schema, frame: Frame) -> tuple[str, ...]:
    """Return every column that a frame can give: features as declared, then the answer, latency, errors, scores."""
    carried = {*frame.numeric_names, *frame.categorical_names}
    features = [f.name for f in schema.features if f.name in carried]
    norms = [NORM_PREFIX + f.name for f in schema.of_kind(FeatureKind.EMBEDDING) if f.name in frame.embeddings]
    probabilities = sorted(name for name in carried if name.startswith(PROBABILITY_PREFIX))
    scores = [SCORE_PREFIX + name for name, score in SCORES.items() if score.needs == "probabilities"]
    return (
        *features,
        *norms,
        *(name for name in (PREDICTION,) if name in carried),
        *probabilities,
        *(name for name in (LATENCY, ERROR) if name in carried),
        *(scores if len(probabilities) >= CLASSES_MIN else ()),
    )


def specs_of(columns: Mapping[str, Values]) -> list[tuple[ColumnSpec, Values]]:
    """Return columns with what each of them is."""
    return [
        (
            ColumnSpec(
                name=name,
                kind=ColumnKind.CATEGORICAL if isinstance(values, Codes) else ColumnKind.NUMERIC,
                group=group_of(name),
            ),
            values,
        )
        for name, values in columns.items()
    ]


def group_of(name: str) -> ColumnGroup:
    """Return what a column speaks about, which follows from its name. The norm of an embedding is about the input."""
    if name == LATENCY:
        return ColumnGroup.LATENCY
    if name == ERROR:
        return ColumnGroup.ERROR
    if name.startswith(PERFORMANCE_PREFIX):
        return ColumnGroup.PERFORMANCE
    if name == PREDICTION or name.startswith(PROBABILITY_PREFIX):
        return ColumnGroup.PREDICTION
    if name.startswith(SCORE_PREFIX) and not name.startswith(NORM_PREFIX):
        return ColumnGroup.SCORE
    return ColumnGroup.FEATURE


def probabilities_of(frame: Frame, rows: Iterable[int]) -> NDArray[np.float64]:
    """Return the class probabilities, shape (events, classes), in the one precision and memory layout that scores get.

    An event's scores must have the same bits in whatever batch it comes. Class by class in memory, sums over classes
    run in the order of the classes, and several times faster than event by event; but numpy takes a single event for
    a plain vector, which it adds up in another order. So a single event comes twice.
    """
    matrix = frame.numeric[list(rows)].astype(np.float64)
    return (matrix if frame.rows > 1 else np.repeat(matrix, 2, axis=1)).T


def _picks(
    numeric: tuple[str, ...], categorical: tuple[str, ...], embeddings: tuple[str, ...], wanted: tuple[str, ...]
) -> Picks:
    """Find the wanted columns once for all frames of the same make."""
    known = frozenset(wanted)
    rows = {name: row for row, name in enumerate(numeric)}
    classes = sorted(name for name in wanted if name.startswith(PROBABILITY_PREFIX))
    scored = len(classes) >= CLASSES_MIN and all(name in rows for name in classes)
    return Picks(
        numeric=tuple((name, row) for name, row in rows.items() if name in known),
        categorical=tuple((name, row) for row, name in enumerate(categorical) if name in known),
        norms=tuple((NORM_PREFIX + name, name) for name in embeddings if NORM_PREFIX + name in known),
        scores=tuple(
            (SCORE_PREFIX + name, name)
            for name, score in SCORES.items()
            if scored and score.needs == "probabilities" and SCORE_PREFIX + name in known
        ),
        probabilities=tuple(rows[name] for name in classes) if scored else (),
        errorless=ERROR in known and ERROR not in categorical,
    )


_remembered = lru_cache(maxsize=REMEMBERED_MAX)(_picks)
