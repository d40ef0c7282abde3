"""Files whose format is told by their content, and how they are opened."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

import pyarrow as pa

from service.detect.references import MAGICS

BATCH_ROWS = 65_536
BLOCK_BYTES = 8 * 1024 * 1024
"""A CSV or NDJSON line may be this long."""
MEMORY_BYTES_MAX = 1024**3
"""A gzipped Parquet or Arrow file is unpacked in memory, up to here."""
COLUMNS_MAX = 10_000

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
    known: set[str] = field(default_factory=set, compare=False)
    """Fields of NDJSON that have been spoken of: another one is noted when it first comes. Empty: nobody asks."""

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
        raise ReplayError(f"{path}: {one_line(error)}") from error
    if not head:
        raise ReplayError(f"{path}: the file is empty")
    if _JSON_LIST.match(head):
        raise ReplayError(f"{path}: a JSON list; write NDJSON instead, one object a line")
    return Source(path, _format(head), packed)


def _format(head: bytes) -> Format:
    for magic, found in (
        *((kind[:6], Format.BASELINE) for kind in MAGICS),
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
        raise ReplayError(f"{source.path}: {one_line(error)}") from error
    if len(content) > MEMORY_BYTES_MAX:
        raise ReplayError(f"{source.path}: more than {MEMORY_BYTES_MAX} bytes after unpacking")
    return content


def one_line(error: Exception) -> str:
    """Return what went wrong, in one line."""
    text = str(error)
    if isinstance(error, OSError) and error.strerror:
        text = error.strerror
    return " ".join(text.split())[:300] or type(error).__name__


def check_names(source: Source, names: Sequence[str]) -> None:
    """Refuse too many columns, and two of the same name.

    Raises
    ------
    ReplayError
        Names the file, and the column.
    """
    if len(names) > COLUMNS_MAX:
        raise ReplayError(f"{source.path}: {len(names)} columns; at most {COLUMNS_MAX} are read")
    twice = sorted({name for name in names if names.count(name) > 1}) if len(set(names)) < len(names) else []
    if twice:
        raise ReplayError(f"{source.path}: column {twice[0]!r} stands twice")


def wanted_of(names: Sequence[str], columns: Sequence[str] | None) -> list[str]:
    """Return the columns to read: those asked for; where a file has none of them, one by which rows are counted."""
    found = [name for name in names if columns is None or name in columns]
    return found or list(names[:1])


def opened(source: Source) -> Any:
    """Open a file, unpacked, as a stream of bytes."""
    return pa.input_stream(str(source.path), compression="gzip" if source.gzip else None)
