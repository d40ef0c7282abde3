"""True labels of reference rows: how often, and by how much, the reference's own answers were wrong."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from detectors.baseline import ROWS_MIN, Baseline, add_partial
from detectors.performance import MISSED_PREFIX, Sums, class_outcomes, class_sums, number_outcomes, number_sums
from service.detect.answered import Answered, Answering, Vocabulary, class_key
from service.domain.schema import PREDICTION, Schema
from service.frames import Coded, Frame

CODE = "labels"
Labels = Coded | NDArray[np.float64]
"""One for each reference row: of classes, or numbers; missing and invalid as in a frame."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Labelled:
    """What labels make of a reference."""

    sums: Sums | None = None
    baseline: Baseline | None = None
    """With the outcomes as columns."""
    warnings: tuple[dict[str, str], ...] = ()


NOTHING_LABELLED = Labelled()


def with_labels(
    whole: Baseline, schema: Schema, frame: Frame, labels: Labels, times: NDArray[np.int64] | None
) -> Labelled:
    """Compare the answers of a reference with its labels; rows are in the order of the frame."""
    answering = Answering(schema.prediction)
    answered = answering.read(frame)
    if answered is None:
        return Labelled(warnings=(_warning("the reference has labels, and no prediction to compare them with"),))
    if isinstance(labels, Coded):
        sums, columns = _classes(frame, answering, answered, labels)
    else:
        sums, columns = _numbers(frame, answered, labels)
    if sums.answers < ROWS_MIN:
        text = f"{sums.answers} rows have an answer and a label; at least {ROWS_MIN} are needed to bet on wrong answers"
        return Labelled(warnings=(_warning(text),))
    told = [] if sums.answers == frame.rows else [_warning(_partly(sums.answers, frame.rows))]
    kept = {name: values for name, values in columns.items() if np.isfinite(values).sum() >= ROWS_MIN}
    few = [name.removeprefix(MISSED_PREFIX) for name in columns if name not in kept]
    if few:
        text = f"fewer than {ROWS_MIN} rows have these labels, which are watched with all others only: {', '.join(few)}"
        told.append(_warning(text))
    return Labelled(sums=sums, baseline=add_partial(whole, kept, times), warnings=tuple(told))


def _classes(
    frame: Frame, answering: Answering, answered: Answered, labels: Coded
) -> tuple[Sums, Mapping[str, NDArray[np.float64]]]:
    vocabulary = Vocabulary(answering.named, grows=not answering.named)
    if PREDICTION in frame.categorical_names:
        vocabulary.meet(frame.categorical[frame.categorical_names.index(PREDICTION)])
    vocabulary.meet(labels)
    both = np.flatnonzero(labels.codes[answered.rows] >= 0)
    rows, keys = answered.rows[both], np.array([class_key(label) for label in labels.labels] or [0], np.uint32)
    truth, answers = keys[labels.codes[rows]], answered.answers[both].astype(np.uint32)
    classes, places, right = tuple(vocabulary.names), vocabulary.places(truth), truth == answers
    sums = class_sums(classes, places, vocabulary.places(answers), right, answered.told[both])
    return sums, _spread(class_outcomes(classes, places, right), rows, frame.rows)


def _numbers(
    frame: Frame, answered: Answered, labels: NDArray[np.float64]
) -> tuple[Sums, Mapping[str, NDArray[np.float64]]]:
    both = np.flatnonzero(np.isfinite(labels[answered.rows]))
    rows, answers = answered.rows[both], answered.answers[both].astype(np.float64)
    sums = number_sums(answers, labels[rows])
    return sums, _spread(number_outcomes(answers, labels[rows]), rows, frame.rows)


def _spread(
    columns: Mapping[str, NDArray[np.float64]], rows: NDArray[np.int64], number: int
) -> Mapping[str, NDArray[np.float64]]:
    """Return the values at their rows, NaN at all others."""
    found = {}
    for name, values in columns.items():
        found[name] = np.full(number, np.nan)
        found[name][rows] = values
    return found


def _partly(labelled: int, rows: int) -> str:
    return f"{labelled:,} of {rows:,} rows have an answer and a label: wrong answers are compared with those"


def _warning(text: str) -> dict[str, str]:
    return {"column": "", "code": CODE, "text": text}
