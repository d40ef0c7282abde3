"""Arrow arrays to the values that detectors count."""

from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyarrow import compute as pc

from detectors.columns import Codes
from service.pandasless import keep_pandas_out

keep_pandas_out()

NUMBER = r"^\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\s*$"
MISSING = -1
INVALID = -2


def numbers(array: Any) -> NDArray[np.float32] | NDArray[np.float64]:
    """Read an array as numbers: null and NaN are NaN (missing); what is no number is +inf (invalid).

    Text that spells a number counts as that number; booleans as 0 and 1; times as their distance from the epoch.
    """
    kind = array.type
    if pa.types.is_dictionary(kind):
        array = array.dictionary_decode()
        kind = array.type
    if pa.types.is_float32(kind):
        return _plain(pc.fill_null(array, float("nan")), np.dtype(np.float32))
    if _is_text(kind):
        return _spelled(array)
    if pa.types.is_temporal(kind):
        array = array.cast(pa.int64() if kind.bit_width == 64 else pa.int32()).cast(pa.int64())  # noqa: PLR2004 - bits
    elif pa.types.is_boolean(kind):
        array = array.cast(pa.uint8())
    elif not (pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)):
        return np.where(_plain(array.is_null().cast(pa.uint8()), np.dtype(np.uint8)) > 0, np.nan, np.inf)
    wide = array.cast(pa.float64(), safe=False)
    return _plain(pc.fill_null(wide, float("nan")), np.dtype(np.float64))


def codes(array: Any) -> Codes:
    """Read an array as labels: null is missing; lists, structures and binary values are invalid.

    Booleans are ``true`` and ``false``; integral numbers have no fraction (``3``, never ``3.0``).
    """
    kind = array.type
    if pa.types.is_dictionary(kind):
        array = array.dictionary_decode()
        kind = array.type
    if not (_is_text(kind) or pa.types.is_boolean(kind) or pa.types.is_temporal(kind) or is_number(kind)):
        nulls = _plain(array.is_null().cast(pa.uint8()), np.dtype(np.uint8))
        return Codes((), np.where(nulls > 0, MISSING, INVALID).astype(np.int32))
    if is_number(kind):
        array = array.cast(pa.float64(), safe=False)
    elif not _is_text(kind):
        array = array.cast(pa.string())
    encoded = array.dictionary_encode()
    indices = _plain(pc.fill_null(encoded.indices, MISSING), np.dtype(np.int32))
    values = encoded.dictionary.to_pylist()
    if not is_number(kind):
        return Codes(tuple(values), indices)
    places = [_place(i, value) for i, value in enumerate(values)]
    # The index of a missing value is -1: it picks the last entry.
    table = np.array([*places, MISSING], dtype=np.int32)
    return Codes(tuple(map(_number_label, values)), table[indices])


def _place(code: int, value: float) -> int:
    if np.isnan(value):
        return MISSING
    return code if np.isfinite(value) else INVALID


def is_number(kind: Any) -> bool:
    """Whether an Arrow type holds numbers."""
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind))


def _is_text(kind: Any) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def is_text(kind: Any) -> bool:
    """Whether an Arrow type holds text, dictionary-encoded or not."""
    return _is_text(kind.value_type if pa.types.is_dictionary(kind) else kind)


def _number_label(value: float) -> str:
    return str(int(value)) if np.isfinite(value) and value == int(value) else repr(value)


def _spelled(array: Any) -> NDArray[np.float64]:
    if pa.types.is_string_view(array.type):
        array = array.cast(pa.string())
    try:
        wide = array.cast(pa.float64())
    except pa.ArrowInvalid:
        fits = pc.match_substring_regex(array, NUMBER)
        trimmed = pc.utf8_trim_whitespace(pc.if_else(fits, array, None))
        wide = pc.if_else(fits, trimmed.cast(pa.float64()), float("inf"))
    return _plain(pc.fill_null(wide, float("nan")), np.dtype(np.float64))


def _plain(array: Any, dtype: np.dtype[Any]) -> NDArray[Any]:
    """View an array without nulls as numpy. ``Array.to_numpy`` would import pandas, which takes a second."""
    if len(array) == 0:
        return np.zeros(0, dtype=dtype)
    if array.null_count:
        raise ValueError(f"{array.null_count} nulls are left in an array of {array.type}")
    return np.frombuffer(array.buffers()[1], dtype=dtype)[array.offset : array.offset + len(array)]
