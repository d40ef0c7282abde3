"""The artefact: canonical, digestible, and safe to read from anybody."""

import json
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors.baseline import Baseline
from detectors.binning import count
from detectors.columns import Codes
from detectors.errors import BaselineError
from tests.detectors.samples import Columns, baseline_of, mixed, tables

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
        ("version", 1, "this program reads version 2"),
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
