"""What joined labels add up to. Every sum is of whole numbers, so it has the same bits in whatever order it is made."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from detectors.columns import SUM_OFF
from detectors.errors import DetectorError
from detectors.performance.spread import Spread, spread_of

CLASSES_MAX = 16
"""Classes with a row and a column of their own; all others are one more."""
BINS = 10
"""Bins of the confidence, equally wide."""
UNIT_BITS = 32
"""Losses and confidences are added up in units of 2^-32."""
SMALLEST = 2.0**-24
"""Probabilities of the true class below this count as this: float32 has no smaller step below 1."""
EXACT_BITS = 1074
"""Every float64 is a whole number of 2^-1074."""
LARGEST = float(np.finfo(np.float64).max)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ClassSums:
    """Sums over answers that are classes.

    Parameters
    ----------
    classes : tuple of str
        Those with a place of their own, at most 16.
    confusion : ndarray of int64, shape (n_classes + 1, n_classes + 1)
        Answers by true class (row) and answered class (column); the last of each are all others.
    right : int
        Answers that were right, those of other classes among them.
    scored : int
        Answers with a probability for every class.
    log_loss, brier : int
        Sums over those, in units of 2**-32.
    calibration : ndarray of int64, shape (10, 3)
        By confidence in the answered class, from 0 to 1: answers that tell one, those that were right, and the sum of
        confidences in units of 2**-32.
    """

    classes: tuple[str, ...]
    confusion: NDArray[np.int64]
    right: int
    scored: int
    log_loss: int
    brier: int
    calibration: NDArray[np.int64]

    @property
    def answers(self) -> int:
        """How many answers have a label."""
        return int(self.confusion.sum())

    def merged(self, other: "ClassSums") -> "ClassSums":
        """Return both together.

        Parameters
        ----------
        other : ClassSums
            Of other answers. The classes of one must begin those of the other.

        Returns
        -------
        ClassSums
            The same bits in whatever order they are merged.

        Raises
        ------
        DetectorError
            When the classes are others.
        """
        few, many = sorted((self, other), key=lambda sums: len(sums.classes))
        known = len(few.classes)
        if many.classes[:known] != few.classes:
            raise DetectorError(f"sums over {few.classes} and {many.classes} cannot be merged")
        confusion = many.confusion.copy()
        places = np.array([*range(known), len(many.classes)])
        confusion[np.ix_(places, places)] += few.confusion
        return ClassSums(
            classes=many.classes,
            confusion=confusion,
            right=self.right + other.right,
            scored=self.scored + other.scored,
            log_loss=self.log_loss + other.log_loss,
            brier=self.brier + other.brier,
            calibration=self.calibration + other.calibration,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class NumberSums:
    """Sums over answers that are numbers; an error is answer less label.

    Parameters
    ----------
    answers : int, optional
        How many have a label.
    error, size, square : int, optional
        Sums of errors, of their absolute values and of their squares, in units of 2**-1074.
    sizes : Spread, optional
        Of the absolute values.
    """

    answers: int = 0
    error: int = 0
    size: int = 0
    square: int = 0
    sizes: Spread = field(default_factory=Spread)

    def merged(self, other: "NumberSums") -> "NumberSums":
        """Return both together.

        Parameters
        ----------
        other : NumberSums
            Of other answers.

        Returns
        -------
        NumberSums
            The same bits in whatever order they are merged.
        """
        return NumberSums(
            answers=self.answers + other.answers,
            error=self.error + other.error,
            size=self.size + other.size,
            square=self.square + other.square,
            sizes=self.sizes.merged(other.sizes),
        )


Sums = ClassSums | NumberSums


def no_sums(classes: tuple[str, ...]) -> ClassSums:
    """Return the sums of no answer.

    Parameters
    ----------
    classes : tuple of str
        With a place of their own.

    Returns
    -------
    ClassSums
        Zeros.

    Examples
    --------
    >>> no_sums(("a", "b")).confusion.shape
    (3, 3)
    """
    places = len(classes) + 1
    return ClassSums(
        classes=classes,
        confusion=np.zeros((places, places), np.int64),
        right=0,
        scored=0,
        log_loss=0,
        brier=0,
        calibration=np.zeros((BINS, 3), np.int64),
    )


def class_sums(
    classes: tuple[str, ...],
    truth: NDArray[np.int64],
    answered: NDArray[np.int64],
    right: NDArray[np.bool_],
    told: NDArray[np.floating],
) -> ClassSums:
    """Add up answers that are classes.

    Parameters
    ----------
    classes : tuple of str
        With a place of their own.
    truth, answered : ndarray of int64, shape (n,)
        Places of the true and the answered class; ``len(classes)`` for all others.
    right : ndarray of bool, shape (n,)
        Whether they are the same class: two others may not be.
    told : ndarray of float, shape (n, n_classes) or (n, 1)
        Probabilities of all classes, or the confidence in the answered one. What is not finite or not from 0 to 1, or
        does not add up to one, is not told.

    Returns
    -------
    ClassSums
        Of these answers.

    Notes
    -----
    Log loss is ``-log p(true class)``, in which a smaller ``p`` than 2**-24 counts as that; the Brier score is the sum
    over classes of ``(p - [class is true])**2`` [1]_.

    References
    ----------
    .. [1] Brier, G. W. (1950). Verification of forecasts expressed in terms of probability. Monthly Weather Review 78.

    Examples
    --------
    >>> told = np.array([[0.9, 0.1], [0.4, 0.6]])
    >>> sums = class_sums(("a", "b"), np.array([0, 0]), np.array([0, 1]), np.array([True, False]), told)
    >>> sums.confusion[:2, :2].tolist(), sums.right, round(sums.brier / 2**32, 3)
    ([[1, 1], [0, 0]], 1, 0.74)
    """
    places = len(classes) + 1
    confusion = np.bincount(truth * places + answered, minlength=places * places).reshape(places, places)
    wide = told.astype(np.float64)
    whole = wide.shape[1] == len(classes) > 1
    with np.errstate(invalid="ignore"):
        sound = ((wide >= 0.0) & (wide <= 1.0)).all(axis=1)
        if whole:
            sound &= np.abs(wide.sum(axis=1) - 1.0) <= SUM_OFF
    log_loss = brier = scored = 0
    if whole:
        kept = sound & (truth < len(classes))
        own, rows = wide[kept], np.arange(int(kept.sum()))
        true = np.zeros_like(own)
        true[rows, truth[kept]] = 1.0
        scored = len(rows)
        log_loss = _units(-np.log(np.maximum(own[rows, truth[kept]], SMALLEST)))
        brier = _units(((own - true) ** 2).sum(axis=1))
        sound &= answered < len(classes)
    confidence = wide[sound, answered[sound]] if whole else wide[sound, 0]
    return ClassSums(
        classes=classes,
        confusion=confusion.astype(np.int64),
        right=int(right.sum()),
        scored=scored,
        log_loss=log_loss,
        brier=brier,
        calibration=_calibration(confidence, right[sound]),
    )


def _units(values: NDArray[np.float64]) -> int:
    return int(np.rint(np.ldexp(values, UNIT_BITS)).astype(np.int64).sum())


def _calibration(confidence: NDArray[np.float64], right: NDArray[np.bool_]) -> NDArray[np.int64]:
    places = np.minimum((confidence * BINS).astype(np.int64), BINS - 1)
    found = np.zeros((BINS, 3), np.int64)
    np.add.at(found[:, 0], places, 1)
    np.add.at(found[:, 1], places, right.astype(np.int64))
    np.add.at(found[:, 2], places, np.rint(np.ldexp(confidence, UNIT_BITS)).astype(np.int64))
    return found


def number_sums(answers: NDArray[np.float64], labels: NDArray[np.float64]) -> NumberSums:
    """Add up answers that are numbers.

    Parameters
    ----------
    answers, labels : ndarray of float64, shape (n,)
        Finite.

    Returns
    -------
    NumberSums
        Of these answers. An error or a square beyond the largest float64 counts as that.

    Examples
    --------
    >>> sums = number_sums(np.array([1.0, 4.0]), np.array([2.0, 2.0]))
    >>> sums.error == 1 << 1074, sums.square == 5 << 1074
    (True, True)
    """
    with np.errstate(over="ignore"):
        errors = np.clip(answers - labels, -LARGEST, LARGEST)
        squares = np.minimum(errors * errors, LARGEST)
    return NumberSums(
        answers=len(errors),
        error=sum(map(_exact, errors.tolist())),
        size=sum(map(_exact, np.abs(errors).tolist())),
        square=sum(map(_exact, squares.tolist())),
        sizes=spread_of(np.abs(errors)),
    )


def _exact(value: float) -> int:
    whole, below = value.as_integer_ratio()
    return whole << (EXACT_BITS + 1 - below.bit_length())
