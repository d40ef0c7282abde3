"""Read data files as a stream of Arrow batches, whatever their format.

The format is told by content, not by name: gzip around any of CSV, NDJSON, Parquet, Arrow IPC file and Arrow IPC
stream. CSV columns arrive as text, because only the reader of a column knows what it should be; empty cells and the
usual spellings (``NA``, ``null``, ``NaN``, ...) are missing.
"""

from collections.abc import Generator, Sequence

import pyarrow as pa

from service.replay.csv_rows import csv_batches
from service.replay.files import (
    BATCH_ROWS,
    BLOCK_BYTES,
    Batch,
    Format,
    ReplayError,
    Source,
    one_line,
    open_source,
    read_bytes,
)
from service.replay.json_rows import NAMELESS, json_batches
from service.replay.typed_rows import arrow_file_batches, arrow_stream_batches, parquet_batches

__all__ = [
    "BATCH_ROWS",
    "BLOCK_BYTES",
    "NAMELESS",
    "Batch",
    "Format",
    "ReplayError",
    "Source",
    "open_source",
    "read_batches",
    "read_bytes",
]

READERS = {
    Format.CSV: csv_batches,
    Format.NDJSON: json_batches,
    Format.PARQUET: parquet_batches,
    Format.ARROW_FILE: arrow_file_batches,
    Format.ARROW_STREAM: arrow_stream_batches,
}


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
    if source.format not in READERS:
        raise ReplayError(f"{source.path}: a {source.format} has no rows to read")
    try:
        yield from READERS[source.format](source, columns)
    except (OSError, pa.ArrowException, UnicodeDecodeError) as error:
        raise ReplayError(f"{source.path}: not readable as {source.format}: {one_line(error)}") from error
