"""Replaying files, end to end without a server."""

import gzip
import io
import json
from itertools import pairwise
from pathlib import Path
from random import Random

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import csv as arrow_csv
from pyarrow import parquet

from detectors.baseline import add_spaces, compile_baseline
from detectors.columns import Codes, ColumnKind, ColumnSpec
from service.replay import json_rows, measure, ticks
from service.replay.command import Asked, replay_command
from service.replay.engine import ReplayOptions, replay_file
from service.replay.reference import load
from service.replay.render import render_json, render_text
from service.replay.sources import ReplayError, open_source

CHANGE = 700


def table(seed: int, rows: int, *, change: int | None = None) -> pa.Table:
    """Return a number that moves, a number and a label that do not."""
    rng = np.random.default_rng(seed)
    moved = (np.arange(rows) >= (rows if change is None else change)) * 1.5
    letters = np.array(["x", "y", "z"])[rng.choice(3, rows, p=[0.6, 0.3, 0.1])]
    return pa.table({"moves": rng.normal(size=rows) + moved, "stays": rng.normal(size=rows), "letter": letters})


@pytest.fixture
def reference(tmp_path: Path) -> Path:
    path = tmp_path / "reference.parquet"
    parquet.write_table(table(1, 4000), path)
    return path


@pytest.fixture
def changed(tmp_path: Path) -> Path:
    path = tmp_path / "changed.parquet"
    parquet.write_table(table(2, 1000, change=CHANGE), path)
    return path


def test_the_alarm_names_the_row_the_column_and_how_much_it_changed(reference: Path, changed: Path) -> None:
    result = replay_file(changed, reference, ReplayOptions())
    first = result.alarms[0]
    assert (result.rows, result.ticks) == (1000, 1000)
    assert CHANGE <= first.row <= CHANGE + 40
    assert abs(first.since_row - CHANGE) <= 5
    assert [blame.name for blame in first.blames] == ["moves"]
    assert 1.0 < (first.effects["moves"]["wasserstein"] or 0) < 2.0


def test_a_reference_that_supports_no_promise_is_told(changed: Path, reference: Path, tmp_path: Path) -> None:
    fixed = pa.table({"moves": np.ones(500), "stays": np.ones(500), "letter": ["x"] * 500})
    parquet.write_table(fixed, tmp_path / "fixed.parquet")
    said = replay_file(changed, tmp_path / "fixed.parquet", ReplayOptions()).warnings
    assert any("in the service nothing would alarm: none of 3 columns supports a promise" in line for line in said)
    assert not any("nothing would alarm" in line for line in replay_file(changed, reference, ReplayOptions()).warnings)


def tied(seed: int, rows: int, *, change: int) -> pa.Table:
    """Return three numbers that keep their distributions; two of them move together from the change on."""
    rng = np.random.default_rng(seed)
    first, second, third = rng.normal(size=(3, rows))
    second = np.where(np.arange(rows) >= change, 0.8 * first + 0.6 * second, second)
    return pa.table({"first": first, "second": second, "third": third})


def test_a_change_that_no_column_shows_is_found_with_files_and_with_saved_baselines(tmp_path: Path) -> None:
    parquet.write_table(tied(1, 4000, change=4000), tmp_path / "reference.parquet")
    parquet.write_table(tied(2, 1200, change=CHANGE), tmp_path / "tied.parquet")
    result = replay_file(tmp_path / "tied.parquet", tmp_path / "reference.parquet", ReplayOptions())
    first = result.alarms[0]
    assert CHANGE <= first.row <= CHANGE + 200
    assert (first.blames[0].name, first.blames[0].direction) == ("score.pairs", "correlation of first with second up")
    assert first.blames[0].group == "multivariate"
    names = ("first", "second", "third")
    columns = [(ColumnSpec(name=n, kind=ColumnKind.NUMERIC), tied(1, 4000, change=4000)[n].to_numpy()) for n in names]
    saved = add_spaces(compile_baseline(columns), columns, {}).baseline
    (tmp_path / "saved.lzb").write_bytes(saved.to_bytes())
    again = replay_file(tmp_path / "tied.parquet", tmp_path / "saved.lzb", ReplayOptions())
    assert render_json(again) == render_json(result)
    assert again.columns == saved.names


