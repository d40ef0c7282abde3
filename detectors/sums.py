"""Sums over a tick that are no counts: what the bets on pairs of inputs and on directions of embeddings need.

They are whole numbers, so the sums of two batches add up to the sums of the batch that holds both, bit for bit.
"""

from collections.abc import Mapping
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from detectors.baseline import Baseline
from detectors.columns import Values
from detectors.errors import ColumnError
from detectors.spaces import Space, Tilts

BLOCK = 448
"""So many products of numbers up to 192 are added up exactly in float32."""
STACKED_MAX = BLOCK
"""Up to so many rows in each tick, ticks are added up side by side."""


def sums_of(baseline: Baseline, columns: Mapping[str, Values]) -> NDArray[np.int64]:
    """Add up the events of a batch.

    Parameters
    ----------
    baseline : Baseline
        With its spaces.
    columns : mapping of str to Values
        With the parts of events, from ``Space.values``. A space whose parts are not there adds nothing.

    Returns
    -------
    ndarray of int64, shape (baseline.sums,)
        For each space: how many events; the sums of the squares of their parts and of the products, or of their parts;
        and of the parts for the learned line.

    Raises
    ------
    ColumnError
        When parts are of another number than the space has.

    Notes
    -----
    A matrix product of ``n_parts`` by ``n_parts`` for each space.

    Examples
    --------
    >>> from detectors.baseline import add_spaces, compile_baseline
    >>> from detectors.columns import ColumnKind, ColumnSpec
    >>> rng = np.random.default_rng(0)
    >>> columns = [(ColumnSpec(name=name, kind=ColumnKind.NUMERIC), rng.normal(size=1000)) for name in "xy"]
    >>> baseline = add_spaces(compile_baseline(columns), columns, {}).baseline
    >>> events = {"x": np.array([9.0, 9.0]), "y": np.array([9.0, -9.0])}
    >>> sums_of(baseline, baseline.spaces[0].values(events))
    array([    2, 73728, 73728,     0,    83,  -169])
    """
    found = [_of_space(space, columns.get(space.parts_name)) for space in baseline.tilted]
    return np.concatenate(found) if found else np.zeros(0, dtype=np.int64)


def tick_sums(baseline: Baseline, columns: Mapping[str, Values], bounds: NDArray[np.int64]) -> NDArray[np.int64]:
    """Add up the events of several ticks, one after the other.

    Parameters
    ----------
    baseline : Baseline
        With its spaces.
    columns : mapping of str to Values
        As for ``sums_of``.
    bounds : ndarray of int64, shape (n_ticks + 1,)
        Where each tick begins, and where the last one ends.

    Returns
    -------
    ndarray of int64, shape (n_ticks, baseline.sums)
        The same as from ``sums_of`` with the rows of each tick.
    """
    found = np.zeros((len(bounds) - 1, baseline.sums), dtype=np.int64)
    sizes, at = np.diff(bounds), 0
    for space in baseline.tilted:
        parts, width = columns.get(space.parts_name), space.sums_number
        if space.tilts is not None and isinstance(parts, np.ndarray) and len(sizes):
            own = found[:, at : at + width]
            if sizes[0] <= STACKED_MAX and (sizes == sizes[0]).all():
                rows = parts[bounds[0] : bounds[-1]].reshape(len(sizes), int(sizes[0]), parts.shape[1])
                own[:] = _stacked(space, space.tilts, np.ascontiguousarray(rows))
            else:
                for tick, (start, stop) in enumerate(pairwise(bounds.tolist())):
                    own[tick] = _of_space(space, parts[start:stop])
        at += width
    return found


def _of_space(space: Space, parts: Values | None) -> NDArray[np.int64]:
    tilts = space.tilts
    found = np.zeros(space.sums_number, dtype=np.int64)
    if tilts is None or not isinstance(parts, np.ndarray):
        return found
    if parts.ndim != 2 or parts.shape[1] != 1 + space.parts_number:  # noqa: PLR2004 - events by parts
        raise ColumnError(f"{space.parts_name!r} has shape {parts.shape}; (events, {1 + space.parts_number}) is needed")
    if not tilts.products:
        found[:] = parts.sum(axis=0, dtype=np.float64)
        return found
    found[0] = np.count_nonzero(parts[:, 0])
    across = parts[:, 1 : 1 + tilts.parts].T
    products = np.zeros((tilts.parts, tilts.parts))
    for start in range(0, len(parts), BLOCK):
        block = across[:, start : start + BLOCK]
        products += block @ block.T
    found[1 : 1 + tilts.parts] = products.diagonal()
    found[1 + tilts.parts : tilts.size] = products[tilts.statistics[:, 0], tilts.statistics[:, 1]]
    found[tilts.size :] = parts[:, 1 + tilts.parts :].sum(axis=0, dtype=np.float64)
    return found


def _stacked(space: Space, tilts: Tilts, rows: NDArray[np.float32]) -> NDArray[np.int64]:
    """Add up ticks of equally many rows: shape (n_ticks, n_rows, 1 + n_parts)."""
    if not tilts.products:
        return np.asarray(rows.sum(axis=1, dtype=np.float64).astype(np.int64))
    found = np.empty((len(rows), space.sums_number), dtype=np.int64)
    found[:, 0] = np.count_nonzero(rows[:, :, 0], axis=1)
    found[:, tilts.size :] = rows[:, :, 1 + tilts.parts :].sum(axis=1, dtype=np.float64)
    parts = rows[:, :, 1 : 1 + tilts.parts]
    first, second = tilts.statistics.T
    if rows.shape[1] == 1:
        single = parts[:, 0]
        found[:, 1 : 1 + tilts.parts] = single * single
        found[:, 1 + tilts.parts : tilts.size] = single[:, first] * single[:, second]
        return found
    products = np.matmul(parts.transpose(0, 2, 1), parts)
    found[:, 1 : 1 + tilts.parts] = np.einsum("tii->ti", products)
    found[:, 1 + tilts.parts : tilts.size] = products[:, first, second]
    return found
