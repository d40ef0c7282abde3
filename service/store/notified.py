"""Deliveries for people who look at them: lists, figures, replay and tests; and the rows behind."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from sqlalchemy import Connection, RowMapping, Select, func, insert, or_, select, update

from service.domain.errors import Conflict
from service.domain.ids import Actor, Micros
from service.domain.notices import (
    Backlog,
    ChannelBacklog,
    ChannelState,
    Circuit,
    Delivery,
    DeliveryStatus,
    Told,
)
from service.domain.records import Message, Severity
from service.store.audit import canonical
from service.store.changes import append_audit, upsert
from service.store.engine import Database
from service.store.rows import message_of, message_values, values_of
from service.store.tables_notify import channel_states, deliveries, outbox, told


class SqlNotificationDesk:
    """What people ask of deliveries, over SQL."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def deliveries(
        self, *, status: DeliveryStatus | None, channel: str | None, message_id: str | None, limit: int
    ) -> Sequence[Delivery]:
        """Return deliveries, newest first."""
        wanted = select_deliveries().order_by(deliveries.c.seq.desc(), deliveries.c.channel).limit(limit)
        if status is not None:
            wanted = wanted.where(deliveries.c.status == status.value)
        if channel is not None:
            wanted = wanted.where(deliveries.c.channel == channel)
        if message_id is not None:
            wanted = wanted.where(outbox.c.id == message_id)
        with self._database.read() as connection:
            return [delivery_of(row) for row in connection.execute(wanted).mappings()]

    def backlog(self, now_us: Micros) -> Backlog:
        """Return how much waits where, and how each channel is."""
        d = deliveries.c
        unsettled = (
            select(d.channel, d.status, func.count().label("number"), func.min(d.queued_us).label("oldest_us"))
            .where(d.status.in_([DeliveryStatus.PENDING.value, DeliveryStatus.DEAD.value]))
            .group_by(d.channel, d.status)
        )
        firing = select(func.count()).select_from(told).where(or_(told.c.ends_us.is_(None), told.c.ends_us > now_us))
        waiting = select(func.count()).select_from(outbox).where(outbox.c.routed_us.is_(None))
        with self._database.read() as connection:
            rows = connection.execute(unsettled).mappings().all()
            return Backlog(
                channels=_backlogs(rows),
                states=dict(read_states(connection)),
                unrouted=connection.execute(waiting).scalar_one(),
                firing=connection.execute(firing).scalar_one(),
            )

    def replay(self, actor: Actor, message_id: str | None, channel: str | None, now_us: Micros, limit: int) -> int:
        """Let dead letters be tried again from the start, on record; return how many."""
        wanted = select_deliveries().where(deliveries.c.status == DeliveryStatus.DEAD.value)
        if message_id is not None:
            wanted = wanted.where(outbox.c.id == message_id)
        if channel is not None:
            wanted = wanted.where(deliveries.c.channel == channel)
        with self._database.write() as connection:
            rows = connection.execute(wanted.order_by(deliveries.c.seq).limit(limit)).mappings()
            found = [delivery_of(row) for row in rows]
            for one in found:
                mine = (deliveries.c.seq == one.seq) & (deliveries.c.channel == one.channel)
                # Its age counts anew as well: what waited too long once must not be given up at once again.
                values = {"status": DeliveryStatus.PENDING.value, "attempts": 0, "next_us": now_us, "queued_us": now_us}
                connection.execute(update(deliveries).where(mine).values(values))
                append_audit(connection, actor, "notification.replay", one.message.id, one.channel, now_us)
            return len(found)

    def put_test(self, actor: Actor, message: Message, channel: str, now_us: Micros) -> None:
        """Queue a message for one channel alone, on record."""
        with self._database.write() as connection:
            if connection.execute(select(outbox.c.seq).where(outbox.c.id == message.id)).first() is not None:
                raise Conflict(f"message '{message.id}' exists")
            connection.execute(insert(outbox).values(message_values(message) | {"routed_us": now_us}))
            number = connection.execute(select(outbox.c.seq).where(outbox.c.id == message.id)).scalar_one()
            # A thread of its own: nothing that waits holds up a test.
            connection.execute(insert(deliveries).values(new_delivery(number, channel, message.id, now_us, now_us)))
            append_audit(connection, actor, "notification.test", message.id, channel, now_us)


