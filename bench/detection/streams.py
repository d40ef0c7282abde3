"""Seeded streams in which nothing changes: rows that are independent, autocorrelated, clustered or seasonal."""

import math

import numpy as np
from numpy.typing import NDArray
from scipy.signal import lfilter

from detectors.columns import Codes, ColumnKind, ColumnSpec, Values

Floats = NDArray[np.float64]
Times = NDArray[np.int64]
"""Microseconds since 1970."""
Table = dict[str, Values]

LABELS = tuple("abcdef")
SHARES = np.array([0.4, 0.3, 0.15, 0.1, 0.05])
"""Of the labels a to e; f is the one that no reference has seen."""
LABEL_EVERY = 5
"""Every fifth column is categorical, when there are several."""
SESSION_ROWS = 20.0
DAY_ROWS = 288
DAY_US = 86_400_000_000


def autoregressive(rng: np.random.Generator, rows: int, rho: float) -> Floats:
    """Return a stationary Gaussian AR(1) series with unit variance."""
    noise = rng.normal(size=rows) * math.sqrt(1.0 - rho**2)
    values, _ = lfilter([1.0], [1.0, -rho], noise, zi=[rho * float(rng.normal())])
    return np.asarray(values, dtype=np.float64)


def sessions(rng: np.random.Generator, rows: int) -> NDArray[np.int64]:
    """Return the session of each row: geometric sizes, 20 rows on average, one after the other."""
    sizes = rng.geometric(1.0 / SESSION_ROWS, size=int(2 * rows / SESSION_ROWS) + 200)
    return np.repeat(np.arange(len(sizes)), sizes)[:rows].astype(np.int64)


def series(kind: str, rng: np.random.Generator, rows: int, user: NDArray[np.int64]) -> Floats:
    """Return one numeric column with unit variance of noise."""
    if kind == "AR(1) 0.8":
        return autoregressive(rng, rows, 0.8)
    if kind == "sessions":
        habit = rng.normal(size=int(user[-1]) + 1)
        return math.sqrt(0.5) * habit[user] + math.sqrt(0.5) * rng.normal(size=rows)
    if kind == "daily season":
        phase = 2 * np.pi * rng.random()
        return np.asarray(np.sin(2 * np.pi * np.arange(rows) / DAY_ROWS + phase) + rng.normal(size=rows))
    return rng.normal(size=rows)


def times_of(kind: str, rows: int) -> Times | None:
    """Return when the rows were, of a stream that follows the hours."""
    return np.arange(rows) * (DAY_US // DAY_ROWS) if kind == "daily season" else None


def labels(rng: np.random.Generator, rows: int, shares: Floats = SHARES) -> Codes:
    """Return a categorical column of independent rows."""
    cuts = np.cumsum(shares)[:-1]
    return Codes(LABELS, np.searchsorted(cuts, rng.random(rows), side="right").astype(np.int32))


def null_table(kind: str, columns: int, rng: np.random.Generator, rows: int) -> Table:
    """Return a stream; categorical columns are numeric ones of the same kind, cut at fixed shares."""
    user = sessions(rng, rows)
    table: Table = {}
    for j in range(columns):
        values = series(kind, rng, rows, user)
        if columns > 1 and j % LABEL_EVERY == LABEL_EVERY - 1:
            cuts = np.quantile(values, np.cumsum(SHARES)[:-1])
            table[f"c{j}"] = Codes(LABELS, np.searchsorted(cuts, values).astype(np.int32))
        else:
            table[f"x{j}"] = values
    return table


def plain_columns(first: int, last: int, rng: np.random.Generator, rows: int) -> Table:
    """Return the columns of a model that nothing happens to, independent rows."""
    return {
        f"{'c' if j % LABEL_EVERY == LABEL_EVERY - 1 else 'x'}{j}": (
            labels(rng, rows) if j % LABEL_EVERY == LABEL_EVERY - 1 else rng.normal(size=rows)
        )
        for j in range(first, last)
    }


def rows_of(table: Table, rows: slice) -> Table:
    """Return some rows of all columns."""
    return {name: Codes(v.labels, v.codes[rows]) if isinstance(v, Codes) else v[rows] for name, v in table.items()}


def specs(table: Table) -> list[tuple[ColumnSpec, Values]]:
    """Return a table as ``compile_baseline`` wants it."""
    kinds = {True: ColumnKind.CATEGORICAL, False: ColumnKind.NUMERIC}
    return [(ColumnSpec(name=name, kind=kinds[isinstance(v, Codes)]), v) for name, v in table.items()]
