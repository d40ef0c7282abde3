"""What waits for people about one version, as members of its status."""

from typing import Any

from service.api.views_review import of_glass, of_review
from service.domain.ids import Micros
from service.domain.policy import Policy
from service.domain.records import Version
from service.domain.reviews import ProposalStatus
from service.domain.states import HELD
from service.ports_review import ReviewStore
from service.quarantine.proposals import PROPOSALS_MAX


def waiting_of(store: ReviewStore, version: Version, policy: Policy, now_us: Micros) -> dict[str, Any]:
    """Return the members ``review``, ``break_glass`` and ``baselines_proposed``."""
    proposed = store.proposals(version.id, PROPOSALS_MAX) if version.baseline_id is not None else ()
    number = sum(one.status is ProposalStatus.PROPOSED for one in proposed)
    if version.state not in HELD:
        return {"baselines_proposed": number}
    newest = next(iter(store.glasses(version.id, 1)), None)
    broken = newest is not None and newest.lets_through(now_us)
    return {
        "baselines_proposed": number,
        "review": of_review(version, policy, store.reviews().get(version.id), now_us),
        "break_glass": of_glass(newest, now_us) if newest is not None and broken else None,
    }
