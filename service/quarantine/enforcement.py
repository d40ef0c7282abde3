"""Is a quarantine obeyed? Decided from what the gate and the telemetry log say. Pure.

A gateway that asks the gate proves that it has heard; only telemetry proves that somebody has not: an event that comes
after the deadline comes from a model that should have been asked nothing. A version without traffic proves nothing
either way, and nobody is woken for it.
"""

from dataclasses import dataclass

from service.domain.enforcement import Enforcement
from service.domain.ids import Micros

NOT_ENFORCED = "not_enforced"
ENFORCED_AGAIN = "enforced_again"


@dataclass(frozen=True, slots=True)
class Finding:
    """What people should hear of, by name."""

    kind: str
    text: str


def judge(one: Enforcement, last_arrival_us: Micros, now_us: Micros, grace_us: int) -> Finding | None:
    """Return what has changed since people last heard of this quarantine.

    Parameters
    ----------
    one
        The quarantine as stored.
    last_arrival_us
        When the log took the version's newest event; 0 when there was none.
    now_us
        The time.
    grace_us
        How long gateways may take to follow; also how long it must be quiet before it counts as obeyed again.
    """
    if one.overdue_us is not None:
        if one.ended_us is not None:
            return Finding(ENFORCED_AGAIN, "the quarantine is over")
        if now_us - last_arrival_us >= grace_us:
            return Finding(ENFORCED_AGAIN, f"no event has come for {grace_us / 1e6:g} s")
        return None
    if one.ended_us is not None or last_arrival_us <= one.quarantined_us + grace_us:
        return None
    if now_us - last_arrival_us >= grace_us:
        return None  # it came late, and none has come since
    since = (last_arrival_us - one.quarantined_us) / 1e6
    if one.enforced_us is None:
        asked = "and no gateway has asked the gate about it: is there one in front of the model, and does it ask?"
    else:
        asked = "although a gateway has asked the gate and was refused: there is another way to the model"
    return Finding(NOT_ENFORCED, f"events still come {since:.0f} s after the quarantine, {asked}")
