"""Arrow arrays to canonical values, off their buffers.

``Array.to_numpy`` is not used: it imports pandas when that is installed, a second that would fall into a request.
A NaN in a float array is *missing*: numpy and pandas have no other way to say so.
"""

from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from service.domain.errors import TooLarge
from service.frames import INVALID, MISSING, Coded
from service.ingest.limits import Limits
from service.ingest.values import coded

_TYPES = pa.types
_NUMPY: dict[pa.DataType, np.dtype[Any]] = {
    pa.float16(): np.dtype("<f2"),
    pa.float32(): np.dtype("<f4"),
    pa.float64(): np.dtype("<f8"),
    pa.int8(): np.dtype("<i1"),
    pa.int16(): np.dtype("<i2"),
    pa.int32(): np.dtype("<i4"),
    pa.int64(): np.dtype("<i8"),
    pa.uint8(): np.dtype("<u1"),
    pa.uint16(): np.dtype("<u2"),
    pa.uint32(): np.dtype("<u4"),
    pa.uint64(): np.dtype("<u8"),
}


def is_text(kind: pa.DataType) -> bool:
    """Tell whether arrays of a type hold text."""
    return bool(_TYPES.is_string(kind) or _TYPES.is_large_string(kind))


def unviewed(array: pa.Array, limits: Limits) -> pa.Array:
    """Return text views as plain text.

    Views may all point at the same bytes, so what they amount to is summed before it is copied.

    Raises
    ------
    TooLarge
        If they amount to more than a body may.
    """
    if _TYPES.is_dictionary(array.type) and _TYPES.is_string_view(array.type.value_type):
        return pa.DictionaryArray.from_arrays(array.indices, unviewed(array.dictionary, limits))
    if not _TYPES.is_string_view(array.type):
        return array
    validity, buffer, *data = array.buffers()
    views = np.frombuffer(buffer, "<i4").copy().reshape(-1, 4)
    missing = nulls(array)
    if missing is not None:
        # What stands under a null is not validated, and a cast would follow it into any memory.
        views[array.offset : array.offset + len(array)][missing] = 0
    if int(views[array.offset : array.offset + len(array), 0].sum(dtype=np.int64)) > limits.decompressed_bytes_max:
        most = f"{limits.decompressed_bytes_max} bytes (limit {limits.bytes_setting})"
        raise TooLarge(f"a column of text views of more than {most}")
    buffers = [validity, pa.py_buffer(views), *data]
    clean = pa.Array.from_buffers(array.type, len(array), buffers, array.null_count, array.offset)
    return clean.cast(pa.large_string())


def is_narrow(array: pa.Array) -> bool:
    """Tell whether float32 holds every number of the array exactly as it came."""
    return bool(_TYPES.is_float32(array.type) or _TYPES.is_float16(array.type) or _TYPES.is_null(array.type))


def plain(array: pa.Array, kind: np.dtype[Any]) -> NDArray[Any]:
    """Return the values of a fixed-width array, whatever stands under its nulls."""
    buffer = array.buffers()[1]
    if buffer is None:
        return np.zeros(len(array), kind)
    return np.frombuffer(buffer, kind, len(array), array.offset * kind.itemsize)


