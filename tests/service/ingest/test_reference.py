"""Reference data: every file format, and what does not fit."""

import dataclasses
import gzip
import io
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
import zstandard

from service.domain.errors import BadRequest, LazarettoError, TooLarge, Unprocessable, UnsupportedMedia
from service.domain.schema import Feature, FeatureKind, Prediction, PredictionKind, Schema
from service.ingest import reference_lines
from service.ingest.reference import Reference, read_reference
from tests.service.comparing import plain, same
from tests.service.ingest.support import LIMITS, stream

SCHEMA = Schema(
    features=(
        Feature(name="age", kind=FeatureKind.NUMERIC),
        Feature(name="country", kind=FeatureKind.CATEGORICAL),
        Feature(name="member", kind=FeatureKind.CATEGORICAL),
    ),
    prediction=Prediction(kind=PredictionKind.CLASS, classes=("ok", "fraud")),
)
Rows = dict[str, list[Any]]
ROWS: Rows = {
    "age": [41.5, None, 7.0, -1.0],
    "country": ["DE", "FR", None, "DE"],
    "member": [True, False, True, None],
    "prediction": ["ok", "fraud", "ok", "ok"],
    "probabilities.ok": [0.9, 0.2, 0.75, None],
    "latency_ms": [1.0, 2.0, 3.0, 4.0],
}
OCTETS = "application/octet-stream"


def as_csv(rows: Rows) -> bytes:
    """Write CSV."""
    sink = io.BytesIO()
    pa.csv.write_csv(pa.table(rows), sink)
    return sink.getvalue()


def as_parquet(rows: Rows) -> bytes:
    """Write Parquet."""
    sink = io.BytesIO()
    pq.write_table(pa.table(rows), sink)
    return sink.getvalue()


def as_stream(rows: Rows) -> bytes:
    """Write an Arrow stream."""
    return stream(pa.table(rows))


def as_file(rows: Rows) -> bytes:
    """Write an Arrow file."""
    table, sink = pa.table(rows), pa.BufferOutputStream()
    with pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table, max_chunksize=2)
    body: bytes = sink.getvalue().to_pybytes()
    return body


def as_lines(rows: Rows) -> bytes:
    """Write flat NDJSON."""
    lines = [dict(zip(rows, values, strict=True)) for values in zip(*rows.values(), strict=True)]
    return "\n".join(map(json.dumps, lines)).encode()


FORMATS: list[tuple[Callable[[Rows], bytes], str]] = [
    (as_csv, "text/csv"),
    (as_parquet, "application/vnd.apache.parquet"),
    (as_parquet, "application/x-parquet"),
    (as_stream, "application/vnd.apache.arrow.stream"),
    (as_file, "application/vnd.apache.arrow.file"),
    (as_lines, "application/x-ndjson"),
]


def read(body: bytes | Path, content_type: str = OCTETS, **limits: Any) -> Reference:
    """Read reference data of the schema above."""
    return read_reference(body, content_type, SCHEMA, dataclasses.replace(LIMITS, **limits))


@pytest.mark.parametrize(("write", "content_type"), FORMATS, ids=lambda value: getattr(value, "__name__", value))
def test_every_format_gives_the_same_frame(write: Callable[..., bytes], content_type: str) -> None:
    body = write(ROWS)
    whole = read(body, content_type)
    frame = whole.frame
    assert frame.numeric_names == ("age", "probabilities.ok", "latency_ms")
    np.testing.assert_equal(frame.numeric[0], [41.5, np.nan, 7, -1])
    assert frame.categorical_names == ("country", "member", "prediction")
    assert plain(frame.categorical[0]) == ["DE", "FR", "<missing>", "DE"]
    assert plain(frame.categorical[1]) == ["true", "false", "true", "<missing>"]
    assert whole.warnings == ()
    same(frame, read(as_csv(ROWS)).frame)
    for packed in (body, gzip.compress(body), zstandard.compress(body)):
        same(read(packed).frame, frame)
    same(read(write({f"features.{k}" if k in {"age", "country"} else k: v for k, v in ROWS.items()})).frame, frame)


