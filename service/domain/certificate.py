"""What one principal can do to the evidence of drift at most, where ``adversarial.events_of_one`` bounds it."""

import msgspec


class Certificate(msgspec.Struct, frozen=True, kw_only=True):
    """It holds for each principal, whatever it sends."""

    events_of_one: int
    shares: dict[str, float]
    """By rolling window: by so much it moves the share of a bin of a column at most, and so a cumulative share."""
    evidence_log10: float
    """Its events of a tick multiply the evidence of a column by at most 10 to the power of this."""
    column: str
    """In which they may do as much."""
    uncertified: tuple[str, ...]
    """Columns for which this does not hold."""
