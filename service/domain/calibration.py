"""What a baseline tolerates, column by column and in words; and whether it supports a promise.

Worked out in the compiling process when a baseline is put or the policy's words about evidence change, and stored, so
that showing it costs nothing.
"""

import msgspec

from service.domain.errors import Place
from service.domain.policy import Policy, Tuning


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """A part of a calibration."""


class Tolerance(Record, frozen=True, kw_only=True):
    """How far a column may move in one direction without being news."""

    direction: str
    by: float
    """In standard deviations of the direction."""
    cause: str
    """``minimum_effect``, ``standard_errors`` or ``natural_variation``."""
    exponent: float
    text: str


class ColumnCalibration(Record, frozen=True, kw_only=True):
    """How a column is watched."""

    name: str
    share: float
    """Of the false-alarm budget; 0 for a column that is ignored."""
    exponent: float
    why: str
    independent_rows: float
    insufficient: str | None
    tolerances: tuple[Tolerance, ...]
    left_out: int = 0
    """Directions with the smallest tolerances that are not listed."""
    season: str | None = None
    """Which hours it follows, in a sentence; ``None`` when it follows none."""


class SelfTestAlarm(Record, frozen=True, kw_only=True):
    """A false alarm that the reference would have raised against itself."""

    first_row: int
    last_row: int
    columns: tuple[str, ...]


class SelfTest(Record, frozen=True, kw_only=True):
    """What replaying the reference against itself saw."""

    ticks: int
    tick_rows: float
    allowed: float
    alarms: tuple[SelfTestAlarm, ...]
    text: str


class SegmentCalibration(Record, frozen=True, kw_only=True):
    """How a declared segment is watched."""

    segment: str
    rows: int
    """Of the reference; 0 when the segment has none of its own."""
    share: float
    """Of the false-alarm budget; 0 when it is not watched by itself."""
    exponent: float | None
    """The smallest one of its columns."""
    insufficient: str | None
    """What is missing for evidence of its own."""


class Calibration(Record, frozen=True, kw_only=True):
    """All of it, and under which policy it was worked out."""

    tuning: Tuning
    budget_ticks: float
    insufficient: str | None
    """What is missing for a promise about false alarms; ``None`` when nothing is."""
    self_test: SelfTest
    columns: tuple[ColumnCalibration, ...]
    notes: tuple[Place, ...] = ()
    """What the policy says without effect on this baseline."""
    segments: tuple[SegmentCalibration, ...] = ()

    def holds_under(self, policy: Policy) -> bool:
        """Tell whether a policy says the same about evidence as the one that this was worked out under."""
        return (self.tuning, self.budget_ticks) == (policy.tuning, policy.ticks_per_false_alarm)