def test_named_columns_are_watched_each_by_itself(tmp_path: Path) -> None:
    parquet.write_table(tied(1, 4000, change=4000), tmp_path / "reference.parquet")
    parquet.write_table(tied(2, 1200, change=CHANGE), tmp_path / "tied.parquet")
    options = ReplayOptions(columns=("first", "second"))
    result = replay_file(tmp_path / "tied.parquet", tmp_path / "reference.parquet", options)
    assert (result.columns, result.alarms) == (("first", "second"), ())


def test_effects_are_those_of_the_rows_from_since_to_the_alarm(reference: Path, tmp_path: Path) -> None:
    path = tmp_path / "flipped.parquet"
    rows = table(2, 1000).to_pydict()
    rows["letter"] = ["new" if i >= CHANGE else letter for i, letter in enumerate(rows["letter"])]
    parquet.write_table(pa.table(rows), path)
    first = replay_file(path, reference, ReplayOptions()).alarms[0]
    assert first.since_row == CHANGE
    assert first.effects == {
        "letter": {"psi": first.effects["letter"]["psi"], "js": 1.0, "ks": None, "wasserstein": None}
    }
    assert list(first.intervals) == ["letter"]
    low, high = first.intervals["letter"]["psi"] or (0.0, 0.0)
    assert low < (first.effects["letter"]["psi"] or 0.0) < high
    assert first.intervals["letter"]["ks"] is None


def test_very_many_alarms_have_effects_but_not_all_intervals(
    reference: Path, changed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measure, "INTERVALS_MAX", 2)
    alarms = replay_file(changed, reference, ReplayOptions()).alarms
    assert len(alarms) > 2
    assert [bool(alarm.intervals) for alarm in alarms] == [True] * 2 + [False] * (len(alarms) - 2)
    assert all(alarm.effects for alarm in alarms)


