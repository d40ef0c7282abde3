"""Arrow streams: every type a column may have, and bytes that want to do harm."""

import dataclasses
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.domain.errors import BadRequest, LazarettoError, TooLarge, Unprocessable
from service.frames import Frame
from service.ingest import arrow_values
from service.ingest.decode import Decoded, EventDecoder, Raw
from tests.service.comparing import plain, same
from tests.service.ingest.support import ARROW, LIMITS, SCHEMA, decode, stream

INF, NAN = float("inf"), float("nan")


def read(**columns: pa.Array) -> Frame:
    """Decode columns whose names have ``__`` for a dot."""
    table = pa.table({name.replace("__", "."): array for name, array in columns.items()})
    return decode(stream(table), ARROW).frame


@pytest.mark.parametrize(
    ("array", "expected"),
    [
        (pa.array([1.5, None], pa.float16()), [1.5, NAN]),
        (pa.array([1.5, None], pa.float32()), [1.5, NAN]),
        (pa.array([1.5, NAN, INF, -INF], pa.float64()), [1.5, NAN, INF, INF]),
        *[(pa.array([1, None], kind), [1, NAN]) for kind in (pa.int8(), pa.int16(), pa.int32(), pa.int64())],
        *[(pa.array([255, None], kind), [255, NAN]) for kind in (pa.uint8(), pa.uint16(), pa.uint32(), pa.uint64())],
        (pa.array([Decimal("1.25"), None], pa.decimal128(5, 2)), [1.25, NAN]),
        (pa.array([2.5, None, 2.5]).dictionary_encode(), [2.5, NAN, 2.5]),
        # A missing value among more than fit beside it into the type of the indices.
        *[
            (pa.DictionaryArray.from_arrays(pa.array([5, None], kind), pa.array(np.arange(size))), [5.0, NAN])
            for kind, size in ((pa.int8(), 128), (pa.uint8(), 256), (pa.int8(), 150))
        ],
        (pa.array(["1", None]), [INF, NAN]),
        (pa.array(["1", None]).dictionary_encode(), [INF, NAN]),
        (pa.array([True, None]), [INF, NAN]),
        (pa.array([[1.0], None]), [INF, NAN]),
        (pa.array([{"a": 1}, None]), [INF, NAN]),
        (pa.array([None, None], pa.null()), [NAN, NAN]),
        (pa.array([b"1", None]), [INF, NAN]),
    ],
    ids=lambda value: str(value.type) if isinstance(value, pa.Array) else "",
)
def test_numbers_of_every_type(array: pa.Array, expected: list[float]) -> None:
    np.testing.assert_equal(read(features__age=array).numeric[0], expected)
    if len(array) == 2:
        sliced = pa.concat_arrays([array, array]).slice(1, 2)
        np.testing.assert_equal(read(features__age=sliced).numeric[0], expected[::-1])


@pytest.mark.parametrize(
    ("array", "expected"),
    [
        (pa.array(["a", None, "b", "a"]), ["a", "<missing>", "b", "a"]),
        (pa.array(["a", None], pa.large_string()), ["a", "<missing>"]),
        (
            pa.array(["a", None, "a long text that is not inline"], pa.string_view()),
            ["a", "<missing>", "a long text that is not inline"],
        ),
        (pa.array(["a", None, "b"]).dictionary_encode(), ["a", "<missing>", "b"]),
        (pa.array([3, None], pa.int32()), ["3", "<missing>"]),
        (pa.array([3.0, 0.5, NAN, INF]), ["3", "0.5", "<missing>", "<invalid>"]),
        (pa.array([True, None, False]), ["true", "<missing>", "false"]),
        (pa.array([b"a", None]), ["<invalid>", "<missing>"]),
        (pa.array([["a"], None]), ["<invalid>", "<missing>"]),
        (pa.array([None], pa.null()), ["<missing>"]),
        (pa.DictionaryArray.from_arrays([0, 1, 2, None], ["a", None, "a"]), ["a", "<missing>", "a", "<missing>"]),
        (pa.DictionaryArray.from_arrays(pa.array([1], pa.int8()), pa.array(["x", "y"], pa.string_view())), ["y"]),
    ],
    ids=lambda value: str(value.type) if isinstance(value, pa.Array) else "",
)
def test_labels_of_every_type(array: pa.Array, expected: list[str]) -> None:
    assert plain(read(features__country=array).categorical[0]) == expected
    assert plain(read(features__country=array.slice(1)).categorical[0]) == expected[1:] if len(array) > 1 else True


def test_labels_of_a_dictionary_that_no_row_has_are_left_behind() -> None:
    array = pa.DictionaryArray.from_arrays([999], [f"v{i}" for i in range(1000)])
    assert read(features__country=array).categorical[0].labels == ("v999",)


