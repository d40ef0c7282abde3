"""Values as they come, and the canonical values of a frame that they become.

``None`` is *missing*. What is not what its column holds is *invalid*; nothing here raises for a value but a limit.
"""

import struct
from collections.abc import Callable, Sequence
from datetime import datetime
from itertools import chain
from math import inf, isfinite, nan

import msgspec
import numpy as np
from numpy.typing import NDArray

from service.domain.errors import Place, TooLarge
from service.domain.schema import PREDICTION
from service.frames import INVALID, MISSING, Coded
from service.ingest.limits import Limits

Values = Sequence[object]
"""One column as Python values, one per event."""
Numbers = Callable[[Sequence[Values]], NDArray[np.float64]]
"""How the numeric columns of a batch become a matrix: ``typed_numbers`` or ``checked_numbers``."""


def sent(values: Values) -> bool:
    """Tell whether any event carries the value."""
    # Most often the first one tells.
    return bool(values) and (values[0] is not None or any(value is not None for value in values))


def typed_numbers(columns: Sequence[Values]) -> NDArray[np.float64]:
    """Turn columns of ``float | None`` into a matrix, one row per column."""
    rows = len(columns[0])
    try:
        # A third faster than np.array, which asks every value what it is.
        packed = struct.pack(f"{len(columns) * rows}d", *chain.from_iterable(columns))
    except struct.error:  # there is a None among them, which np.array takes for NaN
        return np.array(columns, dtype=np.float64)
    return np.frombuffer(packed, np.float64).reshape(len(columns), rows)


def checked_numbers(columns: Sequence[Values]) -> NDArray[np.float64]:
    """Turn columns of anything into a matrix, one row per column."""
    return np.array([[number(value) for value in values] for values in columns], dtype=np.float64)


def number(value: object) -> float:
    """Return the canonical number: NaN for a missing value, +inf for an invalid one."""
    if value is None:
        return nan
    # The exact types on purpose: true is an int to Python, but not a number to whoever sent it.
    if type(value) is float:
        return value if isfinite(value) else inf
    if type(value) is int:
        try:
            return float(value)
        except OverflowError:
            return inf
    return inf


def text(value: object) -> str | None:
    """Return the canonical label of a value that is not missing, or ``None`` if it is invalid."""
    kind = type(value)
    if kind is str:
        return str(value) if storable(str(value)) else None
    if kind is bool:
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float) and isfinite(value):
        return str(int(value)) if value.is_integer() else repr(value)
    return None


def storable(label: str) -> bool:
    """Tell whether a text is Unicode: JSON may spell half a surrogate pair, which no file or database takes."""
    try:
        label.encode()
    except UnicodeEncodeError:
        return False
    return True


class _Index(dict[object, int]):
    """Gives each new key the next code. It starts with ``None``, which is missing, so codes start at 0."""

    def __missing__(self, key: object) -> int:
        code = self[key] = len(self) - 1
        return code


def coded(values: Values) -> Coded:
    """Turn a column of anything into labels and codes."""
    if len(values) == 1:
        return _coded_one_by_one(values)
    index = _Index({None: MISSING})
    try:
        codes = np.fromiter(map(index.__getitem__, values), np.int32, len(values))
    except TypeError:  # lists and objects are not hashable, and not labels either
        return _coded_one_by_one(values)
    del index[None]
    labels = tuple(index)
    # True, 1 and 1.0 are one key to Python and two labels to us, so anything but text is looked at one by one.
    if set(map(type, labels)) - {str} or not storable("".join(labels)):  # type: ignore[arg-type]  # not if it is no text
        return _coded_one_by_one(values)
    return Coded(labels, codes)  # type: ignore[arg-type]  # all are text


def _coded_one_by_one(values: Values) -> Coded:
    index: dict[str, int] = {}
    codes = np.empty(len(values), np.int32)
    for row, value in enumerate(values):
        if value is None:
            codes[row] = MISSING
            continue
        label = text(value)
        codes[row] = INVALID if label is None else index.setdefault(label, len(index))
    return Coded(tuple(index), codes)


