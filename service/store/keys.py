"""Where keys are looked up."""

from sqlalchemy import select

from service.domain.records import ApiKey
from service.store.engine import Database
from service.store.rows import key_of
from service.store.tables import api_keys


class SqlKeyStore:
    """KeyStore over SQL."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def key(self, key_id: str) -> ApiKey | None:
        """Return the key as stored."""
        with self._database.read() as connection:
            row = connection.execute(select(api_keys).where(api_keys.c.id == key_id)).mappings().one_or_none()
            return None if row is None else key_of(row)
