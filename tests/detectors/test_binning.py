"""Counting columns into the bins of a baseline."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors.baseline import Baseline, CategoricalColumn, NumericColumn, compile_baseline
from detectors.baseline.bins import REMEMBERED_CHARACTERS, REMEMBERED_MAX
from detectors.binning import bin_rows, count
from detectors.columns import Codes, ColumnKind, ColumnSpec, Values
from detectors.errors import ColumnError
from detectors.numbers import place_of
from tests.detectors.samples import Columns, baseline_of, copy_of, length_of, rows_of, tables


def naive_bin(baseline: Baseline, name: str, value: float | str | None) -> int:
    """Tell the bin of one value by reading the documented rules aloud."""
    column = baseline.columns[baseline.index[name]]
    labels = column.bin_labels
    if not isinstance(column, NumericColumn):
        if value is None or value == -2:
            return labels.index("missing" if value is None else "invalid", len(column.labels))
        own = column.labels.index(str(value)) if value in column.labels else None
        return labels.index("unseen", len(column.labels)) if own is None else own
    assert isinstance(value, float)
    if np.isnan(value) or np.isinf(value):
        return labels.index("missing" if np.isnan(value) else "invalid")
    if column.edges.dtype == np.float32:
        value = float(np.float32(np.clip(value, -3.4028234663852886e38, 3.4028234663852886e38)))
    edges = column.edges.astype(np.float64)
    if value < edges[0] or value >= edges[-1]:
        return 0 if value < edges[0] else column.regular + 1
    segment = max(i for i, edge in enumerate(edges) if edge <= value)
    target = int(column.targets[segment])
    return labels.index("between") if target < 0 else 1 + target


def naive_count(baseline: Baseline, columns: Columns) -> list[int]:
    flat = [0] * baseline.total
    for name, values in columns.items():
        start = int(baseline.starts[baseline.index[name]])
        for i in range(length_of(columns)):
            if isinstance(values, Codes):
                code = int(values.codes[i])
                value: float | str | None = values.labels[code] if code >= 0 else {-1: None, -2: -2}[code]
            else:
                value = float(values[i])
            flat[start + naive_bin(baseline, name, value)] += 1
    return flat


@given(reference=tables(), batch=tables())
def test_every_value_falls_into_the_bin_that_the_rules_name(reference: Columns, batch: Columns) -> None:
    baseline = baseline_of(reference, bins=4)
    assert count(baseline, batch).tolist() == naive_count(baseline, batch)


@given(reference=tables(), batch=tables(), cut=st.integers(0, 60))
def test_the_counts_of_two_halves_add_up_to_the_counts_of_the_whole(
    reference: Columns, batch: Columns, cut: int
) -> None:
    baseline = baseline_of(reference, bins=5)
    parts = [rows_of(batch, slice(0, cut)), rows_of(batch, slice(cut, None))]
    merged = count(baseline, parts[0]) + count(baseline, parts[1])
    assert np.array_equal(merged, count(baseline, batch))


@given(reference=tables(), batch=tables())
def test_binning_rows_and_counting_agree_and_neither_changes_its_input(reference: Columns, batch: Columns) -> None:
    baseline = baseline_of(reference, bins=3)
    before = copy_of(batch)
    flat = bin_rows(baseline, batch)
    assert np.array_equal(np.bincount(flat.ravel(), minlength=baseline.total), count(baseline, batch))
    for name, values in batch.items():
        other = before[name]
        if isinstance(values, Codes) and isinstance(other, Codes):
            assert np.array_equal(values.codes, other.codes)
        elif not isinstance(values, Codes) and not isinstance(other, Codes):
            assert np.array_equal(values, other, equal_nan=True)


def test_the_reference_rows_counted_again_give_the_counts_of_the_baseline() -> None:
    rng = np.random.default_rng(3)
    columns: Columns = {
        "x": rng.normal(size=5000),
        "zeros": np.where(rng.random(5000) < 0.7, 0.0, rng.exponential(size=5000)),
        "day": rng.integers(0, 7, 5000).astype(np.float64),
        "who": Codes(tuple(map(str, range(500))), rng.zipf(1.5, 5000).clip(0, 499).astype(np.int32)),
    }
    baseline = baseline_of(columns, categories=5)
    again, expected = count(baseline, columns), baseline.counts.copy()
    assert expected[-3] > 0
    # Rare labels of one stretch are unseen in the baseline, and known to who knows the whole of it.
    expected[-4:-2] = expected[-4:-2].sum(), 0
    assert np.array_equal(again, expected)


def test_a_value_too_large_for_float32_is_above_and_not_invalid() -> None:
    baseline = baseline_of({"x": np.arange(100, dtype=np.float32)})
    counts = count(baseline, {"x": np.array([1e200, -1e200, np.inf])})
    labels = baseline.columns[0].bin_labels
    assert [counts[labels.index(name)] for name in ("above", "below", "invalid")] == [1, 1, 1]


def test_a_column_that_is_not_sent_counts_nothing_and_one_that_is_not_known_is_ignored() -> None:
    baseline = baseline_of({"x": np.arange(100.0), "y": np.arange(100.0)})
    counts = count(baseline, {"y": np.arange(10.0), "z": np.arange(3.0)})
    assert counts[baseline.slices[0]].sum() == 0
    assert counts[baseline.slices[1]].sum() == 10
    assert bin_rows(baseline, {"y": np.arange(10.0)})[:, 0].tolist() == [-1] * 10


def test_an_empty_batch_counts_nothing() -> None:
    baseline = baseline_of({"x": np.arange(100.0)})
    assert count(baseline, {"x": np.zeros(0)}).sum() == 0
    assert count(baseline, {}).sum() == 0
    assert bin_rows(baseline, {"x": np.zeros(0)}).shape == (0, 1)


def test_a_rare_label_is_other_and_a_new_one_is_unseen() -> None:
    codes = np.repeat(np.arange(10, dtype=np.int32), 10)
    baseline = baseline_of({"x": Codes(tuple("abcdefghij"), codes)}, categories=2)
    counts = count(baseline, {"x": Codes(("a", "j", "new"), np.array([0, 1, 2, 2, -1, -2], dtype=np.int32))})
    assert dict(zip(baseline.columns[0].bin_labels, counts.tolist(), strict=True)) == {
        "a": 1, "b": 0, "other": 1, "unseen": 2, "missing": 1, "invalid": 1,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"x": np.zeros(3), "label": Codes(("a",), np.zeros(2, dtype=np.int32))}, "'label' has 2 events"),
        ({"x": Codes(("a",), np.zeros(2, dtype=np.int32))}, "'x' is categorical"),
        ({"label": np.zeros(2)}, "'label' is numeric"),
        ({"label": Codes(("a",), np.array([1], dtype=np.int32))}, "'label' has codes above 0"),
        ({"label": Codes(("a",), np.array([-3], dtype=np.int32))}, "'label' has codes below -2"),
    ],
)
def test_values_that_do_not_fit_are_refused_by_name(columns: dict[str, Values], message: str) -> None:
    reference: Columns = {"x": np.arange(100.0), "label": Codes(("a",), np.zeros(100, dtype=np.int32))}
    baseline = baseline_of(reference)
    for function in (count, bin_rows):
        with pytest.raises(ColumnError, match=message):
            function(baseline, columns)


def test_the_bins_of_many_labels_are_those_of_each_and_are_remembered_within_bounds() -> None:
    spec = ColumnSpec(name="c", kind=ColumnKind.CATEGORICAL)
    codes = np.repeat(np.arange(3, dtype=np.int32), [40, 30, 1])
    column = compile_baseline([(spec, Codes(("a", "b", "rare"), codes))], categories=2).baseline.columns[0]
    assert isinstance(column, CategoricalColumn)
    labels = ["a", "rare", "x" * 10_000, "b", *map(str, range(REMEMBERED_MAX + 50)), "rare"]
    for _ in range(2):
        assert column.bins_of(labels) == [column.bin_of(label) for label in labels]
    column.bins_of(["one more"])
    assert len(column._remembered) <= REMEMBERED_MAX + 1
    assert max(map(len, column._remembered)) <= REMEMBERED_CHARACTERS


def test_long_labels_that_never_come_again_leave_nothing_in_memory() -> None:
    spec = ColumnSpec(name="c", kind=ColumnKind.CATEGORICAL)
    codes = np.repeat(np.arange(3, dtype=np.int32), [40, 30, 1])
    column = compile_baseline([(spec, Codes(("a", "b", "rare"), codes))], categories=2).baseline.columns[0]
    assert isinstance(column, CategoricalColumn)
    tracemalloc.start()
    try:
        for i in range(50):
            labels = [f"{i} {j} ".ljust(8_000, "x") for j in range(20)]
            assert set(column.bins_of(labels)) == {column.bin_of("never seen")}
            assert len(set(map(place_of, labels))) == len(labels)
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept < 1_000_000  # of 8,000,000 bytes that have passed
