"""The state diagram of the documentation, drawn from the table that the code runs on."""

from service.domain.states import HUMAN_ONLY, TRANSITIONS, State


def mermaid() -> str:
    """Return the transition table as a Mermaid diagram; events that only people may raise are marked."""
    arrows = [
        f"    {before} --> {after}: {event}{' (person)' if event in HUMAN_ONLY else ''}"
        for (before, event), after in TRANSITIONS.items()
    ]
    final = [f"    {state} --> [*]" for state in State if not any(before is state for before, _ in TRANSITIONS)]
    return "\n".join(["stateDiagram-v2", f"    [*] --> {State.ACTIVE}", *arrows, *final])
