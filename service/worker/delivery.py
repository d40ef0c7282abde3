"""The delivery loop: outbox to channels, at least once, with patience and an end to it."""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from threading import Event

from service.domain.errors import Unavailable
from service.domain.records import Message
from service.notify.retry import next_attempt_us
from service.ports import Channel, Clock, DeliveryFailed, Outbox
from service.worker.stats import WorkerStats

DUE_MAX = 64
"""Messages of one round."""
IDLE_SECONDS = 0.25
DEADLINE_SECONDS = 30.0
"""For one delivery, whatever the channel does."""

_logger = logging.getLogger("lazaretto.delivery")


@dataclass(frozen=True)
class Delivery:
    """Delivers what is due, each channel at its own pace."""

    outbox: Outbox
    channels: Mapping[str, Channel]
    clock: Clock
    stats: WorkerStats

    async def run(self, stop: Event) -> None:
        """Deliver until ``stop`` is set."""
        while not stop.is_set():
            busy = False
            try:
                busy = await self.deliver_due()
            except* Unavailable as away:
                _logger.warning("outbox is away", extra={"reason": str(away.exceptions[0])})
            if not busy:
                await asyncio.sleep(IDLE_SECONDS)

    async def deliver_due(self) -> bool:
        """Try every message that is due once; tell whether there was any."""
        due = self.outbox.due(self.clock.now_us(), DUE_MAX)
        by_channel: dict[str, list[Message]] = {}
        for message in due:
            by_channel.setdefault(message.channel, []).append(message)
        # A slow receiver holds up its own channel only.
        async with asyncio.TaskGroup() as group:
            for name, messages in by_channel.items():
                group.create_task(self._deliver_all(name, messages))
        return bool(due)

    async def _deliver_all(self, name: str, messages: Sequence[Message]) -> None:
        channel = self.channels.get(name)
        for message in messages:
            if channel is None:
                self._failed(message, f"there is no channel '{name}'", recoverable=False)
            else:
                await self._deliver(channel, message)

    async def _deliver(self, channel: Channel, message: Message) -> None:
        try:
            async with asyncio.timeout(DEADLINE_SECONDS):
                await channel.deliver(message)
        except TimeoutError:
            self._failed(message, f"no answer within {DEADLINE_SECONDS:g} s", recoverable=True)
        except DeliveryFailed as failure:
            self._failed(message, str(failure), recoverable=failure.recoverable)
        else:
            self.outbox.delivered(message.id, self.clock.now_us())
            self.stats.delivered += 1

    def _failed(self, message: Message, detail: str, *, recoverable: bool) -> None:
        """Keep the message for later, or give it up."""
        attempts = message.attempts + 1
        next_us = next_attempt_us(message.id, attempts, self.clock.now_us()) if recoverable else None
        self.outbox.failed(message.id, attempts=attempts, next_us=next_us, detail=detail)
        self.stats.delivery_failures += 1
        extra = {"message_id": message.id, "channel": message.channel, "attempts": attempts, "reason": detail}
        if next_us is None:
            self.stats.dead_letters += 1
            _logger.error("message given up", extra=extra)
        else:
            _logger.warning("message not delivered", extra=extra)
