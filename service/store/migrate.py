"""Schema migrations, run from the program itself.

The scripts are in ``migrations``, beside the packages: so in a source checkout, in an editable install of one, and in a
wheel, which carries them as a package of their own.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from time import monotonic, sleep

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import URL, Connection, Engine, NullPool, create_engine, event, inspect, text

import service
from service.filelock import FileLock, Locked
from service.store.engine import mapped_errors, parse_url, sqlite_path
from service.store.errors import StoreRefused
from service.store.tables import metadata

MIGRATIONS = Path(service.__file__).parent.parent / "migrations"
LOCK_SECONDS = 60.0
"""How long a process waits while another one migrates the same store."""
POSTGRES_LOCK = 0x4C5A5354
"""Advisory lock of whoever migrates."""


class SchemaStatus(StrEnum):
    """How the store's schema compares with what this version knows."""

    EMPTY = "empty"
    OLDER = "older"
    CURRENT = "current"
    NEWER = "newer"


def status(url: str) -> SchemaStatus:
    """Say how the store's schema compares with what this version knows."""
    parsed = parse_url(url)
    if parsed.get_backend_name() == "sqlite" and not sqlite_path(parsed).exists():
        return SchemaStatus.EMPTY
    with _connected(parsed) as connection:
        return _status(connection)


def upgrade(url: str) -> None:
    """Bring the store to the newest schema; nothing happens when it is there already.

    Raises
    ------
    StoreRefused
        When the schema is newer, or the database belongs to something else.
    """
    with _alone(parse_url(url)) as connection:
        if _status(connection) is SchemaStatus.NEWER:
            raise StoreRefused(_newer(url))
        connection.rollback()
        command.upgrade(_config(connection), "head")


def downgrade(url: str, revision: str) -> None:
    """Take the store back to an older schema; what only the newer one can hold is lost."""
    with _alone(parse_url(url)) as connection:
        command.downgrade(_config(connection), revision)


def differences(url: str) -> None:
    """Raise ``alembic.util.CommandError`` when the store's schema is not what the tables say."""
    with _connected(parse_url(url)) as connection:
        command.check(_config(connection))


def make_ready(url: str) -> None:
    """Create the schema of an empty store; refuse one that is older or newer.

    Raises
    ------
    StoreRefused
        Naming what to do about it.
    """
    found = status(url)
    if found is SchemaStatus.OLDER:
        # Another process may be filling an empty one just now, one migration after the other: look when it is done.
        with _alone(parse_url(url)) as connection:
            found = _status(connection)
    match found:
        case SchemaStatus.CURRENT:
            return
        case SchemaStatus.EMPTY:
            upgrade(url)
        case SchemaStatus.OLDER:
            raise StoreRefused(
                f"the schema of '{_shown(url)}' is older than this version: make a backup, then run 'lazaretto migrate'"
            )
        case SchemaStatus.NEWER:
            raise StoreRefused(_newer(url))


def _status(connection: Connection) -> SchemaStatus:
    heads = MigrationContext.configure(connection).get_current_heads()
    if not heads:
        _refuse_foreign(connection)
        return SchemaStatus.EMPTY
    script = _script()
    if set(heads) == set(script.get_heads()):
        return SchemaStatus.CURRENT
    known = {revision.revision for revision in script.walk_revisions()}
    return SchemaStatus.OLDER if set(heads) <= known else SchemaStatus.NEWER


def _refuse_foreign(connection: Connection) -> None:
    """Refuse a database that has tables of our names and no record of our migrations."""
    ours = set(metadata.tables) & set(inspect(connection).get_table_names())
    if ours:
        raise StoreRefused(f"the database has tables of another program: {', '.join(sorted(ours))}")


def _script() -> ScriptDirectory:
    if not (MIGRATIONS / "env.py").is_file():
        raise StoreRefused(f"the migration scripts are missing: there is no '{MIGRATIONS / 'env.py'}'")
    return ScriptDirectory(str(MIGRATIONS))


def _config(connection: Connection) -> Config:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    return config


@contextmanager
def _connected(url: URL) -> Iterator[Connection]:
    engine = _engine(url)
    try:
        with mapped_errors("migrated"), engine.connect() as connection:
            yield connection
    finally:
        engine.dispose()


@contextmanager
def _alone(url: URL) -> Iterator[Connection]:
    """Connect, and keep every other process that wants to migrate waiting."""
    if url.get_backend_name() != "sqlite":
        with _connected(url) as connection:
            connection.execute(text("SELECT pg_advisory_lock(:key)"), {"key": POSTGRES_LOCK})
            connection.commit()
            yield connection  # the lock ends with the connection
        return
    path = sqlite_path(url)
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path.with_name(path.name + ".migrate.lock"))
    _wait_for(lock)
    try:
        path.touch(mode=0o600)  # what people decided is nobody else's to read
        with _connected(url) as connection:
            yield connection
    finally:
        lock.release()


def _wait_for(lock: FileLock) -> None:
    deadline = monotonic() + LOCK_SECONDS
    while True:
        try:
            return lock.acquire()
        except Locked as locked:
            if monotonic() > deadline:
                raise StoreRefused(f"another process is migrating the state store: {locked}") from None
            sleep(0.05)


def _engine(url: URL) -> Engine:
    if url.get_backend_name() != "sqlite":
        # A migration must not queue behind a long transaction and keep everyone else waiting behind itself.
        return create_engine(url, poolclass=NullPool, connect_args={"options": "-c lock_timeout=10s"})
    engine = create_engine(url, poolclass=NullPool, connect_args={"timeout": 10.0, "isolation_level": None})

    # Tables are replaced by renamed copies there, so references are not checked while a migration runs.
    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    return engine


def _shown(url: str) -> str:
    return parse_url(url).render_as_string(hide_password=True)


def _newer(url: str) -> str:
    return f"the schema of '{_shown(url)}' is newer than this version of the program: upgrade the program"
