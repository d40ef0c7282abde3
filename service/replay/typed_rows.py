"""Parquet and Arrow IPC: files that say what their values are."""

from collections.abc import Generator, Sequence
from typing import Any

import pyarrow as pa

from service.replay.files import BATCH_ROWS, Batch, Source, check_names, opened, read_bytes, wanted_of

BUFFERED_BYTES = 64 * 1024 * 1024
"""Parquet is read in pieces that take so much together, instead of whole row groups."""
BUFFER_MIN, BUFFER_MAX = 4 * 1024, 1024 * 1024


def parquet_batches(source: Source, columns: Sequence[str] | None) -> Generator[Batch]:
    """Read Parquet, see ``service.replay.sources.read_batches``.

    On this thread: replay reads ahead on one of its own, and threads for each column wait for each other.
    """
    from pyarrow import parquet

    where = pa.BufferReader(read_bytes(source)) if source.gzip else str(source.path)
    columns_there = parquet.read_metadata(where).num_columns
    buffer = min(max(BUFFERED_BYTES // max(columns_there, 1), BUFFER_MIN), BUFFER_MAX)
    with parquet.ParquetFile(where, pre_buffer=False, buffer_size=buffer) as file:
        names = file.schema_arrow.names
        check_names(source, names)
        wanted = wanted_of(names, columns)
        yield _arrays(file.schema_arrow.empty_table().select(wanted).combine_chunks())
        for batch in file.iter_batches(batch_size=BATCH_ROWS, columns=wanted, use_threads=False):
            yield {name: batch.column(name) for name in wanted}


def _arrays(table: Any) -> Batch:
    return {
        name: column.chunk(0) if column.num_chunks else pa.array([], type=column.type)
        for name, column in zip(table.column_names, table.columns, strict=True)
    }


def arrow_file_batches(source: Source, columns: Sequence[str] | None) -> Generator[Batch]:
    """Read an Arrow IPC file, see ``service.replay.sources.read_batches``."""
    where = pa.BufferReader(read_bytes(source)) if source.gzip else pa.memory_map(str(source.path))
    with where, pa.ipc.open_file(where) as reader:
        batches = (reader.get_batch(i) for i in range(reader.num_record_batches))
        yield from _checked(source, reader.schema, batches, columns)


def arrow_stream_batches(source: Source, columns: Sequence[str] | None) -> Generator[Batch]:
    """Read an Arrow IPC stream, see ``service.replay.sources.read_batches``."""
    with opened(source) as stream, pa.ipc.open_stream(stream) as reader:
        yield from _checked(source, reader.schema, reader, columns)


def _checked(source: Source, schema: Any, batches: Any, columns: Sequence[str] | None) -> Generator[Batch]:
    check_names(source, schema.names)
    wanted = wanted_of(schema.names, columns)
    yield _arrays(schema.empty_table().select(wanted))
    for batch in batches:
        batch.validate(full=True)
        for start in range(0, batch.num_rows, BATCH_ROWS):
            part = batch.slice(start, BATCH_ROWS)
            yield {name: part.column(part.schema.get_field_index(name)) for name in wanted}
