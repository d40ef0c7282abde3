"""What the delivery loop needs: routing, claims under a lease, and what came of them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, delete, exists, insert, or_, select, union, update

from service.domain.breaker import may_try, trying
from service.domain.ids import Micros
from service.domain.notices import ChannelState, Conclusion, Delivery, DeliveryStatus, Resent, Routed, Told
from service.domain.records import Message
from service.ports_notify import Route
from service.store.changes import add_messages, upsert
from service.store.engine import Database
from service.store.notified import (
    channel_state_of,
    channel_state_values,
    delivery_of,
    new_delivery,
    read_states,
    save_told,
    select_deliveries,
    told_of,
)
from service.store.rows import message_of
from service.store.tables import models
from service.store.tables_incidents import hushed
from service.store.tables_notify import channel_states, deliveries, outbox, told

TOLD_MAX = 500
"""Alerts of one version, and of its groups, that routing looks at, newest first."""
SWEEP_ROWS = 1_000
DEAD_KEPT_US = 30 * 86_400_000_000
SAID_EVERY_US = 60_000_000
"""How often a worker says which channels it has."""
KNOWN_FOR_US = 600_000_000
"""For so long after the last word a channel counts as there: workers of two releases may run side by side."""
TOLD_KEPT_US = 7 * 86_400_000_000
"""For so long the return of what had ended is told as such."""
PENDING = deliveries.c.status == DeliveryStatus.PENDING.value


class SqlOutbox:
    """Outbox over SQL."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def route(self, decide: Route, limit: int, now_us: Micros) -> int:
        """Decide about messages that nobody has routed yet, oldest first."""
        waiting = select(outbox.c.seq).where(outbox.c.routed_us.is_(None)).order_by(outbox.c.seq).limit(limit)
        with self._database.read() as connection:
            numbers = list(connection.execute(waiting).scalars())
        for number in numbers:
            with self._database.write() as connection:
                _route_one(connection, number, decide, now_us)
        return len(numbers)

    def claim(self, owner: str, free: Mapping[str, int], now_us: Micros, lease_us: int) -> Sequence[Delivery]:
        """Take what is due; nothing is written while nothing is."""
        with self._database.read() as connection:
            if not _claimable(connection, free, now_us):
                return []
        with self._database.write() as connection:
            found = _claimable(connection, free, now_us)
            for one in found:
                mine = (deliveries.c.seq == one.seq) & (deliveries.c.channel == one.channel)
                values = {"owner": owner, "lease_until_us": now_us + lease_us}
                connection.execute(update(deliveries).where(mine).values(values))
            states = read_states(connection)
            for name in {one.channel for one in found}:
                before = states.get(name, ChannelState(name=name))
                after = trying(before, now_us, lease_us)
                if after != before:
                    _save_state(connection, after)
            return found

    def conclude(self, delivery: Delivery, owner: str, decide: Callable[[ChannelState], Conclusion]) -> bool:
        """Write what an attempt came to, unless the lease was lost meanwhile."""
        mine = (deliveries.c.seq == delivery.seq) & (deliveries.c.channel == delivery.channel)
        with self._database.write() as connection:
            held = select(deliveries.c.seq).where(mine, PENDING, deliveries.c.owner == owner)
            if connection.execute(held).first() is None:
                return False
            conclusion = decide(_state(connection, delivery.channel))
            arrived = conclusion.status is DeliveryStatus.DELIVERED
            values: dict[str, Any] = {
                "status": conclusion.status.value,
                "attempts": conclusion.attempts,
                "next_us": conclusion.next_us,
                "detail": conclusion.detail,
                "delivered_us": conclusion.next_us if arrived else None,
                "owner": None,
                "lease_until_us": None,
            }
            connection.execute(update(deliveries).where(mine).values(values))
            _save_state(connection, conclusion.channel)
            add_messages(connection, conclusion.messages)
            if conclusion.wake:
                _wake(connection, delivery.channel, conclusion.next_us)
            return True

    def release(self, owner: str) -> None:
        """Give back everything that is claimed and was not concluded."""
        with self._database.write() as connection:
            mine = update(deliveries).where(PENDING, deliveries.c.owner == owner)
            connection.execute(mine.values(owner=None, lease_until_us=None))

    def expire(
        self, known: Sequence[str], before_us: Micros, delivered_before_us: Micros, now_us: Micros
    ) -> Sequence[Delivery]:
        """Give up what waited too long or waits for a channel that nobody has; delete what is long over."""
        with self._database.read() as connection:
            had = _had(connection, known, now_us)
            lost = _lost(connection, had, before_us, now_us)
            fresh = all(read.known_us > now_us - SAID_EVERY_US for read in _states(connection, known))
            if fresh and not lost and not _over(connection, delivered_before_us, now_us):
                return []
        with self._database.write() as connection:
            for own in _states(connection, known):
                _save_state(connection, replace(own, known_us=now_us))
            had = _had(connection, known, now_us)
            lost = _lost(connection, had, before_us, now_us)
            for one in lost:
                there = one.channel in had
                detail = "waited too long for its channel" if there else f"there is no channel '{one.channel}'"
                mine = (deliveries.c.seq == one.seq) & (deliveries.c.channel == one.channel)
                values = {"status": DeliveryStatus.DEAD.value, "owner": None, "lease_until_us": None}
                detail = f"{detail}: {one.detail}" if one.detail else detail
                connection.execute(update(deliveries).where(mine).values(**values, detail=detail))
                if there:
                    c = channel_states.c
                    more = update(channel_states).where(c.name == one.channel)
                    connection.execute(more.values(dead_total=c.dead_total + 1))
            _sweep(connection, delivered_before_us, now_us)
            return lost

    def firing(self, channel: str, ended_after_us: Micros, limit: int) -> Sequence[Told]:
        """Return what a channel was told of that is firing or has just ended."""
        wanted = (
            select(told)
            .where(or_(told.c.ends_us.is_(None), told.c.ends_us >= ended_after_us))
            .where(told.c.channels.contains(f'"{channel}"', autoescape=True))
            .order_by(told.c.starts_us.desc(), told.c.fingerprint)
            .limit(limit)
        )
        with self._database.read() as connection:
            return [told_of(row) for row in connection.execute(wanted).mappings()]

    def resend_due(self, channel: str, now_us: Micros, every_us: int) -> bool:
        """Take the turn to send again; of two that ask at once, one gets it."""
        with self._database.read() as connection:
            if _state(connection, channel).resent_us + every_us > now_us:
                return False
        with self._database.write() as connection:
            state = _state(connection, channel)
            if state.resent_us + every_us > now_us:
                return False
            values = channel_state_values(state) | {"resent_us": now_us}
            upsert(connection, channel_states, [values])
            return True

    def failing(self, channel: str) -> bool:
        """Return whether the last that is known of a channel is that it failed."""
        with self._database.read() as connection:
            state = _state(connection, channel)
        return state.failures > 0 or state.failing_us is not None

    def note_resend(self, channel: str, now_us: Micros, decide: Callable[[ChannelState], Resent | None]) -> bool:
        """Let what sending again came to bear on the state of the channel; return whether that changed anything."""
        with self._database.write() as connection:
            resent = decide(_state(connection, channel))
            if resent is None:
                return False
            _save_state(connection, resent.channel)
            add_messages(connection, resent.messages)
            if resent.wake:
                _wake(connection, channel, now_us)
            return True


