"""Proposed baselines: which wait, and for whom. Pure: nothing is written here.

Whoever can put a baseline decides what counts as normal. So where one is in force, a new one that differs waits for
another person, who is shown what differs.
"""

from collections.abc import Iterable, Mapping

from service.domain.errors import Conflict, Forbidden, Place, Unprocessable
from service.domain.ids import Actor
from service.domain.policy import BaselineReview, Policy
from service.domain.records import Version
from service.domain.reviews import Proposal, ProposalStatus
from service.domain.states import SERVING, State
from service.domain.texts import bad_text

MOVED = "moved"
"""The code of the warnings that name a difference from the baseline in force."""
PROPOSALS_MAX = 4
"""Of one version that may wait at the same time: each holds its artefact."""
REASON_MAX = 2_000


def waits(version: Version, policy: Policy, warnings: Iterable[Mapping[str, str]], *, promises: bool) -> bool:
    """Return whether a baseline that was put waits for another person.

    ``promises``: the one in force supports a promise; one that raises no alert protects nothing.
    """
    if version.baseline_id is None or policy.baseline_review is BaselineReview.NEVER:
        return False
    if policy.baseline_review is BaselineReview.ALWAYS or version.state not in SERVING:
        return True
    return promises and any(warning["code"] == MOVED for warning in warnings)


def check_draft(version: Version) -> None:
    """Raise Conflict when a version is out of use for ever: no new normal would judge anything."""
    if version.state is State.RETIRED:
        name = f"{version.model}/{version.version}"
        detail = f"{name} is retired, and nothing judges it any more: a draft would stand in place of nothing"
        raise Conflict(detail, extra={"state": str(version.state)})


def check_room(version: Version, waiting: int) -> None:
    """Raise Conflict when as many proposals wait as may."""
    if waiting >= PROPOSALS_MAX:
        name = f"{version.model}/{version.version}"
        raise Conflict(f"{waiting} baselines of {name} wait already: accept or refuse one of them first")


def signatures_needed(policy: Policy) -> int:
    """Return how many different people a proposal needs, the one who put it included: never fewer than two."""
    return max(2, policy.reviewers)


def check_settle(version: Version, proposal: Proposal, actor: Actor, reason: str, *, accept: bool) -> None:
    """Let a person accept or refuse a proposal, or say why not.

    Raises
    ------
    Unprocessable
        When the reason is missing or too long.
    Conflict
        When it is settled already, or another baseline is in force than the one it was compared with.
    Forbidden
        When the one who put it, or who has agreed already, accepts it.
    """
    places = bad_text("reason", reason, least=1, most=REASON_MAX)
    if places:
        raise Unprocessable("a reason is required", places=places)
    if proposal.status is not ProposalStatus.PROPOSED:
        detail = f"baseline '{proposal.id}' is {proposal.status} already, by '{proposal.settled_by}'"
        raise Conflict(detail, places=[Place("id", f"is {proposal.status}")], extra={"status": str(proposal.status)})
    if not accept:
        return
    if actor in proposal.signed_by:
        role = "put" if actor == proposal.created_by else "accepted"
        raise Forbidden(f"'{actor}' has {role} this baseline: somebody else with scope 'operate' may accept it")
    if version.baseline_id != proposal.replaces:
        detail = (
            f"another baseline is in force by now: '{version.baseline_id}', not '{proposal.replaces}', which this one"
            " was compared with; refuse it and put it again"
        )
        raise Conflict(detail, extra={"in_force": version.baseline_id, "compared_with": proposal.replaces})
