"""What a model answered, as labels are compared with it: classes or numbers, and what probabilities tell of them."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from detectors.baseline.bins import label_hash
from detectors.performance import CLASSES_MAX
from service.domain.schema import PREDICTION, PROBABILITY_PREFIX, Prediction, PredictionKind
from service.frames import Coded, Frame

CLASSES_MIN = 2
REMEMBERED_MAX = 4_096


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Answered:
    """The events of a frame that have an answer."""

    rows: NDArray[np.int64]
    """Of the frame."""
    answers: NDArray[np.uint32] | NDArray[np.float64]
    """Keys of classes, or numbers."""
    told: NDArray[np.float32]
    """Probabilities of all classes, or the confidence in the answered one; NaN where nothing is told."""


class Answering:
    """How the answers of one version are read: by its schema alone."""

    def __init__(self, prediction: Prediction) -> None:
        named = prediction.classes or ()
        self.numbers = prediction.kind is PredictionKind.NUMBER
        self.named = named[:CLASSES_MAX]
        """Classes that the schema names, as far as each has a place of its own."""
        self._all = named if CLASSES_MIN <= len(named) <= CLASSES_MAX else ()
        self.width = 0 if self.numbers else max(1, len(self._all))

    def read(self, frame: Frame) -> Answered | None:
        """Return the answers of a frame; ``None`` where it has none."""
        return self._numbers(frame) if self.numbers else self._classes(frame)

    def _numbers(self, frame: Frame) -> Answered | None:
        if PREDICTION not in frame.numeric_names:
            return None
        values = frame.numeric[frame.numeric_names.index(PREDICTION)].astype(np.float64)
        rows = np.flatnonzero(np.isfinite(values))
        return Answered(rows=rows, answers=values[rows], told=np.zeros((len(rows), 0), np.float32))

    def _classes(self, frame: Frame) -> Answered | None:
        numeric = {name: place for place, name in enumerate(frame.numeric_names)}
        whole = self._told(frame, numeric)
        if PREDICTION in frame.categorical_names:
            coded = frame.categorical[frame.categorical_names.index(PREDICTION)]
        elif whole is not None and not np.isnan(whole).all(axis=1).any():
            coded = Coded(self._all, whole.argmax(axis=1).astype(np.int32))
        else:
            return None
        rows = np.flatnonzero(coded.codes >= 0)
        codes = coded.codes[rows]
        keys = np.array([class_key(label) for label in coded.labels] or [0], np.uint32)
        told = _confidence(frame, numeric, coded) if whole is None and not self._all else whole
        if told is None:
            told = np.full((frame.rows, self.width), np.nan, np.float32)
        return Answered(rows=rows, answers=keys[codes], told=told[rows])

    def _told(self, frame: Frame, numeric: dict[str, int]) -> NDArray[np.float32] | None:
        places = [numeric.get(PROBABILITY_PREFIX + name) for name in self._all]
        known = [place for place in places if place is not None]
        if not known or len(known) < len(places):
            return None
        with np.errstate(over="ignore"):
            return np.asarray(frame.numeric[known].T, np.float32)


def _confidence(frame: Frame, numeric: dict[str, int], coded: Coded) -> NDArray[np.float32]:
    """Return the probability of the answered class, where events carry that of any class."""
    told = np.full((frame.rows, 1), np.nan, np.float32)
    for code, label in enumerate(coded.labels):
        place = numeric.get(PROBABILITY_PREFIX + label)
        if place is not None:
            own = coded.codes == code
            with np.errstate(over="ignore"):
                told[own, 0] = frame.numeric[place][own]
    return told


@lru_cache(maxsize=REMEMBERED_MAX)
def class_key(label: str) -> int:
    """Return 32 bits that stand for a class; two share them in one of four thousand million cases."""
    return label_hash(label) & 0xFFFFFFFF


class Vocabulary:
    """Classes with a place of their own: those that the schema names, or else those that came first."""

    def __init__(self, names: tuple[str, ...], *, grows: bool) -> None:
        self.names = list(names)
        self.grows = grows
        self._places = {class_key(name): place for place, name in enumerate(names)}

    def meet(self, coded: Coded) -> None:
        """Give places to classes that come, in the order of their coming, while there are any."""
        if not self.grows or len(self.names) >= CLASSES_MAX:
            return
        known, first = np.unique(coded.codes, return_index=True)
        for code in known[np.argsort(first)].tolist():
            if code >= 0:
                self._add(coded.labels[code])

    def places(self, keys: NDArray[np.uint32]) -> NDArray[np.int64]:
        """Return the places of classes; that behind the last one for all others."""
        known, inverse = np.unique(keys, return_inverse=True)
        other = len(self.names)
        return np.array([self._places.get(key, other) for key in known.tolist()], np.int64)[inverse]

    def _add(self, name: str) -> None:
        if len(self.names) < CLASSES_MAX and class_key(name) not in self._places:
            self._places[class_key(name)] = len(self.names)
            self.names.append(name)
