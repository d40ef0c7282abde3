"""Streams that follow the hours, for the tests of seasonal profiles."""

from functools import cache

import numpy as np
from numpy.typing import NDArray

from detectors.baseline import Baseline, Column, compile_baseline, seasons_of
from detectors.binning import bin_rows
from detectors.columns import Codes
from tests.detectors.samples import Columns, spec_of

HOUR_US = 3_600_000_000
DAY_US = 24 * HOUR_US
DAY_ROWS = 96
STEP_US = DAY_US // DAY_ROWS
REFERENCE = 40 * DAY_ROWS
"""Rows of 40 days."""
SHARES = np.array([0.4, 0.3, 0.2, 0.1])


def times(rows: int, first: int = 0) -> NDArray[np.int64]:
    """Return when rows were: one every quarter of an hour."""
    return np.arange(first, first + rows, dtype=np.int64) * STEP_US


def swing(at_us: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the season of a day: low at night, high by day."""
    return np.asarray(-np.cos(2 * np.pi * at_us / DAY_US))


def daily(
    rng: np.random.Generator, rows: int, *, first: int = 0, size: float = 2.0, late_us: int = 0, weekly: bool = False
) -> Columns:
    """Return a number and a label that follow the hour, and a number and a label that do not."""
    at_us = times(rows, first)
    level = size * swing(at_us - late_us)
    if weekly:
        level = level * np.where((at_us // DAY_US + 3) % 7 >= 5, -1.0, 1.0)
    by_day = rng.random(rows) < 1.0 / (1.0 + np.exp(-2.0 * level))
    label = np.where(by_day, rng.integers(0, 2, rows), rng.integers(2, 4, rows))
    return {
        "load": level + rng.normal(size=rows),
        "kind": Codes(("office", "phone", "batch", "night"), label.astype(np.int32)),
        "age": rng.normal(size=rows),
        "country": Codes(("a", "b", "c", "d"), rng.choice(4, size=rows, p=SHARES).astype(np.int32)),
    }


@cache
def reference(seed: int = 0, *, weekly: bool = False) -> Baseline:
    """Compile 40 days."""
    columns = daily(np.random.default_rng(seed), REFERENCE, weekly=weekly)
    specs = [(spec_of(name, values), values) for name, values in columns.items()]
    return compile_baseline(specs, times=times(REFERENCE)).baseline


def ticks_of(baseline: Baseline, columns: Columns, first: int, rows_in_tick: int = 1) -> tuple[NDArray[np.int64], ...]:
    """Return counts and seasons of ticks of some rows each, the first of which is row ``first`` of all times."""
    bins = bin_rows(baseline, columns)
    ticks = len(bins) // rows_in_tick
    counts = np.zeros((ticks, baseline.total), dtype=np.int64)
    np.add.at(counts, (np.repeat(np.arange(ticks), rows_in_tick)[:, None], bins[: ticks * rows_in_tick]), 1)
    starts = times(len(bins), first)[: ticks * rows_in_tick : rows_in_tick]
    return counts, seasons_of(starts, rows_in_tick * STEP_US)


def seasonal_columns() -> list[Column]:
    """Return the columns that follow the hours of the day or of the week."""
    return [each for weekly in (False, True) for each in reference(weekly=weekly).columns if each.season is not None]
