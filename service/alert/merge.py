"""Two incidents that are one thing. Pure: nothing is written here."""

from dataclasses import replace

from service.domain.errors import Conflict, Place, Unprocessable
from service.domain.ids import Actor, Micros
from service.domain.notices import worst
from service.domain.records import Incident, IncidentStatus, TimelineItem


def merge(
    part: Incident, whole: Incident, note: str, actor: Actor, at_us: Micros
) -> tuple[tuple[Incident, TimelineItem], tuple[Incident, TimelineItem]]:
    """Return both incidents after one has become part of the other, each with what its timeline says.

    The part is over without a verdict: the verdict of the whole is its own.

    Raises
    ------
    Unprocessable
        When they are one and the same, or of different models.
    Conflict
        When one of them is resolved.
    """
    if part.id == whole.id:
        reason = "an incident cannot be merged into itself"
    elif part.model != whole.model:
        reason = f"is about model '{whole.model}', not '{part.model}'"
    else:
        reason = ""
    if reason:
        raise Unprocessable("merge cannot be done", places=[Place("into", reason)])
    for one in (part, whole):
        if one.status is IncidentStatus.RESOLVED:
            raise Conflict(f"incident '{one.id}' is resolved; only comments are possible")
    text = f": {note}" if note else ""
    gone = replace(part, status=IncidentStatus.RESOLVED, resolved_us=at_us, note=f"merged into '{whole.id}'{text}")
    grown = replace(whole, severity=worst(part.severity, whole.severity))
    return (
        (gone, TimelineItem(at_us=at_us, actor=actor, kind="merge", body=f"into '{whole.id}'{text}")),
        (grown, TimelineItem(at_us=at_us, actor=actor, kind="merged", body=f"'{part.id}', {part.title}{text}")),
    )
