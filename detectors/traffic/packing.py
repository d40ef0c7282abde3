"""A table of small whole numbers as few bytes."""

import struct

import numpy as np
from numpy.typing import NDArray

_LENGTH = struct.Struct("<I")


def pack(table: NDArray[np.int64]) -> bytes:
    """Write whole numbers column by column, each in the smallest type that holds it, the first one as steps.

    Parameters
    ----------
    table : ndarray of int64, shape (n_rows, n_columns)
        Not negative; the first column increases.

    Returns
    -------
    bytes
        For ``unpack``.

    Examples
    --------
    >>> len(pack(np.arange(1_000)[:, None]))
    1013
    """
    parts = [_LENGTH.pack(len(table))]
    for place, column in enumerate(table.T):
        first = int(column[0]) if place == 0 and len(column) else 0
        values = np.diff(column, prepend=first) if place == 0 else column
        kind = np.min_scalar_type(int(values.max(initial=0)))
        parts.append(struct.pack("<qB", first, kind.itemsize) + values.astype(kind.newbyteorder("<")).tobytes())
    return b"".join(parts)


def unpack(data: bytes, columns: int) -> NDArray[np.int64]:
    """Read a table back.

    Parameters
    ----------
    data : bytes
        From ``pack``.
    columns : int
        How many columns it has.

    Returns
    -------
    ndarray of int64, shape (n_rows, n_columns)
        The same table.

    Examples
    --------
    >>> unpack(pack(np.array([[5, 0], [7, 300]])), 2).tolist()
    [[5, 0], [7, 300]]
    """
    (rows,) = _LENGTH.unpack_from(data)
    at, found = _LENGTH.size, []
    for place in range(columns):
        first, size = struct.unpack_from("<qB", data, at)
        values = np.frombuffer(data, f"<u{size}", rows, at + 9).astype(np.int64)
        found.append(np.cumsum(values) + first if place == 0 else values)
        at += 9 + size * rows
    return np.stack(found, axis=1)
