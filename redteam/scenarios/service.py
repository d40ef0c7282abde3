"""The service under attack: asked word for word, with any key or none, and whatever comes back is an answer."""

import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Self
from urllib.parse import quote

import httpx
import msgspec
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from redteam.leaving import leave
from redteam.leftovers import OWNER, PREFIX, described
from redteam.problems import Stopped

COLUMNS = 6
REFERENCE_ROWS = 1_000
CLASSES = ("no", "yes")
ARROW = "application/vnd.apache.arrow.stream"
WAIT_SECONDS, POLL_SECONDS = 240.0, 0.1
OK, CREATED, ACCEPTED = 200, 201, 202
BUSY, BUSY_SECONDS = 503, 60.0
"""A service that says so is asked again for so long: neither a refusal nor a broken defence."""
REFUSED = frozenset({400, 401, 403, 404, 405, 409, 413, 415, 422})
"""Answers that refuse and are no accident."""
SCHEMA: dict[str, Any] = {
    "features": [{"name": f"x{i}", "kind": "numeric"} for i in range(COLUMNS)],
    "prediction": {"kind": "class", "classes": list(CLASSES)},
}
FOLLOWING: dict[str, Any] = {"requests_per_second": 10_000, "share_of_one": 1.0}
QUIET: dict[str, Any] = dict.fromkeys(
    ("data_drift", "prediction_drift", "data_quality", "latency", "performance", "traffic", "stale"), "record"
)
"""Actions of a policy under which no drift does anything."""


class ServiceFailed(Stopped):
    """The service did not do what the scenario builds on, so that nothing can be said of its defence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came back."""

    status: int
    body: Any
    """Of JSON; else the text."""
    headers: Mapping[str, str]

    @property
    def refused(self) -> bool:
        """Tell whether the service said no, in order."""
        return self.status in REFUSED

    def __str__(self) -> str:
        """Return it in a few words."""
        detail = self.body.get("detail", "") if isinstance(self.body, dict) else ""
        return f"{self.status} {detail}".strip()


