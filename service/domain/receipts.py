"""The answer to a batch."""

import msgspec

from service.domain.ids import Position


class ReceiptPlace(msgspec.Struct, frozen=True):
    """One refused place of a batch."""

    at: str
    reason: str


class Receipt(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to a batch: what was taken is durable."""

    accepted: int
    rejected: int
    duplicates: int = 0
    """Events that an earlier request with the same idempotency key had brought: all of them, or none."""
    errors: tuple[ReceiptPlace, ...] = ()
    batch_id: str
    position: Position = Position(0)
