"""Arrow IPC streams: opened, checked, and taken apart into columns."""

from collections.abc import Callable, Collection, Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from service.domain.errors import BadRequest
from service.domain.schema import LATENCY, PREDICTION, PROBABILITY_PREFIX
from service.ingest.arrow_guard import check_stream
from service.ingest.arrow_values import unviewed
from service.ingest.layout import Layout
from service.ingest.surprises import ATTRIBUTION_PREFIX, EMBEDDING, surprises
from service.ingest.typed import EVENT_FIELDS

OPTIONS = pa.ipc.IpcReadOptions(use_threads=False)
REMEMBERED_BYTES_MAX = 65_536
_FLOAT32 = pa.float32()
KEYED = (PROBABILITY_PREFIX, "segment.", ATTRIBUTION_PREFIX)
"""Columns that belong to one field of an event."""
Columns = dict[str, pa.Array]


class Opened(NamedTuple):
    """What was wanted of a stream."""

    names: list[str]
    """Of all its columns."""
    columns: Columns
    rows: int


def open_stream(content: bytes, layout: Layout, choose: Callable[[tuple[str, ...]], Collection[str]]) -> Opened:
    """Open a stream, all its batches as one, with the columns chosen by their names.

    Raises
    ------
    BadRequest
        If it is no Arrow IPC stream.
    TooLarge
        Over a limit.
    """
    check_stream(content, layout.limits, layout.rows_max)
    try:
        with pa.ipc.open_stream(pa.py_buffer(content), options=OPTIONS) as reader:
            names = reader.schema.names
            wanted = choose(tuple(names))
            batches = [batch for batch in reader if batch.num_rows]
        places = [(i, name) for i, name in enumerate(names) if name in wanted]
        for batch in batches:
            batch.validate(full=True)
        arrays = {name: [unviewed(batch.column(i), layout.limits) for batch in batches] for i, name in places}
        columns = {name: joined(chunks) for name, chunks in arrays.items() if chunks}
    except (pa.ArrowException, OSError, ValueError, MemoryError) as error:
        raise _invalid(error) from None
    return Opened(names, columns, sum(batch.num_rows for batch in batches))


def joined(chunks: Sequence[pa.Array]) -> pa.Array:
    """Return one array of several, with one dictionary where each has its own."""
    return chunks[0] if len(chunks) == 1 else pa.chunked_array(chunks).combine_chunks()


class Floats(NamedTuple):
    """Columns of 32-bit floats, as one matrix."""

    names: tuple[str, ...]
    """As in a frame: a feature by its own name."""
    matrix: NDArray[np.float32]
    """Shape (columns, rows); NaN is null."""


NO_FLOATS = Floats((), np.empty((0, 0), np.float32))


class Shaped(NamedTuple):
    """What was wanted of a stream of one batch."""

    columns: Columns
    """But for ``floats``."""
    rows: int
    floats: Floats
    unknown: tuple[str, ...]
    """Columns that nobody knows."""


class _Shape(NamedTuple):
    """Where the wanted columns stand in all streams with one schema."""

    floats: tuple[int, ...]
    float_names: tuple[str, ...]
    others: tuple[tuple[int, str], ...]
    unknown: tuple[str, ...]


Choose = Callable[[tuple[str, ...], Layout], Collection[str]]


def open_events(content: bytes, layout: Layout, choose: Choose) -> Shaped | None:
    """Open a stream of one batch with 32-bit floats; ``None`` for any other.

    Making an array of each column costs more than its numbers, so those that are plain floats come as one matrix.
    Raises as ``open_stream``.
    """
    head = check_stream(content, layout.limits, layout.rows_max)
    try:
        with pa.ipc.open_stream(pa.py_buffer(content), options=OPTIONS) as reader:
            shape = _shape(content[:head], reader.schema, layout, choose)
            if not shape.floats:
                return None
            batches = [batch for batch in reader if batch.num_rows]
        if len(batches) != 1:
            return None
        batch = batches[0]
        batch.validate(full=True)
        tensor = batch.select(shape.floats).to_tensor(null_to_nan=True, row_major=False)
        columns = {name: unviewed(batch.column(i), layout.limits) for i, name in shape.others}
    except (pa.ArrowException, OSError, ValueError, MemoryError) as error:
        raise _invalid(error) from None
    return Shaped(columns, batch.num_rows, Floats(shape.float_names, np.asarray(tensor).T), shape.unknown)


def _shape(head: bytes, schema: pa.Schema, layout: Layout, choose: Choose) -> _Shape:
    """Return where columns stand. Clients send the same schema again and again, so the answer is remembered."""
    if len(head) > REMEMBERED_BYTES_MAX:
        return _shape_of(schema, layout, choose)
    key = (head, layout)
    known = _shapes(key)
    if not known:
        known.append(_shape_of(schema, layout, choose))
    return known[0]


@lru_cache(maxsize=256)
def _shapes(_: tuple[bytes, Layout]) -> list[_Shape]:
    return []


def _shape_of(schema: pa.Schema, layout: Layout, choose: Choose) -> _Shape:
    names = schema.names
    wanted = choose(tuple(names), layout)
    types = schema.types
    places = {name: i for i, name in enumerate(names) if name in wanted}
    numeric = {name: f"features.{name}" for name in layout.numeric}
    optional = [PREDICTION] if layout.number_predicted else []
    present = [name for name in places if name.startswith(PROBABILITY_PREFIX)]
    # In the order of the frame, where the schema names its classes.
    ordered = sorted(present) if layout.classes is None else [PROBABILITY_PREFIX + name for name in layout.classes]
    numeric.update((name, name) for name in (*optional, *ordered, LATENCY))
    floats = {
        name: places[full] for name, full in numeric.items() if full in places and types[places[full]] == _FLOAT32
    }
    taken = set(floats.values())
    others = tuple((i, name) for name, i in places.items() if i not in taken)
    return _Shape(tuple(floats.values()), tuple(floats), others, unknown_of(names, layout))


def unknown_of(names: Sequence[str], layout: Layout) -> tuple[str, ...]:
    """Return the columns of a stream that neither telemetry nor the schema knows; a feature by its own name."""
    known = {*EVENT_FIELDS, *(f"features.{name}" for name in (*layout.stored, *layout.dropped))}
    unknown = [name for name in names if name not in known and not name.startswith(KEYED)]
    odd = surprises(
        layout,
        embedding=EMBEDDING in names,
        classes=_after(PROBABILITY_PREFIX, names),
        attributed=_after(ATTRIBUTION_PREFIX, names),
    )
    return tuple(sorted({*(name.removeprefix("features.") for name in unknown), *odd}))


def _after(prefix: str, names: Sequence[str]) -> list[str]:
    return [name.removeprefix(prefix) for name in names if name.startswith(prefix)]


def _invalid(error: Exception) -> BadRequest:
    return BadRequest(f"the body is not a valid Arrow IPC stream: {str(error)[:200]}")
