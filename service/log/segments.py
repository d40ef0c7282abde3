"""Large bodies, in segment files beside the log's SQLite file.

A segment is a header and bodies, end to end, in the order of their positions. What counts is what the database says: it
records how long each segment is in the same transaction as the rows that refer to it, after the bytes are on disk. All
beyond that was left by a crash, and goes when the log is opened.

A segment is named by the first position that may lie in it. So names never repeat, and a segment is done with once the
next one begins at or before the oldest entry.
"""

import errno
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import groupby, pairwise
from mmap import ALLOCATIONGRANULARITY, PROT_READ, mmap
from pathlib import Path

from service.domain.errors import Unavailable
from service.log.errors import AppendFailed, LogRefused

LARGE_BYTES = 16 * 1024
"""Smaller bodies always lie in the database."""
WORTH_BYTES = 128 * 1024
"""What the large bodies of a group must amount to: for less, a second sync costs more than writing them twice."""
SEGMENT_BYTES = 64 * 1024 * 1024
"""A segment takes no further group that would make it longer: this much disk is given back at once."""
RESERVE_BYTES = 4 * 1024 * 1024
"""So much disk is asked for in advance: a sync that finds the space given already costs a quarter less."""
MAPPED_BYTES = 1024 * 1024
"""About so much is mapped at once: nobody else has the processor while its pages are looked up."""
CACHED_SEGMENTS = 2
"""So many of the newest segments stay in the page cache, besides the one that is written to."""
FILES_MAX = 2
"""How many segments a reader keeps open; one that is deleted meanwhile uses disk until it is closed."""
BUFFERS_MAX = 512
"""How many bodies go into one system call; Linux takes 1,024."""
MAGIC = b"LZSEG\x00\x01\n"
IDENTITY_BYTES = 16
HEADER_BYTES = len(MAGIC) + IDENTITY_BYTES

POPULATE = 22
"""``MADV_POPULATE_READ``, which has no name in Python: read all now, so that a bad disk is an error and no SIGBUS."""
NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT})
"""Failures of a write after which everything is as it was; a failed sync never is."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a body lies."""

    segment: int
    start: int
    size: int

    @property
    def end(self) -> int:
        """The offset of the first byte behind it."""
        return self.start + self.size


def folder_of(path: Path) -> Path:
    """Return the folder of the segments of the log at ``path``."""
    return path.with_name(path.name + "-segments")


def segment_path(folder: Path, number: int) -> Path:
    """Return the path of one segment."""
    return folder / f"{number:020d}.seg"