def select_deliveries() -> Select[Any]:
    """Return the query for deliveries with their messages."""
    own = [column for column in deliveries.c if column.name not in {"thread", "owner", "lease_until_us"}]
    return select(*own, *(column for column in outbox.c if column.name != "seq")).join(
        outbox, outbox.c.seq == deliveries.c.seq
    )


def new_delivery(number: int, channel: str, thread: str, now_us: Micros, next_us: Micros) -> dict[str, Any]:
    """Return the columns of a delivery that nobody has tried."""
    return {
        "seq": number,
        "channel": channel,
        "thread": thread,
        "status": DeliveryStatus.PENDING.value,
        "queued_us": now_us,
        "attempts": 0,
        "next_us": next_us,
        "owner": None,
        "lease_until_us": None,
        "delivered_us": None,
        "detail": "",
    }


def delivery_of(row: RowMapping) -> Delivery:
    """Read a delivery, joined with its message."""
    return Delivery(
        seq=row["seq"],
        message=message_of(row),
        channel=row["channel"],
        status=DeliveryStatus(row["status"]),
        queued_us=row["queued_us"],
        attempts=row["attempts"],
        next_us=row["next_us"],
        delivered_us=row["delivered_us"],
        detail=row["detail"],
    )


def told_of(row: RowMapping) -> Told:
    """Read what people were told of."""
    return Told(
        fingerprint=row["fingerprint"],
        model=row["model"],
        version=row["version"],
        incident_id=row["incident_id"],
        group_key=row["group_key"],
        severity=Severity(row["severity"]),
        labels=msgspec.json.decode(row["labels"], type=dict[str, str]),
        annotations=msgspec.json.decode(row["annotations"], type=dict[str, str]),
        starts_us=row["starts_us"],
        ends_us=row["ends_us"],
        channels=msgspec.json.decode(row["channels"], type=frozenset[str]),
    )


def save_told(connection: Connection, rows: Sequence[Told]) -> None:
    """Insert or replace what people were told of."""
    values = [
        values_of(
            one,
            severity=one.severity.value,
            labels=canonical(one.labels),
            annotations=canonical(one.annotations),
            channels=canonical(sorted(one.channels)),
        )
        for one in rows
    ]
    upsert(connection, told, values)


def channel_state_of(row: RowMapping) -> ChannelState:
    """Read the state of a channel."""
    return ChannelState(**{**dict(row), "circuit": Circuit(row["circuit"])})


def channel_state_values(state: ChannelState) -> dict[str, Any]:
    """Return the columns of a channel's state."""
    return values_of(state, circuit=state.circuit.value)


def read_states(connection: Connection) -> Mapping[str, ChannelState]:
    """Read the state of every channel that was ever tried."""
    rows = connection.execute(select(channel_states)).mappings()
    return {row["name"]: channel_state_of(row) for row in rows}


def _backlogs(rows: Sequence[RowMapping]) -> dict[str, ChannelBacklog]:
    found: dict[str, ChannelBacklog] = {}
    for name in sorted({row["channel"] for row in rows}):
        mine = {row["status"]: row for row in rows if row["channel"] == name}
        pending, dead = mine.get(DeliveryStatus.PENDING.value), mine.get(DeliveryStatus.DEAD.value)
        found[name] = ChannelBacklog(
            name=name,
            pending=0 if pending is None else pending["number"],
            dead=0 if dead is None else dead["number"],
            oldest_us=None if pending is None else pending["oldest_us"],
        )
    return found
