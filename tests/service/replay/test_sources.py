"""Reading data files, whatever their format."""

import gzip
import json
import math
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import csv as arrow_csv
from pyarrow import parquet

from service.replay import csv_rows, json_rows
from service.replay.sources import Format, ReplayError, Source, open_source, read_batches

TABLE = pa.table(
    {
        "age": pa.array([41.5, None, 3.0]),
        "country": pa.array(["DE", None, "FR"]),
        "member": pa.array([True, False, None]),
    }
)


def write_csv(path: Path) -> None:
    arrow_csv.write_csv(TABLE, str(path))


def write_ndjson(path: Path) -> None:
    path.write_text("\n".join(json.dumps(row) for row in TABLE.to_pylist()) + "\n\n", encoding="utf-8")


def write_parquet(path: Path) -> None:
    parquet.write_table(TABLE, path)


def write_arrow_file(path: Path) -> None:
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, TABLE.schema) as writer:
        writer.write_table(TABLE)


def write_arrow_stream(path: Path) -> None:
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_stream(sink, TABLE.schema) as writer:
        writer.write_table(TABLE)


WRITERS = {
    Format.CSV: write_csv,
    Format.NDJSON: write_ndjson,
    Format.PARQUET: write_parquet,
    Format.ARROW_FILE: write_arrow_file,
    Format.ARROW_STREAM: write_arrow_stream,
}


def read_all(path: Path, columns: list[str] | None = None) -> dict[str, list[object]]:
    found: dict[str, list[object]] = {}
    for batch in read_batches(open_source(path), columns):
        for name, array in batch.items():
            found.setdefault(name, []).extend(array.to_pylist())
    return found


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gzip"])
@pytest.mark.parametrize(("kind", "write"), WRITERS.items(), ids=[kind.name for kind in WRITERS])
def test_every_format_is_told_by_content_and_read(
    tmp_path: Path, kind: Format, write: Callable[[Path], None], *, packed: bool
) -> None:
    path = tmp_path / "no-suffix"
    write(path)
    if packed:
        path.write_bytes(gzip.compress(path.read_bytes()))
    assert open_source(path) == Source(path, kind, packed)
    found = read_all(path)
    if kind is Format.CSV:
        assert found == {"age": ["41.5", None, "3"], "country": ["DE", None, "FR"], "member": ["true", "false", None]}
    else:
        assert found == TABLE.to_pydict()
    assert set(read_all(path, ["country", "other"])) == {"country"}


def test_long_files_are_read_in_batches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_rows, "BATCH_ROWS", 10)
    path = tmp_path / "long.ndjson"
    path.write_text("".join(f'{{"x": {i}}}\n' for i in range(35)), encoding="utf-8")
    assert [len(batch["x"]) for batch in read_batches(open_source(path))] == [10, 10, 10, 5]
    assert read_all(path)["x"] == list(range(35))


def test_nested_objects_become_dotted_names_and_mixed_values_text(tmp_path: Path) -> None:
    path = tmp_path / "events.ndjson"
    path.write_text(
        '{"features": {"age": 1, "tag": "a"}, "prediction": 3}\n{"features": {"age": "old"}, "prediction": [1]}\n',
        encoding="utf-8",
    )
    assert read_all(path) == {
        "features.age": ["1", "old"], "features.tag": ["a", None], "prediction": ["3", "[1]"],
    }  # fmt: skip


def test_a_number_that_no_float_holds_is_infinite(tmp_path: Path) -> None:
    path = tmp_path / "huge.ndjson"
    path.write_text('{"x": 1}\n{"x": ' + "9" * 400 + '}\n{"x": -' + "9" * 400 + "}\n", encoding="utf-8")
    assert read_all(path) == {"x": [1.0, math.inf, math.inf]}