def test_a_file_is_read_by_its_path(tmp_path: Path) -> None:
    path = tmp_path / "reference.csv.gz"
    path.write_bytes(gzip.compress(as_csv(ROWS)))
    same(read(path).frame, read(as_csv(ROWS)).frame)


def test_events_are_reference_data_too() -> None:
    events = [
        {"features": {"age": 1, "country": "DE", "member": True}, "prediction": "ok", "event_id": 7, "principal": ""},
        {"features": {"age": "x"}, "probabilities": {"ok": 0.5}, "latency_ms": 3, "timestamp": "whenever"},
    ]
    frame = read("\n".join(map(json.dumps, events)).encode()).frame
    assert frame.rows == 2
    np.testing.assert_equal(frame.numeric, [[1, np.inf], [np.nan, 0.5], [np.nan, 3]])
    assert (frame.event_ids, frame.principals) == (None, None)


def test_lines_are_read_in_pieces_that_fit_together(monkeypatch: pytest.MonkeyPatch) -> None:
    events = [{"features": {"age": i, "country": f"c{i % 7}", "member": True}} for i in range(100)]
    events[70]["latency_ms"] = {"x": 1}  # odd values in a later piece, and a column that the first lacks
    events[90]["prediction"] = {"x": 1}
    body = "\n".join(map(json.dumps, events)).encode()
    whole = read(body).frame
    monkeypatch.setattr(reference_lines, "PIECE_BYTES", 500)
    same(read(body).frame, whole)
    broken = body + b"\n{"
    with pytest.raises(BadRequest, match=f"byte {len(broken)}, line 101"):
        read(broken)


def test_features_that_the_file_lacks_are_named_on_both_sides() -> None:
    rows: Rows = {"age": [1], "Country": ["DE"], "label": [0], "prediction": ["ok"]}
    for write, content_type in FORMATS:
        with pytest.raises(Unprocessable) as caught:
            read(write(rows), content_type)
        expected = (
            "in the schema but not in the file: country, member; in the file but not in the schema: Country, label"
        )
        assert expected in caught.value.detail
        assert {place.at for place in caught.value.places} == {
            "features.country",
            "features.member",
            "Country",
            "label",
        }


def test_columns_that_the_schema_lacks_are_only_a_warning() -> None:
    for write, content_type in FORMATS:
        whole = read(write({**ROWS, "label": [0, 1, 0, 1]}), content_type)
        assert [column for column, _ in whole.warnings] == ["label"]


@pytest.mark.parametrize(
    "times",
    [
        ["2026-01-03T00:00:00Z", "2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z", "2026-01-01T00:00:00Z"],
        ["2026-01-03 00:00:00", "2026-01-01 00:00:00", "2026-01-02 00:00:00", "2026-01-01 00:00:00"],
        ["2026-01-03", "2026-01-01", "2026-01-02", "2026-01-01"],
    ],
)
def test_rows_with_times_are_put_in_their_order(times: list[str]) -> None:
    whole = read(as_csv({**ROWS, "timestamp": times}))
    assert whole.frame.numeric[2].tolist() == [2, 4, 3, 1]
    assert plain(whole.frame.categorical[0]) == ["FR", "DE", "<missing>", "DE"]
    assert whole.warnings[0][0] == "timestamp"
    kept = whole.frame.timestamps_us
    assert kept is not None
    assert (np.diff(kept) >= 0).all()


def test_times_that_cannot_be_read_leave_the_order_of_the_file() -> None:
    for times in (["later", None, "x", "y"], ["1960-01-01T00:00:00Z"] * 4):
        whole = read(as_csv({**ROWS, "timestamp": times}))
        assert whole.frame.numeric[2].tolist() == [1, 2, 3, 4]
        assert "no time that can be read" in whole.warnings[0][1]


