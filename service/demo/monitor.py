"""The demo's side of the monitor's API: everything here goes over HTTP, as anybody's code would."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import httpx

from service.demo.processes import DemoError
from service.demo.world import CLASSES, FEATURES

MODEL, VERSION = "digits", "1"
INFER_PATH = f"/v2/models/{MODEL}/versions/{VERSION}/infer"
TIMEOUT_SECONDS = 30.0
POLICY = {
    "tick_seconds": 1.0,
    "minimum_effect": 0.1,
    "budget": {"false_alarms": 1, "per_days": 30},
    "confirmations": 2,
    "reviewers": 2,
}
"""What an operator would set: a tenth of a standard deviation is not worth a page, one false alarm a month is."""


@dataclass(frozen=True, slots=True)
class Status:
    """What the demo shows of the version's status."""

    state: str
    reason: str
    events: int
    evidence_log10: float | None
    threshold_log10: float
    columns: Sequence[tuple[str, float]]
    """The strongest columns with their evidence as exponents of ten."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Monitor:
    """Calls of one key."""

    http: httpx.AsyncClient

    @classmethod
    def of(cls, url: str, key: str) -> "Monitor":
        """Return the calls of a key."""
        headers = {"authorization": f"Bearer {key}"}
        return cls(http=httpx.AsyncClient(base_url=url, headers=headers, timeout=TIMEOUT_SECONDS))

    async def register(self, deployed_by: str) -> None:
        """Register the model and its version."""
        await self._ask(
            "POST",
            "/v1/models",
            {"name": MODEL, "owner": "demo", "description": "Reads handwritten digits", "policy": POLICY},
        )
        features = [{"name": name, "kind": "numeric", "classification": "internal"} for name in FEATURES]
        prediction = {"kind": "class", "classes": list(CLASSES)}
        schema = {"features": features, "prediction": prediction}
        body = {"version": VERSION, "schema": schema, "deployed_by": deployed_by}
        await self._ask("POST", f"/v1/models/{MODEL}/versions", body)

    async def push_baseline(self, reference: bytes) -> dict[str, Any]:
        """Send reference data, an Arrow stream, and return what the monitor made of it."""
        answer = await self.http.put(
            f"/v1/models/{MODEL}/versions/{VERSION}/baseline",
            content=reference,
            headers={"content-type": "application/vnd.apache.arrow.stream"},
        )
        return _json(answer)

    async def status(self) -> Status:
        """Read the version's status."""
        body = await self._ask("GET", f"/v1/models/{MODEL}/versions/{VERSION}/status")
        columns = [(c["name"], c["evidence_log10"]) for c in body["columns"] if c["evidence_log10"] is not None]
        return Status(
            state=body["state"],
            reason=body["reason"],
            events=body["events_total"],
            evidence_log10=body["evidence_log10"],
            threshold_log10=body["threshold_log10"],
            columns=sorted(columns, key=lambda c: -c[1])[:5],
        )

    async def alerts(self) -> list[dict[str, Any]]:
        """Read all alerts, open and closed, newest first."""
        body = await self._ask("GET", f"/v1/alerts?model={MODEL}")
        return cast("list[dict[str, Any]]", body["alerts"])

    async def transitions(self) -> list[dict[str, Any]]:
        """Read all state changes, newest first."""
        body = await self._ask("GET", f"/v1/models/{MODEL}/versions/{VERSION}/transitions")
        return cast("list[dict[str, Any]]", body["transitions"])

    async def transition(self, event: str, reason: str) -> dict[str, Any]:
        """Ask for a state change."""
        path = f"/v1/models/{MODEL}/versions/{VERSION}/transitions"
        return await self._ask("POST", path, {"event": event, "reason": reason})

    async def _ask(self, method: str, path: str, body: object | None = None) -> dict[str, Any]:
        return _json(await self.http.request(method, path, json=body))


def _json(answer: httpx.Response) -> dict[str, Any]:
    if not answer.is_success:
        request = answer.request
        raise DemoError(f"{request.method} {request.url.path} was answered {answer.status_code}: {answer.text[:500]}")
    return cast("dict[str, Any]", answer.json())