@pytest.mark.parametrize("tick_rows", [1, 7, 16, 17, 64, 999, 1000, 1001, 5000])
def test_ticks_have_the_asked_number_of_rows_and_the_last_one_the_rest(
    reference: Path, changed: Path, monkeypatch: pytest.MonkeyPatch, tick_rows: int
) -> None:
    whole = replay_file(changed, reference, ReplayOptions(tick_rows=tick_rows))
    monkeypatch.setattr(ticks, "CHUNK_TICKS", 3)
    chunked = replay_file(changed, reference, ReplayOptions(tick_rows=tick_rows))
    assert render_json(whole) == render_json(chunked)
    assert whole.ticks == -(-1000 // tick_rows)
    for alarm in whole.alarms:
        assert (alarm.row + 1) % tick_rows == 0 or alarm.row == 999
        assert alarm.since_row % tick_rows == 0


@pytest.mark.parametrize("tick_rows", [1, 13, 50])
def test_the_batches_of_a_file_leave_no_trace(reference: Path, tmp_path: Path, tick_rows: int) -> None:
    results = []
    for size in (1000, 37):
        path = tmp_path / f"{size}.arrow"
        data = table(2, 1000, change=CHANGE)
        with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_stream(sink, data.schema) as writer:
            writer.write_table(data, max_chunksize=size)
        results.append(render_json(replay_file(path, reference, ReplayOptions(tick_rows=tick_rows))))
    assert results[0] == results[1]


def test_the_engine_starts_anew_after_each_alarm(reference: Path, changed: Path) -> None:
    alarms = replay_file(changed, reference, ReplayOptions()).alarms
    assert len(alarms) > 3
    for earlier, later in pairwise(alarms):
        assert earlier.row < later.since_row <= later.row


def test_unchanged_data_raise_nothing(reference: Path, tmp_path: Path) -> None:
    path = tmp_path / "same.parquet"
    parquet.write_table(table(3, 5000), path)
    result = replay_file(path, reference, ReplayOptions())
    assert (result.alarms, result.warnings) == ((), ())
    assert "no alarms" in render_text(result)


def test_csv_and_ndjson_give_what_parquet_gives(reference: Path, changed: Path, tmp_path: Path) -> None:
    data = table(2, 1000, change=CHANGE)
    arrow_csv.write_csv(data, str(tmp_path / "changed.csv"))
    packed = gzip.compress("\n".join(json.dumps(row) for row in data.to_pylist()).encode())
    (tmp_path / "changed.json.gz").write_bytes(packed)
    expected = render_json(replay_file(changed, reference, ReplayOptions()))
    for name in ("changed.csv", "changed.json.gz"):
        assert render_json(replay_file(tmp_path / name, reference, ReplayOptions())) == expected


def test_a_saved_baseline_stands_for_its_reference(reference: Path, changed: Path, tmp_path: Path) -> None:
    rows = table(1, 4000).to_pydict()
    labels = tuple(sorted(set(rows["letter"])))
    letters = np.array([labels.index(letter) for letter in rows["letter"]], dtype=np.int32)
    baseline = compile_baseline(
        [
            (ColumnSpec(name="moves", kind=ColumnKind.NUMERIC), np.array(rows["moves"])),
            (ColumnSpec(name="stays", kind=ColumnKind.NUMERIC), np.array(rows["stays"])),
            (ColumnSpec(name="letter", kind=ColumnKind.CATEGORICAL), Codes(labels, letters)),
        ]
    ).baseline
    saved = tmp_path / "reference.lzb"
    saved.write_bytes(baseline.to_bytes())
    expected = replay_file(changed, reference, ReplayOptions(together=False))
    assert render_json(replay_file(changed, saved, ReplayOptions())) == render_json(expected)
    part = replay_file(changed, saved, ReplayOptions(columns=("stays",)))
    assert (part.columns, part.alarms) == (("stays",), ())


def test_columns_that_say_nothing_about_drift_are_left_out_with_a_note(tmp_path: Path) -> None:
    def write(name: str, first: int) -> Path:
        rows = 500
        numbers = np.arange(first, first + rows)
        path = tmp_path / name
        parquet.write_table(
            table(first, rows)
            .append_column("row_id", pa.array(numbers))
            .append_column("who", pa.array([f"user-{n}" for n in numbers]))
            .append_column("at", pa.array(numbers, pa.timestamp("s")))
            .append_column("day", pa.array([f"2024-01-{1 + n % 28:02d}" for n in numbers]))
            .append_column("tags", pa.array([["a"]] * rows))
            .append_column(f"only-{name}", pa.array(numbers)),
            path,
        )
        return path

    old, new = write("old.parquet", 0), write("new.parquet", 10_000)
    result = replay_file(new, old, ReplayOptions())
    assert (result.columns[:3], result.alarms) == (("moves", "stays", "letter"), ())
    assert all(name.startswith("score.") for name in result.columns[3:])
    noted = [warning.split(":")[0] for warning in result.warnings if "not watched" in warning]
    assert sorted(noted) == [
        "at", "day", "not watched, because only new.parquet has them", "not watched, because only old.parquet has them",
        "row_id", "tags", "who",
    ]  # fmt: skip
    named = replay_file(new, old, ReplayOptions(columns=("row_id", "at"), budget=1000.0))
    assert named.columns == ("row_id", "at")
    assert named.alarms


def test_the_reference_decides_what_a_column_is(tmp_path: Path) -> None:
    random = Random(0)
    (tmp_path / "old.csv").write_text(
        "n,t\n" + "".join(f"{random.randrange(7)},{random.choice('ab')}\n" for _ in range(500)), encoding="utf-8"
    )
    (tmp_path / "new.csv").write_text("n,t\n" + "".join(f"seven,{i % 2}\n" for i in range(50)), encoding="utf-8")
    result = replay_file(tmp_path / "new.csv", tmp_path / "old.csv", ReplayOptions())
    directions = {blame.name: blame.direction for alarm in result.alarms for blame in alarm.blames}
    assert directions == {"n": "invalid up", "t": "unseen up"}


def test_a_field_that_the_reference_lacks_for_long_keeps_its_type(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(json_rows, "BATCH_ROWS", 100)
    rows = [{"n": n, "late": n, "flag": n > 0.5, "never": None} for n in np.random.default_rng(0).random(400).tolist()]
    for row in rows[:250]:
        del row["late"], row["flag"]
    path = tmp_path / "old.ndjson"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    kinds = {name: array.type for name, array in load(open_source(path), ["n", "late", "flag", "never"]).items()}
    assert kinds == {"n": pa.float64(), "late": pa.float64(), "flag": pa.bool_(), "never": pa.float64()}


def test_booleans_are_the_same_however_a_file_spells_them(tmp_path: Path) -> None:
    flags = [i % 3 == 0 for i in range(600)]
    parquet.write_table(pa.table({"flag": flags}), tmp_path / "old.parquet")
    (tmp_path / "new.csv").write_text("flag\n" + "".join(f"{flag}\n" for flag in flags), encoding="utf-8")
    assert replay_file(tmp_path / "new.csv", tmp_path / "old.parquet", ReplayOptions()).alarms == ()
    assert replay_file(tmp_path / "new.csv", tmp_path / "new.csv", ReplayOptions()).alarms == ()


def test_a_field_that_vanishes_is_an_alarm_and_not_an_error(reference: Path, tmp_path: Path) -> None:
    path = tmp_path / "gone.ndjson"
    rows = table(4, 600).to_pylist()
    lines = [json.dumps({k: v for k, v in row.items() if k != "stays" or i < 300}) for i, row in enumerate(rows)]
    path.write_text("\n".join(lines), encoding="utf-8")
    first = replay_file(path, reference, ReplayOptions()).alarms[0]
    assert [(blame.name, blame.direction) for blame in first.blames] == [("stays", "missing up")]
    assert 300 <= first.row <= 310


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"columns": ("moved",)}, r"reference\.parquet: no column 'moved'; near names: 'moves'"),
        ({"ignore": ("lettr",)}, "--ignore: neither file has a column 'lettr'; near names: 'letter'"),
        ({"ignore": ("moves", "stays", "letter")}, "share no column to watch"),
        ({"columns": ("moves",), "ignore": ("moves",)}, "--columns and --ignore both name 'moves'"),
        ({"columns": ("moves", "stays"), "ignore": ("stays",)}, "--columns and --ignore both name 'stays'"),
        ({"ignore": ("zzzzz",)}, "neither file has a column 'zzzzz'; it has moves, stays, letter$"),
        ({"tick_rows": 0}, "--tick-rows is 0"),
        ({"budget": 1.0}, "--budget is 1"),
        ({"budget": float("nan")}, "--budget is nan"),
    ],
)
def test_what_was_asked_wrongly_is_said_in_one_line(
    reference: Path, changed: Path, options: dict[str, object], message: str
) -> None:
    with pytest.raises(ReplayError, match=message) as caught:
        replay_file(changed, reference, ReplayOptions(**options))  # type: ignore[arg-type] # the wrong ones are the point
    assert "\n" not in str(caught.value)


