"""A batch as columns: what ingest produces, the log keeps, and detection counts. See ``model``."""

from service.frames.codec import (
    FORMAT,
    PSEUDONYM_BYTES,
    decode_attributed,
    decode_columns,
    decode_frame,
    decode_named,
    decode_printed,
    encode_frame,
    texts_of,
)
from service.frames.join import between, concat_frames
from service.frames.model import INVALID, MISSING, Coded, Frame, FrameError, Texts
from service.frames.prints import PRINT_BYTES, UNREADABLE, Prints, join_prints, pack_prints, read_prints, take_prints

__all__ = [
    "FORMAT",
    "INVALID",
    "MISSING",
    "PRINT_BYTES",
    "PSEUDONYM_BYTES",
    "UNREADABLE",
    "Coded",
    "Frame",
    "FrameError",
    "Prints",
    "Texts",
    "between",
    "concat_frames",
    "decode_attributed",
    "decode_columns",
    "decode_frame",
    "decode_named",
    "decode_printed",
    "encode_frame",
    "join_prints",
    "pack_prints",
    "read_prints",
    "take_prints",
    "texts_of",
]