def test_float32_stays_float32_only_when_all_numbers_are() -> None:
    narrow = pa.array([1.0], pa.float32())
    assert read(features__age=narrow).numeric.dtype == np.float32
    assert read(features__age=narrow, latency_ms=narrow).numeric.dtype == np.float32
    assert read(features__age=narrow, latency_ms=pa.array([1.0])).numeric.dtype == np.float64
    assert read(features__age=narrow, latency_ms=pa.array([1])).numeric.dtype == np.float64


@pytest.mark.parametrize(
    "kind", [pa.list_(pa.float32()), pa.large_list(pa.float64()), pa.list_(pa.float32(), 2), pa.list_(pa.int64(), 2)]
)
def test_embeddings_of_every_list_type(kind: pa.DataType) -> None:
    array = pa.array([[1, 2], None, [3, 4]], kind)
    for column in ("embedding", "features__text"):
        np.testing.assert_equal(read(**{column: array}).embeddings["text"], [[1, 2], [NAN, NAN], [3, 4]])
        np.testing.assert_equal(read(**{column: array.slice(1)}).embeddings["text"], [[NAN, NAN], [3, 4]])


@pytest.mark.parametrize(
    "array",
    [pa.array([[1.0]]), pa.array([[1.0, None]]), pa.array([[1.0, NAN]]), pa.array(["x"]), pa.array([[1.0, 1e300]])],
)
def test_embeddings_that_do_not_fit_are_invalid(array: pa.Array) -> None:
    np.testing.assert_equal(read(embedding=array).embeddings["text"], [[INF, INF]])


@pytest.mark.parametrize(
    "array",
    [
        pa.array([1, None], pa.timestamp("s", "UTC")),
        pa.array([1_000, None], pa.timestamp("ms", "Europe/Berlin")),
        pa.array([1_000_000, None], pa.timestamp("us", "UTC")),
        pa.array([1_000_000_999, None], pa.timestamp("ns", "UTC")),
        pa.array(["1970-01-01T01:00:01+01:00", None]),
    ],
    ids=lambda array: str(array.type),
)
def test_times_of_every_unit(array: pa.Array) -> None:
    times = read(features__age=pa.array([1, 2]), timestamp=array).timestamps_us
    assert times is not None
    assert times.tolist() == [1_000_000, -1]


@pytest.mark.parametrize(
    ("name", "array", "reason"),
    [
        ("timestamp", pa.array([1_700_000_000]), "timestamps with a time zone"),
        ("timestamp", pa.array([1], pa.timestamp("us")), "timestamps with a time zone"),
        ("event_id", pa.array([1]), "text"),
        ("principal", pa.array([1]), "text"),
        ("segment.region", pa.array([["eu"]]), "text, numbers or booleans"),
        ("fingerprint", pa.array([{"a": 1}]), "binary, text, or lists of integers"),
    ],
)
def test_an_envelope_column_of_the_wrong_type_is_named(name: str, array: pa.Array, reason: str) -> None:
    with pytest.raises(Unprocessable, match=reason) as caught:
        read(features__age=pa.array([1]), **{name: array})
    assert caught.value.places[0].at == name


def test_rows_with_a_bad_envelope_are_refused_alone() -> None:
    table = pa.table(
        {
            "features.age": [0, 1, 2, 3, 4],
            "event_id": ["a", "", "c", None, "e"],
            "principal": ["p", "p", "x" * 9000, "p", "q"],
            "timestamp": ["2026-01-01T00:00:00Z", None, None, "later", "2026-01-01"],
        }
    )
    decoded = decode(stream(table), ARROW)
    assert decoded.frame.numeric[0].tolist() == [0]
    assert (decoded.rejected, tuple(decoded.frame.event_ids or ())) == (4, ("a",))
    named = ["events[1].event_id", "events[2].principal", "events[3].timestamp", "events[4].timestamp"]
    assert sorted(place.at for place in decoded.errors) == named


def test_a_batch_without_features_or_rows_is_unprocessable() -> None:
    with pytest.raises(Unprocessable, match="no features"):
        read(event_id=pa.array(["a"]))
    with pytest.raises(Unprocessable, match="no events"):
        read(features__age=pa.array([], pa.float64()))


def test_columns_that_are_there_twice_are_named() -> None:
    table = pa.Table.from_arrays([pa.array([1]), pa.array([2])], names=["features.age", "features.age"])
    with pytest.raises(Unprocessable, match="twice") as caught:
        decode(stream(table), ARROW)
    assert caught.value.places[0].at == "features.age"


