"""A batch as Python lists, one value per event, and the frame that it becomes.

JSON rows, JSON columns and NDJSON all come to this form, typed or not; Arrow has its own way to a frame.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import msgspec
import numpy as np
from numpy.typing import NDArray

from service.domain.errors import TooLarge
from service.domain.schema import ERROR, LATENCY, PREDICTION, PROBABILITY_PREFIX
from service.frames import Coded, Frame
from service.ingest.failures import errors_of, told
from service.ingest.layout import Layout
from service.ingest.limits import CLASSES_MAX, FINGERPRINT_MAX, SEGMENTS_MAX, Limits
from service.ingest.steps import Steps, run
from service.ingest.values import (
    Numbers,
    Values,
    check_labels,
    checked_numbers,
    checked_vectors,
    coded,
    micros,
    sent,
    storable,
    typed_numbers,
    typed_vectors,
)

Vectors = Callable[[Values, int, Limits], NDArray[np.float32]]


@dataclass(slots=True, kw_only=True)
class Lists:
    """Columns of Python values; ``None`` is missing. A column that no event carries may be empty."""

    rows: int
    numeric: Sequence[Values]
    """In the order of the layout."""
    categorical: Sequence[Values]
    """In the order of the layout."""
    embeddings: Mapping[str, Values] = field(default_factory=dict)
    event_ids: Sequence[str | None] = ()
    timestamps: Sequence[datetime | None] = ()
    principals: Sequence[str | None] = ()
    predictions: Values = ()
    probabilities: Mapping[str, Values] = field(default_factory=dict)
    latencies: Values = ()
    segments: Mapping[str, Values] = field(default_factory=dict)
    attributions: Mapping[str, Values] = field(default_factory=dict)
    fingerprints: Values = ()
    errors: Values = ()
    unknown: Sequence[str] = ()
    """Names of fields that the schema does not know."""


@dataclass(frozen=True, slots=True)
class Conversion:
    """How values become numbers: trusting their types, or not."""

    numbers: Numbers
    vectors: Vectors
    labels: Callable[[str, Coded, Limits], Coded]


TYPED = Conversion(typed_numbers, typed_vectors, lambda _name, column, _limits: column)
CHECKED = Conversion(checked_numbers, checked_vectors, check_labels)


def to_frame(layout: Layout, lists: Lists, convert: Conversion) -> Frame:
    """Make the frame: every stored feature, and of the rest what at least one event carries."""
    return run(framing(layout, lists, convert))


def framing(layout: Layout, lists: Lists, convert: Conversion) -> Steps[Frame]:
    """Do the same step by step."""
    rows, limits = lists.rows, layout.limits
    numeric_names, numeric = list(layout.numeric), list(lists.numeric)
    categorical_names, categorical = list(layout.categorical), list(lists.categorical)
    if sent(lists.predictions):
        if layout.number_predicted:
            numeric_names.append(PREDICTION)
            numeric.append(lists.predictions)
        else:
            categorical_names.append(PREDICTION)
            categorical.append(lists.predictions)
    for name, values in lists.probabilities.items():
        if sent(values):
            numeric_names.append(PROBABILITY_PREFIX + name)
            numeric.append(values)
    if sent(lists.latencies):
        numeric_names.append(LATENCY)
        numeric.append(lists.latencies)
    labelled = [
        convert.labels(name, coded(values), limits) for name, values in zip(categorical_names, categorical, strict=True)
    ]
    if told(lists.errors):
        categorical_names.append(ERROR)
        labelled.append(errors_of(lists.errors))
    yield
    numbers = convert.numbers(numeric) if numeric else np.empty((0, rows), np.float64)
    yield
    return Frame(
        rows=rows,
        numeric_names=tuple(numeric_names),
        numeric=numbers,
        categorical_names=tuple(categorical_names),
        categorical=tuple(labelled),
        embeddings={
            name: convert.vectors(lists.embeddings[name], dimension, limits)
            for name, dimension in layout.embeddings.items()
        },
        principals=coded(lists.principals) if sent(lists.principals) else None,
        event_ids=tuple(lists.event_ids) if sent(lists.event_ids) else None,
        timestamps_us=micros(lists.timestamps) if sent(lists.timestamps) else None,
        segments=_segments(lists),
        attributions=_attributions(layout, lists, convert),
        fingerprints=pack_fingerprints(lists.fingerprints, limits) if sent(lists.fingerprints) else b"",
    )


def class_names(layout: Layout, present: Iterable[str]) -> Sequence[str]:
    """Return the classes whose probabilities are columns: those of the schema, or those that are present.

    Raises
    ------
    TooLarge
        If the schema names none and too many are present.
    """
    if layout.classes is not None:
        return layout.classes
    names = sorted({name for name in present if storable(name)})
    if len(names) > CLASSES_MAX:
        raise TooLarge(f"probabilities of {len(names)} classes; at most {CLASSES_MAX} when the schema names none")
    if any(len(name.encode()) > layout.limits.string_bytes_max for name in names):
        raise TooLarge(f"a class name over string_bytes_max: {layout.limits.string_bytes_max}")
    return names


def segment_names(present: Iterable[str]) -> Sequence[str]:
    """Return the segment keys in order.

    Raises
    ------
    TooLarge
        If there are too many.
    """
    names = sorted(set(present))
    if len(names) > SEGMENTS_MAX:
        raise TooLarge(f"{len(names)} segment keys in one batch; at most {SEGMENTS_MAX}")
    return names


def _segments(lists: Lists) -> dict[str, Coded]:
    if not lists.segments:
        return {}
    return {name: coded(values) for name, values in lists.segments.items() if sent(values)}


def _attributions(layout: Layout, lists: Lists, convert: Conversion) -> dict[str, NDArray[np.float32]]:
    if not lists.attributions:
        return {}
    names = [name for name in layout.stored if name in lists.attributions and sent(lists.attributions[name])]
    if not names:
        return {}
    with np.errstate(over="ignore"):  # what float32 cannot hold becomes infinite, which is invalid
        matrix = convert.numbers([lists.attributions[name] for name in names]).astype(np.float32)
    matrix[np.isinf(matrix)] = np.inf
    return dict(zip(names, matrix, strict=True))


def pack_fingerprints(values: Values, limits: Limits) -> bytes:
    """Return the fingerprints as MessagePack, one per event: text, an integer, or a list of them; all else is null.

    Raises
    ------
    TooLarge
        For a fingerprint of too many values.
    """
    return msgspec.msgpack.encode([_fingerprint(value, limits) for value in values])


def _fingerprint(value: object, limits: Limits) -> object:
    if isinstance(value, list):
        if len(value) > FINGERPRINT_MAX:
            raise TooLarge(f"a fingerprint of {len(value)} values; at most {FINGERPRINT_MAX}")
        parts = [_fingerprint(each, limits) if not isinstance(each, list) else None for each in value]
        return None if None in parts else parts
    if isinstance(value, str):
        short = 4 * len(value) <= limits.string_bytes_max
        return value if short and storable(value) else None
    if isinstance(value, int) and not isinstance(value, bool):
        return value if -(1 << 63) <= value < 1 << 64 else None
    return None