def _route_one(connection: Connection, number: int, decide: Route, now_us: Micros) -> None:
    row = connection.execute(select(outbox).where(outbox.c.seq == number)).mappings().one()
    if row["routed_us"] is not None:  # another one was faster
        return
    message = message_of(row)
    known = _known(connection, message)
    owner = connection.execute(select(models.c.owner).where(models.c.name == message.model)).scalar_one_or_none()
    routed = decide(message, known, owner or "", now_us)
    thread = f"{message.model}/{message.version}" if message.model else message.kind
    _write_routed(connection, number, routed, thread, now_us)


def _known(connection: Connection, message: Message) -> list[Told]:
    """Return what was told of a message's version and incident, and what fires in the same groups.

    What was merged into an incident may be about other versions: then a group is over when theirs is as well.
    """
    mates = told.alias("mates")
    # Each part by an index of its own: one condition with OR would be a look at every row.
    mine = (told.c.model == message.model) & (told.c.version == message.version)
    groups = select(mates.c.group_key).where(mates.c.model == message.model, mates.c.version == message.version)
    fires = or_(told.c.ends_us.is_(None), told.c.ends_us > message.created_us)
    parts: list[ColumnElement[bool]] = [mine, told.c.group_key.in_(groups) & fires]
    if message.incident_id is not None:
        parts.append(told.c.incident_id == message.incident_id)
    about = union(*(select(told.c.fingerprint).where(part) for part in parts)).subquery()
    wanted = select(told).where(told.c.fingerprint.in_(select(about.c.fingerprint)))
    wanted = wanted.order_by(told.c.starts_us.desc(), told.c.fingerprint).limit(TOLD_MAX)
    return [told_of(one) for one in connection.execute(wanted).mappings()]


