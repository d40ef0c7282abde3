"""Read data files as a stream of Arrow batches, whatever their format.

The format is told by content, not by name: gzip around any of CSV, NDJSON, Parquet, Arrow IPC file and Arrow IPC
stream. CSV columns arrive as text, because only the reader of a column knows what it should be; empty cells and the
usual spellings (``NA``, ``null``, ``NaN``, ...) are missing.
"""

import csv
import math
import re
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa

from service.replay.ragged import is_short, padded

BATCH_ROWS = 65_536
BLOCK_BYTES = 8 * 1024 * 1024
"""A CSV or NDJSON line may be this long."""
CSV_BLOCK_BYTES = 1024 * 1024
"""CSV is read in blocks of this size, which stay in the processor's cache, unless a line is longer."""
CSV_BLOCKS_MAX = 16
"""So many blocks are put together for what comes after, whose calls cost more than their rows."""
MEMORY_BYTES_MAX = 1024**3
"""A gzipped Parquet or Arrow file is unpacked in memory, up to here."""
COLUMNS_MAX = 10_000
NESTING_MAX = 8
NAMELESS = ""
"""Stands for rows of NDJSON that have no field at all: they count as well."""

Batch = Mapping[str, Any]
"""Arrow arrays of equal length, by column name."""


class ReplayError(Exception):
    """The input cannot be replayed; the message is one line and names the file, and the column if it is one's fault."""


class Format(StrEnum):
    """What a file holds."""

    CSV = "CSV"
    NDJSON = "NDJSON"
    PARQUET = "Parquet"
    ARROW_FILE = "Arrow IPC file"
    ARROW_STREAM = "Arrow IPC stream"
    BASELINE = "saved baseline"


@dataclass(frozen=True, slots=True)
class Source:
    """A file whose format is known."""

    path: Path
    format: Format
    gzip: bool
    notes: list[str] = field(default_factory=list, compare=False)
    """What a person should know of what was read so far."""

    @property
    def typed(self) -> bool:
        """Whether the file says what its values are; CSV does not."""
        return self.format is not Format.CSV


_JSON_LIST = re.compile(rb"(\xef\xbb\xbf)?\s*\[\s*[\[{]")
"""No CSV begins like this."""


def open_source(path: Path) -> Source:
    """Look at the first bytes of a file.

    Raises
    ------
    ReplayError
        When it cannot be read, is empty, or holds a list in one piece.
    """
    try:
        with path.open("rb") as file:
            head = file.read(16)
        packed = head[:2] == b"\x1f\x8b"
        if packed:
            with pa.input_stream(str(path), compression="gzip") as stream:
                head = stream.read(16)
    except (OSError, pa.ArrowException) as error:
        raise ReplayError(f"{path}: {_one_line(error)}") from error
    if not head:
        raise ReplayError(f"{path}: the file is empty")
    if _JSON_LIST.match(head):
        raise ReplayError(f"{path}: a JSON list; write NDJSON instead, one object a line")
    return Source(path, _format(head), packed)


def _format(head: bytes) -> Format:
    for magic, found in (
        (b"LZBASE", Format.BASELINE),
        (b"LZSEGM", Format.BASELINE),
        (b"PAR1", Format.PARQUET),
        (b"ARROW1", Format.ARROW_FILE),
        (b"\xff\xff\xff\xff", Format.ARROW_STREAM),
    ):
        if head.startswith(magic):
            return found
    return Format.NDJSON if head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"{") else Format.CSV


def read_bytes(source: Source) -> bytes:
    """Read a whole file into memory, unpacked.

    Raises
    ------
    ReplayError
        When it has more than a gibibyte, or cannot be read.
    """
    try:
        with pa.input_stream(str(source.path), compression="gzip" if source.gzip else None) as stream:
            content: bytes = stream.read(MEMORY_BYTES_MAX + 1)
    except (OSError, pa.ArrowException) as error:
        raise ReplayError(f"{source.path}: {_one_line(error)}") from error
    if len(content) > MEMORY_BYTES_MAX:
        raise ReplayError(f"{source.path}: more than {MEMORY_BYTES_MAX} bytes after unpacking")
    return content


