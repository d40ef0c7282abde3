"""A drill: quarantine a version on purpose, by bad events, and measure the whole chain up to a refusal at a gateway.

Everything goes over HTTP, as a model server's and an operator's would. One version is named, and only that one is
touched; one that serves real traffic is refused unless the caller insists. However it ends, the version comes back.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

import httpx

from service.drill.back import WayBack
from service.drill.line import DrillFailed, Line, read
from service.entropy import random_hex

FORBIDDEN = 403
NOT_FOUND = 404
ROWS = 100
"""Bad events of one request."""
SEND_SECONDS = 0.1
POLL_SECONDS = 0.02
OPEN_SECONDS = 30.0
"""How long the gateway may take to open again after the release."""
IDLE_SECONDS = 60.0
"""A version that had an event so recently serves somebody."""
TICK_SECONDS_MAX = 60.0
"""The way back takes two ticks and more, in which nothing ends it."""
REFERENCE_ROWS = 4_000
FEATURE = "drill"
DEPLOYER = "lazaretto drill"
COMPILE_SECONDS = 600.0
"""How long the reference may take to become a baseline, on a machine that is busy."""
REFUSED = "refused at the gateway"
OPEN = "open again after the release"
LONGEST = timedelta(hours=2)
"""After its beginning a drill has long ended, or failed."""
CLOSING = {"suspect": "suspicion", "quarantine": "quarantine"}
"""What a drill brings a version to, and what it is called."""
LISTED = 100
"""Drills on record that are looked at for one that has not ended."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What the drill is about."""

    model: str
    version: str
    through: str = ""
    """URL of an inference request at the gateway; it must lead to this version."""
    create: bool = False
    """Register a model of its own for drills, when there is none of this name."""
    in_service: bool = False
    """Take it out of service although it serves."""
    timeout_seconds: float = 60.0

    @property
    def path(self) -> str:
        """Of the version."""
        return f"/v1/models/{self.model}/versions/{self.version}"


@dataclass(slots=True)
class Report:
    """What happened when, in seconds since the first bad event was sent."""

    drill_id: str
    target: Target
    steps: dict[str, float] = field(default_factory=dict)
    outcome: str = "ended early"
    released: bool = False
    waits_for: int = 0
    """More people that a release needs."""
    never_open: bool = False
    """Whether the gateway went on refusing after the release."""

    @property
    def seconds_to_refusal(self) -> float | None:
        """From the first bad event to the refusal at the gateway."""
        return self.steps.get(REFUSED)


Tell = Callable[[str, float], None]


