"""What waits for people on the page of a version: broken glass, the review, proposed baselines."""

from dataclasses import dataclass

from service.console.facts import Facts
from service.console.read_models import When
from service.domain.keys import Identity
from service.domain.records import Scope
from service.domain.reviews import Proposal, ProposalStatus
from service.domain.states import HELD
from service.ports_review import ReviewStore
from service.quarantine.proposals import MOVED, PROPOSALS_MAX, signatures_needed
from service.quarantine.review import standing_of

MOVED_SHOWN = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class GlassLine:
    """Somebody lets the version serve."""

    by: str
    reason: str
    until: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ReviewLine:
    """Whose review it is."""

    reviewers: str
    due: When
    due_text: str
    overdue: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ProposalLine:
    """A baseline that waits."""

    id: str
    put: When
    by: str
    rows: str
    signed: str
    moved: tuple[str, ...]
    can_accept: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Together:
    """The section."""

    change: int
    glass: GlassLine | None
    can_break: bool
    minutes_max: float
    review: ReviewLine | None
    proposals: tuple[ProposalLine, ...]
    may: bool
    """Whether the viewer's key may act."""

    @property
    def shown(self) -> bool:
        """Whether there is anything to show."""
        return bool(self.glass or self.can_break or self.review or self.proposals)


def together_section(store: ReviewStore, facts: Facts, viewer: Identity) -> Together:
    """Read and decide what the page shows."""
    version, policy, now_us = facts.version, facts.model.policy, facts.now_us
    held, may = version.state in HELD, viewer.may(Scope.OPERATE)
    newest = next(iter(store.glasses(version.id, 1)), None) if held else None
    broken = newest if newest is not None and newest.lets_through(now_us) else None
    standing = standing_of(version, policy, store.reviews().get(version.id), now_us) if held else None
    known = store.proposals(version.id, PROPOSALS_MAX) if version.baseline_id is not None else ()
    able = may and viewer.actor != version.deployed_by and policy.break_glass_minutes_max > 0
    return Together(
        change=version.lock,
        glass=None
        if broken is None
        else GlassLine(by=broken.actor, reason=broken.reason, until=When.of(broken.until_us, now_us).text),
        can_break=held and broken is None and able,
        minutes_max=policy.break_glass_minutes_max,
        review=None
        if standing is None
        else ReviewLine(
            reviewers=", ".join(standing.reviewers) or "nobody by name",
            due=When.of(standing.due_us, now_us),
            due_text=When.of(standing.due_us, now_us).text,
            overdue=standing.overdue,
        ),
        proposals=tuple(
            _proposal(one, facts, viewer, may=may) for one in known if one.status is ProposalStatus.PROPOSED
        ),
        may=may,
    )


def _proposal(one: Proposal, facts: Facts, viewer: Identity, *, may: bool) -> ProposalLine:
    moved = [warning for warning in one.warnings if warning["code"] == MOVED]
    need = signatures_needed(facts.model.policy)
    return ProposalLine(
        id=one.id,
        put=When.of(one.created_us, facts.now_us),
        by=one.created_by,
        rows=f"{one.rows:,}",
        signed=f"{len(one.signed_by)} of {need}, by {' and '.join(one.signed_by)}",
        moved=tuple(f"{warning['column'] or 'columns'}: {warning['text']}" for warning in moved[:MOVED_SHOWN]),
        can_accept=may and viewer.actor not in one.signed_by,
    )
