"""Reviews, broken glass and proposed baselines, as the API answers them."""

from service.api.views import View, iso, iso_or_none
from service.domain.ids import Micros
from service.domain.policy import Policy
from service.domain.records import BaselineRecord, Version
from service.domain.reviews import Glass, Proposal, Review
from service.quarantine.proposals import signatures_needed
from service.quarantine.review import standing_of


class GlassView(View, frozen=True, kw_only=True):
    """One breaking of the glass."""

    by: str
    reason: str
    since: str
    until: str
    """The gate closes then by itself."""
    open: bool
    ended: str | None
    ended_by: str | None


class ReviewView(View, frozen=True, kw_only=True):
    """The review of a version."""

    reviewers: list[str]
    """Empty while nobody is named."""
    since: str
    due: str
    overdue: bool
    escalations: int
    """How often people were told that it is overdue."""
    change: int


class ProposalView(View, frozen=True, kw_only=True):
    """A baseline that was put, and what became of it."""

    baseline_id: str
    status: str
    """``in_force``, ``replaced``, ``proposed`` or ``refused``."""
    digest: str
    rows: int
    columns: list[str]
    moved: list[dict[str, str]]
    """What differs from the baseline that it was compared with."""
    compared_with: str | None
    signed_by: list[str]
    need: int
    """How many different people must sign a proposal."""
    created: str
    created_by: str
    settled: str | None
    settled_by: str | None
    reason: str


def of_glass(glass: Glass, now_us: Micros) -> GlassView:
    """Return the view of one."""
    return GlassView(
        by=glass.actor,
        reason=glass.reason,
        since=iso(glass.opened_us),
        until=iso(glass.until_us),
        open=glass.lets_through(now_us),
        ended=iso_or_none(glass.ended_us),
        ended_by=glass.ended_by,
    )


def of_review(version: Version, policy: Policy, row: Review | None, now_us: Micros) -> ReviewView | None:
    """Return the view of a version's review; nothing when it is not under review."""
    standing = standing_of(version, policy, row, now_us)
    if standing is None:
        return None
    return ReviewView(
        reviewers=list(standing.reviewers),
        since=iso(standing.since_us),
        due=iso(standing.due_us),
        overdue=standing.overdue,
        escalations=standing.escalations,
        change=version.lock,
    )


def of_proposal(one: Proposal, policy: Policy, in_force: str | None) -> ProposalView:
    """Return the view of one that is, or was, a proposal."""
    status = str(one.status)
    if status == "accepted":
        status = "in_force" if one.id == in_force else "replaced"
    return ProposalView(
        baseline_id=one.id,
        status=status,
        digest=one.digest,
        rows=one.rows,
        columns=list(one.columns),
        moved=[warning for warning in one.warnings if warning["code"] == "moved"],
        compared_with=one.replaces,
        signed_by=list(one.signed_by),
        need=signatures_needed(policy),
        created=iso(one.created_us),
        created_by=one.created_by,
        settled=iso_or_none(one.settled_us),
        settled_by=one.settled_by,
        reason=one.reason,
    )


def of_record(record: BaselineRecord, policy: Policy) -> ProposalView:
    """Return the view of the baseline in force that was never a proposal."""
    return ProposalView(
        baseline_id=record.id,
        status="in_force",
        digest=record.digest,
        rows=record.rows,
        columns=list(record.columns),
        moved=[warning for warning in record.warnings if warning["code"] == "moved"],
        compared_with=None,
        signed_by=[record.created_by],
        need=signatures_needed(policy),
        created=iso(record.created_us),
        created_by=record.created_by,
        settled=None,
        settled_by=None,
        reason="",
    )
