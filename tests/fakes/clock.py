"""A clock that moves only when told to."""

from service.domain.ids import Micros

NOVEMBER = Micros(1_795_428_000_000_000)
"""2026-11-23T10:00:00Z."""


class ManualClock:
    """Time stands still until ``advance`` or ``set``."""

    def __init__(self, now_us: Micros = NOVEMBER) -> None:
        self._now_us = now_us

    def now_us(self) -> Micros:
        return self._now_us

    def advance(self, seconds: float) -> Micros:
        self._now_us = Micros(self._now_us + round(seconds * 1e6))
        return self._now_us

    def set(self, now_us: Micros) -> None:
        self._now_us = now_us
