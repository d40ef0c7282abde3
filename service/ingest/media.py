"""Which content types are understood, and as what."""

from collections.abc import Mapping
from enum import StrEnum

from service.domain.errors import UnsupportedMedia


class Format(StrEnum):
    """How a body is written."""

    JSON = "JSON"
    NDJSON = "NDJSON"
    ARROW_STREAM = "Arrow IPC stream"
    ARROW_FILE = "Arrow IPC file"
    PARQUET = "Parquet"
    CSV = "CSV"
    UNKNOWN = "by its first bytes"


JSON_LINES: Mapping[str, Format] = {
    "application/x-ndjson": Format.NDJSON,
    "application/ndjson": Format.NDJSON,
    "application/jsonl": Format.NDJSON,
}

EVENTS: Mapping[str, Format] = {
    "application/json": Format.JSON,
    **JSON_LINES,
    "application/vnd.apache.arrow.stream": Format.ARROW_STREAM,
}

ADMIN: Mapping[str, Format] = {"application/json": Format.JSON}
"""What is neither telemetry nor reference data."""

LABELS: Mapping[str, Format] = {"application/json": Format.JSON, **JSON_LINES}

REFERENCE: Mapping[str, Format] = {
    "text/csv": Format.CSV,
    **JSON_LINES,
    "application/vnd.apache.parquet": Format.PARQUET,
    "application/x-parquet": Format.PARQUET,
    "application/vnd.apache.arrow.stream": Format.ARROW_STREAM,
    "application/vnd.apache.arrow.file": Format.ARROW_FILE,
    "application/octet-stream": Format.UNKNOWN,
}


def format_of(content_type: str | None, supported: Mapping[str, Format]) -> Format:
    """Return the format that a content type means; parameters such as ``charset`` are ignored.

    Raises
    ------
    UnsupportedMedia
        If it is missing or not among ``supported``; the detail names all that are.
    """
    named = (content_type or "").partition(";")[0].strip().lower()
    try:
        return supported[named]
    except KeyError:
        got = f"content type {named[:100]!r} is not supported" if named else "the content type is missing"
        raise UnsupportedMedia(f"{got}; supported: {', '.join(supported)}") from None