class SegmentWriter:
    """Writes segments, for the log's one writing thread. Nothing is on disk before the first large body."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._identity = b""
        self._sizes: dict[int, int] = {}
        """Recorded length by segment, oldest first."""
        self._passed = Place(0, 0, 0)
        """The newest large body that was deleted; what lies before it in its segment is not used any more."""
        self._file: int | None = None
        """The newest segment, when it can be written to."""
        self._end = 0
        """Where its last whole body ends."""
        self._reserved = 0

    @property
    def used_bytes(self) -> int:
        """How much the entries use; a segment whose oldest entries are deleted may be longer."""
        return sum(self._sizes.values()) - (self._passed.end if self._passed.segment in self._sizes else 0)

    def open(self, identity: bytes, sizes: Iterable[tuple[int, int]]) -> None:
        """Bring the files to what the database says; also after a failure, when nobody knows what was written.

        Parameters
        ----------
        identity
            What tells this log's segments from those of another log.
        sizes
            Number and length of the recorded segments, oldest first.

        Raises
        ------
        LogRefused
            When segments of another log lie in the folder.
        OSError
            When the folder cannot be read, or the files not be changed.
        """
        self.close()
        self._identity = identity
        self._sizes = dict(sizes)
        files = [path for path in sorted(self._folder.glob("*.seg")) if path.stem.isdigit()]
        left = [path for path in files if int(path.stem) not in self._sizes]
        for path in left:
            if _is_foreign(path, identity):
                raise LogRefused(f"'{path}' belongs to another telemetry log: restore both together, or move it away")
        for path in left:
            path.unlink()
        if self._sizes:
            self._resume(*list(self._sizes.items())[-1])

    def write(self, first: int, bodies: Sequence[bytes]) -> list[Place]:
        """Append bodies to the newest segment, or to a new one; they are on disk when this returns.

        ``first`` is the first position of their group. Raises ``AppendFailed``; the log must then be opened again.
        """
        try:
            return self._write(first, bodies)
        except OSError as error:
            text = f"cannot write to the segments in '{self._folder}': {error.strerror}"
            raise AppendFailed(text, fatal=error.errno not in NO_ROOM) from error

    def done(self, up_to: int) -> list[int]:
        """Return the segments in which nothing lies after position ``up_to``; never the one that is written to."""
        return [number for number, following in pairwise(self._sizes) if following <= up_to + 1]

    def drop(self, numbers: Iterable[int], passed: Place | None) -> None:
        """Delete segments that no row refers to any more; ``passed`` is the newest large body that was deleted."""
        self._passed = passed or self._passed
        for number in numbers:
            del self._sizes[number]
            path = segment_path(self._folder, number)
            with _fatal(f"cannot remove '{path}'"):
                path.unlink(missing_ok=True)

    def close(self) -> None:
        """Give back the file and the space that was reserved."""
        if self._file is not None:
            with suppress(OSError):  # what is too long is cut when the log is opened
                os.ftruncate(self._file, self._end)
            os.close(self._file)
            self._file = None

    def _resume(self, number: int, size: int) -> None:
        """Go on in the newest segment; one that is missing or short is left as it is, and a new one begun."""
        path = segment_path(self._folder, number)
        if not path.exists() or path.stat().st_size < size:
            return
        if _is_foreign(path, self._identity):
            raise LogRefused(f"'{path}' belongs to another telemetry log than the database beside it")
        self._file = os.open(path, os.O_RDWR)
        os.ftruncate(self._file, size)
        self._end = self._reserved = size

    def _write(self, first: int, bodies: Sequence[bytes]) -> list[Place]:
        size = sum(map(len, bodies))
        if self._file is None or self._end + size > SEGMENT_BYTES:
            segment, start = first, HEADER_BYTES
            file = self._begin(segment)
            buffers = [MAGIC + self._identity, *bodies]
        else:
            segment, start, file = next(reversed(self._sizes)), self._end, self._file
            buffers = list(bodies)
        self._reserve(file, start + size)
        _write_all(file, buffers, self._end)
        with _fatal(f"cannot sync '{segment_path(self._folder, segment)}'"):
            os.fdatasync(file)
        self._end = self._sizes[segment] = start + size
        return list(_places(segment, start, bodies))

    def _begin(self, number: int) -> int:
        self.close()
        self._let_go()
        self._folder.mkdir(mode=0o700, exist_ok=True)
        self._end = self._reserved = 0
        self._file = os.open(segment_path(self._folder, number), os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        for folder in (self._folder.parent, self._folder):  # it may be new, or its making not synced before a crash
            _sync_folder(folder)
        return self._file

    def _let_go(self) -> None:
        """Give back the page cache of what the worker has read long since, if it keeps up at all.

        Bodies are read once, within moments. A cache that grows with the log would push out what others need, and each
        page of it costs more than one that is used again.
        """
        for number in list(self._sizes)[-CACHED_SEGMENTS - 1 : -CACHED_SEGMENTS]:
            with suppress(OSError):  # it costs memory, nothing else
                file = os.open(segment_path(self._folder, number), os.O_RDONLY)
                try:
                    os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
                finally:
                    os.close(file)

    def _reserve(self, file: int, end: int) -> None:
        if end <= self._reserved:
            return
        size = -(-(end - self._reserved) // RESERVE_BYTES) * RESERVE_BYTES
        with suppress(OSError):  # not every file system can; one that is full says so to the write as well
            os.posix_fallocate(file, self._reserved, size)
        self._reserved += size


def _runs(places: Iterable[Place]) -> Iterator[tuple[int, list[Place]]]:
    """Yield places that are mapped at once: of one segment, and about ``MAPPED_BYTES`` of it at most."""
    for number, neighbours in groupby(places, lambda place: place.segment):
        run: list[Place] = []
        for place in neighbours:
            if run and place.end - run[0].start > MAPPED_BYTES:
                yield number, run
                run = []
            run.append(place)
        yield number, run


class SegmentReader:
    """Reads bodies out of segments; keeps the last few open. Used by one thread at a time."""

    def __init__(self, folder: Path, identity: bytes) -> None:
        self._folder = folder
        self._identity = identity
        self._files: dict[int, int] = {}
        """The one that was used last is the last."""

    def read(self, places: Iterable[Place]) -> Iterator[memoryview]:
        """Yield the bodies at places that lie in the order of the log; neighbours are slices of one mapping.

        Raises
        ------
        Unavailable
            When a segment is missing, shorter than what is said to lie in it, of another log, or not readable.
        """
        for number, run in _runs(places):
            start = run[0].start
            content = self._map(number, start, run[-1].end)
            for place in run:
                yield content[place.start - start : place.end - start]

    def check(self, sizes: Iterable[tuple[int, int]]) -> None:
        """Raise Unavailable when a recorded segment is missing, short or of another log."""
        for number, size in sizes:
            self._map(number, size - 1, size)

    def close(self) -> None:
        """Close every segment."""
        for file in self._files.values():
            os.close(file)
        self._files.clear()

    def _map(self, number: int, start: int, end: int) -> memoryview:
        """Return bytes of a segment where they lie in the page cache, uncopied; they stay when it is deleted."""
        path = segment_path(self._folder, number)
        before = start % ALLOCATIONGRANULARITY
        try:
            file = self._open(number, path)
            if os.fstat(file).st_size < end:
                raise Unavailable(f"the telemetry log's segment '{path}' ends before byte {end}, where an entry ends")
            mapped = mmap(file, end - start + before, prot=PROT_READ, offset=start - before)
            _populate(mapped)
        except OSError as error:
            raise Unavailable(f"the telemetry log's segment '{path}' cannot be read: {error.strerror}") from error
        return memoryview(mapped)[before:]

    def _open(self, number: int, path: Path) -> int:
        file = self._files.pop(number, None)
        if file is None:
            if len(self._files) >= FILES_MAX:
                os.close(self._files.pop(next(iter(self._files))))
            if _header(path) != MAGIC + self._identity:
                raise Unavailable(f"'{path}' is no segment of the telemetry log beside it")
            file = os.open(path, os.O_RDONLY)
        self._files[number] = file
        return file


def _places(segment: int, start: int, bodies: Iterable[bytes]) -> Iterator[Place]:
    for body in bodies:
        yield Place(segment, start, len(body))
        start += len(body)


def _populate(mapped: mmap) -> None:
    try:
        mapped.madvise(POPULATE)
    except OSError as error:
        if error.errno != errno.EINVAL:  # Linux before 5.14: read when it is used
            raise


def _write_all(file: int, bodies: Sequence[bytes], offset: int) -> None:
    buffers: list[bytes | memoryview] = [*bodies]
    while buffers:
        written = os.pwritev(file, buffers[:BUFFERS_MAX], offset)
        offset += written
        whole = 0
        while whole < len(buffers) and written >= len(buffers[whole]):
            written -= len(buffers[whole])
            whole += 1
        del buffers[:whole]
        if written:
            buffers[0] = memoryview(buffers[0])[written:]


def _is_foreign(path: Path, identity: bytes) -> bool:
    """Say whether a file has a header, and one of another log: a crash may have left none, or zeros."""
    header = _header(path)
    return len(header) == HEADER_BYTES and any(header) and header != MAGIC + identity


def _header(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(HEADER_BYTES)


def _sync_folder(folder: Path) -> None:
    with _fatal(f"cannot sync '{folder}'"):
        file = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(file)
        finally:
            os.close(file)


@contextmanager
def _fatal(what: str) -> Iterator[None]:
    """Let any failure close the log: afterwards nobody knows what is on disk."""
    try:
        yield
    except OSError as error:
        raise AppendFailed(f"{what}: {error.strerror}", fatal=True) from error
