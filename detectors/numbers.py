"""Numbers that look random and are the same on every machine: the bytes of SHAKE-256 of a seed."""

import hashlib
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri


def signs_of(seed: str, rows: int, columns: int) -> NDArray[np.float32]:
    """Return a matrix of +1 and -1.

    Parameters
    ----------
    seed : str
        Any text.
    rows, columns : int
        The shape.

    Returns
    -------
    ndarray of float32, shape (rows, columns)
        One bit of the hash each.

    Examples
    --------
    >>> signs_of("seed", 2, 3)
    array([[ 1., -1.,  1.],
           [ 1., -1., -1.]], dtype=float32)
    """
    drawn = hashlib.shake_256(f"signs {rows} {columns} {seed}".encode()).digest((rows * columns + 7) // 8)
    bits = np.unpackbits(np.frombuffer(drawn, dtype=np.uint8), count=rows * columns, bitorder="little")
    return (bits.astype(np.float32) * 2.0 - 1.0).reshape(rows, columns)


def normals_of(seed: str, rows: int, columns: int) -> NDArray[np.float64]:
    """Return a matrix of standard normal numbers.

    Parameters
    ----------
    seed : str
        Any text.
    rows, columns : int
        The shape.

    Returns
    -------
    ndarray of float64, shape (rows, columns)
        Normal quantiles of 32 bits of the hash each.

    Examples
    --------
    >>> normals_of("seed", 1, 3).round(2)
    array([[0.3 , 0.68, 0.78]])
    """
    drawn = hashlib.shake_256(f"normals {rows} {columns} {seed}".encode()).digest(4 * rows * columns)
    uniform = (np.frombuffer(drawn, dtype="<u4").astype(np.float64) + 0.5) * 2.0**-32
    return np.asarray(ndtri(uniform)).reshape(rows, columns)


REMEMBERED_MAX = 65_536
REMEMBERED_CHARACTERS = 64
"""Longer labels are placed anew every time, so that what is remembered is bounded in bytes too."""


def place_of(label: str) -> float:
    """Give a label a place on the line that has nothing to do with its meaning.

    Parameters
    ----------
    label : str
        Any text.

    Returns
    -------
    float
        From -1 to 1.

    Notes
    -----
    Labels that the reference never held have a place as well. Two labels share a place with probability 2**-52.

    Examples
    --------
    >>> place_of("DE") == place_of("DE"), place_of("DE") == place_of("FR")
    (True, False)
    """
    return _remembered(label) if len(label) <= REMEMBERED_CHARACTERS else _place(label)


def _place(label: str) -> float:
    drawn = hashlib.blake2b(label.encode("utf-8", "surrogatepass"), digest_size=8, person=b"lzplace").digest()
    return (int.from_bytes(drawn, "little") >> 11) * 2.0**-52 - 1.0


_remembered = lru_cache(maxsize=REMEMBERED_MAX)(_place)
