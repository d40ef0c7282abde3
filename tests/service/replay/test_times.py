"""Ticks from a column of times."""

import json
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from service.replay.engine import ReplayOptions, replay_file
from service.replay.render import render_json, render_text
from service.replay.sources import ReplayError
from service.replay.times import spell, tick_us_of, times_of

START = datetime(2024, 1, 1, tzinfo=UTC)
CHANGE = 700


def stream(seed: int, rows: int, change: int | None = None) -> pa.Table:
    """Return rows every ten seconds, three of which share a time."""
    rng = np.random.default_rng(seed)
    moved = (np.arange(rows) >= (rows if change is None else change)) * 1.5
    at = [START + timedelta(seconds=30 * (i // 3)) for i in range(rows)]
    return pa.table({"at": pa.array(at, pa.timestamp("ms", "UTC")), "moves": rng.normal(size=rows) + moved})


@pytest.fixture
def reference(tmp_path: Path) -> Path:
    path = tmp_path / "reference.parquet"
    parquet.write_table(stream(1, 4000), path)
    return path


@pytest.fixture
def changed(tmp_path: Path) -> Path:
    path = tmp_path / "changed.parquet"
    parquet.write_table(stream(2, 1000, CHANGE), path)
    return path


@pytest.mark.parametrize(
    ("text", "us"),
    [("60s", 60_000_000), ("1h", 3_600_000_000), ("0.5", 500_000), ("20ms", 20_000), ("1d", 86_400_000_000)],
)
def test_the_length_of_a_tick_has_a_unit(text: str, us: int) -> None:
    assert tick_us_of(text) == us


@pytest.mark.parametrize("text", ["", "h", "1w", "-1s", "0s", "400d", "1e3s", "nan"])
def test_what_is_no_length_is_refused(text: str) -> None:
    with pytest.raises(ReplayError, match="--tick"):
        tick_us_of(text)


@pytest.mark.parametrize(
    "array",
    [
        pa.array([START.replace(tzinfo=None)] * 2, pa.timestamp("ns")),
        pa.array([START] * 2, pa.timestamp("s", "Europe/Berlin")),
        pa.array([date(2024, 1, 1)] * 2),
        pa.array([START.timestamp()] * 2),
        pa.array([int(START.timestamp())] * 2),
        pa.array([str(int(START.timestamp())), f" {START.timestamp():.1f}"]),
        pa.array(["2024-01-01", "2024-01-01 00:00:00.000"]),
        pa.array(["2024-01-01T00:00:00Z", " 2024-01-01T01:00:00+01:00"]),
        pa.array(["2024-01-01T00:00:00", "2023-12-31 19:30:00-0430"]),
        pa.array(["2024-01-01 00:00:00"] * 2).dictionary_encode(),
    ],
)
def test_times_are_told_however_they_are_spelled(array: Any) -> None:
    assert [spell(us) for us in times_of("f", array, 0).tolist()] == ["2024-01-01T00:00:00Z"] * 2


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (pa.array(["2024-01-01", None]), "f: row 11 has no time"),
        (pa.array([1.0, None]), "f: row 11 has no time"),
        (pa.array(["1", None]), "f: row 11 has no time"),
        (pa.array(["1", "soon"]), "f: row 10: '1' is no time"),
        (pa.nulls(2), "f: row 10 has no time"),
        (pa.array(["2024-01-01", "soon"]), "f: row 11: 'soon' is no time"),
        (pa.array([0.0, 1.7e12]), "f: row 11 is more than 285 years from 1970"),
        (pa.array([[1], [2]]), "f: holds values of type list"),
    ],
)
def test_a_row_without_a_time_is_named(array: Any, message: str) -> None:
    with pytest.raises(ReplayError, match=message):
        times_of("f", array, 10)


def test_ticks_of_time_are_ticks_of_rows_where_rows_come_evenly(reference: Path, changed: Path) -> None:
    by_time = replay_file(changed, reference, ReplayOptions(time="at", tick_us=tick_us_of("60s")))
    by_rows = replay_file(changed, reference, ReplayOptions(tick_rows=6, ignore=("at",), calibrate=False))
    assert by_time.columns == ("moves",)
    assert by_time.ticks == by_rows.ticks == 167
    first = by_time.alarms[0]
    assert CHANGE <= first.row <= CHANGE + 60
    assert first.at_us == round(START.timestamp() * 1e6) + first.row // 6 * 60_000_000
    assert first.since_us == round(START.timestamp() * 1e6) + first.since_row // 6 * 60_000_000
    assert first.since_row % 6 == 0
    assert f"row {first.row} ({spell(first.at_us)}): alarm" in render_text(by_time)
    found = json.loads(render_json(by_time))["alarms"][0]
    assert (found["time"], found["since_time"]) == (spell(first.at_us), spell(first.since_us))


@pytest.mark.parametrize("length", ["1s", "30s", "7m", "3d"])
def test_rows_in_no_order_are_sorted_with_a_warning(
    reference: Path, changed: Path, tmp_path: Path, length: str
) -> None:
    options = ReplayOptions(time="at", tick_us=tick_us_of(length), budget=1000)
    in_order = replay_file(changed, reference, options)
    shuffled = tmp_path / "shuffled.parquet"
    whole = parquet.read_table(changed)
    parquet.write_table(whole.take(pa.array(np.random.default_rng(0).permutation(1000))), shuffled)
    found = replay_file(shuffled, reference, options)
    assert [(a.row, a.since_row, a.at_us, a.effects) for a in found.alarms] == [
        (a.row, a.since_row, a.at_us, a.effects) for a in in_order.alarms
    ]
    assert "shuffled.parquet: rows are not in the order of 'at'; they were sorted in memory" in found.warnings
    assert in_order.warnings == ()


def test_the_reference_is_put_into_the_order_of_its_times(changed: Path, tmp_path: Path) -> None:
    walk = stream(3, 4000).set_column(1, "moves", pa.array(np.cumsum(np.random.default_rng(3).normal(size=4000)) / 20))
    mixed = walk.take(pa.array(np.random.default_rng(0).permutation(4000)))
    parquet.write_table(walk, tmp_path / "walk.parquet")
    parquet.write_table(mixed, tmp_path / "mixed.parquet")
    options = ReplayOptions(time="at", tick_us=tick_us_of("10m"))
    results = [replay_file(changed, tmp_path / f"{name}.parquet", options) for name in ("walk", "mixed")]
    assert len(results[0].alarms) == len(results[1].alarms)


def test_a_reference_without_times_is_taken_as_it_stands(changed: Path, tmp_path: Path) -> None:
    parquet.write_table(stream(1, 4000).select(["moves"]), tmp_path / "plain.parquet")
    result = replay_file(changed, tmp_path / "plain.parquet", ReplayOptions(time="at"))
    assert result.warnings == ("plain.parquet has no column 'at': its rows are taken to be in time order",)


def test_a_column_of_times_that_is_not_there_is_named(reference: Path, changed: Path) -> None:
    with pytest.raises(ReplayError, match=r"--time: .*changed\.parquet: no column 'att'; near names: 'at'"):
        replay_file(changed, reference, ReplayOptions(time="att"))


def test_times_before_1970_are_times(reference: Path, tmp_path: Path) -> None:
    old = stream(2, 600, 300).to_pydict()
    old["at"] = [at - timedelta(days=365 * 80) for at in old["at"]]
    parquet.write_table(pa.table(old), tmp_path / "old.parquet")
    first = replay_file(
        tmp_path / "old.parquet", reference, ReplayOptions(time="at", tick_us=tick_us_of("60s"))
    ).alarms[0]
    assert first.at_us is not None
    assert spell(first.at_us).startswith("1944-01-2")
