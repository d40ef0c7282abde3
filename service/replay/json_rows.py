"""NDJSON: one object a line; nested ones become dotted names."""

import math
from collections.abc import Collection, Generator, Iterator, Sequence
from contextlib import closing
from typing import Any

import msgspec
import pyarrow as pa

from service.replay.files import (
    BATCH_ROWS,
    BLOCK_BYTES,
    Batch,
    ReplayError,
    Source,
    check_names,
    one_line,
    opened,
    wanted_of,
)

NESTING_MAX = 8
NAMELESS = ""
"""Stands for rows of NDJSON that have no field at all: they count as well."""
LATE_MAX = 8
"""So many fields of one batch are noted by name."""


def json_batches(source: Source, columns: Sequence[str] | None) -> Generator[Batch]:
    """Read NDJSON, see ``service.replay.sources.read_batches``. A batch has the columns that its rows name.

    Fields that nobody has spoken of before are noted.
    """
    at = 0
    with closing(_parts(source)) as parts:
        for rows in parts:
            names = list(dict.fromkeys(name for row in rows for name in row))
            check_names(source, names)
            if source.known and not source.known.issuperset(names):
                _note_late(source, [name for name in names if name not in source.known], rows, at)
            yield _batch_of_rows(rows, names, columns)
            at += len(rows)
    if not at:
        yield {}


def field_names(source: Source, sought: Collection[str] | None = None) -> list[str]:
    """Return the fields of all rows, in the order in which they come; or until all those sought have come.

    Raises
    ------
    ReplayError
        When the content is broken.
    """
    found: dict[str, None] = {}
    try:
        with closing(_parts(source)) as parts:
            for rows in parts:
                found.update(dict.fromkeys(name for row in rows for name in row))
                check_names(source, list(found))
                if sought is not None and found.keys() >= set(sought):
                    break
    except (OSError, pa.ArrowException) as error:
        raise ReplayError(f"{source.path}: not readable as {source.format}: {one_line(error)}") from error
    return list(found)


def _note_late(source: Source, late: list[str], rows: list[dict[str, Any]], at: int) -> None:
    source.known.update(late)
    for name in late[:LATE_MAX]:
        first = at + next(i for i, row in enumerate(rows) if name in row)
        source.notes.append(
            f"{source.path.name}: {name!r} first comes in row {first}; not watched, as only this file has it"
        )
    if len(late) > LATE_MAX:
        source.notes.append(
            f"{source.path.name}: from row {at} on come {len(late) - LATE_MAX} more fields; not watched"
        )


def _parts(source: Source) -> Generator[list[dict[str, Any]]]:
    """Decode some lines at a time; never none."""
    decoder = msgspec.json.Decoder()
    rows: list[dict[str, Any]] = []
    for number, line in _lines(source):
        try:
            value = decoder.decode(line)
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
            raise ReplayError(f"{source.path}: line {number}: {one_line(error)}") from error
        if not isinstance(value, dict):
            raise ReplayError(f"{source.path}: line {number}: not an object")
        rows.append(dict(_flat(value, "", NESTING_MAX)))
        if len(rows) == BATCH_ROWS:
            yield rows
            rows = []
    if rows:
        yield rows


def _lines(source: Source) -> Iterator[tuple[int, bytes]]:
    number, rest = 0, b""
    with opened(source) as stream:
        while block := stream.read(BLOCK_BYTES):
            *lines, rest = (rest + block).split(b"\n")
            if len(rest) > BLOCK_BYTES:
                raise ReplayError(f"{source.path}: line {number + len(lines) + 1} is longer than {BLOCK_BYTES} bytes")
            for line in lines:
                number += 1
                if line.strip():
                    yield number, line.removeprefix(b"\xef\xbb\xbf")
    if rest.strip():
        yield number + 1, rest.removeprefix(b"\xef\xbb\xbf")


def _flat(value: dict[str, Any], prefix: str, depth: int) -> Iterator[tuple[str, Any]]:
    """Nested objects become dotted names, as in the telemetry contract: ``features.age``."""
    for key, inner in value.items():
        if isinstance(inner, dict) and depth:
            yield from _flat(inner, f"{prefix}{key}.", depth - 1)
        else:
            yield prefix + key, inner


def _batch_of_rows(rows: list[dict[str, Any]], names: list[str], columns: Sequence[str] | None) -> Batch:
    wanted = wanted_of(names, columns)
    if not wanted and columns is not None:
        return {NAMELESS: pa.nulls(len(rows))}
    return {name: _array([row.get(name) for row in rows]) for name in wanted}


def _array(values: list[Any]) -> Any:
    """One Arrow type for a column: numbers, booleans or text; anything mixed becomes text."""
    kinds = {type(value) for value in values if value is not None}
    if kinds <= {int, float}:
        return pa.array([None if value is None else _float(value) for value in values], type=pa.float64())
    if kinds == {bool}:
        return pa.array(values, type=pa.bool_())
    return pa.array([None if value is None else _text(value) for value in values], type=pa.string())


def _float(value: float) -> float:
    try:
        return float(value)
    except OverflowError:  # a whole number of more than 308 digits
        return math.inf


def _text(value: Any) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()
