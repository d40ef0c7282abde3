"""How a run leaves a Lazaretto that goes on: incidents resolved with what they were, models retired.

A model that is retired costs its worker nothing any more, and no open incident waits for people who have nothing to
decide. What was found stays on record.
"""

import logging
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import quote

from redteam.problems import Stopped
from redteam.session import Kind

NOTE = "red-team run: it is over"
LIST_MAX = 500
LOOKS_MAX = 20
"""Lists of open incidents that are worked off, of each version: a run that raised more leaves the rest open."""
WAYS: Mapping[str, tuple[str, ...]] = {
    "active": ("retire",),
    "suspect": ("retire",),
    "quarantined": ("start_review", "retire"),
    "under_review": ("retire",),
    "rolled_back": ("retire",),
}
"""From each state, the events that lead to the end."""
ATTACK, FALSE_ALARM = "attack", "false alarm"
OPEN = ("open", "acknowledged")
log = logging.getLogger(__name__)
Ask = Callable[..., Any]
"""As ``Monitor.ask``: method, path, and what httpx takes; raises ``Stopped`` when it is refused."""


def truth_of(kind: Kind) -> str:
    """Return the verdict of an incident that a session of some kind raised."""
    return ATTACK if kind is Kind.ATTACK else FALSE_ALARM


def leave(ask: Ask, model: str, truths: Mapping[str, str], verdict: str = ATTACK) -> bool:
    """Resolve the open incidents of a model, and retire its versions.

    Parameters
    ----------
    ask : callable
        Asks the Lazaretto.
    model : str
        One of the run's own.
    truths : mapping of str to str
        The verdict of each incident, where the run knows it.
    verdict : str
        Of the others.

    Returns
    -------
    bool
        Whether it is all done; what could not be is logged, and stays as it is: a run does not fail by it.
    """
    try:
        versions = ask("GET", f"/v1/models/{quote(model, safe='')}")["versions"]
        for version in versions:
            _resolve(ask, {"model": model, "version": version["version"], "limit": LIST_MAX}, truths, verdict)
            path = f"/v1/models/{quote(model, safe='')}/versions/{quote(version['version'], safe='')}/transitions"
            for event in WAYS.get(version["state"], ()):
                ask("POST", path, json={"event": event, "reason": NOTE})
    except Stopped as error:
        log.warning("%s is not retired: %s", model, error)
        return False
    return True


def _resolve(ask: Ask, which: Mapping[str, Any], truths: Mapping[str, str], verdict: str) -> None:
    for _ in range(LOOKS_MAX):
        found = [
            one
            for status in OPEN
            for one in ask("GET", "/v1/incidents", params={**which, "status": status})["incidents"]
        ]
        if not found:
            return
        for one in found:
            body = {"verdict": truths.get(one["id"], verdict), "note": NOTE}
            ask("POST", f"/v1/incidents/{one['id']}/resolve", json=body)