def test_other_delimiters_quotes_and_a_byte_order_mark_are_understood(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_bytes(b'\xef\xbb\xbf"a b";c\r\n"x;y";1,5\r\n"two\nlines";\r\n')
    assert read_all(path) == {"a b": ["x;y", "two\nlines"], "c": ["1,5", None]}


def test_a_header_may_begin_with_a_bracket(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text("[id],b\n1,2\n", encoding="utf-8")
    assert read_all(path) == {"[id]": ["1"], "b": ["2"]}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "the file is empty"),
        (b"a,a\n1,2\n", "column 'a' stands twice"),
        (b"\n1\n", "the first line names no columns"),
        (b"a,b\n1,2\n3,4,5\n", "not readable as CSV"),
        (b"a,b\n\xff\xfe,2\n", "not readable as CSV"),
        (b'{"a": 1}\n{"a": }\n', "line 2:"),
        (b'{"a": 1}\n[1]\n', "line 2: not an object"),
        (b'{"a": ' + b"[" * 100_000 + b"\n", "line 1:"),
        (b"PAR1 but not really", "not readable as Parquet"),
        (b"ARROW1\x00\x00 but not really", "not readable as Arrow IPC file"),
        (b"\xff\xff\xff\xff\x10\x00\x00\x00nonsense nonsense", "not readable as Arrow IPC stream"),
        (b"\x1f\x8bnot gzip at all", "x.data: "),
        (b'[{"a": 1}, {"a": 2}]', "a JSON list; write NDJSON instead"),
        (b'\xef\xbb\xbf\n[\n    {\n"a": 1}]', "a JSON list; write NDJSON instead"),
        (gzip.compress(b"[[1, 2], [3, 4]]", mtime=0), "a JSON list; write NDJSON instead"),
    ],
)
def test_broken_files_get_one_line_that_names_the_file(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "x.data"
    path.write_bytes(content)
    with pytest.raises(ReplayError, match=message) as caught:
        read_all(path)
    assert "x.data" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ReplayError, match=r"nowhere\.csv"):
        open_source(tmp_path / "nowhere.csv")


def test_a_line_without_end_is_refused_before_it_fills_the_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(json_rows, "BLOCK_BYTES", 100)
    path = tmp_path / "x.ndjson"
    path.write_bytes(b'{"a": "' + b"x" * 1000)
    with pytest.raises(ReplayError, match="line 1 is longer than 100 bytes"):
        read_all(path)


@pytest.mark.parametrize("at", [0, 1, 700, 1999])
def test_a_csv_line_that_is_longer_than_a_block_is_read_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: int
) -> None:
    monkeypatch.setattr(csv_rows, "CSV_BLOCK_BYTES", 4096)
    words = [f"word {i}" if i != at else 'lo\nng "" ' * 2000 for i in range(2000)]
    path = tmp_path / "long.csv"
    # Empty lines, as files that were put together have them, are no rows.
    lines = [f'{i},"{word}"\n' + "\n" * (i % 7 == 0) for i, word in enumerate(words)]
    path.write_text("n,word\n" + "".join(lines), encoding="utf-8")
    found = read_all(path)
    assert found["n"] == [str(i) for i in range(2000)]
    assert found["word"] == [word.replace('""', '"') for word in words]


@pytest.mark.parametrize("short_at", [10, 1500])
def test_a_row_that_ends_early_is_read_beside_a_line_that_is_longer_than_a_block(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, short_at: int
) -> None:
    monkeypatch.setattr(csv_rows, "CSV_BLOCK_BYTES", 4096)
    lines = [f"{i},{'x' * 20_000 if i == 700 else i}\n" if i != short_at else f"{i}\n" for i in range(2000)]
    path = tmp_path / "both.csv"
    path.write_text("n,word\n" + "".join(lines), encoding="utf-8")
    found = read_all(path)
    assert found["n"] == [str(i) for i in range(2000)]
    assert found["word"][short_at] is None
    assert found["word"][700] == "x" * 20_000
