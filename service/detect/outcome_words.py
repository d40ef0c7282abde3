"""What a person reads of answers that have become worse."""

import numpy as np
from numpy.typing import NDArray

from detectors.baseline.bins import Column, NumericColumn
from detectors.performance import ERROR, MISSED_PREFIX

RIGHT = "0"
"""The bin of right answers."""
NAME_MAX = 40


def worse_words(column: Column, counts: NDArray[np.int64]) -> str:
    """Return how bad the answers of some counts are, and how bad those of the reference were."""
    if column.spec.name == ERROR and isinstance(column, NumericColumn):
        now, before = _median(column, counts), _median(column, column.counts)
        return f"up: off by {now:.3g} on the median where the baseline is by {before:.3g}"
    now, before = _wrong(column, counts), _wrong(column, column.counts)
    if column.spec.name.startswith(MISSED_PREFIX):
        name = column.spec.name.removeprefix(MISSED_PREFIX)[:NAME_MAX]
        return f"up: {now:.1%} of '{name}' missed where the baseline has {before:.1%}"
    return f"up: {now:.1%} of the answers wrong where the baseline has {before:.1%}"


def _wrong(column: Column, counts: NDArray[np.int64]) -> float:
    """Return the share of answers that are not in the bin of right ones, which a reference without any lacks."""
    labels = column.bin_labels
    right = int(counts[labels.index(RIGHT)]) if RIGHT in labels else 0
    return 1.0 - right / max(1, int(counts.sum()))


def _median(column: NumericColumn, counts: NDArray[np.int64]) -> float:
    """Return the middle error, as if errors were spread evenly within their bins; beyond the range, its end."""
    lows, highs, numbers = [], [], []
    for segment, target in enumerate(column.targets.tolist()):
        if target >= 0:
            lows.append(float(column.edges[segment]))
            highs.append(float(column.edges[segment + 1]))
            numbers.append(int(counts[1 + target]))
    below, above = int(counts[0]), int(counts[1 + len(numbers)])
    wanted, seen = (below + sum(numbers) + above) / 2.0, float(below)
    if seen >= wanted:
        return lows[0]
    for low, high, number in zip(lows, highs, numbers, strict=True):
        if seen + number >= wanted and number:
            return low + (high - low) * (wanted - seen) / number
        seen += number
    return highs[-1]
