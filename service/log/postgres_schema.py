"""The telemetry log's tables in PostgreSQL, made by the log itself: it may live in another database than the state."""

import psycopg

from service.log.errors import LogRefused

FORMAT = 1
CREATE_LOCK = 0x4C5A4C47
"""Advisory lock that keeps two starting processes from creating the tables at once."""

SCHEMA = """
    CREATE TABLE telemetry_log (
        position bigint NOT NULL CONSTRAINT pk_telemetry_log PRIMARY KEY,
        arrival_us bigint NOT NULL,
        kind text NOT NULL CONSTRAINT ck_telemetry_log_kind CHECK (kind IN ('batch', 'labels', 'mark')),
        version_id bigint NOT NULL,
        batch_id text NOT NULL,
        rows integer NOT NULL CONSTRAINT ck_telemetry_log_rows CHECK (rows >= 0),
        idempotency_key text,
        digest bytea NOT NULL,
        receipt bytea NOT NULL,
        body bytea NOT NULL
    );
    -- Compressing large values, the default, costs eight times the throughput.
    ALTER TABLE telemetry_log ALTER COLUMN body SET STORAGE EXTERNAL;
    CREATE UNIQUE INDEX uq_telemetry_log_key ON telemetry_log (version_id, idempotency_key)
        WHERE idempotency_key IS NOT NULL;
    CREATE TABLE telemetry_log_head (
        id integer NOT NULL CONSTRAINT pk_telemetry_log_head PRIMARY KEY,
        format integer NOT NULL,
        position bigint NOT NULL,
        arrival_us bigint NOT NULL,
        bytes bigint NOT NULL,
        CONSTRAINT ck_telemetry_log_head_one CHECK (id = 1)
    );
"""


def prepare(connection: psycopg.Connection) -> None:
    """Create the tables when they are missing, or check that this version knows their format."""
    with connection.transaction():
        connection.execute("SELECT pg_advisory_xact_lock(%s)", (CREATE_LOCK,))
        if not is_there(connection):
            connection.execute(SCHEMA)
            connection.execute("INSERT INTO telemetry_log_head VALUES (1, %s, 0, 0, 0)", (FORMAT,))


def is_there(connection: psycopg.Connection) -> bool:
    """Return whether the tables exist; raise LogRefused when they are of a newer format."""
    row = connection.execute("SELECT to_regclass('telemetry_log_head') IS NOT NULL").fetchone()
    if row is None or not row[0]:
        return False
    head = connection.execute("SELECT format FROM telemetry_log_head").fetchone()
    version = 0 if head is None else int(head[0])
    if version != FORMAT:
        raise LogRefused(f"the telemetry log has format {version}; this version knows format {FORMAT}: upgrade it")
    return True
