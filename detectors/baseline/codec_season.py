"""The part of a baseline's bytes that holds the seasonal profile of a column.

In the header, a column that follows the hours has ``season``: number of slots, and bytes of a number of its counts and
of its blocks. After the column's own arrays come counts (unsigned, ``slots * bins``), blocks (unsigned, ``blocks *
bins``), inflation (float64, ``directions * scales``) and gain (float64), and if ``season`` has ``slow``, those of a
course.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detectors.baseline.bins import Column
from detectors.baseline.profile import BINS_MAX, NAMES, Season
from detectors.baseline.slow import arrays_of_slow, read_slow
from detectors.errors import BaselineError

Take = Callable[[np.dtype[Any], int, str], NDArray[Any]]
UNSIGNED = {1: np.uint8, 2: np.uint16, 4: np.uint32, 8: np.uint64}


def describe_season(season: Season) -> dict[str, int]:
    """Return what the header says of a profile.

    Parameters
    ----------
    season : Season
        Of a column.

    Returns
    -------
    dict
        Of integers.
    """
    own = {
        "slots": season.slots,
        "count_bytes": season.counts.dtype.itemsize,
        "block_bytes": season.blocks.dtype.itemsize,
    }
    return own if season.slow is None else own | {"slow": len(season.slow.curve)}


def arrays_of_season(season: Season | None) -> list[NDArray[Any]]:
    """Return the arrays of a profile, in the order in which they are written.

    Parameters
    ----------
    season : Season or None
        Of a column.

    Returns
    -------
    list of ndarray
        Not copied; none without a profile.
    """
    if season is None:
        return []
    own = [season.counts, season.blocks, season.inflation, np.array([season.gain], dtype=np.float64)]
    return [*own, *arrays_of_slow(season.slow)]


def read_season(entry: Any, column: Column, take: Take, place: str) -> Season:
    """Read what anybody may have written.

    Parameters
    ----------
    entry : object
        What the header says.
    column : NumericColumn or CategoricalColumn
        Whose profile it is.
    take : callable
        Returns the next array.
    place : str
        Of the column, for messages.

    Returns
    -------
    Season
        With read-only arrays.

    Raises
    ------
    BaselineError
        When anything is wrong.
    """
    if not isinstance(entry, dict):
        raise BaselineError(f"{place}: season: not an object")
    slots = entry.get("slots")
    if type(slots) is not int or slots not in NAMES:
        raise BaselineError(f"{place}: season: slots must be one of {', '.join(map(str, NAMES))}")
    bins, rows = len(column.counts), int(column.counts.sum())
    if bins > BINS_MAX:
        raise BaselineError(f"{place}: season: {bins} bins; at most {BINS_MAX} are possible")
    counts = take(_unsigned(entry, "count_bytes", place), slots * bins, place).reshape(slots, bins)
    blocks = take(_unsigned(entry, "block_bytes", place), column.blocks.size, place).reshape(column.blocks.shape)
    # Sums of hostile numbers may wrap around, so the numbers themselves are bounded first.
    bounded = bool(np.all(counts <= column.counts) and np.all(blocks <= rows))
    if not bounded or np.any(counts.sum(axis=0, dtype=np.int64) > column.counts):
        raise BaselineError(f"{place}: season: a slot has rows that the column does not have")
    if not np.array_equal(blocks.sum(axis=1, dtype=np.int64), column.blocks.sum(axis=1, dtype=np.int64)):
        raise BaselineError(f"{place}: season: blocks must have the rows of the column's blocks")
    inflation = take(np.dtype(np.float64), column.inflation.size, place).reshape(column.inflation.shape)
    gain = take(np.dtype(np.float64), 1, place)
    if not np.isfinite(inflation).all() or (inflation < 0).any() or (inflation > rows).any():
        raise BaselineError(f"{place}: season: inflation must be numbers from 0 to {rows}")
    if not np.isfinite(gain).all() or gain[0] <= 0.0:
        raise BaselineError(f"{place}: season: gain must be a number above 0")
    slow = read_slow(entry["slow"], column.inflation, bins, take, f"{place}: season") if "slow" in entry else None
    return Season(counts=counts, blocks=blocks, inflation=inflation, gain=float(gain[0]), slow=slow)


def _unsigned(entry: dict[str, Any], key: str, place: str) -> np.dtype[Any]:
    width = entry.get(key)
    kind = UNSIGNED.get(width) if type(width) is int else None
    if kind is None:
        raise BaselineError(f"{place}: season: {key} must be 1, 2, 4 or 8")
    return np.dtype(kind)
