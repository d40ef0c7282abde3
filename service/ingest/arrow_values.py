"""Arrow arrays to canonical values, off their buffers.

``Array.to_numpy`` is not used: it imports pandas when that is installed, a second that would fall into a request.
A NaN in a float array is *missing*: numpy and pandas have no other way to say so.
"""

from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from service.domain.errors import TooLarge
from service.frames import INVALID, MISSING, Coded, Texts
from service.ingest.limits import Limits
from service.ingest.values import coded
from service.pandasless import keep_pandas_out

keep_pandas_out()

_N = TypeVar("_N", np.float32, np.float64)
_NUMPY: dict[int, np.dtype[Any]] = {
    kind.id: np.dtype(name)
    for kind, name in (
        (pa.float16(), "<f2"),
        (pa.float32(), "<f4"),
        (pa.float64(), "<f8"),
        (pa.int8(), "<i1"),
        (pa.int16(), "<i2"),
        (pa.int32(), "<i4"),
        (pa.int64(), "<i8"),
        (pa.uint8(), "<u1"),
        (pa.uint16(), "<u2"),
        (pa.uint32(), "<u4"),
        (pa.uint64(), "<u8"),
    )
}
"""By type id: asking for that is ten times cheaper than the predicates of ``pyarrow.types``."""
_DICTIONARY = pa.dictionary(pa.int8(), pa.string()).id
_VIEW = pa.string_view().id
_STRING = pa.string().id
_INT32 = np.dtype("<i4")
_NULL = pa.null().id
_TEXT = frozenset({pa.string().id, pa.large_string().id})
_DECIMAL = frozenset({pa.decimal128(1).id, pa.decimal256(1).id})
_NARROW = frozenset({pa.float16().id, pa.float32().id, _NULL})
_LABELS = _TEXT | _NUMPY.keys() | {pa.bool_().id}
_FIXED_LIST = pa.list_(pa.null(), 1).id
_OFFSETS: dict[int, np.dtype[Any]] = {
    pa.list_(pa.null()).id: np.dtype("<i4"),
    pa.large_list(pa.null()).id: np.dtype("<i8"),
}
CROWDED = 4
"""Where an array stands for so many times the values that rows need, those are picked out first."""


def is_text(kind: pa.DataType) -> bool:
    """Tell whether arrays of a type hold text."""
    return kind.id in _TEXT


def is_binary(kind: pa.DataType) -> bool:
    """Tell whether arrays of a type hold bytes."""
    types = pa.types
    return bool(types.is_binary(kind) or types.is_large_binary(kind) or types.is_fixed_size_binary(kind))


