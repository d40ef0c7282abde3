"""Frames to hashes of a sample of their events, for counting repeats."""

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from detectors.columns import ColumnGroup
from detectors.traffic.repeats import row_hashes, sampled_rows, text_hash
from service.detect.columns import group_of
from service.domain.schema import UNKNOWN_FIELDS
from service.frames import Frame

_SPECIALS = {-1: 1, -2: 2}


class _Picks(NamedTuple):
    numbers: slice | list[int]
    number_names: tuple[str, ...]
    labels: tuple[int, ...]
    label_names: tuple[str, ...]


def hashes_of(frame: Frame) -> NDArray[np.uint32]:
    """Return hashes of the features of about one event in sixteen; copies have the same, or are all left out."""
    picks = _picks(frame.numeric_names, frame.categorical_names)
    numbers = frame.numeric[picks.numbers]
    rows = sampled_rows(numbers)
    if not len(rows):
        return np.empty(0, np.uint32)
    words, seeds = [_words(numbers[:, rows])], [*_lanes(picks.number_names, numbers.dtype.itemsize // 4)]
    for name, place in zip(picks.label_names, picks.labels, strict=True):
        column = frame.categorical[place]
        codes = column.codes[rows]
        table = {code: text_hash(column.labels[code]) if code >= 0 else _SPECIALS[code] for code in set(codes.tolist())}
        words.append(np.fromiter(map(table.__getitem__, codes.tolist()), np.uint32, len(rows))[None])
        seeds.append(name)
    for name, vectors in frame.embeddings.items():
        chosen = np.ascontiguousarray(vectors[rows]).view(np.uint32)
        words.append(chosen.T)
        seeds += [f"{name}\0{i}" for i in range(chosen.shape[1])]
    return row_hashes(np.concatenate(words), tuple(seeds))


def _words(numbers: NDArray[np.float32] | NDArray[np.float64]) -> NDArray[np.uint32]:
    """Return numbers as words of 32 bits: one for each column, or two, one after the other."""
    flat = np.ascontiguousarray(numbers).view(np.uint32)
    lanes = numbers.dtype.itemsize // 4
    columns, count = numbers.shape
    return flat.reshape(columns, count, lanes).transpose(0, 2, 1).reshape(columns * lanes, count)


@lru_cache(maxsize=1_024)
def _lanes(names: tuple[str, ...], lanes: int) -> tuple[str, ...]:
    return tuple(f"{name}\0{lane}" for name in names for lane in range(lanes))


@lru_cache(maxsize=4_096)
def _picks(numeric: tuple[str, ...], categorical: tuple[str, ...]) -> _Picks:
    """Find the features once for all frames of the same make: answers and latency may differ between copies."""
    rows = [row for row, name in enumerate(numeric) if group_of(name) is ColumnGroup.FEATURE]
    labels = [
        row for row, name in enumerate(categorical) if group_of(name) is ColumnGroup.FEATURE and name != UNKNOWN_FIELDS
    ]
    # Ingest puts features first: a slice costs nothing, a list a copy.
    whole = rows == list(range(len(rows)))
    return _Picks(
        numbers=slice(0, len(rows)) if whole else rows,
        number_names=tuple(numeric[row] for row in rows),
        labels=tuple(labels),
        label_names=tuple(categorical[row] for row in labels),
    )
