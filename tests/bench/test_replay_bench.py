"""The benchmark of replay runs the command itself."""

import sys

import pytest

from bench import replay


def test_every_way_is_run_and_told(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(replay, "REFERENCE", 500)
    monkeypatch.setattr(sys, "argv", ["replay", "--rows", "2000", "--repeats", "1"])
    replay.main()
    title, _, _, *rows = capsys.readouterr().out.splitlines()
    assert title == "20 columns, 500 reference rows; medians of 1"
    assert [row.split(" | ")[0] for row in rows] == [
        "| 2,000 rows, Parquet",
        "| 2,000 rows, CSV",
        "| 2,000 rows, Parquet, each column by itself",
        "| 200 rows, Parquet, ticks of one row",
    ]
    assert all(float(row.split(" | ")[1]) > 0.0 for row in rows)
