"""Reviews: who is responsible, until when, and when people are told that nobody has decided. Pure."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from service.domain.errors import Conflict, Place, Unprocessable
from service.domain.ids import Actor, Micros
from service.domain.policy import Policy
from service.domain.records import Version
from service.domain.reviews import Review
from service.domain.states import State
from service.domain.texts import NAME_LENGTH_MAX, bad_text

HOUR_US = 3_600_000_000
REVIEWERS_MAX = 10
HOURS_MAX = 720.0
NAMED_MAX = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """A review as it stands."""

    reviewers: tuple[Actor, ...]
    since_us: Micros
    due_us: Micros
    overdue: bool
    escalations: int


def standing_of(version: Version, policy: Policy, row: Review | None, now_us: Micros) -> Standing | None:
    """Return the review of a version; ``None`` when it is not under review."""
    if version.state is not State.UNDER_REVIEW:
        return None
    mine = row if row is not None and row.lock == version.lock else Review(version_id=version.id, lock=version.lock)
    own = round(policy.review_hours * HOUR_US)
    due_us = mine.due_us if mine.due_us is not None else Micros(version.since_us + own)
    return Standing(
        reviewers=mine.reviewers,
        since_us=version.since_us,
        due_us=due_us,
        overdue=now_us >= due_us,
        escalations=mine.escalations,
    )


def escalates(version: Version, policy: Policy, row: Review | None, now_us: Micros) -> str | None:
    """Return what people are to hear about a review now; ``None`` when there is nothing new."""
    standing = standing_of(version, policy, row, now_us)
    if standing is None or not standing.overdue or standing.escalations >= policy.review_reminders:
        return None
    pause_us = min(HOUR_US, round(policy.review_hours * HOUR_US))
    # The n-th reminder has its time, wherever the clock stood when the one before was written down.
    if now_us < standing.due_us + standing.escalations * pause_us:
        return None
    hours = (now_us - standing.since_us) / HOUR_US
    who = f"it is with {' and '.join(standing.reviewers)}" if standing.reviewers else "no reviewer is named"
    count = f"{standing.escalations + 1} of {policy.review_reminders}"
    return f"under review for {hours:.3g} hours and nobody has decided; {who}; reminder {count}"


def check_review(version: Version, reviewers: Sequence[str], hours: float | None, able: Collection[str]) -> None:
    """Let people be named for a review, or say why not.

    Parameters
    ----------
    version
        As it is now.
    reviewers
        Names of keys.
    hours
        From now until the deadline; ``None`` for what the policy says.
    able
        Names of the keys that may decide about the model.

    Raises
    ------
    Conflict
        When the version is not under review.
    Unprocessable
        When a name is no key's that may decide, the deployer is the only one, or the hours are none.
    """
    if version.state is not State.UNDER_REVIEW:
        name = f"{version.model}/{version.version}"
        detail = f"{name} is '{version.state}': reviewers are named for a version under review"
        raise Conflict(detail, extra={"state": str(version.state)})
    places = [place for at, name in _numbered(reviewers) for place in bad_text(at, name, 1, NAME_LENGTH_MAX)]
    if not places:
        places += _unfit(version, reviewers, able)
    if hours is not None and not 0 < hours <= HOURS_MAX:
        places.append(Place("hours", f"must be more than 0 and at most {HOURS_MAX:g}, is {hours:g}"))
    if places:
        raise Unprocessable("the review cannot be given to them", places=places)


def _unfit(version: Version, reviewers: Sequence[str], able: Collection[str]) -> list[Place]:
    if not 0 < len(set(reviewers)) <= REVIEWERS_MAX:
        return [Place("reviewers", f"must name 1 to {REVIEWERS_MAX} people, names {len(set(reviewers))}")]
    if set(reviewers) == {version.deployed_by}:
        return [Place("reviewers", f"'{version.deployed_by}' deployed the version: name somebody else, too")]
    known = ", ".join(sorted(able)[:NAMED_MAX]) or "nobody"
    reason = f"is no key that may decide about {version.model}; these may: {known}"
    return [Place(at, f"'{name}' {reason}") for at, name in _numbered(reviewers) if name not in able]


def _numbered(reviewers: Sequence[str]) -> list[tuple[str, str]]:
    return [(f"reviewers[{number}]", name) for number, name in enumerate(reviewers[: 2 * REVIEWERS_MAX])]
