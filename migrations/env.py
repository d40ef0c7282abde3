"""Runs the migrations over the connection that ``service.store.migrate`` opened, or over the configured store."""

from alembic import context
from sqlalchemy import Connection, create_engine

from service.settings import Settings
from service.store.tables import metadata


def run(connection: Connection) -> None:
    """Run each migration in its own transaction; SQLite changes tables by copying them."""
    context.configure(
        connection=connection,
        target_metadata=metadata,
        render_as_batch=connection.dialect.name == "sqlite",
        transaction_per_migration=True,
        transactional_ddl=True,
        include_object=lambda _object, name, kind, *_: kind != "table" or name in metadata.tables,
    )
    with context.begin_transaction():
        context.run_migrations()


given = context.config.attributes.get("connection")
if given is not None:
    run(given)
else:
    engine = create_engine(Settings().state_url)
    with engine.connect() as opened:
        run(opened)
    engine.dispose()