def read_batches(source: Source, columns: Sequence[str] | None = None) -> Generator[Batch]:
    """Read a file batch by batch; memory does not grow with its length.

    Parameters
    ----------
    source : Source
        Not a saved baseline.
    columns : sequence of str, optional
        Read only these, as far as the file has them; another one where it has none, so that rows can be counted.

    Yields
    ------
    mapping of str to pyarrow.Array
        At least one batch, which may be empty, so that the columns are known.

    Raises
    ------
    ReplayError
        When the content is broken.
    """
    readers = {
        Format.CSV: _csv,
        Format.NDJSON: _ndjson,
        Format.PARQUET: _parquet,
        Format.ARROW_FILE: _arrow_file,
        Format.ARROW_STREAM: _arrow_stream,
    }
    if source.format not in readers:
        raise ReplayError(f"{source.path}: a {source.format} has no rows to read")
    try:
        yield from readers[source.format](source, columns)
    except (OSError, pa.ArrowException, UnicodeDecodeError) as error:
        raise ReplayError(f"{source.path}: not readable as {source.format}: {_one_line(error)}") from error


def _one_line(error: Exception) -> str:
    text = str(error)
    if isinstance(error, OSError) and error.strerror:
        text = error.strerror
    return " ".join(text.split())[:300] or type(error).__name__


def _check_names(source: Source, names: Sequence[str]) -> None:
    if len(names) > COLUMNS_MAX:
        raise ReplayError(f"{source.path}: {len(names)} columns; at most {COLUMNS_MAX} are read")
    twice = sorted({name for name in names if names.count(name) > 1}) if len(set(names)) < len(names) else []
    if twice:
        raise ReplayError(f"{source.path}: column {twice[0]!r} stands twice")


def _wanted(names: Sequence[str], columns: Sequence[str] | None) -> list[str]:
    """Return the columns to read: those asked for; where a file has none of them, one by which rows are counted."""
    found = [name for name in names if columns is None or name in columns]
    return found or list(names[:1])


def _stream(source: Source) -> Any:
    return pa.input_stream(str(source.path), compression="gzip" if source.gzip else None)


def _csv(source: Source, columns: Sequence[str] | None) -> Generator[Batch]:
    names, delimiter = _csv_header(source)
    wanted = _wanted(names, columns)
    yield {name: pa.array([], type=pa.string()) for name in wanted}
    rows = 0
    try:
        for batches in _together(_csv_batches(source, names, delimiter, (wanted, CSV_BLOCK_BYTES))):
            yield _joined(wanted, batches)
            rows += sum(batch.num_rows for batch in batches)
    except pa.ArrowInvalid as error:
        if is_short(error):
            yield from _csv_short(source, (names, delimiter), wanted, rows)
            return
        if "block size" not in str(error):
            raise
        yield from _csv_long(source, (names, delimiter), wanted, rows)


def _csv_long(source: Source, header: tuple[list[str], str], wanted: list[str], rows: int) -> Iterator[Batch]:
    """Read anew, with the longest blocks there are, and go on after ``rows`` rows: a line is longer than a block.

    The reader itself could skip lines, but it would count empty ones.
    """
    seen = 0
    try:
        for batch in _csv_batches(source, *header, (wanted, BLOCK_BYTES)):
            given, seen = max(0, rows - seen), seen + batch.num_rows
            if given < batch.num_rows:
                yield _joined(wanted, [batch.slice(given)])
    except pa.ArrowInvalid as error:
        if not is_short(error):
            raise
        yield from _csv_short(source, header, wanted, max(rows, seen))


def _csv_short(source: Source, header: tuple[list[str], str], wanted: list[str], rows: int) -> Iterator[Batch]:
    """Read on after ``rows`` rows where one has fewer cells than the header; say so once."""
    names, delimiter = header
    try:
        for batch, short in padded(_stream(source), names, delimiter, wanted, BATCH_ROWS):
            length = len(batch[wanted[0]])
            if short is not None and not source.notes:
                told = f"{source.path.name}: row {short.row} has {short.cells} cells where the header has {len(names)}"
                source.notes.append(f"{told}; cells that are not there count as missing")
            if rows < length:
                yield {name: array.slice(rows) for name, array in batch.items()}
            rows = max(0, rows - length)
    except ValueError as error:
        raise ReplayError(f"{source.path}: not readable as CSV: {_one_line(error)}") from error


def _together(batches: Iterator[Any]) -> Iterator[list[Any]]:
    """Put some batches together; those before an error come before it."""
    held: list[Any] = []
    try:
        for batch in batches:
            held.append(batch)
            if len(held) == CSV_BLOCKS_MAX:
                yield held
                held = []
    except pa.ArrowInvalid:
        if held:
            yield held
        raise
    if held:
        yield held


