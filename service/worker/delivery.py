"""The dispatcher: outbox to channels, at least once, each channel at its own pace, with patience and an end to it."""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from threading import Event

import msgspec

from service.domain.errors import Unavailable
from service.domain.ids import Micros
from service.domain.notices import ChannelState, Conclusion, Delivery, DeliveryStatus, Resent, Routed, Told
from service.domain.records import Message
from service.notify.conclude import arrived, missed, not_sent_again, sent_again
from service.notify.retry import AGE_SECONDS_MAX
from service.notify.texts import one_line
from service.ports import Clock
from service.ports_notify import Channel, DeliveryFailed, Outbox, Repeats, Route
from service.worker.stats import WorkerStats

ROUTED_AT_ONCE = 64
AT_ONCE = 4
"""Deliveries of one channel at the same time, unless the settings say otherwise."""
DEADLINE_SECONDS = 20.0
"""For one delivery, whatever the channel does, unless the settings say otherwise."""
LEASE_SPARE_SECONDS = 15.0
"""How much longer than the longest deadline a claim holds: time to write what came of it."""
IDLE_SECONDS = 0.25
SETTLE_SECONDS = 0.5
"""Between attempts to write what a delivery came to, while the store is away."""
SWEEP_EVERY_SECONDS = 60.0
DELIVERED_KEPT_US = 30 * 86_400_000_000
RESOLVED_KEPT_US = 600_000_000
"""So long what has ended is sent again: twice as long as receivers want."""
REPEATED_MAX = 1_000
DETAIL_MAX = 300

