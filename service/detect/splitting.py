"""Events to segments: which rows of a batch belong to which part of the traffic."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from detectors.columns import Codes, Values
from service.domain.policy import SEGMENT_PREFIX
from service.frames import Coded, Frame

NO_SEGMENT = -1


def labels_of(frame: Frame, column: str) -> Coded | None:
    """Return the labels that divide a frame; ``None`` when it does not carry them."""
    if column.startswith(SEGMENT_PREFIX):
        return frame.segments.get(column.removeprefix(SEGMENT_PREFIX))
    if column not in frame.categorical_names:
        return None
    return frame.categorical[frame.categorical_names.index(column)]


def places_of(labels: Coded, values: Sequence[str]) -> NDArray[np.int64]:
    """Return the segment of each row: its place in ``values``, or -1."""
    place = {value: i for i, value in enumerate(values)}
    # Missing and invalid have the codes -1 and -2, which count from the end of this table.
    table = np.array([*(place.get(label, NO_SEGMENT) for label in labels.labels), NO_SEGMENT, NO_SEGMENT], np.int64)
    return table[labels.codes]


def split(columns: Mapping[str, Values], places: NDArray[np.int64]) -> Iterator[tuple[int, int, dict[str, Values]]]:
    """Yield each segment that has rows, with how many and with their values; rows keep their order."""
    order = np.argsort(places, kind="stable")
    ordered = places[order]
    rows = order[np.searchsorted(ordered, 0) :]
    if not len(rows):
        return
    sizes = np.bincount(ordered[len(order) - len(rows) :])
    taken = {
        name: Codes(values.labels, values.codes[rows]) if isinstance(values, Codes) else values[rows]
        for name, values in columns.items()
    }
    end = 0
    for segment, size in enumerate(sizes.tolist()):
        start, end = end, end + size
        if size:
            yield (
                segment,
                size,
                {
                    name: Codes(values.labels, values.codes[start:end])
                    if isinstance(values, Codes)
                    else values[start:end]
                    for name, values in taken.items()
                },
            )
