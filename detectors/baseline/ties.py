"""Whether the reference is long enough to have shown how long its rows are tied together.

Where sizes of sessions have no finite variance, the variance inflation never levels off: a longer reference shows a
larger one, and the stream that follows has longer sessions than the reference. What is measured is then too small. The
inflation is extrapolated with the power with which it grows, from a sixteenth of the reference to all of it.
"""

from collections.abc import Collection, Iterable
from dataclasses import replace

import numpy as np

from detectors.baseline.bins import Column

FROM_PART, TO_PART = 256, 16
"""Stretches from this part of the reference to that one are compared: shorter ones say nothing of what is longest,
of longer ones there are too few."""
POINTS_MIN = 3
TIED_MIN = 2.0
"""Columns whose sums vary less than so many times as those of independent rows are not asked."""
GROWTH_MAX = 0.2
"""Sums whose variance per row grows by a larger power of the stretch's length have not levelled off. Sessions with
sizes like Pareto's with index 1.6 have 0.4; sessions of geometric size and autoregressions have 0 in the end."""
GROWTH_MOST = 0.3
"""No more is extrapolated: in a short reference even sessions of 20 rows have not levelled off."""
GROWTH_GRID = 2.0**-10


def growth_of(columns: Iterable[Column]) -> float:
    """Return the power of the length with which the inflation of long stretches grows.

    Parameters
    ----------
    columns : iterable of NumericColumn or CategoricalColumn
        Of a baseline.

    Returns
    -------
    float
        Of the median column among those whose rows move together; 0 when there is none, or when the reference is too
        short to tell. Seasons with a profile do not count, nor do columns with a slow course.

    Notes
    -----
    Where nothing ties rows together for longer than the stretches that are compared, it is 0 but for chance: of 12
    references of 10,000 rows with one column of sessions of 20 rows one had more than 0.25, of 20,000 rows none more
    than 0.2.
    """
    found = []
    for column in columns:
        inflation = column.inflation if column.season is None else column.season.inflation
        rows = int(column.counts.sum())
        lengths = 2.0 ** np.arange(1, inflation.shape[1] + 1)
        seen = (lengths >= rows / FROM_PART) & (lengths <= rows / TO_PART)
        mean = inflation[:-1].mean(axis=0)[seen] if len(inflation) else np.zeros(0)
        if len(mean) >= POINTS_MIN and mean[-1] >= TIED_MIN and not _has_course(column):
            found.append(float(np.polyfit(np.log(lengths[seen]), np.log(mean), 1)[0]))
    return float(np.median(found)) if found else 0.0


def _has_course(column: Column) -> bool:
    """Tell whether a slow course already stands for what is tied together for longer than can be measured."""
    return (column.slow if column.season is None else column.season.slow) is not None


def with_growth(columns: list[Column], clocks: Collection[str | None]) -> list[Column]:
    """Remember in each column that the reference does not show how long its rows are tied together.

    Parameters
    ----------
    columns : list of NumericColumn or CategoricalColumn
        Of one reference.
    clocks : collection of str
        Names of columns that only ever grow or fall: they are not asked.

    Returns
    -------
    list of NumericColumn or CategoricalColumn
        The same ones where the inflation levels off. Columns with a slow course stay as they are: it stands for what is
        slower than the stretches that are measured.
    """
    growth = growth_of(column for column in columns if column.spec.name not in clocks)
    if growth <= GROWTH_MAX:
        return columns
    rounded = round(min(growth, GROWTH_MOST) / GROWTH_GRID) * GROWTH_GRID
    return [column if _has_course(column) else replace(column, growth=rounded) for column in columns]


def caveat(columns: Iterable[Column]) -> str | None:
    """Say that the promise on false alarms may be missed, because longer ties must be expected than were seen.

    Parameters
    ----------
    columns : iterable of NumericColumn or CategoricalColumn
        Of a baseline.

    Returns
    -------
    str or None
        One sentence; None when nothing speaks for it.
    """
    growth = max((column.growth for column in columns), default=0.0)
    if not growth:
        return None
    return (
        "sums over longer and longer stretches of rows vary more and more, and the reference is too short to show "
        f"where that ends (their variance per row grows with power {growth:.1g} of the length): what ties rows "
        "together, such as a few very long sessions, may be longer than it shows; exponents are lower for that, but "
        "the promise on false alarms is not certain: use a longer reference, or fewer rows of each session"
    )