@pytest.mark.parametrize("compression", ["lz4", "zstd"])
def test_compressed_buffers_are_read_and_counted_before_they_unfold(compression: str) -> None:
    table = pa.table({"features.age": np.zeros(40_000)})
    body = stream(table, compression=compression)
    assert decode(body, ARROW).frame.rows == 40_000
    decoder = EventDecoder(SCHEMA, dataclasses.replace(LIMITS, decompressed_bytes_max=300_000, rows_max=10**6))
    with pytest.raises(TooLarge, match=r"rows_max|decompressed_bytes_max"):
        decoder.decode(Raw(body, ARROW, None))
    wide = pa.table({f"x{i}": np.zeros(40) for i in range(1_000)})
    with pytest.raises(TooLarge, match="decompressed_bytes_max"):
        EventDecoder(SCHEMA, dataclasses.replace(LIMITS, decompressed_bytes_max=300_000)).decode(
            Raw(stream(wide, compression=compression), ARROW, None)
        )


def test_rows_are_counted_before_they_are_read() -> None:
    nothing = pa.table({"features.age": pa.nulls(10_000_000)})
    with pytest.raises(TooLarge, match="rows_max"):
        decode(stream(nothing), ARROW)
    small = EventDecoder(SCHEMA, dataclasses.replace(LIMITS, rows_max=3))
    with pytest.raises(TooLarge, match="rows_max"):
        small.decode(Raw(stream(pa.table({"features.age": [1, 2, 3, 4]}), rows=1), ARROW, None))


def test_text_views_of_the_same_bytes_are_summed_before_they_are_copied() -> None:
    long = b"x" * 1_000_000
    views = np.zeros((30_000, 4), "<i4")
    views[:, 0] = len(long)
    views[:, 1] = int.from_bytes(long[:4], "little")
    array = pa.Array.from_buffers(pa.string_view(), 30_000, [None, pa.py_buffer(views.tobytes()), pa.py_buffer(long)])
    with pytest.raises(TooLarge, match="text views"):
        read(features__country=array)


def a_stream() -> bytes:
    """Write a small stream with most kinds of columns."""
    table = pa.table(
        {
            "features.age": pa.array([1.0, None, 3.0]),
            "features.country": pa.array(["a", "b", None]).dictionary_encode(),
            "features.plan": pa.array(["a", "b", None]),
            "features.text": pa.array([[1.0, 2.0], None, [3.0, 4.0]]),
            "event_id": pa.array(["a", None, "c"]),
            "principal": pa.array(["p", "q", None]),
            "timestamp": pa.array([1, 2, None], pa.timestamp("us", "UTC")),
            "fingerprint": pa.array([[1, 2], None, []], pa.list_(pa.int64())),
        }
    )
    return stream(table)


STREAM = a_stream()


@given(st.integers(0, len(STREAM) - 1))
def test_a_stream_cut_short_is_refused_or_ends_after_a_batch(end: int) -> None:
    try:
        decoded = decode(STREAM[:end], ARROW)
    except (BadRequest, Unprocessable):
        return
    assert decoded.frame.rows == 3


@given(st.lists(st.tuples(st.integers(0, len(STREAM) - 1), st.integers(0, 255)), min_size=1, max_size=4))
def test_changed_bytes_give_a_frame_or_an_answer_never_a_crash(changes: list[tuple[int, int]]) -> None:
    body = bytearray(STREAM)
    for at, byte in changes:
        body[at] = byte
    try:
        frame = decode(bytes(body), ARROW).frame
    except LazarettoError:
        return
    assert all(len(column.codes) == frame.rows for column in frame.categorical)


@pytest.mark.parametrize(
    "body", [b"", b"ARROW1\0\0", b"\xff\xff\xff\xff", b'{"events": []}', b"\xff\xff\xff\xff\xff\xff\xff\x7f"]
)
def test_what_is_no_stream_is_named_with_its_byte(body: bytes) -> None:
    with pytest.raises(BadRequest, match="not an Arrow IPC stream at byte 0"):
        decode(body, ARROW)


def test_an_arrow_file_where_a_stream_belongs_is_called_one() -> None:
    sink = pa.BufferOutputStream()
    table = pa.table({"features.age": [1, 2]})
    with pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)
    with pytest.raises(BadRequest) as caught:
        decode(sink.getvalue().to_pybytes(), ARROW)
    assert [(place.at, place.reason.split(";")[0]) for place in caught.value.places] == [("byte 0", "an Arrow file")]


def test_unknown_columns_of_any_type_are_ignored() -> None:
    table: dict[str, Any] = {"features.age": pa.array([1, 2]), "features.unknown": pa.array([{"a": [1]}, None])}
    table["runs"] = pa.RunEndEncodedArray.from_arrays([2], ["x"])
    assert decode(stream(pa.table(table)), ARROW).frame.rows == 2


