"""What people do with incidents, to messages: whoever was told of an alert hears who has it, and what it was."""

from service.domain.ids import derived_id
from service.domain.notices import About, Kind
from service.domain.records import Incident, IncidentStatus, Message, TimelineItem
from service.notify.compose import TEXT_LENGTH_MAX, encoded, group_of, payload_with, time_of


def incident_messages(before: Incident, after: Incident, item: TimelineItem) -> list[Message]:
    """Return what an action tells: an acknowledgement or a resolution, and of all else nothing."""
    if after.status is before.status or after.status is IncidentStatus.OPEN:
        return []
    resolved = after.status is IncidentStatus.RESOLVED
    kind = Kind.INCIDENT_RESOLVED if resolved else Kind.INCIDENT_ACKNOWLEDGED
    done = f"is resolved: {after.verdict}" if resolved and after.verdict is not None else f"is {after.status}"
    about = About(
        kind=kind,
        severity=after.severity,
        summary=f"{after.title} - {done}"[:TEXT_LENGTH_MAX],
        description=item.body[:TEXT_LENGTH_MAX],
        at=time_of(item.at_us),
        model=after.model,
        version=after.version,
        incident_id=after.id,
        actor=item.actor,
    )
    # Which alerts it is about is looked up when it is routed: those that people were told of.
    return [
        Message(
            id=derived_id("message", kind, after.id, before.lock),
            kind=kind,
            payload=encoded(payload_with([], group_of({}, after.id), about)),
            created_us=item.at_us,
            severity=after.severity,
            model=after.model,
            version=after.version,
            incident_id=after.id,
        )
    ]