@dataclass
class Service:
    """A running service.

    Parameters
    ----------
    http : httpx.Client
        With its address and a key of every scope.
    folder : Path, optional
        The data directory, where the run started the service itself.
    """

    http: httpx.Client
    folder: Path | None = None
    run: str = field(default_factory=lambda: secrets.token_hex(4))
    """Part of every name that is made."""
    ends: datetime | None = None
    """When the run is over for certain."""
    _keys: list[str] = field(default_factory=list)
    _bare: httpx.Client = field(init=False)
    models: list[str] = field(default_factory=list)
    """Names of those that were registered."""

    def __post_init__(self) -> None:
        self._bare = httpx.Client(base_url=self.http.base_url, timeout=self.http.timeout, trust_env=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Leave nothing behind in a service that goes on: the models are retired, the keys revoked."""
        for name in self.models if self.folder is None else ():
            leave(self.must, name, {})
        for key_id in self._keys:
            self.ask("DELETE", f"/v1/keys/{key_id}")
        self._bare.close()

    def ask(self, method: str, path: str, **given: Any) -> Answer:
        """Ask with the run's own key; an answer of any kind is one."""
        return _ask(self.http, method, path, **given)

    def ask_as(self, key: str | None, method: str, path: str, **given: Any) -> Answer:
        """Ask with another key, or with none."""
        headers = dict(given.pop("headers", {}))
        if key is not None:
            headers["authorization"] = f"Bearer {key}"
        return _ask(self._bare, method, path, headers=headers, **given)

    def ask_gate(self, path: str, headers: Sequence[tuple[str, str]]) -> Answer:
        """Ask the gate as a gateway does; a header may come several times."""
        return _ask(self._bare, "GET", path, headers=list(headers))

    def must(self, method: str, path: str, **given: Any) -> Any:
        """Return what the service answers; raise ``ServiceFailed`` when it refuses."""
        answer = self.ask(method, path, **given)
        if answer.status not in {OK, CREATED, ACCEPTED}:
            raise ServiceFailed(f"{method} {path} was refused: {answer}")
        return answer.body

    def key(self, *scopes: str, models: Sequence[str] | None = None) -> str:
        """Make a key that lives as long as the run."""
        body = {"name": f"redteam-{self.run}-{len(self._keys)}", "scopes": list(scopes), "expires_days": 1}
        made = self.must("POST", "/v1/keys", json=body | ({} if models is None else {"models": list(models)}))
        self._keys.append(made["id"])
        text: str = made["key"]
        return text

    def model(
        self, rng: np.random.Generator, policy: Mapping[str, Any] | None = None, *, shift: float = 0.0
    ) -> "Target":
        """Register a model with one version and a baseline, whose reference lies so far from what is ordinary."""
        name = f"{PREFIX}service-{self.run}-{len(self.models) + 1}"
        what = described("a scenario of the red team", self.ends)
        body = {"name": name, "owner": OWNER, "description": what, "policy": dict(policy or {})}
        self.must("POST", "/v1/models", json=body)
        self.models.append(name)
        version = {"version": "1", "schema": SCHEMA, "deployed_by": "red team"}
        self.must("POST", f"/v1/models/{name}/versions", json=version)
        target = Target(self, name)
        content = arrow_of(ordinary(rng, REFERENCE_ROWS) + shift)
        self.must("PUT", f"{target.path}/baseline", content=content, headers={"content-type": ARROW})
        return target


@dataclass
class Target:
    """A model of the run's own, and what is known of it."""

    service: Service
    name: str
    sent: int = 0

    @property
    def path(self) -> str:
        """Of its version."""
        return f"/v1/models/{quote(self.name, safe='')}/versions/1"

    def send(self, inputs: NDArray[np.float64], principals: str | Sequence[str] | None, **more: Any) -> Answer:
        """Send requests as telemetry of one principal, or of one each."""
        names = [principals] * len(inputs) if isinstance(principals, str) else principals
        content = arrow_of(inputs, names, ids=more.pop("ids", None))
        headers = {"content-type": ARROW} | more.pop("headers", {})
        answer = self.service.ask("POST", f"{self.path}/events", content=content, headers=headers)
        if answer.status == ACCEPTED:
            self.sent += answer.body["accepted"] - answer.body["duplicates"]
        return answer

    def post(self, events: Sequence[Mapping[str, Any]], **more: Any) -> Answer:
        """Send events as JSON, as they are."""
        content = msgspec.json.encode({"events": events})
        headers = {"content-type": "application/json"} | more.pop("headers", {})
        answer = self.service.ask("POST", f"{self.path}/events", content=content, headers=headers)
        if answer.status == ACCEPTED:
            self.sent += answer.body["accepted"] - answer.body["duplicates"]
        return answer

    @property
    def status(self) -> Any:
        """The status of its version."""
        return self.service.must("GET", f"{self.path}/status")

    def settled(self) -> Any:
        """Wait until all that was sent is worked off; return the status.

        Raises
        ------
        ServiceFailed
            When that takes too long.
        """
        deadline = time.monotonic() + WAIT_SECONDS
        while (status := self.status)["events_total"] < self.sent:
            if time.monotonic() > deadline:
                raise ServiceFailed(f"{status['events_total']} of {self.sent} events worked off: does the worker run?")
            time.sleep(POLL_SECONDS)
        return status

    def alerts(self) -> list[Any]:
        """Return its alerts, newest first."""
        asked = {"model": self.name, "version": "1", "limit": 500}
        found: list[Any] = self.service.must("GET", "/v1/alerts", params=asked)["alerts"]
        return found

    def contained(self) -> list[Any]:
        """Return its contained principals."""
        found: list[Any] = self.service.must("GET", f"{self.path}/principals", params={"limit": 500})["principals"]
        return found


def _ask(client: httpx.Client, method: str, path: str, **given: Any) -> Answer:
    deadline = time.monotonic() + BUSY_SECONDS
    try:
        while (answer := client.request(method, path, **given)).status_code == BUSY and time.monotonic() < deadline:
            time.sleep(POLL_SECONDS)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise ServiceFailed(f"no answer to {method} {path[:100]}: {str(error) or type(error).__name__}") from error
    if answer.status_code == BUSY:
        raise ServiceFailed(f"busy for {BUSY_SECONDS:g} s: {method} {path[:100]}")
    try:
        body = msgspec.json.decode(answer.content) if answer.content else {}
    except msgspec.DecodeError:
        body = answer.text
    return Answer(status=answer.status_code, body=body, headers=answer.headers)


def ordinary(rng: np.random.Generator, rows: int) -> NDArray[np.float64]:
    """Return inputs as the reference has them, shape (rows, ``COLUMNS``)."""
    return rng.normal(0.0, 1.0, (rows, COLUMNS))


def answers(inputs: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return class probabilities (n, 2): a logistic model that everybody knows."""
    with np.errstate(over="ignore", invalid="ignore"):
        yes = 1.0 / (1.0 + np.exp(-2.0 * inputs.sum(axis=1) / np.sqrt(COLUMNS)))
    return np.stack([1.0 - yes, yes], axis=1)


def arrow_of(
    inputs: NDArray[np.float64], principals: Sequence[str] | None = None, *, ids: Sequence[str] | None = None
) -> bytes:
    """Return requests with their answers as an Arrow IPC stream."""
    told = answers(inputs)
    columns: dict[str, pa.Array] = {f"features.x{i}": pa.array(inputs[:, i]) for i in range(COLUMNS)}
    columns["prediction"] = pa.array([CLASSES[i] for i in told.argmax(axis=1).tolist()])
    columns |= {f"probabilities.{name}": pa.array(told[:, i]) for i, name in enumerate(CLASSES)}
    if principals is not None:
        columns["principal"] = pa.array(principals)
    if ids is not None:
        columns["event_id"] = pa.array(ids)
    table = pa.table(columns)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    content: bytes = sink.getvalue().to_pybytes()
    return content


def event(rng: np.random.Generator, **more: Any) -> dict[str, Any]:
    """Return one event as a client would write it."""
    inputs = ordinary(rng, 1)
    told = answers(inputs)[0]
    values = {f"x{i}": float(value) for i, value in enumerate(inputs[0])}
    label = CLASSES[int(told.argmax())]
    return {
        "features": values,
        "prediction": label,
        "probabilities": dict(zip(CLASSES, told.tolist(), strict=True)),
    } | more


def prober(rng: np.random.Generator, requests: int) -> NDArray[np.float64]:
    """Return requests of a walk along the boundary: bisections between two inputs, and noise about where they end."""
    low, high = ordinary(rng, 2)
    low -= low.mean() + 1.0
    high += 1.0 - high.mean()
    asked: list[NDArray[np.float64]] = []
    begun = low.copy()
    while len(asked) < requests:
        middle = (low + high) / 2.0
        asked.append(middle)
        low, high = (middle, high) if middle.sum() < 0.0 else (low, middle)
        if np.abs(high - low).max() < 1e-3:  # noqa: PLR2004 - near enough to feel the way around
            asked += list(middle + rng.normal(0.0, 0.05, (20, COLUMNS)))
            low, high = begun, high + 0.1 * rng.normal(size=COLUMNS) + 0.3
    return np.array(asked[:requests])
