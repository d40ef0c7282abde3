"""What an operator may say about traffic."""

import hashlib
from dataclasses import dataclass, replace

from detectors.errors import DetectorError

VERSION = "1"
"""Part of every state's digest: raise it when what is learnt or bet changes."""
BEATS_MAX = 2_880
"""Of a learning span: what fits a snapshot."""
BEATS_LEAST = 40
BEAT_SECONDS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600)
QUIET_LEAST_US = 300_000_000
QUIET_TIMES = 2
"""A pause is silence when it is so many times as long as the longest one while learning."""
RATIO_MOST = 10.0
RATE = "traffic.rate"


@dataclass(frozen=True, slots=True, kw_only=True)
class TrafficOptions:
    """Options of a traffic monitor.

    Parameters
    ----------
    tick_us : int
        Length of a tick in microseconds; above 0.
    learn_us : int
        How much traffic is learnt from before anything is bet; above 0. Pauses that are silence do not count.
    minimum_ratio : float, optional
        How many times more or less is never news; above 1, at most 10.
    minimum_share : float, optional
        Shares up to this are never news; above 0, below 1.
    quiet_us : int or None, optional
        So long without an event is silence, which is no rate. None learns it: twice the longest pause while learning,
        at least five minutes.
    shares : tuple of str, optional
        Names of what is counted per event beside the rate.

    Raises
    ------
    DetectorError
        When a value is out of range.

    Examples
    --------
    >>> week = TrafficOptions(tick_us=1_000_000, learn_us=7 * 86_400_000_000)
    >>> week.beat_ticks, week.learn_beats
    (300, 2016)
    """

    tick_us: int
    learn_us: int
    minimum_ratio: float = 1.5
    minimum_share: float = 0.01
    quiet_us: int | None = None
    shares: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in ("tick_us", "learn_us"):
            if getattr(self, name) <= 0:
                raise DetectorError(f"{name} is {getattr(self, name)}; it must be above 0")
        if not 1.0 < self.minimum_ratio <= RATIO_MOST:
            raise DetectorError(f"minimum_ratio is {self.minimum_ratio}; it must be above 1, at most {RATIO_MOST:.0f}")
        if not 0.0 < self.minimum_share < 1.0:
            raise DetectorError(f"minimum_share is {self.minimum_share}; it must be above 0 and below 1")

    @property
    def beat_ticks(self) -> int:
        """Ticks of a beat, the step in which traffic is counted: at most 2,880 beats in a learning span."""
        for seconds in BEAT_SECONDS:
            if seconds * 1_000_000 * BEATS_MAX >= self.learn_us:
                return max(1, -(-seconds * 1_000_000 // self.tick_us))
        return max(1, -(-self.learn_us // (BEATS_MAX * self.tick_us)))

    @property
    def learn_beats(self) -> int:
        """Beats of the learning span."""
        return max(BEATS_LEAST, self.learn_us // (self.beat_ticks * self.tick_us))

    @property
    def names(self) -> tuple[str, ...]:
        """The columns: the rate, then the shares."""
        return (RATE, *self.shares)

    @property
    def digest(self) -> bytes:
        """SHA-256 over the version and what learning depends on, 32 bytes: what silence is, may change afterwards."""
        return hashlib.sha256(f"{VERSION} {replace(self, quiet_us=None)!r}".encode()).digest()