NULLS = pa.Array.from_buffers(pa.null(), 1 << 50, [None])
"""They take no bytes, but their numbers would fill any memory: asking for it fails at once."""


def of_nulls(*places: int | None) -> pa.Array:
    """Return a few rows that point into all these nulls."""
    return pa.DictionaryArray.from_arrays(pa.array(places, pa.int8()), NULLS)


def test_a_dictionary_of_nulls_takes_no_more_memory_than_its_rows() -> None:
    assert np.isnan(arrow_values.numbers(of_nulls(0, None, 100))).all()
    assert plain(arrow_values.labels(of_nulls(0, None))) == ["<missing>"] * 2


@pytest.mark.parametrize(
    ("array", "expected"),
    [
        (pa.LargeListArray.from_arrays(pa.array([0, 2, len(NULLS)], pa.int64()), NULLS), [[INF, INF]] * 2),
        (pa.FixedSizeListArray.from_arrays(of_nulls(0, 1), 2), [[INF, INF]]),
        # Lists of another length beside it, which hold many times what is needed.
        (pa.array([[0.0] * 50, [1.0, 2.0], None]), [[INF, INF], [1.0, 2.0], [NAN, NAN]]),
    ],
    ids=str,
)
def test_lists_of_nulls_take_no_more_memory_than_their_rows(array: pa.Array, expected: list[list[float]]) -> None:
    assert np.array_equal(arrow_values.vectors(array, 2), np.array(expected, np.float32), equal_nan=True)


def test_what_stands_under_a_null_text_view_is_never_followed() -> None:
    views = np.array([[1, ord("a"), 0, 0], [-1, -1, -1, -1]], "<i4")
    array = pa.Array.from_buffers(pa.string_view(), 2, [pa.py_buffer(b"\x01"), pa.py_buffer(views.tobytes())])
    assert plain(read(features__country=array).categorical[0]) == ["a", "<missing>"]


def test_events_with_unknown_features_only_are_events_with_missing_ones() -> None:
    assert np.isnan(read(features__unknown=pa.array([1, 2])).numeric).all()


def test_signalling_nans_are_nans() -> None:
    bits = np.array([0x7FF0000000000001], "<u8").view("<f8")
    array = pa.Array.from_buffers(pa.float64(), 1, [None, pa.py_buffer(bits.tobytes())])
    vectors = pa.FixedSizeListArray.from_arrays(pa.concat_arrays([array, array]), 2)
    read_ = read(features__age=array, attributions__age=array, embedding=vectors)
    assert np.isnan(read_.numeric[0]).all()
    np.testing.assert_equal(read_.embeddings["text"], [[INF, INF]])


@pytest.mark.parametrize("ids", [["a", "b", "c"], ["a", "", "c"]], ids=["clean", "one refused"])
@pytest.mark.parametrize("others", [{}, {"latency_ms": [1.0, None, 3.0], "probabilities.ok": [0.5, 0.25, None]}])
def test_floats_of_32_bits_are_read_together_and_mean_the_same(ids: list[str], others: dict[str, list[float]]) -> None:
    columns = {"features.age": [1.5, None, float("-inf")], "features.größe in m": [float("nan"), 2.0, 3.0], **others}

    def written(kind: pa.DataType) -> Decoded:
        table = {name: pa.array(values, kind) for name, values in columns.items()}
        return decode(stream(pa.table(table | {"event_id": pa.array(ids)})), ARROW)

    together, apart = written(pa.float32()), written(pa.float64())
    assert together.frame.numeric.dtype == np.float32
    assert (together.rejected, together.invalid) == (apart.rejected, apart.invalid)
    widened = dataclasses.replace(together.frame, numeric=together.frame.numeric.astype(np.float64))
    same(widened, apart.frame)


def test_a_stream_of_several_batches_or_with_another_schema_is_not_taken_for_one_seen_before() -> None:
    narrow = pa.table({"features.age": pa.array([1.0, 2.0], pa.float32())})
    turned = pa.table(
        {"latency_ms": pa.array([9.0, 8.0], pa.float32()), "features.age": pa.array([1.0, 2.0], pa.float32())}
    )
    for _ in range(2):
        assert decode(stream(narrow), ARROW).frame.numeric[0].tolist() == [1.0, 2.0]
        frame = decode(stream(turned), ARROW).frame
        assert dict(zip(frame.numeric_names, frame.numeric.tolist(), strict=True))["latency_ms"] == [9.0, 8.0]
    twice = pa.Table.from_batches([*narrow.to_batches(), *narrow.to_batches()])
    assert decode(stream(twice), ARROW).frame.numeric[0].tolist() == [1.0, 2.0, 1.0, 2.0]
