"""What the delivery loop needs."""

from collections.abc import Sequence

from sqlalchemy import or_, select, update

from service.domain.ids import Micros
from service.domain.records import Message
from service.store.engine import Database
from service.store.rows import message_of
from service.store.tables import outbox


class SqlOutbox:
    """Outbox over SQL."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def due(self, now_us: Micros, limit: int) -> Sequence[Message]:
        """Return messages that should be tried now, oldest first."""
        wanted = (
            select(outbox)
            .where(outbox.c.status == "pending", or_(outbox.c.next_us.is_(None), outbox.c.next_us <= now_us))
            .order_by(outbox.c.created_us, outbox.c.id)
            .limit(limit)
        )
        with self._database.read() as connection:
            return [message_of(row) for row in connection.execute(wanted).mappings()]

    def delivered(self, message_id: str, at_us: Micros) -> None:
        """Mark a message as delivered."""
        self._settle(message_id, status="delivered", delivered_us=at_us, detail="")

    def failed(self, message_id: str, *, attempts: int, next_us: Micros | None, detail: str) -> None:
        """Keep a message for ``next_us``, or give it up (``None``): it stays as a dead letter."""
        status = "dead" if next_us is None else "pending"
        self._settle(message_id, status=status, attempts=attempts, next_us=next_us, detail=detail)

    def _settle(self, message_id: str, **values: object) -> None:
        # Only what is pending changes: a late answer must not bring a dead or delivered message back.
        with self._database.write() as connection:
            pending = (outbox.c.id == message_id) & (outbox.c.status == "pending")
            connection.execute(update(outbox).where(pending).values(**values))
