"""Arrow IPC streams: columns with dotted names, straight to a frame."""

from collections import Counter
from collections.abc import Sequence
from math import isnan
from typing import TypeAlias

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from service.domain.errors import BadRequest, Place, TooLarge, Unprocessable
from service.domain.schema import ERROR, LATENCY, PREDICTION, PROBABILITY_PREFIX
from service.frames import MISSING, Coded, Frame, Texts
from service.ingest.arrow_stream import KEYED, NO_FLOATS, Columns, Floats, open_events, open_stream, unknown_of
from service.ingest.arrow_values import (
    is_binary,
    is_narrow,
    is_text,
    labels,
    nulls,
    numbers,
    numbers_into,
    plain,
    settle,
    text_lengths,
    texts,
    vectors,
)
from service.ingest.envelope import Refusals, bad_name, bad_segment, check_rows
from service.ingest.failures import settled
from service.ingest.layout import Layout
from service.ingest.lists import class_names, segment_names
from service.ingest.prints import pack_fingerprints
from service.ingest.surprises import EMBEDDING
from service.ingest.unknown import with_unknown
from service.ingest.values import BadTimestamp, check_labels, parse_timestamp

_PER_SECOND = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}
_MICROS_MAX = 253_402_300_800_000_000
"""The year 10000."""
_FIELDS = ("event_id", "timestamp", "principal", PREDICTION, LATENCY, "embedding", "fingerprint", ERROR)
Source: TypeAlias = "pa.Array | NDArray[np.float32] | None"
"""Where the numbers of a column come from; ``None`` when it was not sent."""


def read_stream(content: bytes, layout: Layout) -> tuple[Frame, Refusals]:
    """Read a stream into a frame, and the rows that were refused for their envelope.

    Raises
    ------
    BadRequest, TooLarge
        As ``open_stream``.
    Unprocessable
        If columns are there twice or of a type that their meaning forbids, or no row is acceptable.
    """
    shaped = open_events(content, layout, _choose)
    try:
        if shaped is not None:
            frame, refused = read_arrays(shaped.columns, shaped.rows, layout, shaped.floats)
            if not refused.rows:
                return with_unknown(frame, _sent_only(shaped.unknown, shaped.columns), layout), refused
        opened = open_stream(content, layout, lambda names: _choose(names, layout))
        frame, refused = read_arrays(opened.columns, opened.rows, layout)
        unknown = _sent_only(unknown_of(opened.names, layout), opened.columns)
        return with_unknown(frame, unknown, layout), refused
    except (pa.ArrowException, ValueError) as error:
        raise BadRequest(f"the Arrow columns cannot be read: {str(error)[:200]}") from None


def _sent_only(unknown: Sequence[str], columns: Columns) -> Sequence[str]:
    """Leave out an embedding that is null everywhere: JSON that says so says nothing either."""
    if EMBEDDING not in unknown or columns[EMBEDDING].null_count < len(columns[EMBEDDING]):
        return unknown
    return [name for name in unknown if name != EMBEDDING]


def _choose(names: tuple[str, ...], layout: Layout) -> frozenset[str]:
    alone = layout.lone_embedding is not None and "embedding" in names
    # Of a version that stores no feature, the fingerprint may be all that is sent of an input.
    alone = alone or (not layout.stored and "fingerprint" in names)
    if not alone and not any(name.startswith("features.") for name in names):
        raise Unprocessable("the batch has no features", places=[Place("features", "no column features.<name>")])
    known = {*_FIELDS, *(f"features.{name}" for name in layout.stored)}
    wanted = [name for name in names if name in known or name.startswith(KEYED)]
    twice = [name for name, count in Counter(wanted).items() if count > 1]
    if twice:
        raise Unprocessable("columns are there twice", places=[Place(name, "is there twice") for name in twice[:100]])
    return frozenset(wanted)


def read_arrays(columns: Columns, rows: int, layout: Layout, floats: Floats = NO_FLOATS) -> tuple[Frame, Refusals]:
    """Make a frame of arrays by their dotted names; of those in ``floats`` there are the numbers only.

    When rows were refused, and there are ``floats``, the frame holds the refused rows too.

    Raises
    ------
    TooLarge, Unprocessable
        As ``read_stream``.
    """
    check_rows(rows, layout)
    envelope = _Envelope(columns, layout)
    refused = envelope.refused
    if refused.rows and not floats.names:
        if len(refused.rows) == rows:
            raise Unprocessable("no event is acceptable", places=refused.places)
        keep = pa.array([row not in refused.rows for row in range(rows)])
        columns = {name: array.filter(keep) for name, array in columns.items()}
        rows -= len(refused.rows)
        envelope = _Envelope(columns, layout)
    # Any bit pattern may come as a number: signalling NaNs, and what float32 cannot hold. Both end as special values.
    with np.errstate(over="ignore", invalid="ignore"):
        return _frame(columns, rows, envelope, layout, floats), refused


