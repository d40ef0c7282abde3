"""One process at a time: an advisory lock on a file, held until it is released or the process ends, however it ends."""

import fcntl
import os
from pathlib import Path


class Locked(Exception):
    """Another process holds the lock."""


class FileLock:
    """An exclusive ``flock``; the file stays, and names the process that holds it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: int | None = None

    def acquire(self) -> None:
        """Take the lock at once.

        Raises
        ------
        Locked
            When it is taken; names the file and the process.
        """
        if self._file is not None:
            return
        file = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(file, 32, 0).decode(errors="replace").strip() or "unknown"
            os.close(file)
            raise Locked(f"'{self._path}' is held by process {holder}") from None
        os.ftruncate(file, 0)
        os.pwrite(file, f"{os.getpid()}\n".encode(), 0)
        self._file = file

    def release(self) -> None:
        """Give the lock back; nothing happens when it is not held."""
        if self._file is not None:
            os.close(self._file)
            self._file = None
