"""The telemetry log's SQLite file: its tables, its format number, and whose file it is."""

import sqlite3
from pathlib import Path

from service.domain.ids import Micros, Position
from service.log.errors import LogRefused

FORMAT = 2
APPLICATION_ID = 0x4C5A4C47
"""``LZLG``: says whose file this is."""

STEPS = {
    1: (
        """
        CREATE TABLE entries (
            position INTEGER NOT NULL PRIMARY KEY,
            arrival_us INTEGER NOT NULL,
            kind TEXT NOT NULL CHECK (kind IN ('batch', 'labels', 'mark')),
            version_id INTEGER NOT NULL,
            batch_id TEXT NOT NULL,
            rows INTEGER NOT NULL CHECK (rows >= 0),
            idempotency_key TEXT,
            digest BLOB NOT NULL,
            receipt BLOB NOT NULL,
            body BLOB NOT NULL
        )
        """,
        "CREATE UNIQUE INDEX entries_key ON entries (version_id, idempotency_key) WHERE idempotency_key IS NOT NULL",
        f"PRAGMA application_id = {APPLICATION_ID}",
    ),
    # A body is either here or in a segment; those that were written before stay where they are.
    2: (
        "ALTER TABLE entries ADD COLUMN segment INTEGER CHECK (segment IS NULL OR length(body) = 0)",
        "ALTER TABLE entries ADD COLUMN segment_start INTEGER CHECK ((segment IS NULL) = (segment_start IS NULL))",
        "ALTER TABLE entries ADD COLUMN segment_bytes INTEGER CHECK ((segment IS NULL) = (segment_bytes IS NULL))",
        "CREATE TABLE segments (number INTEGER NOT NULL PRIMARY KEY, bytes INTEGER NOT NULL)",
        "CREATE TABLE identity AS SELECT randomblob(16) AS id",
    ),
}
"""By format, what leads to it from the one before. A new file takes all steps, so that old and new are the same."""


def upgrade(connection: sqlite3.Connection, found: int) -> None:
    """Bring an empty or older file to this version's format, all in one transaction."""
    connection.execute("BEGIN IMMEDIATE")
    for step in range(found + 1, FORMAT + 1):
        for statement in STEPS[step]:
            connection.execute(statement)
    connection.execute(f"PRAGMA user_version = {FORMAT}")
    connection.execute("COMMIT")


def check_format(connection: sqlite3.Connection, path: Path) -> int:
    """Return the file's format, 0 for an empty file; raise LogRefused for one that is not ours or too new."""
    version: int = connection.execute("PRAGMA user_version").fetchone()[0]
    owner: int = connection.execute("PRAGMA application_id").fetchone()[0]
    tables: int = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    if tables and owner != APPLICATION_ID:
        raise LogRefused(f"'{path}' is a database of something else, not a telemetry log")
    if version > FORMAT:
        raise LogRefused(f"'{path}' has log format {version}; this version knows formats up to {FORMAT}: upgrade it")
    return version


def last_entry(connection: sqlite3.Connection) -> tuple[Position, Micros]:
    """Return position and arrival of the newest entry, zeros when there is none."""
    row = connection.execute("SELECT position, arrival_us FROM entries ORDER BY position DESC LIMIT 1").fetchone()
    position, arrival_us = row or (0, 0)
    return Position(position), Micros(arrival_us)


def identity(connection: sqlite3.Connection) -> bytes:
    """Return what tells this log's segments from those of another log."""
    found: bytes = connection.execute("SELECT id FROM identity").fetchone()[0]
    return found


def segment_sizes(connection: sqlite3.Connection) -> list[tuple[int, int]]:
    """Return number and recorded length of every segment, oldest first."""
    return connection.execute("SELECT number, bytes FROM segments ORDER BY number").fetchall()


def used_bytes(connection: sqlite3.Connection) -> int:
    """Return the size of the file without its free pages."""
    pages, free, size = (
        int(connection.execute(f"PRAGMA {name}").fetchone()[0])
        for name in ("page_count", "freelist_count", "page_size")
    )
    return (pages - free) * size