def test_a_reference_without_rows_and_a_damaged_baseline_are_refused(changed: Path, tmp_path: Path) -> None:
    (tmp_path / "empty.csv").write_text("moves,stays\n", encoding="utf-8")
    with pytest.raises(ReplayError, match=r"empty\.csv: no rows"):
        replay_file(changed, tmp_path / "empty.csv", ReplayOptions())
    (tmp_path / "bad.lzb").write_bytes(b"LZBASE01 and nothing else")
    with pytest.raises(ReplayError, match=r"bad\.lzb: header"):
        replay_file(changed, tmp_path / "bad.lzb", ReplayOptions())
    with pytest.raises(ReplayError, match="belongs to --baseline"):
        replay_file(tmp_path / "bad.lzb", changed, ReplayOptions())


def test_a_file_without_rows_is_replayed_to_nothing(reference: Path, tmp_path: Path) -> None:
    (tmp_path / "empty.csv").write_text("moves,stays\n", encoding="utf-8")
    result = replay_file(tmp_path / "empty.csv", reference, ReplayOptions())
    assert (result.rows, result.ticks, result.alarms) == (0, 0, ())


def run(*files: Path, columns: str | None = None, as_json: bool = False) -> tuple[int, str, str]:
    out, err = io.StringIO(), io.StringIO()
    asked = Asked(file=files[0], baseline=files[1], columns=columns)
    code = replay_command(asked, as_json=as_json, out=out, err=err)
    return code, out.getvalue(), err.getvalue()