def nulls(array: pa.Array) -> NDArray[np.bool_] | None:
    """Return where the array is null, or ``None`` if it nowhere is."""
    if not array.null_count:
        return None
    if _TYPES.is_null(array.type):
        return np.ones(len(array), np.bool_)
    bits = np.frombuffer(array.buffers()[0], np.uint8)
    ends = array.offset + len(array)
    valid: NDArray[np.bool_] = np.unpackbits(bits[: (ends + 7) // 8], bitorder="little")[array.offset : ends] == 1
    return ~valid


def numbers_into(out: NDArray[Any], array: pa.Array) -> None:
    """Write the canonical numbers of an array."""
    kind = array.type
    dtype = _NUMPY.get(kind)
    if dtype is not None:
        out[:] = plain(array, dtype)
    elif _TYPES.is_decimal(kind):
        numbers_into(out, array.cast(pa.float64()))
        return
    elif _TYPES.is_dictionary(kind):
        # Each number of the dictionary once; decoding could repeat a long text for every row.
        indices, missing = plain(array.indices, _NUMPY[array.indices.type]), nulls(array.indices)
        places = indices if missing is None else np.where(missing, len(array.dictionary), indices)
        out[:] = np.append(numbers(array.dictionary), np.nan)[places]
        return
    else:
        # A boolean or a text is not a number, here as in JSON.
        out[:] = np.inf
    missing = nulls(array)
    if missing is not None:
        out[missing] = np.nan
    if dtype is None or dtype.kind == "f":
        np.copyto(out, np.inf, where=np.isneginf(out))


def numbers(array: pa.Array) -> NDArray[np.float64]:
    """Return the canonical numbers of an array."""
    out = np.empty(len(array), np.float64)
    numbers_into(out, array)
    return out


def labels(array: pa.Array) -> Coded:
    """Return the canonical labels of an array."""
    kind = array.type
    if _TYPES.is_dictionary(kind):
        return _from_dictionary(array)
    if is_text(kind) or kind in _NUMPY or _TYPES.is_boolean(kind):
        return _from_dictionary(array.dictionary_encode())
    codes = np.full(len(array), INVALID, np.int32)
    missing = nulls(array)
    if missing is not None:
        codes[missing] = MISSING
    return Coded((), codes)


def _from_dictionary(array: pa.DictionaryArray) -> Coded:
    size, rows = len(array.dictionary), len(array)
    indices = plain(array.indices, _NUMPY[array.indices.type]).astype(np.int64)
    missing = nulls(array.indices)
    if missing is not None:
        indices[missing] = size
    # A dictionary may bring labels that no row has; they are nobody's business and are left behind.
    used = np.flatnonzero(np.bincount(indices, minlength=size + 1)[:size]) if size <= 4 * rows else np.unique(indices)
    used = used[used < size]
    values = array.dictionary if len(used) == size else array.dictionary.take(pa.array(used))
    # Labels may be null, numbers, or there twice: each is made canonical like a value.
    canonical = coded([None if value != value else value for value in values.to_pylist()])  # noqa: PLR0124 - only NaN
    if len(used) < size:
        indices = np.searchsorted(used, indices)
        indices[missing if missing is not None else []] = len(used)
    table = np.append(canonical.codes, np.int32(MISSING))
    return Coded(canonical.labels, table[indices])


def vectors(array: pa.Array, dimension: int) -> NDArray[np.float32]:
    """Return one row of numbers per list; a list of another length, or with anything but finite numbers, is invalid."""
    kind, rows = array.type, len(array)
    out = np.full((rows, dimension), np.inf, np.float32)
    missing = nulls(array)
    if missing is not None:
        out[missing] = np.nan
    if _TYPES.is_fixed_size_list(kind):
        starts = (array.offset + np.arange(rows + 1)) * kind.list_size
    elif _TYPES.is_list(kind) or _TYPES.is_large_list(kind):
        offset = np.dtype("<i4") if _TYPES.is_list(kind) else np.dtype("<i8")
        starts = np.frombuffer(array.buffers()[1], offset, rows + 1, array.offset * offset.itemsize)
    else:
        return out
    good = np.diff(starts) == dimension
    if missing is not None:
        good &= ~missing
    if good.any():
        values = numbers(array.values)
        with np.errstate(over="ignore"):  # what float32 cannot hold becomes infinite, which is invalid
            chosen = values[starts[:-1][good][:, None] + np.arange(dimension)].astype(np.float32)
        chosen[~np.isfinite(chosen).all(axis=1)] = np.inf
        out[good] = chosen
    return out
