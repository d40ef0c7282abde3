"""Replay with ``--time`` compares columns with their own hours."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from detectors.baseline import compile_baseline, season_of
from detectors.columns import ColumnKind, ColumnSpec
from service.replay.engine import ReplayOptions, ReplayResult, replay_file
from service.replay.policies import default_policy
from service.replay.ticks import Cutting

HOUR_US = 3_600_000_000
DAY_US = 24 * HOUR_US
STEP_US = HOUR_US // 6
REFERENCE_ROWS = 30 * 144
CHANGE = 288
"""After two days."""


def table(seed: int, rows: int, *, first: int = 0, late_from: int | None = None) -> pa.Table:
    """Return a number that is high by day, from a row on six hours later; and one that is not."""
    rng = np.random.default_rng(seed)
    at_us = (first + np.arange(rows)) * STEP_US
    late = 6 * HOUR_US * (np.arange(rows) >= (rows if late_from is None else late_from))
    load = -2.0 * np.cos(2 * np.pi * (at_us - late) / DAY_US) + rng.normal(size=rows)
    return pa.table({"when": pa.array(at_us, pa.timestamp("us")), "load": load, "age": rng.normal(size=rows)})


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    paths = tmp_path / "changed.parquet", tmp_path / "reference.parquet"
    parquet.write_table(table(2, 1_500, first=REFERENCE_ROWS, late_from=CHANGE), paths[0])
    parquet.write_table(table(1, REFERENCE_ROWS), paths[1])
    return paths


def replayed(files: tuple[Path, Path], **told: object) -> ReplayResult:
    return replay_file(*files, ReplayOptions(budget=10_000.0, **told))  # type: ignore[arg-type]


@pytest.mark.parametrize("tick_us", [1_000_000, HOUR_US, 2 * HOUR_US])
def test_a_season_that_comes_later_is_found_with_its_times_only(files: tuple[Path, Path], tick_us: int) -> None:
    timed = replayed(files, time="when", tick_us=tick_us)
    assert "compared with their own hour of the day (UTC): load" in timed.warnings
    first = timed.alarms[0]
    assert CHANGE <= first.row <= CHANGE + 72
    assert [blame.name for blame in first.blames] == ["load"]
    assert first.at_us is not None
    assert replayed(files, ignore=("when",)).alarms == ()


@pytest.mark.parametrize("tick_us", [1_000, 7 * HOUR_US, 100 * HOUR_US])
def test_the_hour_of_a_tick_is_the_one_in_which_it_begins(tick_us: int) -> None:
    cutting = Cutting(time="when", us=tick_us)
    numbers = cutting.origin + np.array([-3, 0, 5, 123_456])
    expected = [season_of(cutting.start_us(int(number)), tick_us) for number in numbers]
    found = cutting.seasons(numbers)
    assert found is not None
    assert found.tolist() == expected
    assert Cutting(rows=10).seasons(numbers) is None


def test_unchanged_rows_raise_nothing(files: tuple[Path, Path]) -> None:
    parquet.write_table(table(3, 1_500, first=REFERENCE_ROWS), files[0])
    assert replayed(files, time="when").alarms == ()


def test_rows_out_of_order_give_the_same_alarms(files: tuple[Path, Path]) -> None:
    whole = parquet.read_table(files[0])
    expected = replayed(files, time="when")
    parquet.write_table(whole.take(np.random.default_rng(0).permutation(len(whole))), files[0])
    assert replayed(files, time="when").alarms == expected.alarms


def test_what_if_sees_the_hours_too(files: tuple[Path, Path]) -> None:
    given = default_policy()
    found = replayed(files, time="when", policies=(given, given)).what_if
    assert found is not None
    assert found.new.pages > 0
    untimed = replayed(files, ignore=("when",), policies=(given, given)).what_if
    assert untimed is not None
    assert untimed.new.pages == 0


def test_a_saved_baseline_that_knows_the_hours_says_so_when_there_are_no_times(files: tuple[Path, Path]) -> None:
    columns = parquet.read_table(files[1])
    specs = [(ColumnSpec(name=n, kind=ColumnKind.NUMERIC), columns[n].to_numpy()) for n in ("load", "age")]
    times = np.arange(REFERENCE_ROWS) * STEP_US
    saved = files[1].with_suffix(".lzb")
    saved.write_bytes(compile_baseline(specs, times=times).baseline.to_bytes())
    timed = replayed((files[0], saved), time="when")
    assert CHANGE <= timed.alarms[0].row <= CHANGE + 72
    untimed = replayed((files[0], saved), ignore=("when",))
    assert untimed.alarms == ()
    assert any("load follow, which takes --time" in warning for warning in untimed.warnings)