def unviewed(array: pa.Array, limits: Limits) -> pa.Array:
    """Return text views as plain text.

    Views may all point at the same bytes, so what they amount to is summed before it is copied.

    Raises
    ------
    TooLarge
        If they amount to more than a body may.
    """
    kind = array.type.id
    if kind == _DICTIONARY and array.type.value_type.id == _VIEW:
        return pa.DictionaryArray.from_arrays(array.indices, unviewed(array.dictionary, limits))
    if kind != _VIEW:
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
    return array.type.id in _NARROW


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
    if array.type.id == _NULL:
        return np.ones(len(array), np.bool_)
    bits = np.frombuffer(array.buffers()[0], np.uint8)
    ends = array.offset + len(array)
    valid: NDArray[np.bool_] = np.unpackbits(bits[: (ends + 7) // 8], bitorder="little")[array.offset : ends] == 1
    return ~valid


def numbers_into(out: NDArray[Any], array: pa.Array) -> None:
    """Write the canonical numbers of an array, but for negative infinity: see ``settle``."""
    kind = array.type.id
    dtype = _NUMPY.get(kind)
    if dtype is not None:
        out[:] = plain(array, dtype)
    elif kind in _DECIMAL:
        out[:] = numbers(array.cast(pa.float64()))
    elif kind == _DICTIONARY:
        out[:] = _numbers_of_dictionary(array)
        return
    else:
        # A boolean or a text is not a number, here as in JSON.
        out[:] = np.inf
    missing = nulls(array)
    if missing is not None:
        out[missing] = np.nan


def _numbers_of_dictionary(array: pa.DictionaryArray) -> NDArray[np.float64]:
    """Return each number of the dictionary at its places; decoding could repeat a long text for every row."""
    dictionary, missing = array.dictionary, nulls(array.indices)
    indices = plain(array.indices, _NUMPY[array.indices.type.id]).astype(np.int64)
    if missing is not None:
        # Nobody checks what stands under a null.
        indices[missing] = len(dictionary)
    if len(dictionary) > CROWDED * len(array):
        # Nulls take no bytes, so a few bytes may bring a dictionary of any length.
        used = np.unique(indices)
        indices = np.searchsorted(used, indices)
        dictionary = dictionary.take(pa.array(used[used < len(dictionary)]))
    found: NDArray[np.float64] = np.append(numbers(dictionary), np.nan)[indices]
    return found


def settle(numbers: NDArray[_N]) -> NDArray[_N]:
    """Return numbers in which negative infinity, which is as invalid as the other, is the same value."""
    negative = numbers == -np.inf
    if not negative.any():
        return numbers
    settled = numbers if numbers.flags.writeable else numbers.copy()
    settled[negative] = np.inf
    return settled


def numbers(array: pa.Array) -> NDArray[np.float64]:
    """Return the canonical numbers of an array."""
    out = np.empty(len(array), np.float64)
    numbers_into(out, array)
    return settle(out)


def labels(array: pa.Array) -> Coded:
    """Return the canonical labels of an array."""
    kind = array.type.id
    if kind == _DICTIONARY:
        return _from_dictionary(array)
    if kind in _TEXT:
        return _from_text(array.dictionary_encode())
    if kind in _LABELS:
        return _from_dictionary(array.dictionary_encode())
    codes = np.full(len(array), INVALID, np.int32)
    missing = nulls(array)
    if missing is not None:
        codes[missing] = MISSING
    return Coded((), codes)


def _from_text(encoded: pa.DictionaryArray) -> Coded:
    """Return the labels of texts that were encoded here, so that each is there once and used."""
    places = encoded.indices
    codes, missing = plain(places, _INT32), nulls(places)
    if missing is not None:
        codes = np.where(missing, np.int32(MISSING), codes)
    return Coded(tuple(encoded.dictionary.to_pylist()), codes)


def _from_dictionary(array: pa.DictionaryArray) -> Coded:
    places, dictionary = array.indices, array.dictionary
    size, rows = len(dictionary), len(places)
    sent = plain(places, _NUMPY[places.type.id])
    missing = nulls(places)
    if missing is None and size <= rows and dictionary.type.id in _TEXT and not dictionary.null_count:
        texts_of = dictionary.to_pylist()
        if np.bincount(sent, minlength=size).all() and len(set(texts_of)) == size:
            return Coded(tuple(texts_of), sent.astype(_INT32, copy=False))
    indices = sent.astype(np.int64, copy=False)
    if missing is not None:
        indices = np.where(missing, size, indices)
    # A dictionary may bring labels that no row has; they are nobody's business and are left behind.
    crowded = size > CROWDED * rows
    used = np.unique(indices) if crowded else np.flatnonzero(np.bincount(indices, minlength=size)[:size])
    if len(used) < size:
        used = used[used < size]
        dictionary = dictionary.take(pa.array(used))
        indices = np.searchsorted(used, indices)
        if missing is not None:
            indices[missing] = len(used)
    values = dictionary.to_pylist()
    if dictionary.type.id in _TEXT and not dictionary.null_count and len(set(values)) == len(values):
        codes = indices.astype(np.int32)
        if missing is not None:
            codes[missing] = MISSING
        return Coded(tuple(values), codes)
    # Labels may be null, numbers, or there twice: each is made canonical like a value. Only NaN is not itself.
    canonical = coded([None if value != value else value for value in values])  # noqa: PLR0124 - as said
    table = np.append(canonical.codes, np.int32(MISSING))
    return Coded(canonical.labels, table[indices])


def vectors(array: pa.Array, dimension: int) -> NDArray[np.float32]:
    """Return one row of numbers per list; a list of another length, or with anything but finite numbers, is invalid."""
    kind, rows = array.type.id, len(array)
    out = np.full((rows, dimension), np.inf, np.float32)
    missing = nulls(array)
    if missing is not None:
        out[missing] = np.nan
    if kind == _FIXED_LIST:
        starts = (array.offset + np.arange(rows + 1)) * array.type.list_size
    elif kind in _OFFSETS:
        offset = _OFFSETS[kind]
        starts = np.frombuffer(array.buffers()[1], offset, rows + 1, array.offset * offset.itemsize)
    else:
        return out
    good = np.diff(starts) == dimension
    if missing is not None:
        good &= ~missing
    if good.any():
        places, values = starts[:-1][good][:, None] + np.arange(dimension), array.values
        if len(values) > CROWDED * places.size:
            # As with dictionaries: nulls that no list of this length holds may be any number.
            values, places = values.take(pa.array(places.ravel())), np.arange(places.size).reshape(places.shape)
        chosen = numbers(values)[places].astype(np.float32)
        chosen[~np.isfinite(chosen).all(axis=1)] = np.inf
        out[good] = chosen
    return out


def text_lengths(array: pa.Array) -> NDArray[Any]:
    """Return how many bytes each text of an array has; anything where it is null."""
    offsets = _text_offsets(array)
    return np.asarray(offsets[1:] - offsets[:-1])


def texts(array: pa.Array) -> Texts:
    """Return the texts of an array without nulls, as they lie in memory."""
    offsets = _text_offsets(array)
    first, last = int(offsets[0]), int(offsets[-1])
    data = array.buffers()[2]
    return Texts((offsets - first).astype(_INT32, copy=False), b"" if data is None else memoryview(data)[first:last])


def _text_offsets(array: pa.Array) -> NDArray[Any]:
    offset = _INT32 if array.type.id == _STRING else np.dtype("<i8")
    return np.frombuffer(array.buffers()[1], offset, len(array) + 1, array.offset * offset.itemsize)
