"""When rows were: a column of times, in microseconds since 1970 UTC."""

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyarrow import compute as pc

from service.replay.cells import is_number, is_text, numbers
from service.replay.sources import ReplayError

SECOND_US = 1_000_000
UNITS = {"ms": 1_000, "s": SECOND_US, "m": 60 * SECOND_US, "h": 3_600 * SECOND_US, "d": 86_400 * SECOND_US}
TICK_US_MIN = 1_000
TICK_US_MAX = 366 * UNITS["d"]
SPAN_US_MAX = 2**53
"""Times beyond some 285 years around 1970 are a mistake of units."""
ZONE = r"(Z|[+-]\d{2}:?\d{2})$"
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def tick_us_of(text: str) -> int:
    """Read the length of a tick such as ``60s``, ``1h`` or ``0.5d``; a bare number is seconds.

    Raises
    ------
    ReplayError
        When it is no length, or is out of range.
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?|\.\d+)(ms|s|m|h|d)?", text.strip())
    if found is None:
        raise ReplayError(f"--tick {text!r}: a number with one of ms, s, m, h, d is needed, such as 60s or 1h")
    length = round(float(found[1]) * UNITS[found[2] or "s"])
    if not TICK_US_MIN <= length <= TICK_US_MAX:
        raise ReplayError(f"--tick {text!r}: must be from 1ms to 366d")
    return length


def times_of(where: str, array: Any, first_row: int) -> NDArray[np.int64]:
    """Read a column as times.

    Parameters
    ----------
    where : str
        The file and the column, for messages.
    array : pyarrow.Array
        Timestamps, dates, ISO texts, or seconds since 1970 as numbers or spelled; without a time zone they are UTC.
    first_row : int
        Of the array within its file.

    Raises
    ------
    ReplayError
        When a row has no time.
    """
    kind = array.type.value_type if pa.types.is_dictionary(array.type) else array.type
    array = array.cast(kind)
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        wide = array.cast(pa.timestamp("us", tz=getattr(kind, "tz", None)), safe=False).cast(pa.int64())
    elif is_number(kind):
        return _of_numbers(where, numbers(array), first_row)
    elif is_text(kind) or pa.types.is_null(kind):
        texts = pc.utf8_trim_whitespace(array.cast(pa.string()))
        seconds = _spelled(texts)
        if seconds is not None:
            return _of_numbers(where, seconds, first_row)
        wide = _of_texts(where, texts, first_row)
    else:
        raise ReplayError(f"{where}: holds values of type {kind}, which are no times")
    if wide.null_count:
        row = first_row + int(pc.index(wide.is_null(), value=True).as_py())
        raise ReplayError(f"{where}: row {row} has no time")
    found = np.frombuffer(wide.buffers()[1], dtype=np.int64)[wide.offset : wide.offset + len(wide)]
    return _in_span(where, found, first_row) if len(wide) else np.zeros(0, dtype=np.int64)


def _of_numbers(where: str, seconds: NDArray[Any], first_row: int) -> NDArray[np.int64]:
    bad = ~np.isfinite(seconds)
    if bad.any():
        raise ReplayError(f"{where}: row {first_row + int(np.argmax(bad))} has no time")
    with np.errstate(over="ignore"):
        scaled = np.clip(seconds.astype(np.float64) * SECOND_US, -(2.0**62), 2.0**62)
    return _in_span(where, np.rint(scaled).astype(np.int64), first_row)


def _in_span(where: str, found: NDArray[np.int64], first_row: int) -> NDArray[np.int64]:
    far = np.abs(found) >= SPAN_US_MAX
    if far.any():
        raise ReplayError(
            f"{where}: row {first_row + int(np.argmax(far))} is more than 285 years from 1970;"
            " numbers are taken as seconds since 1970"
        )
    return found


def _spelled(texts: Any) -> NDArray[np.float64] | None:
    """Read texts that spell numbers, as all numbers of a CSV file do; ``None`` when one does not."""
    try:
        return np.asarray(texts.cast(pa.float64()).to_numpy(zero_copy_only=False))
    except pa.ArrowInvalid:
        return None


def _of_texts(where: str, trimmed: Any, first_row: int) -> Any:
    """Cast ISO texts; those with a zone and those without may stand side by side."""
    try:
        zoned = pc.match_substring_regex(trimmed, ZONE)
        with_zone = pc.if_else(zoned, trimmed, None).cast(pa.timestamp("us", tz="UTC")).cast(pa.int64())
        without = pc.if_else(zoned, None, trimmed).cast(pa.timestamp("us")).cast(pa.int64())
    except pa.ArrowInvalid:
        row, value = next((i, value) for i, value in enumerate(trimmed.to_pylist()) if _unreadable(value))
        raise ReplayError(f"{where}: row {first_row + row}: {value[:40]!r} is no time") from None
    return pc.coalesce(with_zone, without)


def _unreadable(value: str | None) -> bool:
    if value is None:
        return False
    for kind in (pa.timestamp("us", tz="UTC"), pa.timestamp("us")):
        try:
            pa.array([value]).cast(kind)
        except pa.ArrowInvalid:
            continue
        return False
    return True


def spell(us: int) -> str:
    """Write a time in ISO 8601, in UTC."""
    moment = EPOCH + timedelta(microseconds=us)
    return moment.isoformat(timespec="milliseconds" if us % SECOND_US else "seconds").removesuffix("+00:00") + "Z"
