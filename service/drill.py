"""A drill: quarantine a version on purpose, by bad events, and measure the whole chain up to a refusal at a gateway.

Everything goes over HTTP, as a model server's and an operator's would. One version is named, and only that one is
touched; one that serves real traffic is refused unless the caller insists.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

import httpx

from service.entropy import random_hex

FORBIDDEN = 403
NOT_FOUND = 404
UNAVAILABLE = 503
RETRIES = 20
ROWS = 100
"""Bad events of one request."""
SEND_SECONDS = 0.1
POLL_SECONDS = 0.02
BACK_SECONDS = 30.0
"""How long the way back may take after the release."""
IDLE_SECONDS = 60.0
"""A version that had an event so recently serves somebody."""
REFERENCE_ROWS = 4_000
FEATURE = "drill"


class DrillFailed(Exception):
    """The drill could not begin, or the chain did not hold; the text says where."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What the drill is about."""

    model: str
    version: str
    through: str
    """URL of an inference request at the gateway; it must lead to this version."""
    create: bool = False
    """Register a model of its own for drills, when there is none of this name."""
    in_service: bool = False
    """Take it out of service although it serves."""
    timeout_seconds: float = 60.0


@dataclass(slots=True)
class Report:
    """What happened when, in seconds since the first bad event was sent."""

    drill_id: str
    target: Target
    steps: dict[str, float] = field(default_factory=dict)
    outcome: str = ""
    released: bool = False
    waits_for: int = 0
    """More people that a release needs."""

    @property
    def seconds_to_refusal(self) -> float | None:
        """From the first bad event to the refusal at the gateway."""
        return self.steps.get("refused at the gateway")


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
    """

    def __init__(self, api: httpx.Client, gateway: httpx.Client, second: httpx.Client | None = None) -> None:
        self._api = api
        self._gateway = gateway
        self._second = second
        self._clock = time.monotonic
        self._before: frozenset[str] = frozenset()
        """Incidents that were open before the drill: not its own to resolve."""

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
        self._note(report, "begin")
        try:
            self._before = self._open_incidents(target)
            self._break(target, version["schema"], report, tell)
            report.outcome = "refused at the gateway"
        except DrillFailed as failure:
            report.outcome = str(failure)
            raise
        finally:
            self._bring_back(target, report)
            if report.released and "refused at the gateway" in report.steps:
                self._await_back(target, before, report, tell)
            self._note(report, "end")
        return report

    def _find_or_create(self, target: Target) -> dict[str, Any]:
        path = f"/v1/models/{target.model}/versions/{target.version}"
        answer = self._api.get(path)
        if answer.status_code == NOT_FOUND and target.create:
            self._create(target)
            answer = self._api.get(path)
        return _json(answer)

    def _create(self, target: Target) -> None:
        """Register a model for drills only: one column, a reference made up for it, nobody's traffic."""
        known = self._api.get(f"/v1/models/{target.model}")
        if known.status_code != NOT_FOUND and _json(known)["versions"]:
            raise DrillFailed(
                f"model '{target.model}' has versions: a new one would stand for its name; name another model"
            )
        if known.status_code == NOT_FOUND:
            body = {
                "name": target.model,
                "owner": "drills",
                "description": "For drills only",
                "policy": {"reviewers": 1},
            }
            _json(self._api.post("/v1/models", json=body))
        schema = {"features": [{"name": FEATURE, "kind": "numeric"}], "prediction": {"kind": "number"}}
        body = {"version": target.version, "schema": schema, "deployed_by": "lazaretto drill"}
        path = f"/v1/models/{target.model}/versions"
        _json(self._api.post(path, json=body))
        # A fixed sequence without period in the rows that there are: every value between 0 and 1 as often as others.
        values = (f"{(number * 0.618_033_988_749_895) % 1.0:.9f}" for number in range(REFERENCE_ROWS))
        rows = "".join(f"{value},{value}\n" for value in values)
        headers = {"content-type": "text/csv"}
        _json(
            self._api.put(f"{path}/{target.version}/baseline", content=f"{FEATURE},prediction\n{rows}", headers=headers)
        )

    def _check_fit(self, target: Target, version: Mapping[str, Any]) -> None:
        """Raise before anything is touched when the version must not or cannot be drilled."""
        status = self._status(target)
        if status["state"] != "active":
            raise DrillFailed(
                f"{target.model}/{target.version} is {status['state']}: a drill begins with an active version"
            )
        if version["baseline_id"] is None:
            raise DrillFailed(f"{target.model}/{target.version} has no baseline: nothing can be noticed")
        if target.in_service:
            return
        siblings = [
            v for v in _json(self._api.get(f"/v1/models/{target.model}"))["versions"] if v["version"] != target.version
        ]
        if siblings:
            raise DrillFailed(
                f"model '{target.model}' has other versions: whoever names only the model would meet the drill;"
                " use a model for drills, or say --in-service"
            )
        if status["last_event"] is not None and self._served_lately(status):
            raise DrillFailed(
                f"{target.model}/{target.version} had an event less than {IDLE_SECONDS:.0f} s ago: a drill would take"
                " it out of service; use a model for drills, or say --in-service"
            )

    def _served_lately(self, status: Mapping[str, Any]) -> bool:
        from datetime import datetime, timedelta
        from email.utils import parsedate_to_datetime

        # By the service's own clock, which may differ from ours.
        date = self._api.get("/healthz").headers.get("date")
        now = parsedate_to_datetime(date) if date else None
        last = datetime.fromisoformat(status["last_event"])
        return now is None or now - last < timedelta(seconds=IDLE_SECONDS)

    def _break(self, target: Target, schema: Mapping[str, Any], report: Report, tell: Tell) -> None:
        """Send bad events until the gateway refuses, noting each step when this side sees it."""
        path = f"/v1/models/{target.model}/versions/{target.version}/events"
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
                    _json(self._api.post(path, json=next(bodies)))
                    note("first bad event acknowledged")
                state = self._status(target)["state"]
                if state != "active":
                    note("suspect" if state == "suspect" else "quarantined")
            if self._ask_gateway(target) == FORBIDDEN:
                note("quarantined")
                note("refused at the gateway")
                return
            time.sleep(POLL_SECONDS)
        raise DrillFailed(
            f"{target.through} did not refuse within {target.timeout_seconds:g} s; the version is {state}."
            f" Steps so far: {', '.join(report.steps)}"
        )

    def _bring_back(self, target: Target, report: Report) -> None:
        """Undo it: review and release what is in quarantine, clear what is suspect, settle the incidents."""
        reason = f"drill {report.drill_id}: over"
        state = self._status(target)["state"]
        if state == "suspect":
            self._transition(self._api, target, "clear", reason)
        if state == "quarantined":
            self._transition(self._api, target, "start_review", reason)
            state = "under_review"
        if state == "under_review":
            answer = self._transition(self._api, target, "release", reason)
            if answer["state"] == "under_review" and self._second is not None:
                answer = self._transition(self._second, target, "release", reason)
            approvals = answer.get("approvals") or {"have": 0, "need": 0}
            report.waits_for = max(0, approvals["need"] - approvals["have"])
        report.released = self._status(target)["state"] == "active"
        if report.released:
            self._settle_incidents(target, reason)

    def _open_incidents(self, target: Target) -> frozenset[str]:
        names = {"model": target.model, "version": target.version, "status": "open"}
        return frozenset(one["id"] for one in _json(self._api.get("/v1/incidents", params=names))["incidents"])

    def _settle_incidents(self, target: Target, reason: str) -> None:
        for incident_id in self._open_incidents(target) - self._before:
            path = f"/v1/incidents/{incident_id}/resolve"
            _json(self._api.post(path, json={"verdict": "benign", "note": reason}))

    def _await_back(self, target: Target, before: int, report: Report, tell: Tell) -> None:
        started = self._clock()
        while self._clock() - started < BACK_SECONDS:
            if self._ask_gateway(target) == before:
                report.steps["open again after the release"] = round(self._clock() - started, 3)
                tell("open again after the release", report.steps["open again after the release"])
                return
            time.sleep(POLL_SECONDS)
        report.outcome += f"; not open again {BACK_SECONDS:g} s after the release"

    def _transition(self, api: httpx.Client, target: Target, event: str, reason: str) -> dict[str, Any]:
        path = f"/v1/models/{target.model}/versions/{target.version}/transitions"
        return _json(api.post(path, json={"event": event, "reason": reason}))

    def _status(self, target: Target) -> dict[str, Any]:
        path = f"/v1/models/{target.model}/versions/{target.version}/status"
        answer = self._api.get(path)
        for _ in range(RETRIES):
            if answer.status_code != UNAVAILABLE:
                break
            time.sleep(SEND_SECONDS)  # the store is busy: the chain goes on meanwhile
            answer = self._api.get(path)
        return _json(answer)

    def _ask_gateway(self, target: Target) -> int:
        try:
            return self._gateway.post(target.through, json={"inputs": []}).status_code
        except httpx.TransportError as error:
            raise DrillFailed(f"{target.through} does not answer: {error}") from error

    def _note(self, report: Report, phase: str) -> None:
        """Put it into the audit chain."""
        target = report.target
        body: dict[str, Any] = {"phase": phase, "drill_id": report.drill_id, "through": target.through}
        body |= {"steps": report.steps, "outcome": report.outcome} if phase == "end" else {}
        _json(self._api.post(f"/v1/models/{target.model}/versions/{target.version}/drills", json=body))


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


def _json(answer: httpx.Response) -> dict[str, Any]:
    if not answer.is_success:
        request = answer.request
        try:
            problem = answer.json()
            places = "; ".join(f"{one['at']}: {one['reason']}" for one in problem.get("errors", ()))
            detail = f"{problem.get('detail', '')} {places}".strip()
        except ValueError:
            detail = answer.text[:500]
        raise DrillFailed(f"{request.method} {request.url.path} was answered {answer.status_code}: {detail}")
    return cast("dict[str, Any]", answer.json())
