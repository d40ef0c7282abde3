"""What the benchmark found, as it is written down."""

from dataclasses import dataclass, field
from hashlib import sha256
from typing import NamedTuple

import msgspec

from redteam.judge import Verdict

ORDINARY, EVERY, PRODUCT = "ordinary", "every", "product"
"""Rules: a threshold from ordinary workloads alone, from explanation workloads, too, or as a baseline sets it."""
MONITOR = "monitor"
"""Stands for any tier, each with its threshold from every workload."""


class Seen(NamedTuple):
    """A session as one detector saw it, with a threshold by one rule."""

    detector: str
    rule: str
    verdict: Verdict


class Copied(NamedTuple):
    """How well a stolen copy agrees with the victim, and what the monitor makes of it."""

    workload: str
    victim: str
    source: int
    queries: int
    measured: float
    estimated: float


class Unseen(NamedTuple):
    """What a forest sees of attacks that it was not grown with."""

    left_out: str
    """A family of attacks, or the victim."""
    victim: str
    ratio: float
    """Successful attacks whose story reaches the threshold before the success, of ``attacks``."""
    attacks: int
    whole: float
    """The same share with a forest that was grown with them, from as many sources."""


class Wronged(NamedTuple):
    """Whom a forest wrongs that has never seen such a client, with a threshold that no such client set."""

    workload: str
    victim: str
    alarmed: int
    sessions: int


class Grown(NamedTuple):
    """What more sources are worth to the forest."""

    victim: str
    sessions: int
    ratio: float
    """Successful attacks whose story reaches the threshold before the success."""


class Cost(NamedTuple):
    """What a detector costs."""

    detector: str
    victim: str
    microseconds: float
    """Of a request, median of repeats."""
    slowest: float
    kilobytes: float
    """Kept of a principal after 1,000 requests."""


class Maxima(msgspec.Struct):
    """The largest evidence of each calibration session of a workload."""

    workload: str
    ordinary: bool
    most: dict[str, list[float]] = msgspec.field(default_factory=dict)
    """By detector; published ones were shown the first sessions only."""
    sources: list[int] = msgspec.field(default_factory=list)


class Bars(msgspec.Struct):
    """Thresholds, from calibration sessions alone."""

    forest: str = ""
    """SHA-256 of the forest."""
    sessions: dict[str, int] = msgspec.field(default_factory=dict)
    """By victim: of each workload."""
    values: dict[str, dict[str, dict[str, float]]] = msgspec.field(default_factory=dict)
    """By victim, detector, and rule."""
    worst: dict[str, dict[str, dict[str, str]]] = msgspec.field(default_factory=dict)
    """The workload that set each of them."""

    def encoded(self) -> bytes:
        """Return the file that they are written to before anything is confirmed."""
        return msgspec.json.format(msgspec.json.encode(self, order="deterministic"), indent=1) + b"\n"

    @property
    def digest(self) -> str:
        """SHA-256 of the file."""
        return sha256(self.encoded()).hexdigest()


@dataclass
class Results:
    """Everything."""

    machine: dict[str, str]
    plan: str
    bars: str = ""
    """SHA-256 of the thresholds, taken before the first confirmation session."""
    seen: list[Seen] = field(default_factory=list)
    fresh: list[Seen] = field(default_factory=list)
    """Benign sessions drawn anew after the rule of the thresholds was changed."""
    copied: list[Copied] = field(default_factory=list)
    unseen: list[Unseen] = field(default_factory=list)
    wronged: list[Wronged] = field(default_factory=list)
    curve: list[Grown] = field(default_factory=list)
    costs: list[Cost] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)
    commits: dict[str, str] = field(default_factory=dict)