def test_cells_of_csv_follow_the_canonical_rules() -> None:
    body = b"age,country,member\n 1.5 ,007,1.0\nabc,7,2\nNaN,?,3e2\ninf,,0.5\n1e999,x,\n?,y,-4\n1_000,z,10.50\n"
    frame = read(body).frame
    np.testing.assert_equal(frame.numeric[0], [1.5, np.inf, np.nan, np.inf, np.inf, np.nan, np.inf])
    assert plain(frame.categorical[0]) == ["007", "7", "?", "<missing>", "x", "y", "z"]
    assert plain(frame.categorical[1]) == ["1", "2", "300", "0.5", "<missing>", "-4", "10.5"]


@pytest.mark.parametrize(
    ("body", "content_type", "error"),
    [
        (b"", "text/csv", BadRequest),
        (b"age,country,member\n1,2\n", "text/csv", BadRequest),
        (b"age,country,member\n1,\xff,3\n", "text/csv", BadRequest),
        (b"age,country,member\n", "text/csv", Unprocessable),
        (b"age,country,member,age\n1,2,3,4\n", "text/csv", Unprocessable),
        (b"PAR1 but no footer", OCTETS, BadRequest),
        (b"ARROW1\0\0 but no stream", OCTETS, BadRequest),
        (b"no magic", "application/vnd.apache.arrow.file", BadRequest),
        (b"\xff\xff\xff\xff no stream", OCTETS, BadRequest),
        (b'{"age": 1', OCTETS, BadRequest),
        (b'{"age": 1}\n[1]', OCTETS, Unprocessable),
        (b"\n\n", "application/x-ndjson", Unprocessable),
        (b"\x1f\x8b damaged", OCTETS, BadRequest),
        (b"x", "application/json", UnsupportedMedia),
        (b"x", None, UnsupportedMedia),
    ],
)
def test_what_cannot_be_read_gets_its_answer(body: bytes, content_type: str, error: type[LazarettoError]) -> None:
    with pytest.raises(error):
        read(body, content_type)


@pytest.mark.parametrize(
    ("body", "content_type"), [(b"age,country,member\n", "text/csv"), (b"\n\n", "application/x-ndjson")]
)
def test_reference_data_without_rows_are_not_called_a_batch_of_events(body: bytes, content_type: str) -> None:
    with pytest.raises(Unprocessable, match="has no rows"):
        read(body, content_type)


def test_limits_of_reference_data_are_its_own_and_are_named() -> None:
    many: Rows = {"age": [1.0] * 100, "country": ["DE"] * 100, "member": [True] * 100}
    for write, content_type in FORMATS:
        assert read(write(many), content_type, rows_max=10, body_bytes_max=1).frame.rows == 100
        with pytest.raises(TooLarge, match="baseline_rows_max"):
            read(write(many), content_type, baseline_rows_max=99)
        with pytest.raises(TooLarge, match="baseline_bytes_max"):
            read(write(many), content_type, baseline_bytes_max=100)


def test_a_label_repeated_by_parquet_is_not_copied_for_every_row() -> None:
    rows = pa.table(
        {
            "age": pa.array(np.zeros(100_000)),
            "country": pa.DictionaryArray.from_arrays(np.zeros(100_000, np.int32), ["x" * 8_000]),
            "member": pa.array(["y"] * 100_000),
        }
    )
    sink = io.BytesIO()
    pq.write_table(rows, sink)
    before = pa.total_allocated_bytes()
    frame = read(sink.getvalue()).frame
    assert frame.categorical[0].labels == ("x" * 8_000,)
    assert pa.total_allocated_bytes() - before < 50_000_000


SEGMENT: Rows = {"segment.region": ["eu", None, "us", "eu"], "segment.tier": ["a", "b", "a", "b"]}


