"""Figures people know, read off the sums: accuracy, precision and recall, log loss, errors; with intervals."""

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import overload

import numpy as np

from detectors.intervals import LEVEL, share_intervals
from detectors.performance.sums import EXACT_BITS, UNIT_BITS, ClassSums, NumberSums, Sums

Z = 1.959963984540054
"""Of the normal distribution, for 95 %."""
QUANTILES = (0.5, 0.9, 0.95, 0.99)
Share = tuple[float, float, float]
"""A share, and between which limits the true one lies, 95 %."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassRow:
    """One class.

    Parameters
    ----------
    name : str
        The class.
    support : int
        Answers whose true class it is.
    answered : int
        Answers that name it.
    precision, recall : tuple of float or None
        Share of right ones among those that name it, and among those whose true class it is; with limits. None where
        there is none.
    f1 : float or None
        Their harmonic mean; 0 where no answer was right, None where it is neither answered nor true.
    """

    name: str
    support: int
    answered: int
    precision: Share | None
    recall: Share | None
    f1: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassFigures:
    """Figures of answers that are classes.

    Parameters
    ----------
    answers : int
        With a label.
    wrong : tuple of float or None
        Share of wrong answers, with limits; None without answers.
    accuracy : float or None
        Share of right answers.
    balanced_accuracy : float or None
        Mean recall of the classes that came.
    log_loss, brier : float or None
        Means over the answers with probabilities of all classes.
    calibration_error : float or None
        Mean distance between confidence and share of right answers, over ten bins of confidence.
    classes : tuple of ClassRow
        Those with a place of their own.
    """

    answers: int
    wrong: Share | None
    accuracy: float | None
    balanced_accuracy: float | None
    log_loss: float | None
    brier: float | None
    calibration_error: float | None
    classes: tuple[ClassRow, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class NumberFigures:
    """Figures of answers that are numbers.

    Parameters
    ----------
    answers : int
        With a label.
    mae, bias : tuple of float or None
        Mean absolute error and mean error (answer less label), with limits; None with fewer than two answers.
    rmse : float or None
        Root of the mean squared error.
    quantiles : tuple of (float, float)
        Shares, and the absolute error that so many answers do not exceed.
    """

    answers: int
    mae: Share | None
    bias: Share | None
    rmse: float | None
    quantiles: tuple[tuple[float, float], ...]


def share_of(hits: int, events: int) -> Share | None:
    """Return a share with its limits.

    Parameters
    ----------
    hits, events : int
        How many of how many.

    Returns
    -------
    tuple of float or None
        Share, lower and upper limit (Clopper and Pearson, 95 %); None without events.

    Examples
    --------
    >>> [round(value, 3) for value in share_of(5, 10)]
    [0.5, 0.187, 0.813]
    """
    if not events:
        return None
    low, high = share_intervals(np.array([hits], np.int64), events, level=LEVEL)[0].tolist()
    return hits / events, low, high


@overload
def figures_of(sums: ClassSums) -> ClassFigures: ...
@overload
def figures_of(sums: NumberSums) -> NumberFigures: ...
def figures_of(sums: Sums) -> ClassFigures | NumberFigures:
    """Return the figures.

    Parameters
    ----------
    sums : ClassSums or NumberSums
        Of any answers.

    Returns
    -------
    ClassFigures or NumberFigures
        None for what cannot be told.

    Notes
    -----
    Limits are those of independent answers: exact for shares, of the normal distribution for means. Calibration error
    as Naeini, Cooper and Hauskrecht define it [1]_, with ten equal bins of the confidence in the answered class.

    References
    ----------
    .. [1] Naeini, M. P., Cooper, G. F., Hauskrecht, M. (2015). Obtaining well calibrated probabilities using Bayesian
       binning. AAAI.

    Examples
    --------
    >>> from detectors.performance.sums import number_sums
    >>> figures = figures_of(number_sums(np.array([1.0, 4.0]), np.array([2.0, 2.0])))
    >>> figures.mae[0], figures.bias[0], round(figures.rmse, 3)
    (1.5, 0.5, 1.581)
    """
    return _of_classes(sums) if isinstance(sums, ClassSums) else _of_numbers(sums)


def _of_classes(sums: ClassSums) -> ClassFigures:
    answers = sums.answers
    rows = tuple(_row(sums, place) for place in range(len(sums.classes)))
    recalls = [row.recall[0] for row in rows if row.recall is not None]
    number, right, confidence = (column.astype(np.float64) for column in sums.calibration.T)
    gaps = float(np.abs(right - np.ldexp(confidence, -UNIT_BITS)).sum())
    return ClassFigures(
        answers=answers,
        wrong=share_of(answers - sums.right, answers),
        accuracy=sums.right / answers if answers else None,
        balanced_accuracy=sum(recalls) / len(recalls) if recalls else None,
        log_loss=_mean(sums.log_loss, sums.scored),
        brier=_mean(sums.brier, sums.scored),
        calibration_error=gaps / float(number.sum()) if number.any() else None,
        classes=rows,
    )


def _row(sums: ClassSums, place: int) -> ClassRow:
    right = int(sums.confusion[place, place])
    support, answered = int(sums.confusion[place].sum()), int(sums.confusion[:, place].sum())
    return ClassRow(
        name=sums.classes[place],
        support=support,
        answered=answered,
        precision=share_of(right, answered),
        recall=share_of(right, support),
        f1=2 * right / (support + answered) if support + answered else None,
    )


def _mean(units: int, number: int) -> float | None:
    return units / 2.0**UNIT_BITS / number if number else None


def _of_numbers(sums: NumberSums) -> NumberFigures:
    if not sums.answers:
        return NumberFigures(answers=0, mae=None, bias=None, rmse=None, quantiles=())
    size, error, square = (_exact_mean(total, sums.answers) for total in (sums.size, sums.error, sums.square))
    quantiles = tuple((share, value) for share in QUANTILES if (value := sums.sizes.quantile(share)) is not None)
    return NumberFigures(
        answers=sums.answers,
        mae=_limited(size, square, sums.answers),
        bias=_limited(error, square, sums.answers),
        rmse=math.sqrt(square),
        quantiles=quantiles,
    )


def _exact_mean(total: int, number: int) -> Fraction:
    return Fraction(total, number << EXACT_BITS)


def _limited(mean: Fraction, square: Fraction, number: int) -> Share | None:
    """Return a mean with the limits that the variance gives; of one answer alone there are none."""
    value = float(mean)
    if number < 2:  # noqa: PLR2004 - a variance takes two
        return None
    variance = max(Fraction(0), square - mean * mean) * number / (number - 1)
    off = Z * math.sqrt(variance / number)
    return value, value - off, value + off
