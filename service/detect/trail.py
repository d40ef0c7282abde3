"""The evidence after each of the newest ticks, as people see it drawn.

The trail goes on over a restart of the evidence and over a new baseline: who looks at a change wants to see before and
after. A point says what the evidence was under the baseline of its own time.
"""

from collections import deque
from typing import Self

import msgspec

from service.detect.status import finite

TICKS_MAX = 240
"""Ticks with events; of earlier ones the minutes tell the highest evidence."""
DIGITS = 4


class _Status(msgspec.Struct):
    trail: list[tuple[int, float | None]] = []


class Trail:
    """Points of (start of the tick, natural logarithm of the evidence), each one written as JSON only once."""

    def __init__(self) -> None:
        self._points: deque[bytes] = deque(maxlen=TICKS_MAX)
        self._json: msgspec.Raw | None = None

    @classmethod
    def of_status(cls, status: str) -> Self:
        """Read the trail back from a snapshot's status; what cannot be read is only not drawn any more."""
        trail = cls()
        try:
            stored = msgspec.json.decode(status, type=_Status)
        except msgspec.MsgspecError:
            return trail
        trail._points.extend(map(msgspec.json.encode, stored.trail))
        return trail

    def add(self, tick_start_us: int, log_evidence: float) -> None:
        """Add the newest tick."""
        value = None if finite(log_evidence) is None else round(log_evidence, DIGITS)
        self._points.append(msgspec.json.encode((tick_start_us, value)))
        self._json = None

    def json(self) -> msgspec.Raw:
        """Return all points, oldest first."""
        if self._json is None:
            self._json = msgspec.Raw(b"[" + b",".join(self._points) + b"]")
        return self._json
