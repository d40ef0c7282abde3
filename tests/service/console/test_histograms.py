"""Histograms side by side."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors.baseline import compile_baseline
from detectors.columns import Codes, ColumnKind, ColumnSpec
from service.console.histograms import ROWS_MAX, bars
from service.detect.baselines import ColumnView, describe


def column(kind: str, bins: tuple[str, ...], counts: tuple[int, ...]) -> ColumnView:
    return ColumnView(name="x", kind=kind, group="feature", bins=bins, counts=counts, place=slice(0, len(bins)))


def of_numbers(values: list[float]) -> ColumnView:
    spec = ColumnSpec(name="x", kind=ColumnKind.NUMERIC)
    return describe(compile_baseline([(spec, np.array(values))]).baseline.to_bytes()).columns[0]


def test_bins_are_merged_so_that_the_baseline_looks_flat_although_outermost_bins_hold_less() -> None:
    rows = bars(of_numbers(np.random.default_rng(1).normal(size=3_200).tolist()), np.zeros(36, np.int64))
    assert len(rows) == 8
    assert all(row.baseline == pytest.approx(0.125, abs=0.03) for row in rows)
    assert sum(row.baseline for row in rows) == pytest.approx(1.0)
    assert all(row.current is None for row in rows), "no events are not zero percent"


def test_current_shares_have_limits_that_are_wider_where_rows_move_together() -> None:
    view = column("categorical", ("a", "b", "other", "unseen", "missing", "invalid"), (50, 50, 0, 0, 0, 0))
    current = np.array([30, 70, 0, 0, 0, 0])
    (alone, _), (together, _) = bars(view, current), bars(view, current, inflation=5.0)
    assert alone.limits == pytest.approx((0.212, 0.400), abs=0.001)
    assert alone.limits is not None
    assert together.limits is not None
    assert together.limits[0] < alone.limits[0] < alone.limits[1] < together.limits[1]
    assert [row.limits for row in bars(view, np.zeros(6, np.int64))] == [None, None]


def test_special_bins_appear_only_when_something_is_in_them() -> None:
    view = of_numbers([float(v) for v in range(1_000)])
    current = np.zeros(36, np.int64)
    current[0], current[34] = 3, 7
    rows = bars(view, current)
    assert [row.label for row in rows if row.special] == ["below", "missing"]
    assert rows[0].label == "below"
    assert [row.current for row in rows if row.special] == [0.3, 0.7]


def test_a_category_may_be_called_missing() -> None:
    spec = ColumnSpec(name="x", kind=ColumnKind.CATEGORICAL)
    codes = Codes(("missing", "DE"), np.array([0] * 60 + [1] * 40, dtype=np.int32))
    view = describe(compile_baseline([(spec, codes)]).baseline.to_bytes()).columns[0]
    rows = bars(view, np.array([1, 1, 0, 2, 0, 0]))
    assert [(row.label, row.special) for row in rows] == [("missing", False), ("DE", False), ("unseen", True)]


def test_many_categories_are_cut_to_the_largest_of_either_side() -> None:
    names = tuple(f"c{i}" for i in range(40))
    view = column("categorical", (*names, "other", "unseen", "missing", "invalid"), (*range(80, 40, -1), 0, 0, 0, 0))
    current = np.zeros(44, np.int64)
    current[39] = 100
    rows = bars(view, current)
    assert len(rows) == ROWS_MAX
    assert "c39" in [row.label for row in rows], "what is new must be seen"
    assert rows[-1].label == "29 more"


@given(st.lists(st.floats(-1e6, 1e6, width=32), min_size=3, max_size=300), st.integers(0, 2**32 - 1))
def test_shares_add_up_to_one(values: list[float], seed: int) -> None:
    view = of_numbers(values)
    current = np.random.default_rng(seed).integers(0, 50, len(view.bins))
    rows = bars(view, current)
    assert sum(row.baseline for row in rows) == pytest.approx(1.0)
    if current.any():
        assert sum(row.current or 0.0 for row in rows) == pytest.approx(1.0)
    assert all(0 <= row.baseline_width <= 100 and 0 <= row.current_width <= 100 for row in rows)


def test_merged_labels_run_from_the_first_to_the_last_with_equal_decimals() -> None:
    edges = ("[0.1234567, 0.2)", "[0.2, 0.3)", "[0.3, 4]")
    view = column("numeric", ("below", *edges, "above", "missing", "invalid"), (0, 1, 1, 1, 0, 0, 0))
    rows = bars(view, np.zeros(7, np.int64))
    assert [row.label for row in rows] == ["0.12 … 0.20", "0.20 … 0.30", "0.30 … 4.00"]


def test_a_value_with_a_bin_of_its_own_is_named_by_it() -> None:
    rows = bars(of_numbers([2.0, 4.0, 4.0, 5.0] * 20), np.zeros(8, np.int64))
    assert [row.label for row in rows] == ["2", "4", "5"]
    assert bars(of_numbers([math.nan] * 50), np.zeros(5, np.int64))[0].label == "any value"
