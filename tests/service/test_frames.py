"""The log's frame format: what goes in comes out, and nothing else decodes."""

import dataclasses
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from service.frames import (
    FORMAT,
    INVALID,
    MISSING,
    Coded,
    Frame,
    FrameError,
    Texts,
    between,
    concat_frames,
    decode_columns,
    decode_frame,
    encode_frame,
)
from tests.service.comparing import plain, same

NUMBERS = st.floats(width=32) | st.sampled_from([float("nan"), float("inf")])


@st.composite
def coded(draw: st.DrawFn, rows: int, *, pseudonyms: bool = False) -> Coded:
    """Draw a categorical column."""
    text = st.binary(min_size=16, max_size=16).map(bytes.hex) if pseudonyms else st.text(max_size=5)
    labels = tuple(draw(st.lists(text, max_size=4, unique=True)))
    codes = draw(npst.arrays(np.int32, rows, elements=st.integers(INVALID, len(labels) - 1)))
    return Coded(labels, codes)


@st.composite
def frames(draw: st.DrawFn, *, rows: int | None = None, optional: bool | None = None) -> Frame:
    """Draw a frame; ``optional`` decides whether it carries everything that may be left out."""
    n = draw(st.integers(1, 5)) if rows is None else rows
    full = draw(st.booleans()) if optional is None else optional
    numbers = draw(npst.arrays(np.float64, (2, n), elements=NUMBERS))
    vectors = draw(npst.arrays(np.float32, (n, 3), elements=NUMBERS))

    return Frame(
        rows=n,
        numeric_names=("age", "latency_ms"),
        numeric=numbers,
        categorical_names=("country",),
        categorical=(draw(coded(n)),),
        embeddings={"text": vectors} if full else {},
        principals=draw(coded(n, pseudonyms=True)) if full else None,
        event_ids=draw(event_ids(n)) if full else None,
        timestamps_us=draw(npst.arrays(np.int64, n)) if full else None,
        segments={"region": draw(coded(n))} if full else {},
        attributions={"age": vectors[:, 0].copy()} if full else {},
        fingerprints=msgspec.msgpack.encode(draw(st.lists(st.integers(0, 9), min_size=n, max_size=n))) if full else b"",
    )


def event_ids(rows: int) -> st.SearchStrategy[Texts | tuple[str | None, ...]]:
    """Draw ids, some events without one; or all with one, as one text."""
    some = st.lists(st.none() | st.text(max_size=4), min_size=rows, max_size=rows).map(tuple)
    return some | st.lists(st.text(max_size=4), min_size=rows, max_size=rows).map(one_text)


def one_text(values: list[str]) -> Texts:
    parts = [value.encode() for value in values]
    return Texts(np.cumsum([0, *map(len, parts)]).astype(np.int32), b"".join(parts))


@given(frames())
def test_a_frame_survives_the_log(frame: Frame) -> None:
    same(decode_frame(encode_frame(frame)), frame)


@given(frames(), st.sampled_from([None, "region", "tier"]))
def test_columns_are_read_alone_or_with_the_one_segment_that_is_wanted(frame: Frame, segment: str | None) -> None:
    bare = dataclasses.replace(
        frame,
        principals=None,
        event_ids=None,
        timestamps_us=None,
        segments={name: column for name, column in frame.segments.items() if name == segment},
        attributions={},
        fingerprints=b"",
    )
    read = decode_columns(encode_frame(frame), segment)
    same(read, bare)
    part = between(read, 1, read.rows)
    rest = {name: Coded(column.labels, column.codes[1:]) for name, column in bare.segments.items()}
    assert plain(part.segments) == plain(rest)
    assert plain(part.categorical) == plain(tuple(Coded(each.labels, each.codes[1:]) for each in bare.categorical))


@pytest.mark.parametrize(("labels", "width"), [(1, 1), (254, 1), (255, 2), (65_534, 2), (65_535, 4)])
def test_codes_take_the_smallest_type_that_fits(labels: int, width: int) -> None:
    codes = np.array([INVALID, MISSING, labels - 1], np.int32)
    frame = one_column(Coded(tuple(map(str, range(labels))), codes))
    body = encode_frame(frame)
    assert decode_frame(body).categorical[0].codes.tolist() == [INVALID, MISSING, labels - 1]
    assert msgspec.msgpack.decode(body[1:])[4][1] == width


def one_column(column: Coded, **changes: Any) -> Frame:
    """Build a frame of one categorical column."""
    frame = Frame(
        rows=len(column.codes),
        numeric_names=(),
        numeric=np.empty((0, len(column.codes)), np.float32),
        categorical_names=("c",),
        categorical=(column,),
        embeddings={},
        principals=None,
        event_ids=None,
        timestamps_us=None,
        segments={},
        attributions={},
        fingerprints=b"",
    )
    return dataclasses.replace(frame, **changes)


