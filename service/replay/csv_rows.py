"""CSV: columns arrive as text, in blocks that stay in the processor's cache."""

import csv
from collections.abc import Generator, Iterator, Sequence
from typing import Any

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
from service.replay.ragged import is_short, padded

CSV_BLOCK_BYTES = 1024 * 1024
"""CSV is read in blocks of this size, which stay in the processor's cache, unless a line is longer."""
CSV_BLOCKS_MAX = 16
"""So many blocks are put together for what comes after, whose calls cost more than their rows."""


def csv_batches(source: Source, columns: Sequence[str] | None) -> Generator[Batch]:
    """Read CSV, see ``service.replay.sources.read_batches``."""
    names, delimiter = _csv_header(source)
    wanted = wanted_of(names, columns)
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
        for batch, short in padded(opened(source), names, delimiter, wanted, BATCH_ROWS):
            length = len(batch[wanted[0]])
            if short is not None and not source.notes:
                told = f"{source.path.name}: row {short.row} has {short.cells} cells where the header has {len(names)}"
                source.notes.append(f"{told}; cells that are not there count as missing")
            if rows < length:
                yield {name: array.slice(rows) for name, array in batch.items()}
            rows = max(0, rows - length)
    except ValueError as error:
        raise ReplayError(f"{source.path}: not readable as CSV: {one_line(error)}") from error


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
    with opened(source) as stream:
        yield from arrow_csv.open_csv(
            stream,
            read_options=arrow_csv.ReadOptions(block_size=block_bytes, column_names=names, skip_rows=1),
            parse_options=arrow_csv.ParseOptions(delimiter=delimiter, newlines_in_values=True),
            convert_options=arrow_csv.ConvertOptions(
                column_types=dict.fromkeys(names, pa.string()), include_columns=wanted, strings_can_be_null=True
            ),
        )


def _csv_header(source: Source) -> tuple[list[str], str]:
    with opened(source) as stream:
        line = stream.read(BLOCK_BYTES).split(b"\n", 1)[0].decode("utf-8-sig").rstrip("\r")
    delimiter = max(",;\t", key=line.count)
    names = [name.strip() for name in next(csv.reader([line], delimiter=delimiter), [])]
    if not any(names):
        raise ReplayError(f"{source.path}: the first line names no columns")
    check_names(source, names)
    return names, delimiter
