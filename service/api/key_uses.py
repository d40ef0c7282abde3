"""When keys were used: noticed with each request, written down at most once a minute for each key."""

from service.api.auth import KeyRing
from service.domain.ids import Micros
from service.ports import Clock
from service.ports_pages import KeyUses

MINUTE_US = 60_000_000


class KeyUseNotes:
    """Writes down which keys a process has seen.

    Parameters
    ----------
    keyring
        Notices keys.
    uses
        Where it is written.
    clock
        Tells the minute.
    """

    def __init__(self, keyring: KeyRing, uses: KeyUses, clock: Clock) -> None:
        self._keyring = keyring
        self._uses = uses
        self._clock = clock
        self._written: dict[str, Micros] = {}

    def write_down(self) -> None:
        """Write down the keys seen since the last time, but for those written within a minute."""
        seen = self._keyring.seen()
        now_us = self._clock.now_us()
        due = {key_id: now_us for key_id in seen if self._written.get(key_id, -MINUTE_US) <= now_us - MINUTE_US}
        if due:
            self._uses.note_uses(due)  # should it fail, whatever the reason, they are seen the next time
        # What is used once more between these lines was used within the minute that is written down.
        self._keyring.forget_seen(seen)
        self._written = {key_id: at_us for key_id, at_us in (self._written | due).items() if at_us > now_us - MINUTE_US}
