"""A column that disappears is an alarm that names it, and never an error: from the first row on, or later."""

import gzip
import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import csv as arrow_csv
from pyarrow import feather, parquet

from detectors.baseline import compile_baseline
from detectors.columns import ColumnKind, ColumnSpec
from service.replay import csv_rows, json_rows
from service.replay.command import Asked, replay_command
from service.replay.engine import ReplayOptions, ReplayResult, replay_file
from service.replay.render import render_json
from service.replay.segments import division_of
from service.replay.sources import ReplayError

ROWS = 600


def table(seed: int, rows: int = ROWS) -> pa.Table:
    """Return two numbers and a label that never change."""
    rng = np.random.default_rng(seed)
    return pa.table(
        {
            "age": rng.normal(40, 10, rows),
            "income": rng.normal(size=rows),
            "town": np.array(["x", "y"])[rng.integers(0, 2, rows)],
        }
    )


@pytest.fixture
def reference(tmp_path: Path) -> Path:
    path = tmp_path / "reference.parquet"
    parquet.write_table(table(1, 4000), path)
    return path


def without(name: str, kind: str, folder: Path) -> Path:
    """Write a file that lacks a column."""
    kept, path = table(2).drop_columns([name]), folder / f"lost.{kind}"
    if kind == "csv":
        arrow_csv.write_csv(kept, str(path))
    elif kind == "parquet":
        parquet.write_table(kept, path)
    elif kind == "arrow":
        feather.write_feather(kept, str(path), compression="uncompressed")
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in kept.to_pylist()), encoding="utf-8")
    return path


def first_blames(result: ReplayResult) -> list[tuple[str, str]]:
    return [(blame.name, blame.direction) for blame in result.alarms[0].blames]


@pytest.mark.parametrize("kind", ["csv", "parquet", "arrow", "ndjson"])
@pytest.mark.parametrize("name", ["age", "town"])
def test_a_named_column_that_the_file_has_lost_alarms_at_once(
    reference: Path, tmp_path: Path, kind: str, name: str
) -> None:
    path = without(name, kind, tmp_path)
    result = replay_file(path, reference, ReplayOptions(columns=("age", "income", "town")))
    assert (result.rows, result.columns) == (ROWS, ("age", "income", "town"))
    assert first_blames(result) == [(name, "missing up")]
    assert result.alarms[0].row < 10
    assert result.alarms[0].effects[name]["js"] == pytest.approx(1.0, abs=0.05)
    (said,) = [warning for warning in result.warnings if "no column" in warning]
    assert said.startswith(f"lost.{kind} has no column {name!r}")
    assert said.endswith("where it is not, it counts as missing")


@pytest.mark.parametrize("kind", ["csv", "parquet", "arrow", "ndjson"])
def test_rows_count_also_where_the_file_has_nothing_that_is_watched(reference: Path, tmp_path: Path, kind: str) -> None:
    result = replay_file(without("age", kind, tmp_path), reference, ReplayOptions(columns=("age",)))
    assert (result.rows, result.ticks) == (ROWS, ROWS)
    assert first_blames(result) == [("age", "missing up")]


def test_a_saved_baseline_misses_its_column_too(tmp_path: Path) -> None:
    spec = [(ColumnSpec(name=n, kind=ColumnKind.NUMERIC), table(1, 4000)[n].to_numpy()) for n in ("age", "income")]
    (tmp_path / "saved.lzb").write_bytes(compile_baseline(spec).baseline.to_bytes())
    path = without("age", "csv", tmp_path)
    options = ReplayOptions(columns=("age", "income"))
    assert first_blames(replay_file(path, tmp_path / "saved.lzb", options)) == [("age", "missing up")]


def test_a_column_that_was_renamed_is_told_with_the_nearest_name(reference: Path, tmp_path: Path) -> None:
    path = tmp_path / "renamed.csv"
    arrow_csv.write_csv(table(2).rename_columns(["ages", "income", "town"]), str(path))
    result = replay_file(path, reference, ReplayOptions(columns=("age",)))
    assert result.warnings[0].startswith("renamed.csv has no column 'age'; near names: 'ages'")
    assert first_blames(result) == [("age", "missing up")]


