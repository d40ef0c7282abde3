"""What a form asks for: the same operations as the API's, in plain words when they do not go."""

from functools import partial

from service.adversarial import lift_containment
from service.alert.triage import Act, IncidentAction
from service.console import words
from service.console.deps import ConsoleDeps
from service.domain.errors import NotFound, Unprocessable
from service.domain.ids import Micros
from service.domain.keys import Identity
from service.domain.records import Incident, Scope, Verdict
from service.domain.states import Event, State
from service.incident_office import IncidentOffice
from service.office import act_on_incident, request_transition
from service.review.baselines import settle_baseline
from service.review.changed import explained
from service.review.deadline import ReviewRequest, name_reviewers
from service.review.glass import GlassRequest, break_glass, end_glass

ASKED = "asked"
CHANGE_DIGITS_MAX = 18
ASIDE = frozenset({"snooze", "wake"})
HOUR_US = 3_600_000_000
SNOOZE_HOURS = ("1", "4", "24", "72")
DONE = {str(event): f"Done: {text}." for event, text in words.EVENT_DONE.items()} | {
    ASKED: "Your approval is on record. The release needs someone else to ask for it too.",
    "ack": "The incident is acknowledged: others see that you are on it.",
    "assign": "The incident is assigned.",
    "comment": "Your comment is on record.",
    "resolve": "The incident is resolved.",
    "break-glass": "The glass is broken: the gate lets traffic through for this time, and everybody is told.",
    "end-glass": "The gate is closed again.",
    "review": "The review is given to them.",
    "accept": "You have signed the baseline.",
    "refuse": "The baseline is refused; the one in force stays.",
    "snooze": "The incident is snoozed: nobody is paged of it until then. A quarantine is still told.",
    "wake": "The snooze is over.",
    "merge": "The incident is part of this one now, with its alerts and what people were told.",
    "lift": "The principal is let go: the gate no longer advises against it.",
}
"""What the page says after an action, by the name of the action."""


def transition(deps: ConsoleDeps, who: Identity, model: str, version: str, form: dict[str, str]) -> str:
    """Ask for a state change and return what was done, as a name of ``DONE``.

    Raises
    ------
    LazarettoError
        Whatever the office says: no scope, impossible event, missing reason, changed meanwhile.
    """
    who.require(Scope.OPERATE)
    who.require_model(model)
    name = form.get("event", "")
    if name not in set(Event):
        raise Unprocessable(f"'{name}' is not something that can be asked for.")
    reason, incident_id = form.get("reason", ""), form.get("incident_id") or None
    seen = seen_of(form)
    ask = partial(
        request_transition, deps.office, who.actor, model, version, Event(name), reason, incident_id, seen=seen
    )
    answer = explained(deps.read, model, version, seen, ask)
    deps.changed()
    waiting = name == Event.RELEASE and answer.state is not State.ACTIVE
    return ASKED if waiting else name


def seen_of(form: dict[str, str], field: str = "change") -> int | None:
    """Return the number of the newest change that the page showed; a form without one is as good as none."""
    text = form.get(field, "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < CHANGE_DIGITS_MAX else None


def decide_together(
    deps: ConsoleDeps, who: Identity, model: str, version: str, action: str, form: dict[str, str]
) -> str:
    """Break or end glass, name reviewers, accept or refuse a baseline; return what was done, as a name of ``DONE``.

    Raises
    ------
    LazarettoError
        Whatever the rules say.
    """
    who.require(Scope.OPERATE)
    who.require_model(model)
    review, reason = deps.review, form.get("reason", "")
    if review is None:
        raise NotFound("This console keeps no reviews.")
    match action:
        case "break-glass":
            request = GlassRequest(minutes=_number(form, "minutes") or 0.0, reason=reason, seen=seen_of(form))
            do = partial(break_glass, review, who.actor, model, version, request)
            explained(deps.read, model, version, request.seen, do)
        case "end-glass":
            end_glass(review, who.actor, model, version, reason)
        case "review":
            names = [name.strip() for name in form.get("reviewers", "").split(",") if name.strip()]
            wanted = ReviewRequest(reviewers=names, hours=_number(form, "hours"), reason=reason, seen=seen_of(form))
            give = partial(name_reviewers, review, who.actor, model, version, wanted)
            explained(deps.read, model, version, wanted.seen, give)
        case "accept" | "refuse":
            baseline_id = form.get("baseline_id", "")
            settle_baseline(review, who.actor, model, version, baseline_id, reason, accept=action == "accept")
        case _:
            raise NotFound(f"'{action}' cannot be done to a version.")
    deps.changed()
    return action


def _number(form: dict[str, str], name: str) -> float | None:
    text = form.get(name, "").strip()
    if not text:
        return None
    try:
        return float(text)
    except ValueError:
        raise Unprocessable(f"{name}: '{text[:40]}' is no number.") from None


def lift(deps: ConsoleDeps, who: Identity, model: str, version: str, principal: str, form: dict[str, str]) -> str:
    """Let a contained principal go and return what was done, as a name of ``DONE``.

    Raises
    ------
    LazarettoError
        Whatever the rules say: no scope, not contained, missing reason.
    """
    who.require(Scope.OPERATE)
    who.require_model(model)
    lift_containment(deps.office.control, deps.clock, who.actor, model, version, principal, form.get("reason", ""))
    deps.changed()
    return "lift"


def incident_of(deps: ConsoleDeps, who: Identity, incident_id: str) -> Incident:
    """Return the incident that a form is about.

    Raises
    ------
    NotFound
        When there is none, or none that the key may see.
    """
    found = deps.read.incident(incident_id)
    if found is None or not who.sees(found.model):
        raise NotFound(f"There is no incident '{incident_id}'.")
    return found


def incident(deps: ConsoleDeps, who: Identity, about: Incident, action: str, form: dict[str, str]) -> str:
    """Act on an incident and return what was done, as a name of ``DONE``.

    Raises
    ------
    LazarettoError
        Whatever the office says.
    """
    who.require(Scope.OPERATE)
    expected = seen_of(form, "lock")
    if deps.triage is not None and action in ASIDE:
        _aside(deps, deps.triage, who, about, action, form, expected)
        deps.changed()
        return action
    if action not in set(IncidentAction):
        raise NotFound(f"'{action}' cannot be done to an incident.")
    verdict = form.get("verdict", "")
    act = Act(
        action=IncidentAction(action),
        note=form.get("note", ""),
        assignee=form.get("assignee") or None,
        verdict=Verdict(verdict) if verdict in set(Verdict) else None,
        expected=expected,
    )
    if deps.triage is None:
        act_on_incident(deps.office, who.actor, about.id, act)
    else:
        deps.triage.act(deps.office, who.actor, about.id, act)
    deps.changed()
    return action


def _aside(  # noqa: PLR0913, PLR0917 - what the form says
    deps: ConsoleDeps,
    triage: IncidentOffice,
    who: Identity,
    about: Incident,
    action: str,
    form: dict[str, str],
    expected: int | None,
) -> None:
    note = form.get("note", "")
    if action == "wake":
        triage.wake(who.actor, about.id, note, expected)
        return
    hours = form.get("hours", "")
    until_us = None
    if hours:
        if hours not in SNOOZE_HOURS:
            raise Unprocessable(f"'{hours[:20]}' is no number of hours that can be chosen.")
        until_us = Micros(deps.clock.now_us() + int(hours) * HOUR_US)
    triage.snooze(who.actor, about.id, until_us, form.get("until_worse") == "yes", note, expected)
