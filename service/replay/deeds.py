"""What two policies ask for, and what each of them would have done. Light: most replays compare no policies."""

from dataclasses import dataclass

from detectors.evidence import EvidenceOptions
from service.domain.policy import Tuning
from service.replay.policies import Given
from service.replay.segments import Division
from service.replay.ticks import Cutting


@dataclass(frozen=True, slots=True, kw_only=True)
class Deed:
    """What a policy would have done after one tick."""

    row: int
    """The last one of the tick."""
    at_us: int | None
    """When the tick began; without times ``None``."""
    columns: tuple[str, ...]
    """The blamed ones, strongest first."""
    action: str
    """``record``, ``notify``, ``suspect``, ``quarantine`` or ``held back``: the strongest of what was done."""
    pages: int
    """Messages sent to people."""
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """One policy and what it would have done."""

    given: Given
    deeds: tuple[Deed, ...]

    @property
    def pages(self) -> int:
        """How many messages people would have got."""
        return sum(deed.pages for deed in self.deeds)


@dataclass(frozen=True, slots=True, kw_only=True)
class WhatIf:
    """Two policies side by side."""

    current: Side
    new: Side


@dataclass(frozen=True, slots=True, kw_only=True)
class Lane:
    """What a policy asks of cutting and of the engine; policies that ask for the same share the evidence."""

    cutting: Cutting
    evidence: EvidenceOptions
    insufficient: str | None = None
    """Why the policy leaves nothing to watch, if it does: then it accuses nobody."""
    notes: tuple[str, ...] = ()
    """What it says without effect."""

    division: Division | None = None
    """Parts of the rows with evidence of their own."""
    tuning: Tuning | None = None
    """What the policy says, for these parts."""

    @property
    def asked(self) -> tuple[object, ...]:
        """All that evidence depends on."""
        return self.cutting, self.evidence, self.insufficient, self.division
