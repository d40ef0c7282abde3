"""CSV, Parquet and Arrow files to a frame, by pyarrow."""

import re
from collections import Counter
from collections.abc import Sequence
from math import isfinite

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pc_csv
import pyarrow.parquet as pq

from service.domain.errors import BadRequest, Place, TooLarge, Unprocessable
from service.domain.schema import LATENCY, PREDICTION, PROBABILITY_PREFIX
from service.frames import Frame
from service.ingest.arrow import read_arrays
from service.ingest.arrow_stream import Opened, joined, open_stream
from service.ingest.layout import Layout
from service.ingest.media import Format
from service.ingest.prints import WORDS
from service.ingest.reference_columns import FINGERPRINT, check_features, feature_of, is_optional, is_print, is_segment
from service.ingest.values import text

MISSING_WORDS = frozenset({"", "na", "n/a", "#n/a", "nan", "null", "none", "-nan", "<na>", "?"})
"""What CSV files write for a number that is not there."""
_FILE_MAGIC = b"ARROW1\x00\x00"
_NUMBER = re.compile(r"\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\s*")
_CANONICAL_NUMBER = re.compile(r"-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?")


def read_table(content: bytes, kind: Format, layout: Layout) -> tuple[Frame, list[str]]:
    """Return the frame of a file, and the names of all its columns.

    Raises
    ------
    BadRequest, TooLarge, Unprocessable
        As ``read_reference``.
    """
    try:
        opened = _read(content, kind, layout)
        # A fingerprint takes as much memory as so many numbers.
        _check_cells(opened.rows, len(opened.columns) + WORDS * (FINGERPRINT in opened.columns), layout)
        columns = {
            name if _as_it_is(name, layout) else f"features.{feature_of(name)}": array
            for name, array in opened.columns.items()
        }
        if kind is Format.CSV:
            columns = {name: _typed(array, _is_numeric(name, layout)) for name, array in columns.items()}
        if "timestamp" in columns:
            columns["timestamp"] = _times(columns["timestamp"])
        return read_arrays(columns, opened.rows, layout)[0], opened.names
    except (pa.ArrowException, OSError, ValueError, MemoryError) as error:
        raise BadRequest(f"the reference data is not valid {kind}: {str(error)[:200]}") from None


def _as_it_is(name: str, layout: Layout) -> bool:
    """Tell whether a column is called in the file as it is in an event."""
    return is_optional(name) or name == "embedding" or is_segment(name, layout) or is_print(name, layout)


def _wanted(names: Sequence[str], layout: Layout) -> list[str]:
    check_features(names, layout)
    counts = Counter(name if is_optional(name) else feature_of(name) for name in names)
    wanted = [
        name
        for name in names
        if feature_of(name) in layout.stored
        or is_optional(name)
        or is_segment(name, layout)
        or is_print(name, layout)
        or (name == "embedding" and layout.lone_embedding is not None)
    ]
    twice = [name for name in wanted if counts[name if is_optional(name) else feature_of(name)] > 1]
    if twice:
        # One place for each name, however often it is there; 'age' and 'features.age' are two names of one column.
        places = [Place(name, "is there twice") for name in dict.fromkeys(twice)]
        raise Unprocessable("columns are there twice", places=places[: layout.limits.errors_max])
    return wanted


def _check_cells(rows: int, columns: int, layout: Layout) -> None:
    limits = layout.limits
    if rows > limits.rows_max:
        raise TooLarge(f"the reference data has {rows} rows; limit {limits.rows_setting}: {limits.rows_max}")
    if rows * columns > limits.cells_max:
        reason = f"{rows} rows of {columns} columns; at most {limits.cells_max} values"
        raise TooLarge(f"the reference data has {reason} (a quarter of {limits.bytes_setting})")


def _read(content: bytes, kind: Format, layout: Layout) -> Opened:
    if kind is Format.PARQUET:
        return _read_parquet(content, layout)
    if kind is Format.CSV:
        return _read_csv(content, layout)
    # A file is a stream between a magic number and a footer; read as a stream it cannot refer to a batch twice.
    if kind is Format.ARROW_FILE and not content.startswith(_FILE_MAGIC):
        raise BadRequest("the reference data is not an Arrow IPC file", places=[Place("byte 0", "no magic number")])
    stream = content[len(_FILE_MAGIC) :] if kind is Format.ARROW_FILE else content
    return open_stream(stream, layout, lambda names: _wanted(names, layout))