def test_the_command_prints_one_json_object_in_the_shape_of_the_contract(reference: Path, changed: Path) -> None:
    code, out, err = run(changed, reference, as_json=True)
    found = json.loads(out)
    assert (code, err) == (0, "")
    assert list(found) == ["rows", "ticks", "budget", "alarms", "warnings"]
    assert found["budget"] == 100_000
    assert list(found["alarms"][0]) == ["row", "since_row", "columns", "evidence_log10", "effects", "intervals"]
    assert list(found["alarms"][0]["effects"]["moves"]) == ["psi", "js", "ks", "wasserstein"]
    low, high = found["alarms"][0]["intervals"]["moves"]["ks"]
    assert low < found["alarms"][0]["effects"]["moves"]["ks"] < high
    assert found["alarms"][0]["evidence_log10"] >= 5


def test_the_command_tells_people_the_same(reference: Path, changed: Path) -> None:
    code, out, _ = run(changed, reference, columns="moves, stays")
    assert code == 0
    assert out.splitlines()[0] == "1,000 rows in 1,000 ticks; watched: moves, stays"
    assert "moves: " in out
    assert "wasserstein" in out


def test_one_of_a_kind_is_not_told_as_several(reference: Path, tmp_path: Path) -> None:
    parquet.write_table(parquet.read_table(reference).slice(0, 1), tmp_path / "one.parquet")
    _, out, _ = run(tmp_path / "one.parquet", reference)
    assert out.startswith("1 row in 1 tick; ")


def test_the_command_exits_2_and_says_why_in_one_line(reference: Path, tmp_path: Path) -> None:
    for files, columns in (((tmp_path / "none.csv", reference), None), ((reference, reference), "a,,b")):
        code, out, err = run(*files, columns=columns)
        assert (code, out) == (2, "")
        assert err.startswith("lazaretto replay: ")
        assert err.count("\n") == 1


def test_without_calibration_rows_that_come_in_clusters_alarm(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    for name, groups in (("then", 400), ("now", 150)):
        clustered = np.repeat(rng.normal(size=groups), 20) + 0.1 * rng.normal(size=20 * groups)
        parquet.write_table(pa.table({"x": clustered}), tmp_path / f"{name}.parquet")
    files = tmp_path / "now.parquet", tmp_path / "then.parquet"
    assert replay_file(*files, ReplayOptions()).alarms == ()
    assert replay_file(*files, ReplayOptions(calibrate=False)).alarms != ()


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_progress_is_shown_on_a_terminal_and_never_beside_json(reference: Path, changed: Path) -> None:
    for as_json in (False, True):
        out, err = io.StringIO(), Terminal()
        assert replay_command(Asked(file=changed, baseline=reference), as_json=as_json, out=out, err=err) == 0
        assert ("1,000 rows" in err.getvalue()) is not as_json
        assert "evidence" not in out.getvalue().splitlines()[0] or as_json


@pytest.mark.parametrize("broken", ["reference", "rows"])
def test_a_file_that_ends_early_is_named(tmp_path: Path, broken: str) -> None:
    paths = {}
    for name in ("reference", "rows"):
        rows = [{"x": Random(i).gauss(0.0, 1.0)} for i in range(70_000)]
        content = gzip.compress("\n".join(json.dumps(row) for row in rows).encode())
        paths[name] = tmp_path / f"{name}.json.gz"
        paths[name].write_bytes(content[: len(content) // 2] if name == broken else content)
    with pytest.raises(ReplayError, match=rf"{broken}\.json\.gz: not readable as NDJSON: "):
        replay_file(paths["rows"], paths["reference"], ReplayOptions(tick_rows=100))
