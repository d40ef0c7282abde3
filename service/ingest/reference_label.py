"""The column of true labels in a reference file, read by itself: it is compared with the answers and never stored."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from service.domain.errors import Place, Unprocessable
from service.domain.schema import (
    ERROR,
    LATENCY,
    PREDICTION,
    PROBABILITY_PREFIX,
    Feature,
    FeatureKind,
    PredictionKind,
    Schema,
)
from service.frames import Coded
from service.ingest.limits import Limits
from service.ingest.reference import read_reference

NAME_CHARACTERS_MAX = 256
_TAKEN = frozenset({PREDICTION, LATENCY, ERROR, "timestamp", "event_id", "principal", "fingerprint", "embedding"})
AT = "label"


def check_label(label: str) -> None:
    """Refuse a name that no column of labels can have.

    Raises
    ------
    Unprocessable
        Naming it.
    """
    reason = None
    if not label or len(label) > NAME_CHARACTERS_MAX or not label.isprintable():
        reason = f"must be the name of a column, printable, of at most {NAME_CHARACTERS_MAX} characters"
    elif label in _TAKEN or label.startswith(PROBABILITY_PREFIX):
        reason = f"'{label}' is what the model says, not what turned out to be true"
    if reason is not None:
        raise Unprocessable(f"label: {reason}", places=[Place(AT, reason)])


def read_label(
    source: bytes | Path, content_type: str | None, schema: Schema, limits: Limits, label: str
) -> Coded | NDArray[np.float64]:
    """Read the column ``label`` of reference data, in the order that ``read_reference`` puts the rows in.

    Labels are spelled as answers are: the rules are those of a categorical feature, or of a number.

    Raises
    ------
    Unprocessable
        When there is no such column; as ``read_reference`` besides.
    """
    check_label(label)
    numbers = schema.prediction.kind is PredictionKind.NUMBER
    kind = FeatureKind.NUMERIC if numbers else FeatureKind.CATEGORICAL
    alone = Schema(features=(Feature(name=label, kind=kind),), prediction=schema.prediction)
    try:
        frame = read_reference(source, content_type, alone, limits, beside=label).frame
    except Unprocessable as error:
        if any(place.at == f"features.{label}" for place in error.places):
            reason = f"the file has no column '{label[:100]}'"
            raise Unprocessable(f"label: {reason}", places=[Place(AT, reason)]) from None
        raise
    if numbers:
        return np.asarray(frame.numeric[frame.numeric_names.index(label)], np.float64)
    return frame.categorical[frame.categorical_names.index(label)]