def _write_routed(connection: Connection, number: int, routed: Routed, thread: str, now_us: Micros) -> None:
    values = {"payload": routed.payload, "severity": routed.severity.value, "routed_us": now_us}
    connection.execute(update(outbox).where(outbox.c.seq == number).values(values))
    save_told(connection, routed.told)
    if routed.hushed is not None:
        one = {"incident_id": routed.hushed.incident_id, "why": routed.hushed.why.value}
        upsert(connection, hushed, [one | {"until_us": routed.hushed.until_us}])
    for channel, next_us in routed.deliveries.items():
        connection.execute(insert(deliveries).values(new_delivery(number, channel, thread, now_us, next_us)))
        if next_us <= now_us:
            # What is told now brings along what waits before it, so that the order stays.
            before = (deliveries.c.channel == channel) & (deliveries.c.thread == thread) & (deliveries.c.seq < number)
            waits = PENDING & (deliveries.c.next_us > now_us)
            connection.execute(update(deliveries).where(before, waits).values(next_us=now_us))


def _claimable(connection: Connection, free: Mapping[str, int], now_us: Micros) -> list[Delivery]:
    """Return what may be tried now: of each channel and version the first one only."""
    states = read_states(connection)
    found: list[Delivery] = []
    for channel, places in free.items():
        most = may_try(states.get(channel, ChannelState(name=channel)), now_us)
        limit = places if most is None else min(most, places)
        if limit > 0:
            rows = connection.execute(_due(channel, now_us, probe=most is not None).limit(limit)).mappings()
            found += [delivery_of(row) for row in rows]
    return found


def _due(channel: str, now_us: Micros, *, probe: bool) -> Select[Any]:
    """Return the query for what is due; a probe may be anything that has failed before, however long it would wait."""
    earlier = deliveries.alias("earlier")
    blocked = exists().where(
        earlier.c.channel == deliveries.c.channel,
        earlier.c.thread == deliveries.c.thread,
        earlier.c.status == DeliveryStatus.PENDING.value,
        earlier.c.seq < deliveries.c.seq,
    )
    unleased = or_(deliveries.c.lease_until_us.is_(None), deliveries.c.lease_until_us <= now_us)
    due = deliveries.c.next_us <= now_us
    if probe:
        due = or_(due, deliveries.c.attempts > 0)
    wanted = select_deliveries().where(deliveries.c.channel == channel, PENDING, due)
    return wanted.where(unleased, ~blocked).order_by(deliveries.c.seq)