def test_float32_stays_float32() -> None:
    frame = one_column(Coded(("a",), np.zeros(3, np.int32)))
    frame = dataclasses.replace(frame, numeric_names=("x",), numeric=np.ones((1, 3), np.float32))
    assert decode_frame(encode_frame(frame)).numeric.dtype == np.float32


@pytest.mark.parametrize("label", ["client-7", "00", "A" * 32, "g" * 32, "0" * 31 + " "])
def test_a_principal_that_is_no_pseudonym_is_never_encoded(label: str) -> None:
    frame = one_column(Coded((), np.full(1, MISSING, np.int32)), principals=Coded((label,), np.zeros(1, np.int32)))
    with pytest.raises(FrameError, match="principals"):
        encode_frame(frame)


@pytest.mark.parametrize(
    "changes",
    [
        {"rows": 2},
        {"event_ids": ("a", "b")},
        {"timestamps_us": np.zeros(2, np.int64)},
        {"attributions": {"age": np.zeros(2, np.float32)}},
        {"embeddings": {"e": np.zeros(2, np.float32)}},
        {"categorical": (Coded((), np.full(2, MISSING, np.int32)),)},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_a_column_without_one_value_per_row_is_refused(changes: dict[str, object]) -> None:
    with pytest.raises(FrameError):
        encode_frame(one_column(Coded((), np.full(1, MISSING, np.int32)), **changes))


@given(frames(optional=True), st.data())
def test_bytes_cut_short_are_no_frame(frame: Frame, data: st.DataObject) -> None:
    body = encode_frame(frame)
    with pytest.raises(FrameError):
        decode_frame(body[: data.draw(st.integers(0, len(body) - 1))])


@given(frames(optional=True), st.data())
def test_changed_bytes_decode_or_raise_the_one_error(frame: Frame, data: st.DataObject) -> None:
    body = bytearray(encode_frame(frame))
    body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    try:
        decoded = decode_frame(bytes(body))
    except FrameError:
        return
    for column in decoded.categorical:
        assert all(INVALID <= code < len(column.labels) for code in column.codes)


@given(st.binary(max_size=64))
def test_any_bytes_decode_or_raise_the_one_error(body: bytes) -> None:
    with pytest.raises(FrameError):
        decode_frame(FORMAT + body)


def test_another_format_is_named() -> None:
    with pytest.raises(FrameError, match="format 02"):
        decode_frame(b"\x02rest")


@given(st.lists(frames(optional=True), min_size=1, max_size=4), st.lists(frames(optional=False), max_size=3))
def test_joined_frames_hold_the_rows_of_all_in_order(full: list[Frame], bare: list[Frame]) -> None:
    mixed = [frame for pair in zip(full, bare, strict=False) for frame in pair] + full[len(bare) :] + bare[len(full) :]
    joined = concat_frames(mixed)
    assert len(joined) == 1 + bool(bare)
    for whole, parts in zip(joined, (full, bare), strict=False):
        assert whole.rows == sum(part.rows for part in parts)
        np.testing.assert_equal(whole.numeric, np.hstack([part.numeric for part in parts]))
        for name in ("categorical", "event_ids"):
            assert rows_of(whole, name) == [row for part in parts for row in rows_of(part, name)]
    if full:
        assert plain(joined[0].segments["region"]) == [v for f in full for v in flat(plain(f.segments["region"]))]
        assert plain(joined[0].principals) == [v for f in full for v in flat(plain(f.principals))]
        ids = [value for frame in full for value in msgspec.msgpack.decode(frame.fingerprints)]
        assert msgspec.msgpack.decode(joined[0].fingerprints) == ids


def flat(value: object) -> list[object]:
    """Name the type of a plain column."""
    assert isinstance(value, list)
    return value


def rows_of(frame: Frame, name: str) -> list[object]:
    """Return one column as plain values."""
    value = getattr(frame, name)
    if value is None:
        return []
    return flat(plain(value[0])) if name == "categorical" else list(value)


def test_frames_with_other_columns_are_not_joined() -> None:
    a = one_column(Coded(("x",), np.zeros(1, np.int32)))
    b = dataclasses.replace(a, categorical_names=("d",))
    wide = dataclasses.replace(a, numeric=np.empty((0, 1), np.float64))
    assert [frame.rows for frame in concat_frames([a, b, a, wide])] == [2, 1, 1]
    assert concat_frames([]) == []
