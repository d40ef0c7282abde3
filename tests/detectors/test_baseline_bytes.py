"""The artefact: canonical, digestible, and safe to read from anybody."""

import json
import struct

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from detectors.baseline import Baseline, add_spaces, compile_baseline
from detectors.binning import count
from detectors.columns import Codes
from detectors.errors import BaselineError
from tests.detectors.samples import Columns, baseline_of, mixed, spec_of, tables

SMALL = baseline_of(
    {
        "x": np.sin(np.arange(64.0)),
        "n": np.tile([1.0, 4.0], 32),
        "c": Codes(("a", "b", "c"), (np.arange(64) % 3).astype(np.int32)),
    },
    bins=3,
    categories=2,
    blocks=2,
).to_bytes()


def _with_spaces() -> Baseline:
    rng = np.random.default_rng(0)
    columns: Columns = {"x": rng.normal(size=120), "c": Codes(("a", "b"), (np.arange(120) % 2).astype(np.int32))}
    specs = [(spec_of(name, values), values) for name, values in columns.items()]
    embeddings = {"face": rng.normal(size=(120, 9)).astype(np.float32)}
    return add_spaces(compile_baseline(specs, bins=2, blocks=2), specs, embeddings).baseline


SPACED = _with_spaces()
SPACED_BYTES = SPACED.to_bytes()


def test_spaces_make_the_round_trip_and_score_alike() -> None:
    again = Baseline.from_bytes(SPACED_BYTES)
    assert again.to_bytes() == SPACED_BYTES
    assert [space.name for space in again.spaces] == ["", "face"]
    assert [space.projected is not None for space in again.spaces] == [False, True]
    vectors = np.random.default_rng(1).normal(size=(50, 9)).astype(np.float32)
    expected = SPACED.spaces[1].scores_of_embedding(vectors)
    for name, numbers in again.spaces[1].scores_of_embedding(vectors).items():
        assert np.array_equal(numbers, expected[name])


@given(at=st.integers(0, len(SPACED_BYTES) - 1), value=st.integers(0, 255))
@example(at=SPACED_BYTES.index(b'"spaces"') + 10, value=ord("x"))
def test_a_changed_byte_of_a_space_is_refused_or_gives_another_sound_one(at: int, value: int) -> None:
    damaged = bytearray(SPACED_BYTES)
    damaged[at] = value
    try:
        baseline = Baseline.from_bytes(bytes(damaged))
    except BaselineError:
        return
    assert baseline.to_bytes() == bytes(damaged)
    for space in baseline.spaces[1:]:
        numbers = space.scores_of_embedding(np.ones((2, 9), dtype=np.float32))
        assert all(np.isfinite(each).all() for each in numbers.values())


def test_a_space_stays_as_long_as_one_of_its_columns_does() -> None:
    assert [space.name for space in SPACED.only({"x", "score.typicality.face"}).spaces] == ["face"]
    assert SPACED.only({"x"}).spaces == ()


def test_only_baselines_of_the_same_rows_can_be_joined() -> None:
    with pytest.raises(BaselineError, match="120 and 64 rows"):
        SPACED.joined(Baseline.from_bytes(SMALL))


@given(columns=tables())
def test_bytes_make_the_round_trip_and_count_alike(columns: Columns) -> None:
    baseline = baseline_of(columns, bins=6, categories=3, blocks=5)
    again = Baseline.from_bytes(baseline.to_bytes())
    assert again.to_bytes() == baseline.to_bytes()
    assert again.digest == baseline.digest
    assert [c.bin_labels for c in again.columns] == [c.bin_labels for c in baseline.columns]
    assert np.array_equal(count(again, columns), count(baseline, columns))


def test_the_same_data_give_the_same_digest_and_other_data_another() -> None:
    first, again = (baseline_of(mixed(np.random.default_rng(0), 500)) for _ in range(2))
    other = baseline_of(mixed(np.random.default_rng(1), 500))
    assert first.digest == again.digest
    assert first.digest != other.digest


def test_raw_rows_do_not_make_the_artefact_grow() -> None:
    sizes = [len(baseline_of(mixed(np.random.default_rng(0), rows)).to_bytes()) for rows in (10_000, 200_000)]
    assert sizes[1] < 1.2 * sizes[0] < 50_000


@given(at=st.integers(0, len(SMALL) - 1), value=st.integers(0, 255))
def test_a_changed_byte_is_refused_or_gives_another_sound_baseline(at: int, value: int) -> None:
    damaged = bytearray(SMALL)
    damaged[at] = value
    try:
        baseline = Baseline.from_bytes(bytes(damaged))
    except BaselineError:
        return
    assert baseline.to_bytes() == bytes(damaged)


@given(cut=st.integers(0, len(SMALL) - 1))
def test_bytes_that_are_cut_short_are_refused(cut: int) -> None:
    with pytest.raises(BaselineError):
        Baseline.from_bytes(SMALL[:cut])


@given(data=st.binary(max_size=200))
def test_any_other_bytes_are_refused(data: bytes) -> None:
    for candidate in (data, b"LZBASE01" + data, b"LZBASE01" + struct.pack("<I", len(data)) + data):
        with pytest.raises(BaselineError):
            Baseline.from_bytes(candidate)


def _with_header(change: str, value: object) -> bytes:
    (length,) = struct.unpack_from("<I", SMALL, 8)
    header = json.loads(SMALL[12 : 12 + length])
    *path, last = change.split(".")
    inner = header
    for key in path:
        inner = inner[int(key)] if isinstance(inner, list) else inner[key]
    inner[last] = value
    text = json.dumps(header, sort_keys=True, separators=(",", ":")).encode()
    return b"LZBASE01" + struct.pack("<I", len(text)) + text + SMALL[12 + length :]


@pytest.mark.parametrize(
    ("change", "value", "message"),
    [
        ("version", 1, "this program reads versions 3 to 7"),
        ("ordered", 1, "ordered must be"),
        ("scales", 31, "scales must be"),
        ("columns.0.block_bytes", 3, "block_bytes must be"),
        ("rows", 0, "rows must be"),
        ("rows", 63, "add up to 63 rows"),
        ("rows", True, "rows must be"),
        ("rows", 10**30, "rows must be"),
        ("blocks", 10**9, "blocks must be"),
        ("columns", [], "columns must be"),
        ("columns", [[]], r"columns\[0\]: not an object"),
        ("columns.0.name", "", "name must be text"),
        ("columns.0.name", "n", "the same name"),
        ("columns.0.kind", "tensor", "'tensor' is not a valid ColumnKind"),
        ("columns.0.dtype", "f2", "dtype must be"),
        ("columns.0.segments", 4_000, "bytes end at"),
        ("columns.0.segments", 10**12, "segments must be"),
        ("columns.0.regular", 4, "regular must be"),
        ("columns.2.labels", ["a", "a"], "a label stands twice"),
        ("columns.2.labels", ["a"] * 5_000, "at most 4096"),
        ("columns.2.known", 10**12, "known must be"),
    ],
)
def test_a_header_that_lies_is_refused_with_the_place(change: str, value: object, message: str) -> None:
    with pytest.raises(BaselineError, match=message):
        Baseline.from_bytes(_with_header(change, value))


def test_a_header_of_brackets_is_refused_and_does_not_exhaust_the_stack() -> None:
    text = b"[" * 200_000
    with pytest.raises(BaselineError):
        Baseline.from_bytes(b"LZBASE01" + struct.pack("<I", len(text)) + text)