def _state(connection: Connection, channel: str) -> ChannelState:
    wanted = select(channel_states).where(channel_states.c.name == channel)
    row = connection.execute(wanted).mappings().one_or_none()
    return ChannelState(name=channel) if row is None else channel_state_of(row)


def _save_state(connection: Connection, state: ChannelState) -> None:
    upsert(connection, channel_states, [channel_state_values(state)])


def _wake(connection: Connection, channel: str, now_us: Micros) -> None:
    """Let what has failed before be tried now; what is held for a reason stays held."""
    waits = (deliveries.c.channel == channel) & PENDING & (deliveries.c.attempts > 0) & (deliveries.c.next_us > now_us)
    connection.execute(update(deliveries).where(waits, deliveries.c.owner.is_(None)).values(next_us=now_us))


def _states(connection: Connection, known: Sequence[str]) -> list[ChannelState]:
    """Return the states of some channels, those among them that were never tried."""
    found = read_states(connection)
    return [found.get(name, ChannelState(name=name)) for name in known]


def _had(connection: Connection, known: Sequence[str], now_us: Micros) -> list[str]:
    """Return the channels that some worker has, or had not long ago."""
    others = [name for name, state in read_states(connection).items() if state.known_us > now_us - KNOWN_FOR_US]
    return sorted({*known, *others})


def _lost(connection: Connection, known: Sequence[str], before_us: Micros, now_us: Micros) -> list[Delivery]:
    unleased = or_(deliveries.c.lease_until_us.is_(None), deliveries.c.lease_until_us <= now_us)
    hopeless = or_(deliveries.c.queued_us < before_us, deliveries.c.channel.not_in(known))
    wanted = select_deliveries().where(PENDING, unleased, hopeless).order_by(deliveries.c.seq).limit(SWEEP_ROWS)
    return [delivery_of(row) for row in connection.execute(wanted).mappings()]


def _over(connection: Connection, before_us: Micros, now_us: Micros) -> bool:
    """Return whether there is anything to delete."""
    looks = (
        select(deliveries.c.seq).where(_delivered(before_us)),
        select(deliveries.c.seq).where(_buried(now_us)),
        select(told.c.fingerprint).where(told.c.ends_us < now_us - TOLD_KEPT_US),
    )
    return any(connection.execute(look.limit(1)).first() is not None for look in looks)


def _delivered(before_us: Micros) -> Any:
    return (deliveries.c.status == DeliveryStatus.DELIVERED.value) & (deliveries.c.queued_us < before_us)


def _buried(now_us: Micros) -> Any:
    return (deliveries.c.status == DeliveryStatus.DEAD.value) & (deliveries.c.queued_us < now_us - DEAD_KEPT_US)


def _sweep(connection: Connection, before_us: Micros, now_us: Micros) -> None:
    """Delete a bounded number of rows that are long over."""
    over = select(deliveries.c.seq).where(or_(_delivered(before_us), _buried(now_us))).limit(SWEEP_ROWS)
    numbers = sorted(set(connection.execute(over).scalars()))
    old = or_(_delivered(before_us), _buried(now_us))
    connection.execute(delete(deliveries).where(deliveries.c.seq.in_(numbers), old))
    left = exists().where(deliveries.c.seq == outbox.c.seq)
    routed = (outbox.c.routed_us.is_not(None)) & (outbox.c.routed_us < before_us)
    alone = select(outbox.c.seq).where(routed, ~left).limit(SWEEP_ROWS)
    connection.execute(delete(outbox).where(outbox.c.seq.in_(list(connection.execute(alone).scalars()))))
    ended = select(told.c.fingerprint).where(told.c.ends_us < now_us - TOLD_KEPT_US).limit(SWEEP_ROWS)
    connection.execute(delete(told).where(told.c.fingerprint.in_(list(connection.execute(ended).scalars()))))
