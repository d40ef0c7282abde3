"""Columns and baselines for the tests of the detectors."""

from collections.abc import Mapping

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

from detectors.baseline import Baseline, compile_baseline
from detectors.columns import Codes, ColumnKind, ColumnSpec, Values

Columns = dict[str, Values]

LARGEST = [float(np.finfo(kind).max) for kind in (np.float32, np.float64)]
NUMBERS = st.one_of(
    st.floats(width=32),
    st.sampled_from([0.0, 1.0, 1.0, 2.0, -1.0, float("nan"), float("inf"), float("-inf"), 1e300, -1e300, 5e-324]),
    st.sampled_from([limit * sign for limit in LARGEST for sign in (1.0, -1.0)]),
)
LABELS = ("a", "b", "b", "c", "seldom", "été", "")


def spec_of(name: str, values: Values) -> ColumnSpec:
    """Return a spec of the kind of the values."""
    kind = ColumnKind.CATEGORICAL if isinstance(values, Codes) else ColumnKind.NUMERIC
    return ColumnSpec(name=name, kind=kind)


def baseline_of(columns: Mapping[str, Values], *, bins: int = 32, categories: int = 63, blocks: int = 160) -> Baseline:
    """Compile columns."""
    specs = [(spec_of(name, values), values) for name, values in columns.items()]
    return compile_baseline(specs, bins=bins, categories=categories, blocks=blocks).baseline


def rows_of(columns: Mapping[str, Values], places: slice | NDArray[np.int64]) -> Columns:
    """Return some rows of every column."""
    return {
        name: Codes(values.labels, values.codes[places]) if isinstance(values, Codes) else values[places]
        for name, values in columns.items()
    }


def length_of(columns: Mapping[str, Values]) -> int:
    """Return the number of rows."""
    values = next(iter(columns.values()))
    return len(values.codes) if isinstance(values, Codes) else len(values)


def copy_of(columns: Mapping[str, Values]) -> Columns:
    """Return the same values in other memory."""
    return {
        name: Codes(values.labels, values.codes.copy()) if isinstance(values, Codes) else values.copy()
        for name, values in columns.items()
    }


@st.composite
def tables(draw: st.DrawFn, min_rows: int = 1, max_rows: int = 60) -> Columns:
    """Draw one wide, one narrow and one categorical column, with everything that can be odd in them."""
    rows = draw(st.integers(min_rows, max_rows))
    wide = draw(st.lists(NUMBERS, min_size=rows, max_size=rows))
    narrow = draw(st.lists(st.sampled_from([0.0, 0.5, 3.0, float("nan"), float("inf")]), min_size=rows, max_size=rows))
    codes = draw(st.lists(st.integers(-2, len(LABELS) - 1), min_size=rows, max_size=rows))
    return {
        "wide": np.array(wide, dtype=np.float64),
        "narrow": np.array(narrow, dtype=np.float32),
        "label": Codes(LABELS, np.array(codes, dtype=np.int32)),
    }


def mixed(rng: np.random.Generator, rows: int, *, shift: float = 0.0, more_c: float = 0.0) -> Columns:
    """Return independent rows of three numeric columns and a categorical one."""
    labels = ("a", "b", "c", "d")
    shares = np.array([0.5, 0.3 - more_c, 0.15 + more_c, 0.05])
    gaps = rng.normal(size=rows)
    gaps[rng.random(rows) < 0.05] = np.nan
    return {
        "normal": rng.normal(size=rows) + shift,
        "skewed": rng.exponential(size=rows).astype(np.float32),
        "gaps": gaps,
        "letter": Codes(labels, rng.choice(4, size=rows, p=shares).astype(np.int32)),
    }