_logger = logging.getLogger("lazaretto.delivery")


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How fast a channel is."""

    at_once: int = AT_ONCE
    deadline_seconds: float = DEADLINE_SECONDS


@dataclass
class Dispatcher:
    """Routes, claims, delivers, repeats; nothing of it waits for a slow channel but that channel itself."""

    outbox: Outbox
    channels: Mapping[str, Channel]
    route: Route
    clock: Clock
    stats: WorkerStats
    owner: str
    paces: Mapping[str, Pace] = field(default_factory=dict)
    _busy: dict[str, int] = field(default_factory=dict, init=False)
    _tasks: set[asyncio.Task[None]] = field(default_factory=set, init=False)
    _swept_us: int = field(default=0, init=False)
    _away_us: Micros | None = field(default=None, init=False)

    async def run(self, stop: Event) -> None:
        """Deliver until ``stop`` is set; then let what has begun end, and give back the rest."""
        try:
            while not stop.is_set():
                busy = False
                try:
                    busy = self.step()
                except Unavailable as away:
                    self._note_away(away.detail)
                else:
                    self._note_back()
                await asyncio.sleep(0 if busy else IDLE_SECONDS)
        finally:
            await self.settle()
            try:
                self.outbox.release(self.owner)
            except Unavailable as away:  # the leases end by themselves
                self._note_away(away.detail)

    def step(self) -> bool:
        """Route what is new and begin what is due; tell whether there was anything to route."""
        now_us = self.clock.now_us()
        self._sweep(now_us)  # first: it says which channels are here, before anything is queued for them
        routed = self.outbox.route(self._routed, ROUTED_AT_ONCE, now_us)
        free = {name: self.pace(name).at_once - self._busy.get(name, 0) for name in self.channels}
        free = {name: places for name, places in free.items() if places > 0}
        for delivery in self.outbox.claim(self.owner, free, now_us, self.lease_us):
            self._begin(delivery.channel, self._deliver(delivery))
        for name, channel in self.channels.items():
            self._maybe_repeat(name, channel, now_us)
        return routed > 0

    def _note_away(self, reason: str) -> None:
        """Say it once for each outage; how long it was is said at its end."""
        if self._away_us is None:
            self._away_us = self.clock.now_us()
            _logger.warning("outbox is away", extra={"reason": reason})

    def _note_back(self) -> None:
        if self._away_us is not None:
            seconds = round((self.clock.now_us() - self._away_us) / 1e6, 1)
            self._away_us = None
            _logger.info("outbox is back", extra={"seconds": seconds})

    async def settle(self) -> None:
        """Wait for everything that has begun; each has its deadline."""
        while self._tasks:
            await asyncio.gather(*self._tasks, return_exceptions=True)

    def pace(self, name: str) -> Pace:
        """Return how fast a channel is."""
        return self.paces.get(name, Pace())

    @property
    def lease_us(self) -> int:
        """For how long a claim holds."""
        slowest = max((self.pace(name).deadline_seconds for name in self.channels), default=DEADLINE_SECONDS)
        return round((slowest + LEASE_SPARE_SECONDS) * 1e6)

    def _routed(self, message: Message, known: Sequence[Told], owner: str, now_us: Micros) -> Routed:
        """Decide whom to tell; should that break, everybody is told rather than nobody."""
        try:
            return self.route(message, known, owner, now_us)
        except (msgspec.MsgspecError, ValueError, LookupError) as error:  # one must not hold up the others
            reason = type(error).__name__  # no more of it: that would tell the content
            _logger.warning("message not routed", extra={"message_id": message.id, "reason": reason})
            return Routed(
                payload=message.payload,
                severity=message.severity,
                told=(),
                deliveries=dict.fromkeys(self.channels, now_us),
            )

    def _begin(self, name: str, work: Coroutine[None, None, None]) -> None:
        self._busy[name] = self._busy.get(name, 0) + 1
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(partial(self._done, name))

    def _done(self, name: str, task: asyncio.Task[None]) -> None:
        self._busy[name] -= 1
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            _logger.error("a delivery broke", extra={"channel": name, "reason": repr(task.exception())})

    async def _deliver(self, delivery: Delivery) -> None:
        failure = await self._attempt(delivery.channel, self.channels[delivery.channel].deliver(delivery.message))
        now_us = self.clock.now_us()
        concluded: list[Conclusion] = []

        def note(state: ChannelState) -> Conclusion:
            ended = arrived(delivery, state, now_us) if failure is None else missed(delivery, failure, state, now_us)
            concluded.append(ended)
            return ended

        if await self._write(lambda: self.outbox.conclude(delivery, self.owner, note)):
            self._count(delivery, concluded[-1])

    async def _attempt(self, name: str, work: Coroutine[None, None, None]) -> DeliveryFailed | None:
        """Let a channel work once; return what went wrong, whatever it was: none that breaks stops the others."""
        deadline = self.pace(name).deadline_seconds
        try:
            async with asyncio.timeout(deadline):
                (ended,) = await asyncio.gather(work, return_exceptions=True)
        except TimeoutError:
            return DeliveryFailed(f"no answer within {deadline:g} s", recoverable=True)
        if ended is None or isinstance(ended, DeliveryFailed):
            return ended
        if not isinstance(ended, Exception):
            raise ended
        return DeliveryFailed(f"the channel broke: {type(ended).__name__}", recoverable=True)

    async def _write(self, write: Callable[[], bool]) -> bool:
        """Write what came of a delivery, also when the store is away for a while; after the lease it is too late."""
        until_us = self.clock.now_us() + round(LEASE_SPARE_SECONDS * 1e6)
        while True:
            try:
                return write()
            except Unavailable as away:
                if self.clock.now_us() >= until_us:
                    _logger.warning("what a delivery came to is lost", extra={"reason": away.detail})
                    return False
            await asyncio.sleep(SETTLE_SECONDS)

    def _count(self, delivery: Delivery, conclusion: Conclusion) -> None:
        if conclusion.status is DeliveryStatus.DELIVERED:
            self.stats.delivered += 1
            return
        self.stats.delivery_failures += 1
        extra = {
            "message_id": delivery.message.id,
            "channel": delivery.channel,
            "attempts": conclusion.attempts,
            "reason": conclusion.detail,
        }
        if conclusion.status is DeliveryStatus.DEAD:
            self.stats.dead_letters += 1
            _logger.error("message given up", extra=extra)
        else:
            _logger.warning("message not delivered", extra=extra)

    def _maybe_repeat(self, name: str, channel: Channel, now_us: Micros) -> None:
        if not isinstance(channel, Repeats) or self._busy.get(f"{name} again", 0):
            return
        if self.outbox.resend_due(name, now_us, round(channel.resend_seconds * 1e6)):
            self._begin(f"{name} again", self._repeat(name, channel))

    async def _repeat(self, name: str, channel: Repeats) -> None:
        """Send what is firing once more; the next turn is the retry."""
        now_us = self.clock.now_us()
        told = self.outbox.firing(name, Micros(now_us - RESOLVED_KEPT_US), REPEATED_MAX)
        # Where nothing is left to repeat, a channel that fails is asked all the same whether it is there again.
        if not told and not self.outbox.failing(name):
            return
        failure = await self._attempt(name, channel.repeat(told))
        now_us = self.clock.now_us()
        noted: Callable[[ChannelState], Resent | None] = partial(sent_again, now_us)
        if failure is not None:
            reason = one_line(str(failure), DETAIL_MAX)
            _logger.warning("alerts not sent again", extra={"channel": name, "reason": reason})
            noted = partial(not_sent_again, failure, now_us)
        await self._write(lambda: self.outbox.note_resend(name, now_us, noted))

    def _sweep(self, now_us: Micros) -> None:
        if now_us - self._swept_us < SWEEP_EVERY_SECONDS * 1e6:
            return
        self._swept_us = now_us
        too_old = Micros(now_us - AGE_SECONDS_MAX * 1_000_000)
        for one in self.outbox.expire(tuple(self.channels), too_old, Micros(now_us - DELIVERED_KEPT_US), now_us):
            self.stats.dead_letters += 1
            _logger.error("message given up", extra={"message_id": one.message.id, "channel": one.channel})
