"""What has changed about an incident since somebody looked at it. Pure: nothing is written here."""

from collections.abc import Sequence
from datetime import UTC, datetime

from service.alert.triage import IncidentAction
from service.domain.errors import Conflict, Place
from service.domain.records import Incident, TimelineItem
from service.domain.states import Event

CHANGES_SHOWN = 5
BODY_SHOWN = 200
COUNTED = frozenset({*IncidentAction, *Event, "snooze", "wake", "merge", "merged", "ended"})
"""Kinds of entries that are a change of the incident itself; all others leave the number of changes as it was."""


def stale(incident: Incident, items: Sequence[TimelineItem], expected: int, place: str) -> Conflict:
    """Return the error that says what happened since a change; ``items`` come oldest first."""
    since = incident.lock - expected
    if since <= 0:
        detail = f"incident '{incident.id}' has seen {incident.lock} changes, not {expected}: read it again"
        return Conflict(detail, places=[Place(place, f"is {expected}")], extra={"lock": incident.lock})
    changes = [item for item in items if item.kind in COUNTED][-min(since, CHANGES_SHOWN) :]
    told = "; ".join(_words(item) for item in changes) or "its alerts"
    more = f" (the last {CHANGES_SHOWN} of {since})" if since > CHANGES_SHOWN else ""
    who = f", with {incident.assignee}" if incident.assignee else ""
    return Conflict(
        f"incident '{incident.id}' has changed since you looked{more}: {told}. It is {incident.status}{who} now",
        places=[Place(place, f"is {expected}, but the incident is at change {incident.lock}")],
        extra={"lock": incident.lock},
    )


def _words(item: TimelineItem) -> str:
    at = datetime.fromtimestamp(item.at_us // 1_000_000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    body = f" ({item.body[:BODY_SHOWN]})" if item.body else ""
    return f"{item.kind} by {item.actor} at {at}{body}"