def _joined(names: list[str], batches: list[Any]) -> Batch:
    return {name: pa.concat_arrays([batch.column(i) for batch in batches]) for i, name in enumerate(names)}


def _csv_batches(source: Source, names: list[str], delimiter: str, how: tuple[list[str], int]) -> Iterator[Any]:
    """Read columns ``how[0]`` in blocks of ``how[1]`` bytes."""
    from pyarrow import csv as arrow_csv

    wanted, block_bytes = how
    with _stream(source) as stream:
        yield from arrow_csv.open_csv(
            stream,
            read_options=arrow_csv.ReadOptions(block_size=block_bytes, column_names=names, skip_rows=1),
            parse_options=arrow_csv.ParseOptions(delimiter=delimiter, newlines_in_values=True),
            convert_options=arrow_csv.ConvertOptions(
                column_types=dict.fromkeys(names, pa.string()), include_columns=wanted, strings_can_be_null=True
            ),
        )


def _csv_header(source: Source) -> tuple[list[str], str]:
    with _stream(source) as stream:
        line = stream.read(BLOCK_BYTES).split(b"\n", 1)[0].decode("utf-8-sig").rstrip("\r")
    delimiter = max(",;\t", key=line.count)
    names = [name.strip() for name in next(csv.reader([line], delimiter=delimiter), [])]
    if not any(names):
        raise ReplayError(f"{source.path}: the first line names no columns")
    _check_names(source, names)
    return names, delimiter


def _parquet(source: Source, columns: Sequence[str] | None) -> Generator[Batch]:
    from pyarrow import parquet

    where = pa.BufferReader(read_bytes(source)) if source.gzip else str(source.path)
    with parquet.ParquetFile(where) as file:
        names = file.schema_arrow.names
        _check_names(source, names)
        wanted = _wanted(names, columns)
        yield _arrays(file.schema_arrow.empty_table().select(wanted).combine_chunks())
        for batch in file.iter_batches(batch_size=BATCH_ROWS, columns=wanted):
            yield {name: batch.column(name) for name in wanted}


def _arrays(table: Any) -> Batch:
    return {
        name: column.chunk(0) if column.num_chunks else pa.array([], type=column.type)
        for name, column in zip(table.column_names, table.columns, strict=True)
    }


def _arrow_file(source: Source, columns: Sequence[str] | None) -> Generator[Batch]:
    where = pa.BufferReader(read_bytes(source)) if source.gzip else pa.memory_map(str(source.path))
    with where, pa.ipc.open_file(where) as reader:
        batches = (reader.get_batch(i) for i in range(reader.num_record_batches))
        yield from _checked(source, reader.schema, batches, columns)


def _arrow_stream(source: Source, columns: Sequence[str] | None) -> Generator[Batch]:
    with _stream(source) as stream, pa.ipc.open_stream(stream) as reader:
        yield from _checked(source, reader.schema, reader, columns)


def _checked(source: Source, schema: Any, batches: Any, columns: Sequence[str] | None) -> Generator[Batch]:
    _check_names(source, schema.names)
    wanted = _wanted(schema.names, columns)
    yield _arrays(schema.empty_table().select(wanted))
    for batch in batches:
        batch.validate(full=True)
        for start in range(0, batch.num_rows, BATCH_ROWS):
            part = batch.slice(start, BATCH_ROWS)
            yield {name: part.column(part.schema.get_field_index(name)) for name in wanted}


def _ndjson(source: Source, columns: Sequence[str] | None) -> Generator[Batch]:
    decoder = msgspec.json.Decoder()
    rows: list[dict[str, Any]] = []
    for number, line in _lines(source):
        try:
            value = decoder.decode(line)
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
            raise ReplayError(f"{source.path}: line {number}: {_one_line(error)}") from error
        if not isinstance(value, dict):
            raise ReplayError(f"{source.path}: line {number}: not an object")
        rows.append(dict(_flat(value, "", NESTING_MAX)))
        if len(rows) == BATCH_ROWS:
            yield _batch_of_rows(source, rows, columns)
            rows = []
    yield _batch_of_rows(source, rows, columns)


def _lines(source: Source) -> Iterator[tuple[int, bytes]]:
    number, rest = 0, b""
    with _stream(source) as stream:
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


def _batch_of_rows(source: Source, rows: list[dict[str, Any]], columns: Sequence[str] | None) -> Batch:
    names = list(dict.fromkeys(name for row in rows for name in row))
    _check_names(source, names)
    wanted = _wanted(names, columns)
    if rows and not wanted and columns is not None:
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
