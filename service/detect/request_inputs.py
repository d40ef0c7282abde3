"""Requests of a frame, as far as they can be judged: what their inputs are, and what is wrong with the others."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from detectors.columns import SUM_OFF, Codes, Values
from detectors.requests import Batch
from detectors.scores.margin import margin
from service.domain.schema import PREDICTION, PROBABILITY_PREFIX
from service.frames import Frame

WRONG = ("embedding", "features", "probabilities")
"""What can be wrong with a request: an embedding that is missing, of another dimension or not finite; more than half of
the features missing or invalid; probabilities that do not add up to one."""
UNJUDGED = (
    "not judged: its embedding is missing, of another dimension or not finite",
    "not judged: more than half of its features are missing or invalid",
    "not judged: its probabilities do not add up to one",
    "not judged: columns that the reference has are not there, or of another kind",
)
"""What people read of such a request, in the order of ``WRONG``; the last one where its frame lacks inputs."""


class Sieve:
    """What is wrong with each request of a frame: the first thing that is found."""

    def __init__(self, rows: int) -> None:
        self.wrong = np.full(rows, -1, np.int8)
        """Places in ``WRONG``; -1 where nothing is."""

    def refuse(self, fine: NDArray[np.bool_], what: str) -> None:
        """Note those that are not fine."""
        self.wrong[~fine & (self.wrong < 0)] = WRONG.index(what)


@dataclass(frozen=True, slots=True, eq=False)
class Read:
    """Requests of a frame."""

    batch: Batch
    wrong: NDArray[np.int8]
    """As ``Sieve`` has it."""

    @property
    def good(self) -> NDArray[np.bool_]:
        """Which of them can be judged."""
        return np.asarray(self.wrong < 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Inputs:
    """Where in a frame the inputs of requests are."""

    numeric: tuple[str, ...]
    categorical: tuple[str, ...]
    classes: tuple[str, ...]
    """Columns of the probabilities, in order; empty where the reference had none."""
    answered: bool
    """Whether the reference names the predicted class."""
    embedding: tuple[str, int] | None
    """The feature that distances are measured in, and its dimension."""

    @property
    def wanted(self) -> tuple[str, ...]:
        """The columns that are needed of a frame."""
        return (*self.numeric, *self.categorical, *self.classes, *((PREDICTION,) if self.answered else ()))

    def read(self, frame: Frame, columns: Mapping[str, Values]) -> Read | None:
        """Return the requests of a frame; ``None`` when it lacks inputs, or they are of another kind."""
        found = [columns.get(name) for name in (*self.numeric, *self.categorical)]
        numbers = [one for one in found[: len(self.numeric)] if isinstance(one, np.ndarray)]
        labels = tuple(one for one in found[len(self.numeric) :] if isinstance(one, Codes))
        if len(numbers) + len(labels) < len(found):
            return None
        numeric = np.array(numbers, np.float64).reshape(len(numbers), frame.rows)
        sieve = Sieve(frame.rows)
        embedding = self._embedding(frame, sieve)
        if found:
            usable = np.isfinite(numeric).sum(axis=0) + sum(column.codes >= 0 for column in labels)
            sieve.refuse(2 * usable >= len(found), "features")
        margins, answers = self._answers(columns, frame.rows, sieve)
        batch = Batch(numeric=numeric, categorical=labels, embedding=embedding, answers=answers, margins=margins)
        return Read(batch, sieve.wrong)

    def _embedding(self, frame: Frame, sieve: Sieve) -> NDArray[np.float32] | None:
        if self.embedding is None:
            return None
        name, dimension = self.embedding
        embedding = frame.embeddings.get(name)
        if embedding is None or embedding.shape[1] != dimension:
            embedding = np.full((frame.rows, dimension), np.nan, np.float32)
        sieve.refuse(np.asarray(np.isfinite(embedding).all(axis=1)), "embedding")
        return embedding

    def _answers(
        self, columns: Mapping[str, Values], rows: int, sieve: Sieve
    ) -> tuple[NDArray[np.float64] | None, Codes | None]:
        """Return margins and predicted classes; answers that are none are refused."""
        told = columns.get(PREDICTION) if self.answered else None
        answers = told if isinstance(told, Codes) else None
        given = [one for name in self.classes if isinstance(one := columns.get(name), np.ndarray)]
        if not given or len(given) < len(self.classes):
            return None, answers
        shares = np.array(given, np.float64).T.reshape(rows, len(given))
        missing = np.isnan(shares).any(axis=1)
        with np.errstate(invalid="ignore"):
            sound = (np.abs(shares.sum(axis=1) - 1.0) <= SUM_OFF) & (shares >= 0.0).all(axis=1)
        sieve.refuse(missing | sound, "probabilities")
        if answers is None:
            names = tuple(name.removeprefix(PROBABILITY_PREFIX) for name in self.classes)
            best = np.nan_to_num(shares, nan=-1.0).argmax(axis=1)
            answers = Codes(names, np.where(missing, -1, best).astype(np.int32))
        return margin(shares), answers
