"""What to do next: the events that a state allows, for the person who is looking."""

from collections.abc import Sequence
from dataclasses import dataclass

from service.console import words
from service.domain.ids import Actor
from service.domain.keys import Identity
from service.domain.policy import Policy
from service.domain.records import Scope, Version
from service.domain.states import Event, State, possible_events
from service.quarantine.decide import count_approvals

_FIRST = {State.QUARANTINED: Event.START_REVIEW, State.UNDER_REVIEW: Event.RELEASE, State.SUSPECT: Event.QUARANTINE}
"""The usual next step of each state that needs one."""
_RARE = {Event.RETIRE}
"""Kept apart, so that it is not pressed by mistake."""


@dataclass(frozen=True, slots=True)
class Step:
    """One button."""

    event: str
    label: str
    first: bool
    rare: bool
    later: bool = False
    """Shown, but possible only after another step."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Steps:
    """The buttons, and what to know before pressing one."""

    advice: str
    steps: tuple[Step, ...]
    note: str | None
    """How the release works, while it is still to come."""
    approvals: str | None
    blocked: str | None
    """Why this viewer sees no buttons."""


def steps_of(  # noqa: PLR0913 - one fact each
    version: Version,
    policy: Policy,
    approvals: Sequence[Actor],
    viewer: Identity,
    *,
    is_open: bool = False,
    is_attack: bool = False,
    is_judged: bool = True,
) -> Steps:
    """Decide what the viewer may do now.

    ``is_open``: an incident is; ``is_attack``: it is about adversarial use; ``is_judged``: alerts are possible.
    """
    events = possible_events(version.state)
    first = _FIRST.get(version.state)
    blocked = None
    if events and not viewer.may(Scope.OPERATE):
        blocked = "Your key may read but not act: this needs a key with scope 'operate'."
    steps = tuple(
        Step(str(event), words.EVENT_NAMES[event], event is first, event in _RARE)
        for event in sorted(events, key=lambda event: (event in _RARE, event is not first))
    )
    note = None
    if version.state is State.QUARANTINED:
        release = Step(str(Event.RELEASE), words.EVENT_NAMES[Event.RELEASE], first=False, rare=False, later=True)
        steps = (*steps[:1], release, *steps[1:])
        note = _release_note(policy)
    advice = _advice(version, policy, approvals, viewer)
    if not is_judged and version.state is State.ACTIVE:
        advice = "Put reference data that can support a promise: until then nothing raises an alert."
    if is_open and version.state is State.ACTIVE:
        advice = "Look at the columns below, and resolve the incident when it is understood."
        if is_attack:
            advice = "Someone works against this model; it goes on serving. Look at the incident, and resolve it then."
    return Steps(
        note=note,
        advice=advice,
        steps=() if blocked else steps,
        approvals=_approvals(version, policy, approvals) if version.state is State.UNDER_REVIEW else None,
        blocked=blocked,
    )


def _advice(version: Version, policy: Policy, approvals: Sequence[Actor], viewer: Identity) -> str:
    match version.state:
        case State.ACTIVE:
            return "Nothing to do."
        case State.SUSPECT:
            return "Look at the columns below. Clear it if the change is harmless, quarantine it if it is not."
        case State.QUARANTINED:
            return "Start the review: it says that someone is looking. Traffic stays denied."
        case State.UNDER_REVIEW:
            return _release_advice(version, policy, approvals, viewer)
        case State.ROLLED_BACK:
            return "This version is out of service. Deploy another one; retire this one when it is no longer needed."
        case State.RETIRED:
            return "Nothing can be done: this state is final."


def _release_advice(version: Version, policy: Policy, approvals: Sequence[Actor], viewer: Identity) -> str:
    counted = count_approvals(version, policy, approvals)
    if viewer.actor in approvals:
        missing = _people(max(counted.need - counted.have, 1))
        return f"You have asked for the release. {missing} must ask too, or roll it back."
    if approvals:
        return "Someone has asked for the release. Ask too if you agree, or roll the version back."
    need = count_approvals(version, policy, [viewer.actor]).need
    ask = f" ({need} different people must ask for it)" if need > 1 else ""
    return f"Release it if the change is understood and harmless{ask}, or roll it back."


def _release_note(policy: Policy) -> str:
    people = "one person" if policy.reviewers == 1 else f"{policy.reviewers} people"
    return f"Release comes after the review has started; it needs {people}, and not the deployer alone."


def _approvals(version: Version, policy: Policy, approvals: Sequence[Actor]) -> str:
    counted = count_approvals(version, policy, approvals)
    by = f", by {' and '.join(counted.by)}" if counted.by else ""
    return f"Approvals for the release: {counted.have} of {counted.need}{by}."


def _people(amount: int) -> str:
    return "One more person" if amount == 1 else f"{amount} more people"