def _read_parquet(content: bytes, layout: Layout) -> Opened:
    with pq.ParquetFile(pa.py_buffer(content)) as file:
        names = file.schema_arrow.names
        wanted = _wanted(names, layout)
        _check_cells(file.metadata.num_rows, len(wanted), layout)
        sizes = [file.metadata.row_group(i).total_byte_size for i in range(file.metadata.num_row_groups)]
    limits = layout.limits
    if sum(sizes) > limits.decompressed_bytes_max:
        raise TooLarge(f"the Parquet data unfolds to {sum(sizes)} bytes; limit {limits.bytes_setting}")
    # Text stays a dictionary: a label that a million rows have is read once, not a million times.
    others = {"timestamp", "embedding", FINGERPRINT, *layout.embeddings}
    texts = [name for name in wanted if name not in others]
    with pq.ParquetFile(pa.py_buffer(content), read_dictionary=texts) as file:
        table = file.read(columns=wanted)
    table.validate(full=True)
    return _opened(table, names)


def _read_csv(content: bytes, layout: Layout) -> Opened:
    buffer, parse = pa.py_buffer(content), pc_csv.ParseOptions(newlines_in_values=True)
    with pc_csv.open_csv(buffer, parse_options=parse) as reader:
        names = reader.schema.names
    wanted = _wanted(names, layout)
    convert = pc_csv.ConvertOptions(
        # Every cell as text: what a column means is the schema's to say, not for the first rows to suggest.
        column_types=dict.fromkeys(wanted, pa.string()),
        include_columns=wanted,
        strings_can_be_null=True,
        null_values=[""],
    )
    table = pc_csv.read_csv(buffer, parse_options=parse, convert_options=convert)
    return _opened(table, names)


def _opened(table: pa.Table, names: list[str]) -> Opened:
    return Opened(
        names,
        {name: joined(table.column(name).chunks) for name in table.column_names if table.num_rows},
        table.num_rows,
    )


def _is_numeric(name: str, layout: Layout) -> bool:
    if name == LATENCY or name.startswith(PROBABILITY_PREFIX):
        return True
    return layout.number_predicted if name == PREDICTION else feature_of(name) in layout.numeric


def _typed(array: pa.Array, numeric: bool) -> pa.Array:  # noqa: FBT001 - one of the two things a cell can be
    """Give the cells of a CSV column the values that JSON would have had."""
    if not numeric:
        return _labels(array)
    try:
        return array.cast(pa.float64())
    except pa.ArrowInvalid:
        pass
    coded = array.dictionary_encode()
    parsed = [_number(cell) for cell in coded.dictionary.to_pylist()]
    return pa.array(parsed, pa.float64()).take(coded.indices)


def _number(cell: str) -> float | None:
    if cell.strip().lower() in MISSING_WORDS:
        return None
    number = float(cell) if _NUMBER.fullmatch(cell) else np.inf
    return number if isfinite(number) else np.inf


def _labels(array: pa.Array) -> pa.Array:
    """Spell labels as JSON's numbers and booleans would be, where the whole column is made of them."""
    coded = array.dictionary_encode()
    cells = coded.dictionary.to_pylist()
    if cells and all(_CANONICAL_NUMBER.fullmatch(cell) for cell in cells):
        cells = [text(float(cell)) if not cell.lstrip("-").isdigit() else cell for cell in cells]
    elif cells and {cell.lower() for cell in cells} <= {"true", "false"}:
        cells = [cell.lower() for cell in cells]
    return pa.array(cells, pa.string()).take(coded.indices)


def _times(array: pa.Array) -> pa.Array:
    """Return times in UTC, null where a cell is none: reference data is only put in order by them."""
    utc = pa.timestamp("us", tz="UTC")
    for kind in (utc, pa.timestamp("us"), pa.date32()):
        try:
            times = array.cast(kind, safe=False).cast(pa.timestamp("us")).cast(pa.int64())
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
            continue
        return pc.if_else(pc.less(times, 0), None, times).cast(utc)
    return pa.nulls(len(array), utc)
