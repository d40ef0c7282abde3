"""The way back of a drill: whatever has become of the version by then, and whatever its last events still do to it."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from service.drill.line import CONFLICT, DrillFailed, Line, read

BACK_SECONDS = 60.0
"""How long it may take; as long, every question is asked again when nobody answers."""
LOOK_SECONDS = 0.1
LAG_SECONDS_MAX = 1.0
SETTLE_SECONDS = 2.0
UNSETTLED = ("open", "acknowledged")


@dataclass(frozen=True, slots=True, kw_only=True)
class Back:
    """Where the version is."""

    released: bool
    waits_for: int = 0
    """More people that a release needs."""
    text: str = ""
    """What is to be known, where it is not simply back."""


class WayBack:
    """Brings one version back.

    Parameters
    ----------
    api
        Of who drills.
    second
        Of another person, where a release needs two.
    path
        Of the version.
    known
        Whether each bad event that was sent was acknowledged. Evidence starts from zero after those that came before a
        release or a clearance; of any other one the effect is awaited.
    """

    def __init__(self, api: Line, second: Line | None, path: str, *, known: bool) -> None:
        self._api, self._second = api, second
        self._path = path
        self._known = known
        self._restarted = False
        self._quiet_from = 0.0

    def bring(self, reason: str) -> Back:
        """Review and release what is in quarantine, clear what is suspect, until nothing of the drill is left to act.

        Parameters
        ----------
        reason
            Goes on record.

        Raises
        ------
        DrillFailed
            When the service does not answer, refuses, or its worker does not get on; the text says how it stands.
        """
        for line in (self._api, self._second):
            if line is not None:
                line.patience_seconds = BACK_SECONDS
        began = self._quiet_from = time.monotonic()
        while True:
            status = self._api.get(f"{self._path}/status")
            state = status["state"]
            if state in {"rolled_back", "retired"}:
                return Back(released=False, text=f"somebody else has decided meanwhile: the version is {state}")
            if state == "active" and self._is_over(status):
                return Back(released=True)
            if time.monotonic() - began >= BACK_SECONDS + 2 * _quiet_seconds(status):
                raise DrillFailed(f"the version is {state}, and the worker is {status['lag_seconds']:.1f} s behind")
            if state != "active":
                waits_for = self._step(state, reason)
                if waits_for:
                    return Back(released=False, waits_for=waits_for)
            time.sleep(LOOK_SECONDS)

    def settle(self, reason: str, before: frozenset[str], since: str = "", until: str | None = None) -> None:
        """Resolve the incidents that the drill has raised.

        Parameters
        ----------
        reason
            Goes on record.
        before
            Those that were there before.
        since
            When the drill began.
        until
            When it had long ended; what was opened later is none of the drill's.
        """
        for incident_id in self.unsettled(since, until) - before:
            body = {"verdict": "benign", "note": reason}
            answer = self._api.ask("POST", f"/v1/incidents/{incident_id}/resolve", json=body)
            if answer.status_code != CONFLICT:  # somebody was faster
                read(answer)

    def unsettled(self, since: str = "", until: str | None = None) -> frozenset[str]:
        """Return the incidents of the version that are not resolved, opened within a time."""
        *_, model, _, version = self._path.split("/")
        found: set[str] = set()
        for status in UNSETTLED:
            params = {"model": model, "version": version, "status": status}
            listed = self._api.get("/v1/incidents", params=params)["incidents"]
            found |= {
                one["id"] for one in listed if since <= one["opened"] and (until is None or one["opened"] <= until)
            }
        return frozenset(found)

    def _is_over(self, status: Mapping[str, Any]) -> bool:
        """Tell whether nothing more will come of the events that were sent."""
        if self._restarted and self._known:
            return True
        now = time.monotonic()
        if status["lag_seconds"] > LAG_SECONDS_MAX:
            self._quiet_from = now
        return now - self._quiet_from >= _quiet_seconds(status)

    def _step(self, state: str, reason: str) -> int:
        """Go one step back; return how many more people it needs. Somebody else may be faster: then look again."""
        self._quiet_from = time.monotonic()
        if state == "quarantined":
            self._transition(self._api, "start_review", reason)
            return 0
        if state == "suspect":
            self._restarted |= self._transition(self._api, "clear", reason) is not None
            return 0
        answer = self._transition(self._api, "release", reason)
        if answer is not None and answer["state"] == state and self._second is not None:
            answer = self._transition(self._second, "release", reason)
        if answer is None:
            return 0
        if answer["state"] == state:
            return max(1, int(answer["approvals"]["need"]) - int(answer["approvals"]["have"]))
        self._restarted = True
        return 0

    def _transition(self, line: Line, event: str, reason: str) -> dict[str, Any] | None:
        """Ask for a change; ``None`` when the state does not allow it any more."""
        answer = line.ask("POST", f"{self._path}/transitions", json={"event": event, "reason": reason})
        return None if answer.status_code == CONFLICT else read(answer)


def _quiet_seconds(status: Mapping[str, Any]) -> float:
    """Return how long after the last event it takes until evidence of it is there for sure."""
    return SETTLE_SECONDS + 2 * float(status["budget"]["tick_seconds"])