def test_without_names_what_both_files_share_is_watched_and_the_rest_is_told(reference: Path, tmp_path: Path) -> None:
    result = replay_file(without("age", "csv", tmp_path), reference, ReplayOptions())
    assert not any(alarm for alarm in result.alarms)
    assert result.warnings == (
        "not watched, because only reference.parquet has them: age (named in --columns they count as missing)",
    )


@pytest.mark.parametrize("watched", [None, ("age",)])
def test_a_field_that_stops_coming_alarms_where_it_stops_also_in_a_later_batch(
    reference: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, watched: tuple[str, ...] | None
) -> None:
    """Batches in which no row has any watched field have rows all the same."""
    monkeypatch.setattr(json_rows, "BATCH_ROWS", 100)
    rows = table(3).to_pylist()
    lines = [json.dumps({k: v for k, v in row.items() if k != "age" or i < 350}) for i, row in enumerate(rows)]
    path = tmp_path / "stops.ndjson"
    path.write_text("\n".join(lines), encoding="utf-8")
    result = replay_file(path, reference, ReplayOptions(columns=watched))
    assert result.rows == ROWS
    assert ("age", "missing up") in first_blames(result)
    assert 350 <= result.alarms[0].row < 365


def late(folder: Path, name: str, field: str, first: int, seed: int = 3) -> Path:
    """Write rows of which the first ones lack a field."""
    rows = table(seed, 1200).to_pylist()
    lines = [json.dumps({k: v for k, v in row.items() if k != field or i >= first}) for i, row in enumerate(rows)]
    path = folder / name
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def test_a_field_that_begins_in_a_later_batch_is_watched_as_one_that_begins_in_the_first(
    reference: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Until it comes it is missing, which alarms; how many rows are read at once does not show."""
    path = late(tmp_path, "late.ndjson", "income", 250)
    whole = replay_file(path, reference, ReplayOptions())
    monkeypatch.setattr(json_rows, "BATCH_ROWS", 100)
    found = replay_file(path, reference, ReplayOptions())
    assert found == whole
    assert "income" in found.columns
    assert first_blames(found)[0] == ("income", "missing up")
    assert not any("income" in warning for warning in found.warnings)


def test_segments_are_told_by_a_field_that_begins_in_a_later_batch(
    reference: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(json_rows, "BATCH_ROWS", 100)
    path = late(tmp_path, "late.ndjson", "town", 250)
    found = replay_file(path, reference, ReplayOptions(columns=("age",), segments=division_of("town")))
    assert found.segments == ("town=x", "town=y")
    assert found.rows == 1200


def test_a_field_that_begins_late_in_the_reference_is_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reference = late(tmp_path, "reference.ndjson", "income", 300, seed=1)
    file = late(tmp_path, "file.ndjson", "income", 0)
    monkeypatch.setattr(json_rows, "BATCH_ROWS", 100)
    found = replay_file(file, reference, ReplayOptions(columns=("age", "income")))
    assert found.columns == ("age", "income")


def test_a_late_field_that_only_the_file_has_is_noted_once_with_its_row(
    reference: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(json_rows, "BATCH_ROWS", 100)
    rows = table(3, 400).to_pylist()
    for row in rows[230:]:
        row |= {"age": None, "colour": "red"}  # something alarms, so the file is read twice
    path = tmp_path / "new.ndjson"
    path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    found = replay_file(path, reference, ReplayOptions())
    assert found.alarms
    assert [warning for warning in found.warnings if "colour" in warning] == [
        "new.ndjson: 'colour' first comes in row 230; not watched, as only this file has it"
    ]


def test_rows_without_any_field_are_rows(reference: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_rows, "BATCH_ROWS", 100)
    lines = [json.dumps(row) for row in table(3, 200).to_pylist()] + ["{}"] * 150
    path = tmp_path / "empty.ndjson"
    path.write_text("\n".join(lines), encoding="utf-8")
    result = replay_file(path, reference, ReplayOptions())
    assert result.rows == 350
    assert {name for name, _ in first_blames(result)} >= {"age", "income", "town"}
    assert 200 <= result.alarms[0].row < 210


def test_columns_of_csv_that_become_empty_alarm_where_they_do(reference: Path, tmp_path: Path) -> None:
    rows = [f"{r['age'] if i < 300 else ''},{r['income']},{r['town']}" for i, r in enumerate(table(4).to_pylist())]
    path = tmp_path / "emptied.csv"
    path.write_text("age,income,town\n" + "\n".join(rows), encoding="utf-8")
    result = replay_file(path, reference, ReplayOptions())
    assert ("age", "missing up") in first_blames(result)
    assert 300 <= result.alarms[0].row < 315


def test_a_name_that_the_reference_lacks_is_still_refused(reference: Path, tmp_path: Path) -> None:
    with pytest.raises(ReplayError, match=r"reference\.parquet: no column 'agee'; near names: 'age'"):
        replay_file(without("town", "csv", tmp_path), reference, ReplayOptions(columns=("agee",)))


def test_the_command_exits_0_with_the_alarm(reference: Path, tmp_path: Path) -> None:
    out, err = io.StringIO(), io.StringIO()
    asked = Asked(file=without("town", "csv", tmp_path), baseline=reference, columns="age,town")
    assert replay_command(asked, as_json=True, out=out, err=err) == 0
    found = json.loads(out.getvalue())
    assert found["alarms"][0]["columns"] == ["town"]
    assert "no column 'town'" in found["warnings"][0]
    assert err.getvalue() == ""


def stopping(folder: Path, name: str, *, padded: bool, stop: int = 300) -> Path:
    """Write CSV whose last column, the town, has no cell any more from a row on; padded: an empty one."""
    rows = [f"{r['income']},{r['age']},{r['town']}" for r in table(5).to_pylist()]
    end = "," if padded else ""
    lines = [row if i < stop else row.rsplit(",", 1)[0] + end for i, row in enumerate(rows)]
    path = folder / name
    text = "income,age,town\n" + "\n".join(lines) + "\n\n"
    path.write_bytes(gzip.compress(text.encode()) if name.endswith("gz") else text.encode())
    return path


@pytest.mark.parametrize("name", ["short.csv", "short.csv.gz"])
def test_rows_of_csv_that_end_early_have_missing_cells_from_there_on(
    reference: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    whole = replay_file(stopping(tmp_path, "padded.csv", padded=True), reference, ReplayOptions())
    monkeypatch.setattr(csv_rows, "BATCH_ROWS", 70)
    result = replay_file(stopping(tmp_path, name, padded=False), reference, ReplayOptions())
    told = f"{name}: row 300 has 2 cells where the header has 3; cells that are not there count as missing"
    assert result.warnings == (told,)
    assert render_json(replace(result, warnings=())) == render_json(whole)
    assert ("town", "missing up") in first_blames(result)
    assert 300 <= result.alarms[0].row < 315


def test_a_file_that_breaks_off_within_its_last_row_is_replayed_and_told(reference: Path, tmp_path: Path) -> None:
    whole = stopping(tmp_path, "whole.csv", padded=False, stop=ROWS).read_text(encoding="utf-8").rstrip()
    (tmp_path / "cut.csv").write_text(whole.rsplit(",", 1)[0], encoding="utf-8")
    result = replay_file(tmp_path / "cut.csv", reference, ReplayOptions())
    assert (result.rows, result.alarms) == (ROWS, ())
    assert result.warnings[0].startswith("cut.csv: row 599 has 2 cells")


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ("1,2\n1,2,x,9\n", "row 1 has 4 cells, the header 3"),
        ("1,2,x,9\n", "Expected 3 columns, got 4"),
        ("1,2\n\xff,1,2\n", "utf-8"),
        (f'1,2\n1,2,"{"x" * 200_000}"\n', "field larger than field limit"),
    ],
)
def test_what_is_no_csv_is_refused_all_the_same(reference: Path, tmp_path: Path, rows: str, said: str) -> None:
    (tmp_path / "bad.csv").write_bytes(b"income,age,town\n" + rows.encode("latin-1"))
    with pytest.raises(ReplayError, match=rf"bad\.csv: not readable as CSV: .*{said}") as caught:
        replay_file(tmp_path / "bad.csv", reference, ReplayOptions())
    assert "\n" not in str(caught.value)


def test_a_reference_with_short_rows_says_so(reference: Path, tmp_path: Path) -> None:
    result = replay_file(reference, stopping(tmp_path, "old.csv", padded=False), ReplayOptions(columns=("age", "town")))
    assert result.warnings[0].startswith("old.csv: row 300 has 2 cells")
    assert any(warning.startswith("town: 50% of the values are missing") for warning in result.warnings)
