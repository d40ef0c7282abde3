"""Random bytes for names, taken from the system a few thousand at a time.

Each call to the system lets go of the interpreter lock, and getting it back while other threads work costs more than
the bytes. For names only: secrets come from ``secrets``.
"""

import os
import threading

POOL_BYTES = 4_096


class _Pool(threading.local):
    """The last bytes and how many of them are used up, by thread, so that no two threads hand out the same ones."""

    data = b""
    at = 0


_pool = _Pool()


def random_hex(size: int) -> str:
    """Return ``size`` random bytes in hexadecimal; at most 4,096."""
    pool = _pool
    start = pool.at
    if start + size > len(pool.data):
        pool.data, start = os.urandom(POOL_BYTES), 0
    pool.at = start + size
    return pool.data[start : start + size].hex()
