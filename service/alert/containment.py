"""Which principals gateways are advised to refuse, and for how long. Pure: nothing is written here."""

from dataclasses import replace
from enum import StrEnum

from service.alert.adversarial import RANK, SEVERITIES, Case
from service.domain.adversarial import Response
from service.domain.ids import Actor, Micros
from service.domain.principals import Containment, ContainmentState, Kind, PrincipalFinding, PrincipalTier

CONTAINS = frozenset({Response.CONTAIN, Response.SUSPECT})


class Why(StrEnum):
    """The named reason of a decision."""

    NOT_ASKED = "not_asked"
    """The policy does less for this tier."""
    DRY_RUN = "dry_run"
    STANDING = "standing"
    """Contained already, for a good while yet."""
    LIFTED = "lifted"
    """A person let it go, and nothing stronger has been found since."""
    FULL = "full"
    """As many as may be are contained, none for less."""
    CONTAINED = "contained"
    DISPLACED = "displaced"
    """Contained in the place of another one."""


def contain(
    finding: PrincipalFinding, reason: str, at_us: Micros, case: Case, incident_id: str | None, actor: Actor
) -> tuple[Why, tuple[Containment, ...]]:
    """Return what a finding does to its principal: its containment, and the one that made room for it."""
    chosen = case.policy.adversarial
    if chosen.of(finding.tier) not in CONTAINS:
        return Why.NOT_ASKED, ()
    if case.policy.dry_run:
        return Why.DRY_RUN, ()
    standing = case.containments.get(finding.principal)
    if standing is not None and standing.holds(at_us):
        rested = standing.until_us - at_us >= chosen.contain_us // 2
        if rested and _rank(standing.tier) >= _rank(finding.tier):
            return Why.STANDING, ()
    elif standing is not None and _let_go(standing, finding, at_us, chosen.contain_us, actor):
        return Why.LIFTED, ()
    kept = standing if standing is not None and standing.holds(at_us) else None
    tier = finding.tier if kept is None or _rank(finding.tier) >= _rank(kept.tier) else kept.tier
    wanted = Containment(
        version_id=case.version.id,
        principal=finding.principal,
        state=ContainmentState.CONTAINED,
        tier=tier,
        reason=reason,
        since_us=at_us if kept is None else kept.since_us,
        renewed_us=at_us,
        until_us=Micros(at_us + chosen.contain_us),
        incident_id=incident_id,
    )
    if kept is not None:
        return Why.CONTAINED, (wanted,)
    return _with_room(wanted, at_us, case, actor)


def _rank(tier: PrincipalTier) -> int:
    return RANK[SEVERITIES[Kind(tier.value)]]


def _let_go(standing: Containment, finding: PrincipalFinding, at_us: Micros, for_us: int, actor: Actor) -> bool:
    """Tell whether a person's decision still covers the evidence: as much of it as they could have looked at."""
    lifted_us = standing.lifted_us
    if lifted_us is None or standing.lifted_by == actor or finding.since_us > lifted_us:
        return False
    return at_us < lifted_us + for_us and _rank(finding.tier) <= _rank(standing.tier)


def _with_room(wanted: Containment, at_us: Micros, case: Case, actor: Actor) -> tuple[Why, tuple[Containment, ...]]:
    held = [one for one in case.containments.values() if one.holds(at_us)]
    if len(held) < case.policy.adversarial.contained_max:
        return Why.CONTAINED, (wanted,)
    weakest = min(held, key=lambda one: (_rank(one.tier), one.until_us, one.principal))
    if _rank(weakest.tier) > _rank(wanted.tier):
        return Why.FULL, ()
    gone = replace(weakest, state=ContainmentState.LIFTED, lifted_us=at_us, lifted_by=actor)
    return Why.DISPLACED, (gone, wanted)