def recoded(column: Coded, change: Callable[[str], str]) -> Coded:
    """Return the column with each label changed; labels that become equal become one."""
    changed = list(map(change, column.labels))
    if len(set(changed)) == len(changed):
        return Coded(tuple(changed), column.codes)
    index = {label: code for code, label in enumerate(dict.fromkeys(changed))}
    table = np.fromiter(chain((INVALID, MISSING), map(index.__getitem__, changed)), np.int32, len(changed) + 2)
    return Coded(tuple(index), table[column.codes + 2])


def check_labels(name: str, column: Coded, limits: Limits) -> Coded:
    """Return the column, unless a label is longer than a string may be.

    Raises
    ------
    TooLarge
        Naming the first event with such a label.
    """
    if 4 * max(map(len, column.labels), default=0) <= limits.string_bytes_max:
        return column
    for code, label in enumerate(column.labels):
        if len(label.encode()) > limits.string_bytes_max:
            field = name if name == PREDICTION else f"features.{name}"
            at = f"events[{int(np.argmax(column.codes == code))}].{field}"
            reason = f"a string of {len(label.encode())} bytes; limit string_bytes_max: {limits.string_bytes_max}"
            raise TooLarge(f"{at}: {reason}", places=[Place(at, reason)])
    return column


def typed_vectors(values: Values, dimension: int, limits: Limits) -> NDArray[np.float32]:
    """Turn ``list[float] | None`` per event into one row each; a vector of another dimension is invalid."""
    out = np.full((len(values), dimension), np.nan, np.float32)
    good: list[int] = []
    for row, value in enumerate(values):
        if value is None:
            continue
        length = len(value) if isinstance(value, list) else 0
        if length > limits.embedding_dimension_max:
            limit = f"limit embedding_dimension_max: {limits.embedding_dimension_max}"
            raise TooLarge(f"events[{row}]: an embedding of {length} numbers; {limit}")
        if length == dimension:
            good.append(row)
        else:
            out[row] = np.inf
    if good:
        with np.errstate(over="ignore"):  # what float32 cannot hold becomes infinite, which is invalid
            rows = np.array([values[row] for row in good], dtype=np.float64).astype(np.float32)
        rows[~np.isfinite(rows).all(axis=1)] = np.inf
        out[good] = rows
    return out


def checked_vectors(values: Values, dimension: int, limits: Limits) -> NDArray[np.float32]:
    """Turn anything per event into one row each."""
    vectors = [[_finite(each) for each in value] if isinstance(value, list) else value for value in values]
    return typed_vectors(vectors, dimension, limits)


def _finite(value: object) -> float:
    # A missing number makes its vector invalid, not missing: the vector was sent.
    return inf if value is None else number(value)


class BadTimestamp(ValueError):
    """Why a timestamp was refused."""


def parse_timestamp(value: object) -> datetime:
    """Return the time that a text names.

    Raises
    ------
    BadTimestamp
        With the reason.
    """
    if isinstance(value, int | float) and not isinstance(value, bool):
        raise BadTimestamp("must be ISO 8601 text with a zone; a number does not say its unit")
    if not isinstance(value, str) or not storable(value):
        raise BadTimestamp("must be ISO 8601 text with a zone")
    try:
        time = msgspec.convert(value, datetime)
    except msgspec.ValidationError:
        try:
            time = datetime.fromisoformat(value)
        except ValueError:
            raise BadTimestamp("is not an ISO 8601 date and time") from None
    if time.tzinfo is None:
        raise BadTimestamp("has no zone: end it with Z or an offset such as +02:00")
    if time.timestamp() < 0:
        raise BadTimestamp("is before 1970")
    return time


def micros(times: Sequence[datetime | None]) -> NDArray[np.int64]:
    """Return microseconds since 1970-01-01 UTC, -1 where there is no time."""
    try:
        seconds = np.fromiter(map(datetime.timestamp, times), np.float64, len(times))  # type: ignore[arg-type]  # see below
    except TypeError:  # there is a None among them
        seconds = np.array([-1e-6 if time is None else time.timestamp() for time in times], np.float64)
    return np.rint(seconds * 1e6).astype(np.int64)
