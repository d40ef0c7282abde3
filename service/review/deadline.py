"""Whose review it is, and what happens when nobody decides in time."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from service.domain.errors import Unprocessable
from service.domain.ids import Actor, Micros
from service.domain.records import Version
from service.domain.reviews import Review
from service.domain.texts import bad_text
from service.notify.compose import compose
from service.notify.reviews import review_assigned, review_overdue
from service.office import new_id
from service.ports import SYSTEM
from service.quarantine.decide import check_seen
from service.quarantine.review import HOUR_US, check_review, escalates, standing_of
from service.review.stages import ReviewStages, of_version

REASON_MAX = 2_000


@dataclass(frozen=True, slots=True, kw_only=True)
class ReviewRequest:
    """Whose review it shall be, and until when."""

    reviewers: Sequence[str]
    hours: float | None
    """From now; ``None`` leaves the deadline as it is."""
    reason: str
    seen: int | None = None
    """The number of the newest change that the person knows."""


def name_reviewers(stages: ReviewStages, actor: Actor, model: str, version: str, request: ReviewRequest) -> Review:
    """Give a review to people, with a deadline.

    Raises
    ------
    NotFound
        When there is no such version.
    Unprocessable, Conflict
        As ``check_review`` and ``check_seen`` say, or when the reason is missing.
    """
    places = bad_text("reason", request.reason, least=1, most=REASON_MAX)
    if places:
        raise Unprocessable("a reason is required", places=places)
    with stages.store.write() as tx:
        _, current = of_version(tx, model, version)
        check_seen(current, request.seen)
        now_us = stages.office.clock.now_us()
        check_review(current, request.reviewers, request.hours, tx.able(model, now_us))
        before = tx.review(current.id)
        if before is None or before.lock != current.lock:
            before = Review(version_id=current.id, lock=current.lock)
        names = tuple(dict.fromkeys(Actor(name) for name in request.reviewers))
        review = replace(before, reviewers=names)
        if request.hours is not None:
            # A new deadline is watched anew; an old one that was missed stays on record in the audit chain.
            due_us = Micros(now_us + round(request.hours * HOUR_US))
            review = replace(review, due_us=due_us, escalations=0, escalated_us=None)
        tx.save_review(review)
        until = "" if request.hours is None else f" within {request.hours:g} hours"
        detail = f"by {', '.join(names)}{until}: {request.reason.strip()}"
        tx.control.audit(actor, "review.assign", f"{model}/{version}", detail, now_us)
        tx.control.add_message(
            compose(review_assigned(review, current, actor, request.reason.strip(), now_us, new_id()))
        )
        return review


def escalate(stages: ReviewStages, version: Version) -> str | None:
    """Tell people once more that a review is overdue, if it is time; return what they were told.

    Decided inside the write transaction: of several processes that look at the same time, one tells.
    """
    with stages.store.write() as tx:
        owner, current = of_version(tx, version.model, version.version)
        now_us = stages.office.clock.now_us()
        row = tx.review(current.id)
        text = escalates(current, owner.policy, row, now_us)
        standing = standing_of(current, owner.policy, row, now_us)
        if text is None or standing is None:
            return None
        before = (
            row if row is not None and row.lock == current.lock else Review(version_id=current.id, lock=current.lock)
        )
        review = replace(before, escalations=before.escalations + 1, escalated_us=now_us)
        tx.save_review(review)
        tx.control.audit(SYSTEM, "review.overdue", f"{current.model}/{current.version}", text, now_us)
        tx.control.add_message(compose(review_overdue(review, current, text, standing.due_us, now_us)))
        return text
