"""The read side of the SQLite log, for the worker's process and for the head of the log."""

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from threading import Lock
from urllib.parse import quote

from service.domain.errors import Unavailable
from service.domain.ids import Micros, Position, VersionId
from service.log.segments import Place, SegmentReader, folder_of
from service.log.sqlite_file import FORMAT, check_format, identity, last_entry, segment_sizes
from service.ports import EntryKind, LogEntry

TIMEOUT_SECONDS = 1.0
READ = """
    SELECT position, arrival_us, kind, version_id, rows, body, segment, segment_start, segment_bytes FROM entries
    WHERE position > ? ORDER BY position LIMIT ?
"""
Row = tuple[int, int, str, int, int, bytes, int | None, int | None, int | None]


class SqliteLogReader:
    """Reads the log from any process and thread, also before the file is there; no read outlives its call."""

    def __init__(self, path: Path, *, give_way: Callable[[], None] | None = None) -> None:
        self._path = path
        self._give_way = give_way or _go_on
        self._lock = Lock()
        self._connection: sqlite3.Connection | None = None
        self._segments: SegmentReader | None = None

    def read(self, after: Position, *, max_entries: int, max_bytes: int) -> Sequence[LogEntry]:
        """Return the entries after a position, in order, at least one if there is one."""
        with self._reading() as connection:
            if connection is None:
                return []
            segments = self._opened(connection)
            rows = _page(connection, after, max_entries, max_bytes)
            places = [place for row in rows if (place := _place(row)) is not None]
            bodies = segments.read(places)
            entries = []
            for row in rows:
                entries.append(_entry(row, row[5] if row[6] is None else next(bodies)))
                self._give_way()
            return entries

    def head(self) -> Position:
        """Return the position of the last durable entry, 0 when empty."""
        with self._reading() as connection:
            return Position(0) if connection is None else last_entry(connection)[0]

    def check(self) -> None:
        """Raise Unavailable when a segment is missing or shorter than it should be."""
        with self._reading() as connection:
            if connection is not None:
                self._opened(connection).check(segment_sizes(connection))

    def close(self) -> None:
        """Close; a later read opens again."""
        with self._lock:
            if self._segments is not None:
                self._segments.close()
                self._segments = None
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    def _opened(self, connection: sqlite3.Connection) -> SegmentReader:
        """Return the segments; the file must have been brought to this version's format by its writer."""
        if self._segments is None:
            found = check_format(connection, self._path)
            if found < FORMAT:
                raise Unavailable(f"'{self._path}' has log format {found}; the writer's next start makes it {FORMAT}")
            self._segments = SegmentReader(folder_of(self._path), identity(connection))
        return self._segments

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection | None]:
        """Give the connection, or None while the writer has not made the file and its tables yet."""
        with self._lock:
            try:
                if self._connection is None:
                    self._connection = _connect(self._path)
                yield self._connection
            except sqlite3.DatabaseError as error:  # also of a file that is damaged
                raise Unavailable(f"the telemetry log '{self._path}' cannot be read: {error}") from error


def _go_on() -> None:
    pass


def _connect(path: Path) -> sqlite3.Connection | None:
    if not path.exists():
        return None
    # mode=ro: this connection can neither write nor run the checkpoint that closing a last connection would.
    connection = sqlite3.connect(
        f"file:{quote(str(path))}?mode=ro",
        uri=True,
        isolation_level=None,
        timeout=TIMEOUT_SECONDS,
        check_same_thread=False,
    )
    keep = False
    try:
        for pragma in ("query_only = ON", "wal_autocheckpoint = 0", "mmap_size = 0", "trusted_schema = OFF"):
            connection.execute(f"PRAGMA {pragma}").fetchall()
        keep = check_format(connection, path) > 0
    finally:
        if not keep:
            connection.close()
    return connection if keep else None


def _page(connection: sqlite3.Connection, after: Position, max_entries: int, max_bytes: int) -> list[Row]:
    """Return as many rows as are asked for and fit, the first one in any case."""
    rows: list[Row] = []
    room = max_bytes
    with closing(connection.execute(READ, (after, max_entries))) as cursor:
        for row in cursor:
            room -= len(row[5]) + (row[8] or 0)
            if room < 0 and rows:
                break
            rows.append(row)
    return rows


def _place(row: Row) -> Place | None:
    """Return where a large body lies, or None for one that is in the row."""
    segment, start, size = row[6:]
    return None if segment is None or start is None or size is None else Place(segment, start, size)


def _entry(row: Row, body: bytes | memoryview) -> LogEntry:
    position, arrival_us, kind, version_id, rows = row[:5]
    return LogEntry(
        position=Position(position),
        arrival_us=Micros(arrival_us),
        kind=EntryKind(kind),
        version_id=VersionId(version_id),
        rows=rows,
        body=body,
    )
