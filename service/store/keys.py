"""Where keys are looked up, and when they were last used."""

from collections.abc import Mapping

from sqlalchemy import select

from service.domain.ids import Micros
from service.domain.records import ApiKey
from service.store.changes import upsert
from service.store.engine import Database
from service.store.rows import key_of
from service.store.tables import api_keys
from service.store.tables_beside import key_uses


class SqlKeyStore:
    """KeyStore and KeyUses over SQL."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def key(self, key_id: str) -> ApiKey | None:
        """Return the key as stored."""
        with self._database.read() as connection:
            row = connection.execute(select(api_keys).where(api_keys.c.id == key_id)).mappings().one_or_none()
            return None if row is None else key_of(row)

    def uses(self) -> Mapping[str, Micros]:
        """Return when each key that was ever used was used last, by its id."""
        with self._database.read() as connection:
            return {row.key_id: Micros(row.used_us) for row in connection.execute(select(key_uses))}

    def note_uses(self, used: Mapping[str, Micros]) -> None:
        """Write down when keys were used; a key that is gone is left out, and no time goes back."""
        with self._database.write() as connection:
            known = set(connection.execute(select(api_keys.c.id).where(api_keys.c.id.in_(used))).scalars())
            before = {row.key_id: row.used_us for row in connection.execute(select(key_uses))}
            newer = [(one, at_us) for one, at_us in used.items() if one in known and at_us > before.get(one, -1)]
            upsert(connection, key_uses, [{"key_id": one, "used_us": at_us} for one, at_us in newer])
