"""Whether gateways follow a quarantine, as the status answers it."""

from service.api.views import View, iso, iso_or_none
from service.domain.enforcement import Enforcement


class EnforcementStatus(View, frozen=True, kw_only=True):
    """Of the newest quarantine."""

    quarantined_at: str
    enforced_at: str | None
    """When the gate first kept a request from the version."""
    seconds: float | None
    """From the quarantine until then."""
    decision_id: str | None
    not_enforced_since: str | None
    """Since when people know that events still come after the deadline."""
    ended_at: str | None


def of_enforcement(one: Enforcement | None) -> EnforcementStatus | None:
    """Return the view; nothing where there never was a quarantine."""
    if one is None:
        return None
    return EnforcementStatus(
        quarantined_at=iso(one.quarantined_us),
        enforced_at=iso_or_none(one.enforced_us),
        seconds=one.seconds,
        decision_id=one.decision_id,
        not_enforced_since=iso_or_none(one.overdue_us),
        ended_at=iso_or_none(one.ended_us),
    )
