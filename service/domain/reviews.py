"""What people look at together: reviews with a deadline, quarantines that somebody broke open, proposed baselines."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from service.domain.ids import Actor, Micros, VersionId


@dataclass(frozen=True, slots=True, kw_only=True)
class Glass:
    """One breaking of the glass: a version in quarantine that serves all the same, until a time that nobody extends."""

    id: str
    version_id: VersionId
    quarantine: int
    """The version's lock that the quarantine was written under; with the version it names the quarantine."""
    opened_us: Micros
    until_us: Micros
    actor: Actor
    reason: str
    ended_us: Micros | None = None
    """When that was written down; the gate closes at ``until_us`` whether or not it has been."""
    ended_by: Actor | None = None

    def lets_through(self, now_us: Micros) -> bool:
        """Tell whether the version serves at a time because of it."""
        return self.ended_us is None and self.opened_us <= now_us < self.until_us


@dataclass(frozen=True, slots=True, kw_only=True)
class Review:
    """What was decided about one review; it counts only while the version's lock is the same."""

    version_id: VersionId
    lock: int
    reviewers: tuple[Actor, ...] = ()
    due_us: Micros | None = None
    """``None``: the policy's hours after its beginning."""
    escalations: int = 0
    escalated_us: Micros | None = None


class ProposalStatus(StrEnum):
    """Where a proposed baseline stands."""

    PROPOSED = "proposed"
    ACCEPTED = "accepted"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """A signed baseline that is not in force: it waits for people other than the one who put it."""

    id: str
    version_id: VersionId
    replaces: str
    """The baseline in force that it was compared with."""
    digest: str
    signature: str
    artefact: bytes
    """Empty once it is settled: an accepted one is with the baselines in force, a refused one is gone."""
    rows: int
    columns: tuple[str, ...]
    warnings: tuple[dict[str, str], ...]
    calibration: str | None
    """JSON text of what it tolerates."""
    signed_by: tuple[Actor, ...]
    """Who put it, then who agreed, in order."""
    status: ProposalStatus
    created_us: Micros
    created_by: Actor
    settled_us: Micros | None = None
    settled_by: Actor | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReviewFigures:
    """What the metrics show."""

    broken_total: Mapping[VersionId, int] = field(default_factory=dict)
    """How often the glass of a version was ever broken."""
    escalations: Mapping[VersionId, Review] = field(default_factory=dict)
    """What is written down of the newest review of each version."""
    proposed: Mapping[VersionId, int] = field(default_factory=dict)
