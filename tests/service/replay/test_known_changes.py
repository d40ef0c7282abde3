"""Public data sets whose change points are known."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import compute as pc
from pyarrow import csv as arrow_csv
from pyarrow import parquet

from service.replay.engine import ReplayOptions, ReplayResult, replay_file

LOAN_FEATURES = (
    "car_value", "salary_range", "debt_to_income_ratio", "loan_length", "repaid_loan_on_prev_car",
    "size_of_downpayment", "driver_tenure",
)  # fmt: skip
LOAN_CHANGED = {"car_value", "salary_range", "loan_length", "repaid_loan_on_prev_car"}


@pytest.fixture(scope="module")
def loan(shared_data: Path) -> ReplayResult:
    tabular = shared_data / "tabular"
    return replay_file(
        tabular / "synthetic_car_loan_analysis.parquet",
        tabular / "synthetic_car_loan_reference.parquet",
        ReplayOptions(columns=LOAN_FEATURES),
    )


def test_the_car_loan_change_at_row_25000_is_found_within_60_rows_and_nothing_before(loan: ReplayResult) -> None:
    assert (loan.rows, loan.warnings) == (50_000, ())
    assert 25_000 <= loan.alarms[0].row < 25_060
    assert abs(loan.alarms[0].since_row - 25_000) <= 10


def test_only_car_loan_columns_that_changed_are_blamed(loan: ReplayResult) -> None:
    blamed = {blame.name for alarm in loan.alarms for blame in alarm.blames}
    assert {"car_value"} <= blamed <= LOAN_CHANGED


def test_a_thousand_rows_of_car_loans_are_a_baseline_for_the_next_49000(shared_data: Path, tmp_path: Path) -> None:
    whole = parquet.read_table(shared_data / "tabular" / "synthetic_car_loan_reference.parquet")
    parquet.write_table(whole.slice(0, 1000), tmp_path / "first.parquet")
    parquet.write_table(whole.slice(1000), tmp_path / "rest.parquet")
    options = ReplayOptions(columns=LOAN_FEATURES)
    assert replay_file(tmp_path / "rest.parquet", tmp_path / "first.parquet", options).alarms == ()


def test_red_wine_is_told_from_white_within_ten_rows(shared_data: Path, tmp_path: Path) -> None:
    whole = arrow_csv.read_csv(shared_data / "tabular" / "wine_quality.csv.gz")
    white, red = (whole.filter(pc.equal(whole["type"], kind)).drop_columns(["type"]) for kind in ("white", "red"))
    white = white.take(pa.array(np.random.default_rng(0).permutation(white.num_rows)))
    arrow_csv.write_csv(white.slice(0, 3000), str(tmp_path / "white.csv"))
    arrow_csv.write_csv(pa.concat_tables([white.slice(3000), red]), str(tmp_path / "then_red.csv"))
    change = white.num_rows - 3000
    first = replay_file(tmp_path / "then_red.csv", tmp_path / "white.csv", ReplayOptions()).alarms[0]
    assert change <= first.row < change + 10
    assert abs(first.since_row - change) <= 3


def test_shuffled_credit_data_raise_nothing(shared_data: Path, tmp_path: Path) -> None:
    whole = arrow_csv.read_csv(shared_data / "tabular" / "credit_default.csv.gz")
    whole = whole.take(pa.array(np.random.default_rng(0).permutation(whole.num_rows)))
    arrow_csv.write_csv(whole.slice(0, 12_000), str(tmp_path / "first.csv"))
    arrow_csv.write_csv(whole.slice(12_000), str(tmp_path / "second.csv"))
    assert replay_file(tmp_path / "second.csv", tmp_path / "first.csv", ReplayOptions()).alarms == ()


def test_the_extension_of_the_electricity_market_is_found_in_the_tick_in_which_it_happened(
    shared_data: Path, tmp_path: Path
) -> None:
    whole = arrow_csv.read_csv(shared_data / "tabular" / "elec2.csv.gz")
    parquet.write_table(whole.slice(0, 16_128), tmp_path / "first.parquet")
    parquet.write_table(whole.slice(16_128), tmp_path / "rest.parquet")
    columns = ("vicprice", "vicdemand", "transfer")
    options = ReplayOptions(tick_rows=48, budget=10_000, columns=columns)
    first = replay_file(tmp_path / "rest.parquet", tmp_path / "first.parquet", options).alarms[0]
    assert first.since_row <= 17_424 - 16_128 <= first.row
    assert {blame.name for blame in first.blames} == set(columns)
