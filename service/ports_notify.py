"""What the delivery of messages needs from the outside."""

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol, runtime_checkable

from service.domain.ids import Actor, Micros
from service.domain.notices import Backlog, ChannelState, Conclusion, Delivery, DeliveryStatus, Resent, Routed, Told
from service.domain.records import Message

Route = Callable[[Message, Sequence[Told], str, Micros], Routed]
"""Decide about a message, given what was told about its version, the owner of its model (empty when unknown) and the
time of the look: what is due then can be claimed in the same look."""


class Outbox(Protocol):
    """What the delivery loop needs. Each write is one transaction."""

    def route(self, decide: Route, limit: int, now_us: Micros) -> int:
        """Decide about messages that nobody has routed yet, each in a transaction of its own; return how many."""

    def claim(self, owner: str, free: Mapping[str, int], now_us: Micros, lease_us: int) -> Sequence[Delivery]:
        """Take what is due for channels with free places, oldest first; nobody else gets it while the lease holds.

        Of each channel and version only the first undelivered message can be claimed, so that an end never overtakes
        its beginning. Channels whose circuit is open give nothing, half-open ones a single probe.
        """

    def conclude(self, delivery: Delivery, owner: str, decide: Callable[[ChannelState], Conclusion]) -> bool:
        """Write what an attempt came to, unless the lease was lost meanwhile: then return False."""

    def release(self, owner: str) -> None:
        """Give back everything that is claimed and was not concluded."""

    def expire(
        self, known: Sequence[str], before_us: Micros, delivered_before_us: Micros, now_us: Micros
    ) -> Sequence[Delivery]:
        """Give up what was queued before a time or waits for a channel that nobody has, and return it.

        ``known`` is what this worker has: that is written down, so that another one, whose settings are older or newer,
        leaves alone what waits for it. What is long over is deleted.
        """

    def firing(self, channel: str, ended_after_us: Micros, limit: int) -> Sequence[Told]:
        """Return what a channel was told of and is still firing, or has ended after a time; newest first."""

    def resend_due(self, channel: str, now_us: Micros, every_us: int) -> bool:
        """Take the turn to send a channel's firing alerts again; False when it is not time yet."""

    def failing(self, channel: str) -> bool:
        """Return whether the last that is known of a channel is that it failed."""

    def note_resend(self, channel: str, now_us: Micros, decide: Callable[[ChannelState], Resent | None]) -> bool:
        """Let what sending again came to bear on the state of the channel; return whether that changed anything."""


class NotificationDesk(Protocol):
    """What people ask of deliveries, and do with them."""

    def deliveries(
        self, *, status: DeliveryStatus | None, channel: str | None, message_id: str | None, limit: int
    ) -> Sequence[Delivery]:
        """Return deliveries, newest first."""

    def backlog(self, now_us: Micros) -> Backlog:
        """Return how much waits where, and how each channel is."""

    def replay(self, actor: Actor, message_id: str | None, channel: str | None, now_us: Micros, limit: int) -> int:
        """Let dead letters be tried again from the start, on record; return how many."""

    def put_test(self, actor: Actor, message: Message, channel: str, now_us: Micros) -> None:
        """Queue a message for one channel alone, on record."""


class Channel(Protocol):
    """One way to tell people."""

    name: str

    async def deliver(self, message: Message) -> None:
        """Deliver or raise ``DeliveryFailed``; may deliver twice, always with the same message id."""

    async def close(self) -> None:
        """Close what is open."""


@runtime_checkable
class Repeats(Protocol):
    """A channel that wants to hear of what is firing again and again."""

    resend_seconds: float

    async def repeat(self, told: Sequence[Told]) -> None:
        """Send what is firing, and what has just ended, once more; or raise ``DeliveryFailed``."""


class DeliveryFailed(Exception):
    """A message did not arrive.

    Parameters
    ----------
    detail
        For people; holds no secret.
    recoverable
        Whether the same message may be taken later.
    retry_after_seconds
        How long the receiver asks to wait.
    channel_fault
        Whether other messages would fail as well: it is not about what this one says.
    """

    def __init__(
        self,
        detail: str,
        *,
        recoverable: bool,
        retry_after_seconds: float | None = None,
        channel_fault: bool | None = None,
    ) -> None:
        super().__init__(detail)
        self.recoverable = recoverable
        self.retry_after_seconds = retry_after_seconds
        self.channel_fault = recoverable if channel_fault is None else channel_fault
