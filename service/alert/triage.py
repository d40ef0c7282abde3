"""What people do with an incident: acknowledge, assign, comment, resolve. Pure: nothing is written here."""

from dataclasses import dataclass, replace
from enum import StrEnum

from service.domain.errors import Conflict, Place, Unprocessable
from service.domain.ids import Actor, Micros
from service.domain.records import Incident, IncidentStatus, TimelineItem, Verdict
from service.domain.texts import bad_text

NOTE_LENGTH_MAX = 4_000
NAME_LENGTH_MAX = 200


class IncidentAction(StrEnum):
    """What may be done to an incident."""

    ACK = "ack"
    ASSIGN = "assign"
    COMMENT = "comment"
    RESOLVE = "resolve"


@dataclass(frozen=True, slots=True, kw_only=True)
class Act:
    """One action with what it needs: a comment needs a note, an assignment a name, a resolution a verdict."""

    action: IncidentAction
    note: str = ""
    assignee: str | None = None
    verdict: Verdict | None = None
    expected: int | None = None
    """The incident's number of changes when the person looked; ``None`` where they did not say."""


class StaleView(Conflict):
    """The incident is not as it was when the person looked."""


def seen(incident: Incident, expected: int | None) -> None:
    """Raise StaleView when the incident has changed since a person looked at it."""
    if expected is not None and expected != incident.lock:
        raise StaleView(f"incident '{incident.id}' has changed: read it again", extra={"lock": incident.lock})


def act_on(incident: Incident, act: Act, actor: Actor, at_us: Micros) -> tuple[Incident, TimelineItem]:
    """Return the incident after an action, and what the timeline says about it.

    Raises
    ------
    Unprocessable
        When the action lacks what it needs, or a text is too long or has a control character.
    Conflict
        When the incident is resolved, where only comments are possible; ``StaleView`` when it has changed meanwhile.
    """
    _check(act)
    seen(incident, act.expected)
    if incident.status is IncidentStatus.RESOLVED and act.action is not IncidentAction.COMMENT:
        raise Conflict(f"incident '{incident.id}' is resolved; only comments are possible")
    after, body = _apply(incident, act, at_us)
    return after, TimelineItem(at_us=at_us, actor=actor, kind=act.action.value, body=body)


def _apply(incident: Incident, act: Act, at_us: Micros) -> tuple[Incident, str]:
    match act.action:
        case IncidentAction.COMMENT:
            return incident, act.note
        case IncidentAction.ACK:
            first = at_us if incident.acknowledged_us is None else incident.acknowledged_us
            return replace(incident, status=IncidentStatus.ACKNOWLEDGED, acknowledged_us=first), act.note
        case IncidentAction.ASSIGN:
            return replace(incident, assignee=act.assignee), f"to {act.assignee}" + (
                f": {act.note}" if act.note else ""
            )
        case IncidentAction.RESOLVE:
            after = replace(
                incident, status=IncidentStatus.RESOLVED, verdict=act.verdict, note=act.note or None, resolved_us=at_us
            )
            return after, f"{act.verdict}" + (f": {act.note}" if act.note else "")


def _check(act: Act) -> None:
    """Raise Unprocessable naming every bad place of an action."""
    places = bad_text("note", act.note, most=NOTE_LENGTH_MAX)
    if act.action is IncidentAction.COMMENT and not act.note.strip():
        places.append(Place("note", "a comment must not be empty"))
    if act.action is IncidentAction.ASSIGN:
        places += bad_text("assignee", act.assignee or "", least=1, most=NAME_LENGTH_MAX)
    if act.action is IncidentAction.RESOLVE and act.verdict is None:
        places.append(Place("verdict", f"is required: one of {', '.join(Verdict)}"))
    if places:
        raise Unprocessable(f"{act.action} cannot be done", places=places)
