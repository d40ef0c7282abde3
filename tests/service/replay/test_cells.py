"""Arrow arrays as numbers and as labels."""

import datetime as dt
import math
import subprocess
import sys
from decimal import Decimal

import pyarrow as pa
import pytest

from service.replay.cells import codes, numbers

NAN, INF = math.nan, math.inf


@pytest.mark.parametrize(
    ("array", "expected"),
    [
        (pa.array([1, None, 3]), [1, NAN, 3]),
        (pa.array([1.5, NAN, INF, -INF], pa.float32()), [1.5, NAN, INF, -INF]),
        (pa.array([1.5, None], pa.float16()), [1.5, NAN]),
        (pa.array([2**63], pa.uint64()), [2.0**63]),
        (pa.array([Decimal("1.25"), None]), [1.25, NAN]),
        (pa.array([True, False, None]), [1, 0, NAN]),
        (pa.array(["1", " 2.5 ", "-3e2", "x", "", None, "1,5", "0x10"]), [1, 2.5, -300, INF, INF, NAN, INF, INF]),
        (pa.array(["1", "2"], pa.large_string()), [1, 2]),
        (pa.array(["1", "y"]).dictionary_encode(), [1, INF]),
        (pa.array([dt.datetime(1970, 1, 1, 0, 0, 1, tzinfo=dt.UTC)], pa.timestamp("ms", "UTC")), [1000]),
        (pa.array([dt.date(1970, 1, 3)], pa.date32()), [2]),
        (pa.array([[1], None]), [INF, NAN]),
        (pa.array([b"1", None]), [INF, NAN]),
        (pa.nulls(2), [NAN, NAN]),
        (pa.array([], pa.float64()), []),
        (pa.array([9, 9, 1, 2, None])[2:], [1, 2, NAN]),
        (pa.array([9.0, 9.0, 1.0, None])[2:], [1, NAN]),
    ],
)
def test_numbers(array: pa.Array, expected: list[float]) -> None:
    assert numbers(array).tolist() == pytest.approx(expected, nan_ok=True)


@pytest.mark.parametrize(
    ("array", "expected"),
    [
        (pa.array(["b", None, "a", "b"]), ["b", None, "a", "b"]),
        (pa.array(["b", "a"], pa.large_string()), ["b", "a"]),
        (pa.array(["b", None]).dictionary_encode(), ["b", None]),
        (pa.array([True, None, False]), ["true", None, "false"]),
        (pa.array([3, None, -1]), ["3", None, "-1"]),
        (pa.array([3.0, 2.5, NAN, INF, None, -INF]), ["3", "2.5", None, "invalid", None, "invalid"]),
        (pa.array([[1], None]), ["invalid", None]),
        (pa.array(["x", "y", "z", None])[2:], ["z", None]),
        (pa.array([], pa.string()), []),
        (pa.nulls(2), [None, None]),
    ],
)
def test_labels(array: pa.Array, expected: list[str | None]) -> None:
    found = codes(array)
    special = {-1: None, -2: "invalid"}
    assert [special[code] if code < 0 else found.labels[code] for code in found.codes.tolist()] == expected


def test_reading_cells_does_not_import_pandas() -> None:
    program = (
        "import sys, pyarrow as pa; from service.replay.cells import codes, numbers;"
        "numbers(pa.array([1.0, None])); numbers(pa.array(['1', 'x'])); codes(pa.array(['a', None]));"
        "sys.exit('pandas' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
