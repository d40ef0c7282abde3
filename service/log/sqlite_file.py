"""The telemetry log's SQLite file: its tables, its format number, and whose file it is."""

import sqlite3
from pathlib import Path

from service.domain.ids import Micros, Position
from service.log.errors import LogRefused

FORMAT = 1
APPLICATION_ID = 0x4C5A4C47
"""``LZLG``: says whose file this is."""

SCHEMA = (
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
    f"PRAGMA user_version = {FORMAT}",
)


def create(connection: sqlite3.Connection) -> None:
    """Create the tables and write the format number, all in one transaction."""
    connection.execute("BEGIN IMMEDIATE")
    for statement in SCHEMA:
        connection.execute(statement)
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


def used_bytes(connection: sqlite3.Connection) -> int:
    """Return the size of the file without its free pages."""
    pages, free, size = (
        int(connection.execute(f"PRAGMA {name}").fetchone()[0])
        for name in ("page_count", "freelist_count", "page_size")
    )
    return (pages - free) * size
