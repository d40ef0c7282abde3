"""What evidence says of principals, and what follows for them."""

from dataclasses import dataclass
from enum import StrEnum

import msgspec

from service.domain.ids import Actor, Micros, VersionId

PRINCIPALS_MAX = 100
"""How many principals one finding or alert names."""


class PrincipalTier(StrEnum):
    """What a principal is found to do."""

    PROBING = "probing"
    INTENT = "intent"
    EXTRACTION = "extraction"
    MEMBERSHIP = "membership"
    COST = "cost"
    PERSISTENCE = "persistence"


class PrincipalFinding(msgspec.Struct, frozen=True, kw_only=True):
    """Evidence against one principal that reached the threshold of a tier."""

    principal: str
    """Its pseudonym, 32 hex digits."""
    tier: PrincipalTier
    techniques: tuple[str, ...]
    """Ids of ATLAS."""
    log_evidence: float
    log_threshold: float
    """Natural logarithms."""
    calibrated: bool
    """Whether the threshold comes from calibration sessions; else it is the nominal one."""
    queries: int
    """Of the principal, exact duplicates not counted, when the threshold was reached."""
    since_us: int
    until_us: int
    """First and last event of the evidence, by arrival."""
    best_margin: float | None
    """The lowest margin reached in the cluster; negative when the label flipped."""
    flips: int
    """Confirmed label flips among near-duplicates of one root."""
    reused: bool
    """A flipped input came again, from whomever."""
    campaign: str | None
    """Of a cluster that several principals share."""
    members: tuple[str, ...]
    """Other principals of the campaign, at most 100."""
    fidelity: float | None
    """Estimated fidelity of a surrogate, 0 to 1."""
    reasons: tuple[str, ...]
    """Plain words for people."""
    own: bool = True
    """Whether the evidence is the principal's own. Of evidence that only a campaign has, the principal is the one that
    was seen last: nobody is contained for it."""


class Kind(StrEnum):
    """What an alert about adversarial use speaks of: a tier of a principal, or something done to the model."""

    PROBING = "probing"
    INTENT = "intent"
    EXTRACTION = "extraction"
    MEMBERSHIP = "membership"
    COST = "cost"
    PERSISTENCE = "persistence"
    POISONING = "poisoning"
    CANARY = "canary"
    """Inputs with known answers are answered otherwise."""
    ARTEFACT = "artefact"
    """The model that answers is another one than was registered."""


MODEL_KINDS = frozenset({Kind.POISONING, Kind.CANARY, Kind.ARTEFACT})


class ModelFinding(msgspec.Struct, frozen=True, kw_only=True):
    """Evidence that something was done to the model itself."""

    kind: Kind
    """One of ``MODEL_KINDS``."""
    techniques: tuple[str, ...] = ()
    log_evidence: float = 0.0
    log_threshold: float = 0.0
    since_us: int
    until_us: int
    principals: tuple[str, ...] = ()
    """Whom the evidence comes from, where it comes from principals; none for a canary or an artefact."""
    queries: int = 0
    """What the first of them had sent until then: labels, where it is accused for its labels."""
    reasons: tuple[str, ...] = ()


class AdversarialUse(msgspec.Struct, frozen=True, kw_only=True):
    """What an alert about adversarial use says beyond its evidence: one step of a kill chain."""

    kind: Kind
    subject: str
    """The campaign, or the principal, or the kind where no principal is named: what it is told apart by."""
    atlas: str
    """The version of ATLAS that the ids are of."""
    techniques: tuple[str, ...]
    """In the order of the tactics that they reach first."""
    tactics: tuple[str, ...]
    """Every tactic that the techniques reach, in the order of ATLAS."""
    principals: tuple[str, ...]
    """The first one is whose evidence reached the threshold; then the other ones that are affected."""
    transcript: str
    """Where the queries can be looked up, and as what."""
    until_us: int
    """The last event of the evidence."""
    best_margin: float | None = None
    fidelity: float | None = None
    queries: int = 0
    queries_at_alarm: int = 0
    """When the alert was opened: how far the principal had come when it was first told of."""
    flips: int = 0
    flipped_by: tuple[str, ...] = ()
    """Principals whose own evidence has a confirmed flip."""
    reused_by: tuple[str, ...] = ()
    """Principals whose own evidence has a flipped input that came again."""
    calibrated: bool = True
    reasons: tuple[str, ...] = ()


class ContainmentState(StrEnum):
    """Where a containment stands. One that is past its end is over, whatever it says."""

    CONTAINED = "contained"
    LIFTED = "lifted"


@dataclass(frozen=True, slots=True, kw_only=True)
class Containment:
    """A principal that gateways are advised to refuse or to slow down, at one version."""

    version_id: VersionId
    principal: str
    """Its pseudonym."""
    state: ContainmentState
    tier: PrincipalTier
    reason: str
    since_us: Micros
    renewed_us: Micros
    """When evidence last called for it."""
    until_us: Micros
    incident_id: str | None
    """``None`` while alerts about it are capped and no incident is open."""
    lifted_us: Micros | None = None
    lifted_by: Actor | None = None

    def holds(self, now_us: Micros) -> bool:
        """Tell whether it is in force at a time."""
        return self.state is ContainmentState.CONTAINED and now_us < self.until_us