def _wrong(name: str, array: pa.Array, need: str) -> Unprocessable:
    reason = f"must be a column of {need}, not {str(array.type)[:100]}"
    return Unprocessable(f"{name} {reason}", places=[Place(name, reason)])


class _Envelope:
    """Ids, principals, times and segments, each looked at once per distinct value where that is cheaper."""

    def __init__(self, columns: Columns, layout: Layout) -> None:
        self._limits = layout.limits
        self.refused = Refusals(layout.limits.errors_max)
        self.event_ids = self._ids(columns.get("event_id"))
        self.principals = self._principals(columns.get("principal"))
        self.times = self._times(columns.get("timestamp"))
        prefix = "segment."
        names = [name for name in columns if name.startswith(prefix)]
        self.segments = {
            name: self._segment(prefix + name, columns[prefix + name])
            for name in segment_names(name.removeprefix(prefix) for name in names)
        }
        self.segments = {name: column for name, column in self.segments.items() if _sent(column)}

    def _ids(self, array: pa.Array | None) -> Texts | tuple[str | None, ...] | None:
        if array is None or array.null_count == len(array):
            return None
        if not is_text(array.type):
            raise _wrong("event_id", array, "text")
        lengths = text_lengths(array)
        if lengths.min() == 0 or lengths.max() > self._limits.string_bytes_max:
            for row in np.flatnonzero((lengths == 0) | (lengths > self._limits.string_bytes_max)).tolist():
                reason = bad_name(array[row].as_py(), self._limits)
                if reason:
                    self.refused.add(row, f"events[{row}].event_id", reason)
        return tuple(array.to_pylist()) if array.null_count else texts(array)

    def _principals(self, array: pa.Array | None) -> Coded | None:
        if array is None or array.null_count == len(array):
            return None
        if not is_text(array.type.value_type if pa.types.is_dictionary(array.type) else array.type):
            raise _wrong("principal", array, "text")
        column = labels(array)
        # The longest and the shortest tell whether any label needs a closer look.
        longest = max(map(len, column.labels), default=1)
        if 4 * longest > self._limits.string_bytes_max or "" in column.labels:
            for code, label in enumerate(column.labels):
                reason = bad_name(label, self._limits)
                if reason:
                    self._refuse_all(column, code, "principal", reason)
        return column if _sent(column) else None

    def _segment(self, name: str, array: pa.Array) -> Coded:
        column = labels(array)
        if not column.labels and not _sent(column):
            return column
        if pa.types.is_nested(array.type):
            raise _wrong(name, array, "text, numbers or booleans")
        for code, label in enumerate(column.labels):
            reason = bad_segment(label, self._limits)
            if reason:
                self._refuse_all(column, code, name, reason)
        return column

    def _refuse_all(self, column: Coded, code: int, name: str, reason: str) -> None:
        for row in np.flatnonzero(column.codes == code).tolist():
            self.refused.add(row, f"events[{row}].{name}", reason)

    def _times(self, array: pa.Array | None) -> NDArray[np.int64] | None:
        if array is None or array.null_count == len(array):
            return None
        kind = array.type
        if is_text(kind):
            return self._parsed(array.to_pylist())
        if not pa.types.is_timestamp(kind):
            raise _wrong("timestamp", array, "timestamps with a time zone, or of ISO 8601 text")
        if kind.tz is None:
            raise _wrong("timestamp", array, "timestamps with a time zone")
        stamps = plain(array, np.dtype("<i8"))
        per_second = _PER_SECOND[kind.unit]
        missing = nulls(array)
        if kind.unit == "us" and missing is None and stamps.min() >= 0 and stamps.max() < _MICROS_MAX:
            return stamps
        bad = (stamps < 0) | (stamps >= _MICROS_MAX // 1_000_000 * per_second if kind.unit != "ns" else False)
        if missing is not None:
            bad &= ~missing
        for row in np.flatnonzero(bad).tolist():
            self.refused.add(row, f"events[{row}].timestamp", "is before 1970 or after 9999")
        times = stamps // 1_000 if kind.unit == "ns" else np.where(bad, 0, stamps) * (1_000_000 // per_second)
        return times if missing is None else np.where(missing, -1, times)

    def _parsed(self, values: Sequence[str | None]) -> NDArray[np.int64]:
        times = np.full(len(values), -1, np.int64)
        for row, value in enumerate(values):
            if value is None:
                continue
            try:
                times[row] = round(parse_timestamp(value).timestamp() * 1e6)
            except BadTimestamp as error:
                self.refused.add(row, f"events[{row}].timestamp", str(error))
        return times


def _sent(column: Coded) -> bool:
    codes = column.codes
    # The first one tells, mostly.
    return bool(len(codes)) and (codes[0] != MISSING or bool((codes != MISSING).any()))


def _numeric_columns(columns: Columns, layout: Layout, floats: Floats) -> dict[str, Source]:
    sources: dict[str, Source] = dict(zip(floats.names, floats.matrix, strict=True))
    found: dict[str, Source] = {
        name: sources[name] if name in sources else columns.get(f"features.{name}") for name in layout.numeric
    }
    sources.update((name, array) for name, array in columns.items() if not name.startswith("features."))
    present = [name.removeprefix(PROBABILITY_PREFIX) for name in sources if name.startswith(PROBABILITY_PREFIX)]
    optional = [PREDICTION] if layout.number_predicted else []
    optional += [PROBABILITY_PREFIX + name for name in class_names(layout, present)]
    for name in (*optional, LATENCY):
        # Optional columns are few and mostly there, so looking at all their values first costs little.
        source = sources.get(name)
        if source is not None and _some(source if isinstance(source, np.ndarray) else numbers(source)):
            found[name] = source
    return found


def _some(values: NDArray[np.float32] | NDArray[np.float64]) -> bool:
    return bool(len(values)) and (not isnan(values[0]) or not np.isnan(values).all())


def _numeric(found: dict[str, Source], rows: int, floats: Floats) -> NDArray[np.float32] | NDArray[np.float64]:
    if found and tuple(found) == floats.names:
        return settle(floats.matrix)
    sources = [source for source in found.values() if source is not None]
    narrow = bool(sources) and all(isinstance(source, np.ndarray) or is_narrow(source) for source in sources)
    out = np.empty((len(found), rows), np.float32 if narrow else np.float64)
    for row, source in zip(out, found.values(), strict=True):
        if source is None:
            row[:] = np.nan
        elif isinstance(source, np.ndarray):
            row[:] = source
        else:
            numbers_into(row, source)
    return settle(out)


def _frame(columns: Columns, rows: int, envelope: _Envelope, layout: Layout, floats: Floats) -> Frame:
    numeric = _numeric_columns(columns, layout, floats)
    absent = Coded((), np.full(rows, MISSING, np.int32))
    categorical = {
        name: labels(columns[f"features.{name}"]) if f"features.{name}" in columns else absent
        for name in layout.categorical
    }
    if not layout.number_predicted and PREDICTION in columns:
        prediction = labels(columns[PREDICTION])
        if _sent(prediction):
            categorical[PREDICTION] = prediction
    for name, column in categorical.items():
        check_labels(name, column, layout.limits)
    if ERROR in columns and _sent(error := labels(columns[ERROR])):
        categorical[ERROR] = settled(error)
    return Frame(
        rows=rows,
        numeric_names=tuple(numeric),
        numeric=_numeric(numeric, rows, floats),
        categorical_names=tuple(categorical),
        categorical=tuple(categorical.values()),
        embeddings={name: _embedding(columns, name, rows, layout) for name in layout.embeddings},
        principals=envelope.principals,
        event_ids=envelope.event_ids,
        timestamps_us=envelope.times,
        segments=envelope.segments,
        attributions=_attributions(columns, rows, layout),
        fingerprints=_fingerprints(columns.get("fingerprint")),
    )


def _embedding(columns: Columns, name: str, rows: int, layout: Layout) -> NDArray[np.float32]:
    array = columns.get(f"features.{name}")
    if array is None and name == layout.lone_embedding:
        array = columns.get("embedding")
    dimension, most = layout.embeddings[name], layout.limits.embedding_dimension_max
    if array is None:
        return np.full((rows, dimension), np.nan, np.float32)
    if pa.types.is_fixed_size_list(array.type) and array.type.list_size > most:
        raise TooLarge(f"embeddings of {array.type.list_size} numbers; limit embedding_dimension_max: {most}")
    return vectors(array, dimension)


def _attributions(columns: Columns, rows: int, layout: Layout) -> dict[str, NDArray[np.float32]]:
    found: dict[str, NDArray[np.float32]] = {}
    if not any(name.startswith("attributions.") for name in columns):
        return found
    for name in layout.stored:
        array = columns.get(f"attributions.{name}")
        if array is not None and array.null_count < rows:
            values = np.empty(rows, np.float32)
            numbers_into(values, array)
            found[name] = settle(values)
    return found


def _fingerprints(array: pa.Array | None) -> bytes:
    if array is None or array.null_count == len(array):
        return b""
    kind = array.type
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        kind = kind.value_type
    elif is_binary(kind):
        return pack_fingerprints(array.to_pylist())
    if not is_text(kind) and not pa.types.is_integer(kind):
        raise _wrong("fingerprint", array, "binary, text, or lists of integers")
    return pack_fingerprints(array.to_pylist())
