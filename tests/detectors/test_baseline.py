"""Compiling reference data."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given

from detectors.baseline import CategoricalColumn, CompiledBaseline, NumericColumn, compile_baseline
from detectors.columns import Codes, ColumnKind, ColumnSpec, Values
from detectors.errors import BaselineError
from tests.detectors.samples import Columns, baseline_of, length_of, mixed, rows_of, spec_of, tables


def compiled(values: Values, *, bins: int = 32, categories: int = 63) -> CompiledBaseline:
    return compile_baseline([(spec_of("x", values), values)], bins=bins, categories=categories)


def numeric(values: Values, *, bins: int = 32) -> NumericColumn:
    column = compiled(values, bins=bins).baseline.columns[0]
    assert isinstance(column, NumericColumn)
    return column


@given(columns=tables())
def test_counts_and_blocks_add_up_to_the_rows_whatever_the_values(columns: Columns) -> None:
    baseline = baseline_of(columns, bins=6, blocks=7)
    rows = length_of(columns)
    for column in baseline.columns:
        assert column.counts.sum() == rows
        assert np.array_equal(column.blocks.sum(axis=0), column.counts)
        assert len(column.blocks) == max(1, min(7, rows // 16))
        assert len(column.bin_labels) == len(column.counts)
        if isinstance(column, NumericColumn):
            assert 1 <= column.regular <= 6


def test_continuous_values_fall_into_bins_of_equal_size_with_finer_ones_at_both_ends() -> None:
    column = numeric(np.random.default_rng(1).normal(size=32_000))
    regular = column.counts[1:33]
    assert column.regular == 32
    assert regular[:3].tolist() == regular[:28:-1].tolist() == [64, 192, 384]
    assert np.ptp(regular[3:29]) <= 1
    assert regular.sum() == 32_000


@pytest.mark.parametrize(("rows", "fine"), [(300, 0), (1000, 1), (3000, 2), (20_000, 3)])
def test_the_outermost_bins_hold_at_least_twenty_rows(rows: int, fine: int) -> None:
    regular = numeric(np.random.default_rng(2).normal(size=rows)).counts[1:33]
    assert np.count_nonzero(regular[:16] < 0.9 * rows / 32) == np.count_nonzero(regular[16:] < 0.9 * rows / 32) == fine
    assert regular.min() >= min(20, rows // 32)


def test_a_value_that_fills_two_bins_has_one_of_its_own() -> None:
    values = np.concatenate([np.zeros(600), np.linspace(0.001, 1, 400)])
    column = numeric(values, bins=10)
    assert column.bin_labels[1] == "0"
    assert column.counts[1] == 600
    assert column.regular <= 10


def test_few_distinct_values_have_a_bin_each_and_the_rest_is_between() -> None:
    column = numeric(np.tile([1.0, 2.0, 7.0], 50))
    assert column.bin_labels == ("below", "1", "2", "7", "above", "between", "missing", "invalid")


def test_a_tiny_sample_of_a_continuous_column_is_not_taken_for_discrete() -> None:
    assert not numeric(np.random.default_rng(0).normal(size=12)).discrete


def test_a_constant_column_has_one_bin_and_says_so() -> None:
    found = compiled(np.full(1000, 3.5))
    assert found.baseline.columns[0].bin_labels == ("below", "3.5", "above", "missing", "invalid")
    assert [str(w) for w in found.warnings] == ["x: constant: every valid value is 3.5; any other will stand out"]


def test_a_column_without_any_valid_value_has_one_bin_for_any_value() -> None:
    found = compiled(np.full(1000, np.nan))
    assert found.baseline.columns[0].bin_labels == ("below", "any value", "above", "missing", "invalid")
    assert [w.text for w in found.warnings] == ["100% of the values are missing (1000 of 1000)"]


def test_values_that_float32_would_merge_are_kept_in_float64() -> None:
    assert numeric(1.7e9 + np.arange(1000.0)).edges.dtype == np.float64
    assert numeric(np.tile([16_777_216.0, 16_777_217.0], 500)).edges.dtype == np.float64
    assert numeric(np.array([1e300, 1e301] * 500)).edges.dtype == np.float64
    assert numeric(np.random.default_rng(0).normal(size=10_000)).edges.dtype == np.float32


def test_means_and_deviations_describe_the_values_of_each_bin() -> None:
    values = np.random.default_rng(2).exponential(size=4000).astype(np.float32)
    column = numeric(np.append(values, [np.nan, np.inf]), bins=4)
    for i in range(4):
        own = values[(values >= column.edges[i]) & (values < column.edges[i + 1])].astype(np.float64)
        assert column.bin_means[i] == pytest.approx(own.mean())
        assert column.bin_stds[i] == pytest.approx(own.std())
    assert column.mean == pytest.approx(values.astype(np.float64).mean())
    assert column.std == pytest.approx(values.astype(np.float64).std())


def test_huge_values_do_not_break_the_moments() -> None:
    column = numeric(np.linspace(-1.0, 1.0, 1000) * 1.7e308)
    assert np.isfinite([column.mean, column.std]).all()
    assert np.isfinite(column.bin_means).all()


def test_labels_stand_by_frequency_and_rare_ones_are_remembered_as_hashes() -> None:
    codes = np.repeat(np.arange(4, dtype=np.int32), [1, 30, 30, 5])
    column = compiled(Codes(("once", "b", "a", "five"), codes), categories=2).baseline.columns[0]
    assert isinstance(column, CategoricalColumn)
    assert column.labels == ("a", "b")
    assert len(column.known) == 2
    assert column.singles == 0
    # Both rare labels are of one stretch, so to the others they are unseen.
    assert column.counts.tolist() == [30, 30, 0, 6, 0, 0]


def test_a_label_given_twice_is_one_label() -> None:
    column = compiled(Codes(("a", "b", "a"), np.array([0, 1, 2, 2], dtype=np.int32))).baseline.columns[0]
    assert isinstance(column, CategoricalColumn)
    assert dict(zip(column.labels, column.counts.tolist(), strict=False)) == {"a": 3, "b": 1}


@pytest.mark.parametrize(
    ("values", "codes"),
    [
        (np.linspace(0, 1, 12)[::-1].copy(), ["few_rows"]),
        (np.random.default_rng(0).normal(size=300), ["few_rows"]),
        (np.where(np.arange(1000) % 5 < 2, np.nan, np.sin(np.arange(1000))), ["missing"]),
        (np.where(np.random.default_rng(0).random(1000) < 0.39, np.nan, np.sin(np.arange(1000))), ["missing"]),
        (np.where(np.arange(1000) % 10 < 1, np.nan, np.sin(np.arange(1000))), []),
        (np.where(np.arange(1000) == 7, np.inf, np.sin(np.arange(1000))), ["invalid"]),
        (np.arange(1000.0), ["clock"]),
        (-np.arange(1000.0), ["clock"]),
        (Codes(tuple(map(str, range(1000))), np.arange(1000, dtype=np.int32)), ["identifier"]),
        (Codes(("a",), np.zeros(1000, dtype=np.int32)), ["constant"]),
        (Codes(tuple(map(str, range(400))), (np.arange(1000) % 400).astype(np.int32)), ["rare_labels"]),
        (np.sin(np.arange(1000.0)), []),
    ],
)
def test_a_person_is_warned_of_what_to_act_on(values: Values, codes: list[str]) -> None:
    assert [warning.code for warning in compiled(values).warnings] == codes


def test_rows_are_put_into_the_order_of_their_times() -> None:
    columns = mixed(np.random.default_rng(0), 1000)
    specs = [(spec_of(name, values), values) for name, values in columns.items()]
    places = np.random.default_rng(1).permutation(1000)
    shuffled = [(spec, rows_of({"x": values}, places)["x"]) for spec, values in specs]
    ordered = compile_baseline(specs).baseline
    assert compile_baseline(shuffled, times=places).baseline.digest == ordered.digest
    assert compile_baseline(shuffled).baseline.digest != ordered.digest
    assert compile_baseline(specs, times=np.zeros(1000, dtype=np.int64)).baseline.digest == ordered.digest


def test_a_dozen_rows_are_named_in_the_warning() -> None:
    assert str(compiled(np.sin(np.arange(12.0))).warnings[0]).startswith("12 rows: too few")


NUMERIC = ColumnSpec(name="x", kind=ColumnKind.NUMERIC)


@pytest.mark.parametrize(
    ("columns", "options", "message"),
    [
        ([], {}, "0 columns"),
        ([(NUMERIC, np.zeros(0))], {}, "no rows"),
        ([(NUMERIC, np.zeros(3)), (NUMERIC, np.zeros(3))], {}, "'x' stands twice"),
        ([(NUMERIC, np.zeros(3)), (ColumnSpec(name="y", kind=ColumnKind.NUMERIC), np.zeros(4))], {}, "'x' has 3 rows"),
        ([(NUMERIC, Codes(("a",), np.zeros(3, dtype=np.int32)))], {}, "'x' is numeric, but"),
        ([(ColumnSpec(name="c", kind=ColumnKind.CATEGORICAL), np.zeros(3))], {}, "'c' is categorical, but"),
        ([(NUMERIC, np.zeros((2, 2)))], {}, "'x' has 2 dimensions"),
        ([(NUMERIC, np.zeros(3))], {"bins": 1}, "bins is 1"),
        ([(NUMERIC, np.zeros(3))], {"blocks": 0}, "blocks is 0"),
        ([(NUMERIC, np.zeros(3))], {"times": np.zeros(2, dtype=np.int64)}, "times have shape"),
        ([(NUMERIC, np.zeros(3))], {"times": np.zeros(3, dtype=np.int64), "ordered": False}, "ordered is false"),
        (
            [(ColumnSpec(name="c", kind=ColumnKind.CATEGORICAL), Codes(("a",), np.array([1], dtype=np.int32)))],
            {},
            "'c' has codes outside",
        ),
    ],
)
def test_what_cannot_be_compiled_is_refused_with_the_place(
    columns: list[tuple[ColumnSpec, Values]], options: dict[str, Any], message: str
) -> None:
    with pytest.raises(BaselineError, match=message):
        compile_baseline(columns, **options)
