"""A batch as columns: what ingest produces, the log keeps, and detection counts. See ``model``."""

from service.frames.codec import FORMAT, PSEUDONYM_BYTES, decode_attributed, decode_columns, decode_frame, encode_frame
from service.frames.join import between, concat_frames
from service.frames.model import INVALID, MISSING, Coded, Frame, FrameError, Texts

__all__ = [
    "FORMAT",
    "INVALID",
    "MISSING",
    "PSEUDONYM_BYTES",
    "Coded",
    "Frame",
    "FrameError",
    "Texts",
    "between",
    "concat_frames",
    "decode_attributed",
    "decode_columns",
    "decode_frame",
    "encode_frame",
]
