"""What people do with incidents, to messages: whoever was told of an alert hears who has it, and what it was."""

from msgspec import UNSET

from service.domain.ids import derived_id
from service.domain.incidents import Moved
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
    return [_message(kind, after, before.lock, done, item)]


def merge_messages(part: Incident, whole: Incident, item: TimelineItem, moved: Moved) -> list[Message]:
    """Return what a merge tells.

    Of the part, that its group is over, although nothing that it told of is; of the whole, if somebody was told of the
    part alone, that it goes on. Two messages, as each version has an order of its own.
    """
    kind = Kind.INCIDENT_MERGED
    done = f"is part of '{whole.title}' now"
    messages = [_message(kind, part, part.lock, done, item, merged_into=whole.id, moved=moved)]
    if moved.strangers:
        messages.append(_message(kind, whole, whole.lock, f"'{part.title}' is part of it now", item))
    return messages


def _message(  # noqa: PLR0913 - one fact each
    kind: Kind,
    incident: Incident,
    lock: int,
    done: str,
    item: TimelineItem,
    *,
    merged_into: str = "",
    moved: Moved | None = None,
) -> Message:
    about = About(
        kind=kind,
        severity=incident.severity,
        summary=f"{incident.title} - {done}"[:TEXT_LENGTH_MAX],
        description=item.body[:TEXT_LENGTH_MAX],
        at=time_of(item.at_us),
        model=incident.model,
        version=incident.version,
        incident_id=incident.id,
        actor=item.actor,
        merged_into=merged_into,
        over=() if moved is None else moved.left,
        heard=moved.heard if moved is not None and moved.heard else UNSET,
    )
    # Which alerts it is about is looked up when it is routed: those that people were told of.
    return Message(
        id=derived_id("message", kind, incident.id, lock),
        kind=kind,
        payload=encoded(payload_with([], group_of({}, incident.id), about)),
        created_us=item.at_us,
        severity=incident.severity,
        model=incident.model,
        version=incident.version,
        incident_id=incident.id,
    )