class Drill:
    """One drill.

    Parameters
    ----------
    api
        Of Lazaretto, with a key that may ingest, read and operate (with ``create`` also administer).
    gateway
        Without a key.
    second
        Of another person, where a release needs two.
    undisturbed
        Entered for the drill and the way back: whoever wants the drill to end waits for that.
    endable
        Entered within, while the drill goes on: there a wish to end it, also an earlier one, is a DrillFailed.
    """

    def __init__(
        self,
        api: httpx.Client,
        gateway: httpx.Client,
        second: httpx.Client | None = None,
        undisturbed: Callable[[], AbstractContextManager[None]] = nullcontext,
        endable: Callable[[], AbstractContextManager[None]] = nullcontext,
    ) -> None:
        self._api = Line(api)
        self._gateway = gateway
        self._second = None if second is None else Line(second)
        self._undisturbed, self._endable = undisturbed, endable
        self._clock = time.monotonic
        self._known = True
        """Whether each bad event that was sent was acknowledged."""

    def run(self, target: Target, tell: Tell = lambda _step, _at: None) -> Report:
        """Go through the whole chain and back.

        Raises
        ------
        DrillFailed
            Before anything is touched, or once the version is back as far as this key can bring it.
        """
        report = Report(random_hex(8), target)
        version = self._find_or_create(target)
        self._check_fit(target, version)
        before = self._ask_gateway(target)
        if before == FORBIDDEN:
            raise DrillFailed(f"{target.through} answers 403 already: there is nothing to measure")
        standing = WayBack(self._api, None, target.path, known=True).unsettled()
        failed = None
        with self._undisturbed():
            self._note(report, "begin")
            try:
                with self._endable():
                    self._break(target, version["schema"], report, tell)
                report.outcome = REFUSED
            except DrillFailed as failure:
                report.outcome, failed = str(failure), failure
            finally:
                self._end(report, standing, before, tell)
        if failed is not None:
            raise DrillFailed(report.outcome) from failed
        return report

    def _end(self, report: Report, standing: frozenset[str], before: int, tell: Tell) -> None:
        """Bring the version back, and say how it stands."""
        whole = report.outcome == REFUSED
        self._bring_back(report, standing)
        if report.waits_for and not whole:
            report.outcome += f"; NOT released: it waits for {report.waits_for} more to approve"
        if report.released and REFUSED in report.steps:
            self._await_open(report.target, before, report, tell)
        self._note(report, "end")

    def finish(self, target: Target) -> Report:
        """Bring a version back that a drill has left behind, because it was killed or lost its connection.

        Raises
        ------
        DrillFailed
            When no drill of the version is on record that has not ended, or it cannot be brought back now.
        """
        listed = self._api.get(f"{target.path}/drills", params={"limit": LISTED})["drills"]
        left = next((one for one in listed if one["begun_at"] and one["ended_at"] is None), None)
        if left is None:
            raise DrillFailed(f"no drill of {target.model}/{target.version} is on record that has not ended")
        until = self._check_own(target, left["begun_at"])
        report = Report(left["drill_id"], target, outcome="brought back later")
        self._known = False
        with self._undisturbed():
            self._bring_back(report, frozenset(), left["begun_at"], until)
            self._note(report, "end")
        return report

    def _check_own(self, target: Target, begun_at: str) -> str:
        """Raise when the newest suspicion or quarantine came long after the drill: people decide about that one.

        Returns
        -------
        str
            The last moment at which something may be of the drill.
        """
        until = datetime.fromisoformat(begun_at) + LONGEST
        listed = self._api.get(f"{target.path}/transitions", params={"limit": LISTED})["transitions"]
        newest = next((one for one in listed if one["event"] in CLOSING), None)
        if newest is not None and datetime.fromisoformat(newest["at"]) > until:
            raise DrillFailed(
                f"the newest {CLOSING[newest['event']]} of {target.model}/{target.version} is of {newest['at']}, and"
                f" the drill began at {begun_at}: it is none of the drill's; review it"
            )
        return until.isoformat(timespec="microseconds").replace("+00:00", "Z")

    def _find_or_create(self, target: Target) -> dict[str, Any]:
        answer = self._api.ask("GET", target.path)
        if answer.status_code == NOT_FOUND and target.create:
            self._create(target)
            answer = self._api.ask("GET", target.path)
        found = read(answer)
        if target.create and found["baseline_id"] is None and found["deployed_by"] == DEPLOYER:
            # Also of a drill that was given up in between.
            self._put_reference(target)
            found = self._api.get(target.path)
        return found

    def _create(self, target: Target) -> None:
        """Register a model for drills only: one column, a reference made up for it, nobody's traffic."""
        known = self._api.ask("GET", f"/v1/models/{target.model}")
        if known.status_code != NOT_FOUND and read(known)["versions"]:
            raise DrillFailed(
                f"model '{target.model}' has versions: a new one would stand for its name; name another model"
            )
        if known.status_code == NOT_FOUND:
            policy = {"reviewers": 1}
            body = {"name": target.model, "owner": "drills", "description": "For drills only", "policy": policy}
            self._api.post("/v1/models", body)
        schema = {"features": [{"name": FEATURE, "kind": "numeric"}], "prediction": {"kind": "number"}}
        body = {"version": target.version, "schema": schema, "deployed_by": DEPLOYER}
        self._api.post(f"/v1/models/{target.model}/versions", body)

    def _put_reference(self, target: Target) -> None:
        # A fixed sequence without period in the rows that there are: every value between 0 and 1 as often as others.
        values = (f"{(number * 0.618_033_988_749_895) % 1.0:.9f}" for number in range(REFERENCE_ROWS))
        rows = "".join(f"{value},{value}\n" for value in values)
        content, headers = f"{FEATURE},prediction\n{rows}", {"content-type": "text/csv"}
        put = self._api.ask("PUT", f"{target.path}/baseline", content=content, headers=headers, timeout=COMPILE_SECONDS)
        read(put)

    def _check_fit(self, target: Target, version: Mapping[str, Any]) -> None:
        """Raise before anything is touched when the version must not or cannot be drilled."""
        status = self._status(target)
        name = f"{target.model}/{target.version}"
        if status["state"] != "active":
            raise DrillFailed(f"{name} is {status['state']}: a drill begins with an active version")
        if version["baseline_id"] is None:
            raise DrillFailed(f"{name} has no baseline: nothing can be noticed")
        tick = status["budget"]["tick_seconds"]
        if tick > TICK_SECONDS_MAX:
            raise DrillFailed(
                f"{name} has ticks of {tick:g} s, and the way back waits for two: more than {TICK_SECONDS_MAX:g} s"
                " are too long for a drill; use a model for drills"
            )
        if target.in_service:
            return
        known = self._api.get(f"/v1/models/{target.model}")["versions"]
        if any(one["version"] != target.version for one in known):
            raise DrillFailed(
                f"model '{target.model}' has other versions: whoever names only the model would meet the drill;"
                " use a model for drills, or say --in-service"
            )
        if status["last_event"] is not None and self._served_lately(status):
            raise DrillFailed(
                f"{name} had an event less than {IDLE_SECONDS:.0f} s ago: a drill would take"
                " it out of service; use a model for drills, or say --in-service"
            )

    def _served_lately(self, status: Mapping[str, Any]) -> bool:
        # By the service's own clock, which may differ from ours.
        date = self._api.ask("GET", "/healthz").headers.get("date")
        now = parsedate_to_datetime(date) if date else None
        last = datetime.fromisoformat(status["last_event"])
        return now is None or now - last < timedelta(seconds=IDLE_SECONDS)

    def _break(self, target: Target, schema: Mapping[str, Any], report: Report, tell: Tell) -> None:
        """Send bad events until the gateway refuses, noting each step when this side sees it."""
        bodies = _bad_events(schema, report.drill_id)
        started = self._clock()

        def note(step: str) -> None:
            if step not in report.steps:
                report.steps[step] = round(self._clock() - started, 3)
                tell(step, report.steps[step])

        note("first bad event sent")
        sent_at = -SEND_SECONDS
        state = "active"
        while (now := self._clock() - started) < target.timeout_seconds:
            if state in {"active", "suspect"}:
                if now - sent_at >= SEND_SECONDS:
                    sent_at = now
                    self._send(target, next(bodies))
                    note("first bad event acknowledged")
                state = self._status(target)["state"]
                if state != "active":
                    note("suspect" if state == "suspect" else "quarantined")
            if self._ask_gateway(target) == FORBIDDEN:
                note("quarantined")
                note(REFUSED)
                return
            time.sleep(POLL_SECONDS)
        raise DrillFailed(
            f"{target.through} did not refuse within {target.timeout_seconds:g} s; the version is {state}."
            f" Steps so far: {', '.join(report.steps)}"
        )

    def _send(self, target: Target, body: dict[str, Any]) -> None:
        """Send bad events; should this end before the answer is there, they may have arrived all the same."""
        before, self._known = self._known, False
        self._api.post(f"{target.path}/events", body)
        self._known = before

    def _bring_back(self, report: Report, standing: frozenset[str], since: str = "", until: str | None = None) -> None:
        """Undo it, or say what is left and how it is undone later."""
        target, reason = report.target, f"drill {report.drill_id}: over"
        way = WayBack(self._api, self._second, target.path, known=self._known)
        try:
            back = way.bring(reason)
            if back.released:
                way.settle(reason, standing, since, until)
        except DrillFailed as failure:
            raise DrillFailed(
                f"{report.outcome}; and {target.model}/{target.version} was NOT brought back: {failure}."
                f" Later: lazaretto drill {target.model} {target.version} --bring-back"
            ) from failure
        report.released, report.waits_for = back.released, back.waits_for
        if back.text:
            report.outcome += f"; {back.text}"

    def _await_open(self, target: Target, before: int, report: Report, tell: Tell) -> None:
        started = self._clock()
        while self._clock() - started < OPEN_SECONDS:
            with suppress(DrillFailed):  # away for a moment: the version is released
                if self._ask_gateway(target) == before:
                    report.steps[OPEN] = round(self._clock() - started, 3)
                    tell(OPEN, report.steps[OPEN])
                    return
            time.sleep(POLL_SECONDS)
        report.never_open = True
        report.outcome += f"; not open again {OPEN_SECONDS:g} s after the release"

    def _status(self, target: Target) -> dict[str, Any]:
        return self._api.get(f"{target.path}/status")

    def _ask_gateway(self, target: Target) -> int:
        try:
            return self._gateway.post(target.through, json={"inputs": []}).status_code
        except httpx.TransportError as error:
            raise DrillFailed(f"{target.through} does not answer: {error}") from error

    def _note(self, report: Report, phase: str) -> None:
        """Put it into the audit chain."""
        target = report.target
        body: dict[str, Any] = {"phase": phase, "drill_id": report.drill_id, "through": target.through}
        body |= {"steps": report.steps, "outcome": report.outcome[:2_000]} if phase == "end" else {}
        self._api.post(f"{target.path}/drills", body)


def _bad_events(schema: Mapping[str, Any], drill_id: str) -> Iterator[dict[str, Any]]:
    """Yield requests of events without a single good value: missing numbers, labels that were never seen."""
    features = {
        feature["name"]: f"drill-{drill_id}" if feature["kind"] == "categorical" else None
        for feature in schema["features"]
    }
    number = 0
    while True:
        events = [{"event_id": f"drill-{drill_id}-{number + row}", "features": features} for row in range(ROWS)]
        number += ROWS
        yield {"events": events}
