"""Reference data, from which a baseline is compiled: files of rows in whatever form people have them."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from service.domain.errors import TooLarge
from service.domain.schema import Schema
from service.frames import Coded, Frame, take_prints
from service.ingest.inflate import inflate
from service.ingest.layout import Layout
from service.ingest.limits import Limits
from service.ingest.media import REFERENCE, Format, format_of
from service.ingest.reference_columns import NAMED_MAX, extra_columns
from service.ingest.reference_lines import read_lines

_MAGIC = {
    b"PAR1": Format.PARQUET,
    b"ARROW1": Format.ARROW_FILE,
    b"\xff\xff\xff\xff": Format.ARROW_STREAM,
    b"{": Format.NDJSON,
}
_COMPRESSED = {b"\x1f\x8b": "gzip", b"\x28\xb5\x2f\xfd": "zstd"}


@dataclass(frozen=True, slots=True)
class Reference:
    """Reference data as a frame, before de-identification."""

    frame: Frame
    warnings: tuple[tuple[str, str], ...]
    """Column and text."""


def read_reference(
    source: bytes | Path,
    content_type: str | None,
    schema: Schema,
    limits: Limits,
    segment: str | None = None,
    beside: str | None = None,
) -> Reference:
    """Read reference data: features by name (``age`` or ``features.age``), and what else events carry.

    Of the segments only the key ``segment`` is kept, from a column ``segment.<key>`` or an event's ``segment``.
    The feature ``beside``, if one is named, may stand at the top of an event that has ``features``.

    Compressed data is recognised by its first bytes, and so is the format of ``application/octet-stream``.

    Raises
    ------
    UnsupportedMedia
        For another content type than those of ``REFERENCE``.
    BadRequest
        If the data cannot be parsed.
    TooLarge
        Over ``baseline_bytes_max`` or ``baseline_rows_max``.
    Unprocessable
        If the file has no rows or lacks features of the schema; both sides are named.
    """
    kind = format_of(content_type, REFERENCE)
    layout = Layout(schema, limits.of_baseline, segment, beside)
    content = _open(source, layout.limits)
    if kind is Format.UNKNOWN:
        kind = next((found for magic, found in _MAGIC.items() if content.startswith(magic)), Format.CSV)
    if kind is Format.NDJSON:
        frame, names = read_lines(content, layout)
    else:
        # pyarrow is loaded when the first file comes, not when the service starts.
        from service.ingest.reference_tables import read_table

        frame, names = read_table(content, kind, layout)
    warnings = [(name, "is in the file but not in the schema: it is ignored") for name in extra_columns(names, schema)]
    frame, warning = _in_time_order(frame, timed="timestamp" in names)
    return Reference(frame, (*warning, *warnings[:NAMED_MAX]))


def _open(source: bytes | Path, limits: Limits) -> bytes:
    size = source.stat().st_size if isinstance(source, Path) else len(source)
    if size > limits.body_bytes_max:
        raise TooLarge(f"the reference data has {size} bytes; limit baseline_bytes_max: {limits.body_bytes_max}")
    content = source.read_bytes() if isinstance(source, Path) else source
    for magic, encoding in _COMPRESSED.items():
        if content.startswith(magic):
            return inflate(content, encoding, limits)
    return content


def _in_time_order(frame: Frame, *, timed: bool) -> tuple[Frame, list[tuple[str, str]]]:
    times, frame = frame.timestamps_us, replace(frame, timestamps_us=None)
    if not timed:
        return frame, []
    if times is None:
        times = np.full(frame.rows, -1, np.int64)
    unknown = int(np.count_nonzero(times < 0))
    if unknown:
        return frame, [("timestamp", f"{unknown} rows have no time that can be read: the order of the file was kept")]
    warning = ("timestamp", "the rows were put in the order of this column")
    order = np.argsort(times, kind="stable")
    return replace(_take(frame, order), timestamps_us=times[order]), [warning]


def _take(frame: Frame, rows: NDArray[np.int64]) -> Frame:
    return replace(
        frame,
        numeric=frame.numeric[:, rows],
        categorical=tuple(Coded(column.labels, column.codes[rows]) for column in frame.categorical),
        embeddings={name: vectors[rows] for name, vectors in frame.embeddings.items()},
        segments={name: Coded(column.labels, column.codes[rows]) for name, column in frame.segments.items()},
        fingerprints=take_prints(frame.fingerprints, rows.tolist()),
    )