def regions(
    body: bytes,
    segment: str | None = "region",
) -> dict[str, Any]:
    frame = read_reference(body, OCTETS, SCHEMA, LIMITS, segment).frame
    return {name: plain(column) for name, column in frame.segments.items()}


@pytest.mark.parametrize("write", [write for write, _ in FORMATS])
def test_the_one_segment_that_is_wanted_is_kept_of_every_format(write: Callable[..., bytes]) -> None:
    body = write(ROWS | SEGMENT)
    assert regions(body) == {"region": ["eu", "<missing>", "us", "eu"]}
    assert regions(body, None) == {}
    assert regions(body, "planet") == {}
    same(
        dataclasses.replace(read_reference(body, OCTETS, SCHEMA, LIMITS, "region").frame, segments={}), read(body).frame
    )


def test_segments_of_events_are_kept_in_every_piece_and_odd_ones_are_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    good = {"age": 1, "country": "DE", "member": True}
    events: list[dict[str, Any]] = [
        {"features": good, "segment": {"region": f"r{i % 3}", "tier": "a"}} for i in range(60)
    ]
    events[3]["segment"] = {"region": ["eu"]}
    events[4]["segment"] = "eu"
    events[5]["segment"] = {"region": 7}
    for event in events[40:]:
        del event["segment"]
    body = "\n".join(map(json.dumps, events)).encode()
    monkeypatch.setattr(reference_lines, "PIECE_BYTES", 700)
    (found,) = regions(body).values()
    assert found[:7] == ["r0", "r1", "r2", "<missing>", "<missing>", "7", "r0"]
    assert found[40:] == ["<missing>"] * 20
    assert len(found) == 60


def test_segments_are_put_in_the_order_of_time_with_their_rows() -> None:
    times = ["2026-01-03", "2026-01-01", "2026-01-02", "2026-01-01"]
    body = as_csv({**ROWS, **SEGMENT, "timestamp": times})
    assert regions(body) == {"region": ["<missing>", "eu", "us", "eu"]}


DATA = Path(__file__).parents[4] / "shared" / "data" / "tabular"


@pytest.mark.skipif(
    not DATA.exists() and os.environ.get("CI") != "true",
    reason="the data sets are not beside the repository: ../shared/data",
)
def test_a_real_table_is_read_as_parquet_and_csv_alike() -> None:
    source = DATA / "synthetic_car_loan_reference.parquet"
    table = pq.read_table(source)
    texts = {name for name in table.column_names if not pa.types.is_floating(table.schema.field(name).type)}
    features = tuple(
        Feature(name=name, kind=FeatureKind.CATEGORICAL if name in texts else FeatureKind.NUMERIC)
        for name in table.column_names
        if name not in {"timestamp", "id"}
    )
    schema = Schema(features=features, prediction=Prediction(kind=PredictionKind.NUMBER))
    sink = io.BytesIO()
    pa.csv.write_csv(table, sink)
    parquet = read_reference(source, "application/x-parquet", schema, LIMITS)
    csv = read_reference(sink.getvalue(), "text/csv", schema, LIMITS)
    assert parquet.frame.rows == table.num_rows
    assert not np.isinf(parquet.frame.numeric).any()
    np.testing.assert_allclose(csv.frame.numeric, parquet.frame.numeric)
    assert plain(csv.frame.categorical) == plain(parquet.frame.categorical)


def test_a_column_that_is_there_more_than_once_is_one_place() -> None:
    for head, at in (
        ("age,country,member,age", ["age"]),
        ("age,country,age,member,age", ["age"]),
        ("age,country,member,features.age,age", ["age", "features.age"]),
        ("age,country,country,member,age", ["age", "country"]),
    ):
        row = ",".join(["1"] * (head.count(",") + 1))
        with pytest.raises(Unprocessable) as caught:
            read(f"{head}\n{row}\n".encode())
        assert [place.at for place in caught.value.places] == at
