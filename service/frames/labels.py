"""Labels as the log keeps them: one version byte, then one MessagePack array of rows."""

from collections.abc import Sequence

import msgspec

LABELS_FORMAT = b"\x01"
Scalar = str | int | float | bool


class LabelRow(msgspec.Struct, array_like=True, gc=False, frozen=True):
    """One label. Fields are added at the end, so that releases read each other's."""

    event_id: str
    label: Scalar
    timestamp_us: int
    """-1 when none was sent."""
    principal: str = ""
    """Pseudonym of who says so; empty when nobody is named."""


class LabelsError(ValueError):
    """Bytes that are not labels of this version."""


def encode_labels(rows: Sequence[LabelRow]) -> bytes:
    """Return the bytes that the log keeps."""
    return LABELS_FORMAT + msgspec.msgpack.encode(rows)


def read_labels(body: bytes | memoryview) -> list[LabelRow]:
    """Return the labels of a log entry.

    Raises
    ------
    LabelsError
        If the bytes are not labels of this version.
    """
    if body[:1] != LABELS_FORMAT:
        raise LabelsError(f"format {body[:1].hex() or 'of no bytes'} is not {LABELS_FORMAT.hex()}")
    try:
        return msgspec.msgpack.decode(memoryview(body)[1:], type=list[LabelRow])
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise LabelsError(f"not labels: {error}") from None


def text_of(label: Scalar) -> str:
    """Return a label as frames spell it: booleans as JSON's, numbers without a fraction where they have none."""
    if isinstance(label, bool):
        return "true" if label else "false"
    if isinstance(label, float) and label.is_integer():
        return str(int(label))
    return str(label)
