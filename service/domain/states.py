"""The life of a model version, as one table.

The code, the API's answers, the documentation's diagram and the property tests all read ``TRANSITIONS``.
"""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType

from service.domain.errors import Conflict, Place


class State(StrEnum):
    """State of a model version."""

    ACTIVE = "active"
    SUSPECT = "suspect"
    QUARANTINED = "quarantined"
    UNDER_REVIEW = "under_review"
    ROLLED_BACK = "rolled_back"
    RETIRED = "retired"


class Event(StrEnum):
    """What a person or a policy may ask for."""

    SUSPECT = "suspect"
    CLEAR = "clear"
    QUARANTINE = "quarantine"
    START_REVIEW = "start_review"
    RELEASE = "release"
    ROLL_BACK = "roll_back"
    RETIRE = "retire"


TRANSITIONS: Mapping[tuple[State, Event], State] = MappingProxyType(
    {
        (State.ACTIVE, Event.SUSPECT): State.SUSPECT,
        (State.ACTIVE, Event.QUARANTINE): State.QUARANTINED,
        (State.ACTIVE, Event.RETIRE): State.RETIRED,
        (State.SUSPECT, Event.CLEAR): State.ACTIVE,
        (State.SUSPECT, Event.QUARANTINE): State.QUARANTINED,
        (State.SUSPECT, Event.RETIRE): State.RETIRED,
        (State.QUARANTINED, Event.START_REVIEW): State.UNDER_REVIEW,
        (State.UNDER_REVIEW, Event.RELEASE): State.ACTIVE,
        (State.UNDER_REVIEW, Event.ROLL_BACK): State.ROLLED_BACK,
        (State.UNDER_REVIEW, Event.RETIRE): State.RETIRED,
        (State.ROLLED_BACK, Event.RETIRE): State.RETIRED,
    }
)

SERVING: frozenset[State] = frozenset({State.ACTIVE, State.SUSPECT})
"""States in which the gate lets traffic through."""

HELD: frozenset[State] = frozenset({State.QUARANTINED, State.UNDER_REVIEW})
"""States in which traffic waits for people to decide; a broken glass lets it through."""

OUT_OF_USE: frozenset[State] = frozenset({State.ROLLED_BACK, State.RETIRED})
"""States in which a version no longer stands for its model, and nobody counts on it."""

HUMAN_ONLY: frozenset[Event] = frozenset({Event.START_REVIEW, Event.RELEASE, Event.ROLL_BACK, Event.RETIRE})
"""Events that no policy may raise by itself."""


def possible_events(state: State) -> tuple[Event, ...]:
    """Return the events that ``state`` allows, in the order of the table."""
    return tuple(event for (start, event) in TRANSITIONS if start is state)


def next_state(state: State, event: Event) -> State:
    """Return the state that ``event`` leads to.

    Raises
    ------
    Conflict
        If the table has no such transition; the detail names the possible events.
    """
    try:
        return TRANSITIONS[state, event]
    except KeyError:
        possible = [str(e) for e in possible_events(state)]
        named = ", ".join(possible) or "none: this state is final"
        detail = f"'{event}' is not possible in state '{state}'; possible events: {named}"
        place = Place("event", f"is '{event}', but in state '{state}' only these are possible: {named}")
        raise Conflict(detail, places=[place], extra={"state": str(state), "possible": possible}) from None
