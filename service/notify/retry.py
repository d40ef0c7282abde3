"""When to try a message again, and when to give up. Pure."""

import hashlib

from service.domain.ids import Micros

DELAYS_SECONDS = (5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400)
"""After the first failure, the second, ...; after the last of these the message is a dead letter."""
JITTER = 0.1
RETRY_AFTER_SECONDS_MAX = 3_600.0
"""However long a receiver asks to wait."""
AGE_SECONDS_MAX = 5 * 86_400
"""So long a message may wait for its channel, whatever it waits for."""


def next_attempt_us(
    message_id: str, attempts: int, now_us: Micros, retry_after_seconds: float | None = None
) -> Micros | None:
    """Return when to try a message that has failed ``attempts`` times, or ``None`` to give it up.

    The jitter keeps messages that failed together from coming back together; it follows from the message and the
    attempt, so that the schedule of a message can be computed again. What the receiver asks for is kept at least.
    """
    if attempts > len(DELAYS_SECONDS):
        return None
    seed = hashlib.sha256(f"{message_id}:{attempts}".encode()).digest()
    spread = int.from_bytes(seed[:8], "big") / 2**64 * 2 - 1
    delay = DELAYS_SECONDS[attempts - 1] * (1 + JITTER * spread)
    if retry_after_seconds is not None:
        delay = max(delay, min(retry_after_seconds, RETRY_AFTER_SECONDS_MAX))
    return Micros(now_us + round(delay * 1e6))
