"""Reviews, broken glass and proposed baselines, as notices."""

from service.domain.ids import Actor, Micros
from service.domain.notices import Kind
from service.domain.records import Severity, Version
from service.domain.reviews import Glass, Proposal, Review
from service.notify.compose import Notice, time_of

COLUMNS_TOLD = 10


def glass_broken(glass: Glass, version: Version, incident_id: str | None) -> Notice:
    """Say that one person lets a held version serve: it fires until the gate is closed again."""
    return _glass(
        glass,
        version,
        incident_id,
        at_us=glass.opened_us,
        summary=f"{glass.actor} lets {version.model} {version.version} serve although it is {version.state}",
        description=glass.reason,
        firing=True,
    )


def glass_over(glass: Glass, version: Version, incident_id: str | None, text: str) -> Notice:
    """Say that the gate is closed again: the same alert, resolved."""
    at_us = glass.until_us if glass.ended_us is None else glass.ended_us
    summary = f"{version.model} {version.version}: {text}"
    return _glass(glass, version, incident_id, at_us=at_us, summary=summary, description=glass.reason, firing=False)


def _glass(  # noqa: PLR0913 - one fact each
    glass: Glass,
    version: Version,
    incident_id: str | None,
    *,
    at_us: Micros,
    summary: str,
    description: str,
    firing: bool,
) -> Notice:
    incident = {} if incident_id is None else {"incident_id": incident_id}
    return Notice(
        kind=Kind.BREAK_GLASS,
        key=f"{glass.id}:{'broken' if firing else 'over'}",
        version=version,
        summary=summary,
        description=description,
        at_us=at_us,
        firing=firing,
        labels={},
        annotations={"severity": Severity.HIGH, "actor": glass.actor, "until": time_of(glass.until_us), **incident},
    )


def review_assigned(review: Review, version: Version, actor: Actor, reason: str, at_us: Micros, key: str) -> Notice:
    """Say whose review it is; ``key`` tells this assignment from one of the same moment."""
    names = ", ".join(review.reviewers)
    due = {} if review.due_us is None else {"due": time_of(review.due_us)}
    return Notice(
        kind=Kind.REVIEW_ASSIGNED,
        key=f"{version.id}:{review.lock}:{key}",
        version=version,
        summary=f"the review of {version.model} {version.version} is with {names}",
        description=reason,
        at_us=at_us,
        labels={},
        annotations={"severity": Severity.MEDIUM, "actor": actor, "reviewers": names, **due},
    )


def review_overdue(review: Review, version: Version, text: str, due_us: Micros, at_us: Micros) -> Notice:
    """Say that nobody has decided in time."""
    return Notice(
        kind=Kind.REVIEW_OVERDUE,
        key=f"{version.id}:{review.lock}:{review.escalations}",
        version=version,
        summary=f"{version.model} {version.version}: {text}",
        description=version.reason,
        at_us=at_us,
        labels={},
        annotations={"severity": Severity.HIGH, "reviewers": ", ".join(review.reviewers), "due": time_of(due_us)},
    )


def baseline_proposed(proposal: Proposal, version: Version, need: int, moved: tuple[str, ...]) -> Notice:
    """Ask for another person to look at a baseline that is to replace the one in force."""
    differs = f"differs in {', '.join(moved[:COLUMNS_TOLD])}" if moved else "does not differ much"
    have = len(proposal.signed_by)
    return Notice(
        kind=Kind.BASELINE_PROPOSED,
        key=f"{proposal.id}:{have}",
        version=version,
        summary=f"a new baseline of {version.model} {version.version} waits for people: {have} of {need} so far",
        description=f"{proposal.rows} rows; compared with the baseline in force it {differs}",
        at_us=proposal.created_us,
        labels={},
        annotations={"severity": Severity.MEDIUM, "actor": proposal.created_by, "baseline_id": proposal.id},
    )


def baseline_settled(proposal: Proposal, version: Version, waiting: int, at_us: Micros) -> Notice:
    """Say what became of a proposed baseline: the same alert, over unless others wait."""
    left = f", and {waiting} more {'waits' if waiting == 1 else 'wait'} for people" if waiting else ""
    return Notice(
        kind=Kind.BASELINE_PROPOSED,
        key=f"{proposal.id}:{proposal.status}",
        version=version,
        summary=f"the new baseline of {version.model} {version.version} is {proposal.status}{left}",
        description=proposal.reason or "",
        at_us=at_us,
        firing=waiting > 0,
        labels={},
        annotations={
            "severity": Severity.MEDIUM,
            "actor": proposal.settled_by or proposal.created_by,
            "baseline_id": proposal.id,
        },
    )
