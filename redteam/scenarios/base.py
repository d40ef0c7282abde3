"""What a scenario is: an attack on the service, the defence that is expected of it, and what was seen."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

import msgspec
import numpy as np

from redteam.scenarios.service import Service

SEEN_MAX = 300


class Outcome(StrEnum):
    """What became of a scenario."""

    HELD = "held"
    BROKEN = "broken"


class Stride(StrEnum):
    """The classes of threats to a service."""

    SPOOFING = "Spoofing"
    TAMPERING = "Tampering"
    REPUDIATION = "Repudiation"
    DISCLOSURE = "Information disclosure"
    DENIAL = "Denial of service"
    ELEVATION = "Elevation of privilege"


class Need(StrEnum):
    """What a scenario needs beyond an address and a key."""

    DISK = "the data directory: only a Lazaretto of the run's own has one"


WEAKNESSES = {
    "CWE-20": "Improper Input Validation",
    "CWE-79": "Cross-site Scripting",
    "CWE-113": "HTTP Request/Response Splitting",
    "CWE-117": "Improper Output Neutralization for Logs",
    "CWE-290": "Authentication Bypass by Spoofing",
    "CWE-294": "Authentication Bypass by Capture-replay",
    "CWE-306": "Missing Authentication for Critical Function",
    "CWE-345": "Insufficient Verification of Data Authenticity",
    "CWE-353": "Missing Support for Integrity Check",
    "CWE-354": "Improper Validation of Integrity Check Value",
    "CWE-400": "Uncontrolled Resource Consumption",
    "CWE-770": "Allocation of Resources Without Limits or Throttling",
    "CWE-862": "Missing Authorization",
    "CWE-863": "Incorrect Authorization",
}
"""Names of the weaknesses that scenarios speak of; ids of ATLAS are named by its own table."""


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that was tried."""

    tried: str
    held: bool
    seen: str


def outcome_of(checks: Sequence[Check]) -> Outcome:
    """Return whether every defence held; one that was never tried has not."""
    return Outcome.HELD if checks and all(check.held for check in checks) else Outcome.BROKEN


@dataclass
class Checks:
    """Everything that a scenario tried, in order."""

    done: list[Check] = field(default_factory=list)

    def expect(self, tried: str, seen: object, *, held: bool) -> None:
        """Note what was tried, what was seen, and whether the defence held."""
        self.done.append(Check(tried=tried, held=held, seen=str(seen)[:SEEN_MAX]))

    @property
    def outcome(self) -> Outcome:
        """Return whether every defence held; one that was never tried has not."""
        return outcome_of(self.done)


Act = Callable[[Service, Checks, np.random.Generator], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """One way to attack the service."""

    name: str
    title: str
    stride: tuple[Stride, ...]
    ids: tuple[str, ...]
    """Of ATLAS techniques, and of weaknesses (CWE)."""
    defence: str
    """What is expected, in a sentence."""
    act: Act = field(repr=False)
    needs: frozenset[Need] = frozenset()
