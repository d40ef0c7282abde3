"""What campaigns tell of: findings about principals that work together."""

import math

from detectors.principals.monitor import Tier
from service.detect.alone import margin_of
from service.detect.campaigns import BURST_MIN, Request, Seen
from service.domain.ids import VersionId, derived_id
from service.domain.principals import PRINCIPALS_MAX, PrincipalFinding, PrincipalTier

CRAFTED, EVADED, ACCESS = "AML.T0043.001", "AML.T0015", "AML.T0040"
ID_DIGITS = 16


def findings_of(
    seen: Seen, request: Request, version_id: VersionId, queries: int, thresholds: dict[Tier, float]
) -> list[PrincipalFinding]:
    """Return what a request of a campaign tells of; ``queries`` is how many its principal has sent."""
    found = []
    if seen.told or (seen.flipped and seen.share.flips == 1):
        found.append(_intent(seen, request, version_id, queries, thresholds[Tier.INTENT]))
    if seen.burst:
        found.append(_burst(seen, request, version_id, queries))
    return found


def name_of(version_id: VersionId, seen: Seen) -> str:
    """Return what people call a campaign: the same as long as the cluster grows, and no other's."""
    return derived_id("campaign", version_id, seen.campaign.id, seen.story.since_us)[:ID_DIGITS]


def _intent(seen: Seen, request: Request, version_id: VersionId, queries: int, threshold: float) -> PrincipalFinding:
    share = seen.share
    flips = share.flips if seen.accuses else 0
    return PrincipalFinding(
        principal=request.name,
        tier=PrincipalTier.INTENT,
        techniques=(CRAFTED, *((EVADED,) if flips else ())),
        log_evidence=seen.evidence,
        log_threshold=threshold,
        calibrated=False,
        queries=max(queries, share.requests),
        since_us=seen.story.since_us,
        until_us=request.at_us,
        best_margin=margin_of(seen.story.principal),
        flips=flips,
        reused=False,
        campaign=name_of(version_id, seen),
        members=seen.others(request.name)[: PRINCIPALS_MAX - 1],
        fidelity=seen.story.principal.extraction.fidelity(),
        reasons=_reasons(seen, flips),
        own=seen.accuses,
    )


def _reasons(seen: Seen, flips: int) -> tuple[str, ...]:
    size = seen.story.principal.queries
    story = f"{size} near-duplicates of {len(seen.story.shares)} principals together went the way of an attack"
    if len(seen.story.shares) == 1:
        story = f"{size} near-duplicates went the way of an attack, between so many principals that it was forgotten"
    if not seen.accuses:
        return (story, "no single principal has evidence of its own yet: nobody is contained for it")
    own = f"{seen.share.advances} of this principal's requests brought it further"
    return (story, own, f"the label flipped in {flips} of them") if flips else (story, own)


def _burst(seen: Seen, request: Request, version_id: VersionId, queries: int) -> PrincipalFinding:
    return PrincipalFinding(
        principal=request.name,
        tier=PrincipalTier.PROBING,
        techniques=(ACCESS, CRAFTED),
        log_evidence=math.log(seen.burst),
        log_threshold=math.log(BURST_MIN),
        calibrated=False,
        queries=queries,
        since_us=min(share.fresh_us for share in seen.story.shares.values() if share.fresh_us >= 0),
        until_us=request.at_us,
        best_margin=margin_of(seen.story.principal),
        flips=0,
        reused=False,
        campaign=name_of(version_id, seen),
        members=seen.others(request.name)[: PRINCIPALS_MAX - 1],
        fidelity=seen.story.principal.extraction.fidelity(),
        reasons=(
            f"{seen.burst} principals that were not seen before sent near-duplicates of one input within ten minutes",
            "whoever shares an input widely does that too: nobody is contained for it",
        ),
        own=False,
    )
