"""The whole API process over a store and a log of its own, without a socket."""

from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from anyio.from_thread import BlockingPortal, start_blocking_portal
from pydantic import SecretStr

from service.app import Lazaretto, create_app
from service.domain.ids import Actor
from service.domain.records import Scope
from service.office import KeyRequest, issue_key
from service.settings import Settings
from service.store import engine
from service.wiring import Runtime, build_runtime

SCHEMA = {
    "features": [{"name": "age", "kind": "numeric"}, {"name": "country", "kind": "categorical"}],
    "prediction": {"kind": "class", "classes": ["fraud", "ok"]},
}
EVENTS = {"events": [{"event_id": "e1", "features": {"age": 41, "country": "DE"}, "prediction": "ok"}]}
PATIENCE_SECONDS = 30.0


class Client:
    """Asks the application from a test's own thread; the application runs in an event loop of its own."""

    def __init__(self, app: Lazaretto, portal: BlockingPortal) -> None:
        self.app = app
        self.portal = portal

    def request(self, method: str, path: str, **rest: Any) -> httpx.Response:
        answer: httpx.Response = self.portal.call(self._request, method, path, rest)
        return answer

    def begin(self, method: str, path: str, **rest: Any) -> "Future[httpx.Response]":
        """Ask without waiting for the answer."""
        return self.portal.start_task_soon(self._request, method, path, rest)

    def get(self, path: str, **rest: Any) -> httpx.Response:
        return self.request("GET", path, **rest)

    def post(self, path: str, **rest: Any) -> httpx.Response:
        return self.request("POST", path, **rest)

    def put(self, path: str, **rest: Any) -> httpx.Response:
        return self.request("PUT", path, **rest)

    async def _request(self, method: str, path: str, rest: dict[str, Any]) -> httpx.Response:
        transport = httpx.ASGITransport(self.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://test", timeout=60.0) as client:
            return await client.request(method, path, **rest)


@dataclass
class World:
    """The application, a client, and a key for each role."""

    runtime: Runtime
    app: Lazaretto
    client: Client
    kept: dict[str, str] = field(default_factory=dict)

    def key(self, *scopes: Scope, models: frozenset[str] | None = None, name: str = "ada") -> dict[str, str]:
        """Return the headers of a new key."""
        api = self.runtime.api
        request = KeyRequest(name=name, scopes=frozenset(scopes), models=models)
        parts = issue_key(api.control, api.clock, api.secrets.pepper, Actor("test"), request)
        return {"authorization": f"Bearer {parts.text}"}

    @property
    def everything(self) -> dict[str, str]:
        """Headers of a key that may do all: always the same one, as look-ups of new keys are limited."""
        if not self.kept:
            self.kept.update(self.key(*Scope))
        return dict(self.kept)

    def model(self, name: str, version: str = "1") -> str:
        """Register a model with one version and return the version's path."""
        headers = self.everything
        answer = self.client.post("/v1/models", json={"name": name, "owner": "risk"}, headers=headers)
        assert answer.status_code == 201, answer.text
        body = {"version": version, "schema": SCHEMA}
        answer = self.client.post(f"/v1/models/{name}/versions", json=body, headers=headers)
        assert answer.status_code == 201, answer.text
        return f"/v1/models/{name}/versions/{version}"


@contextmanager
def living(data_dir: Path, **changed: int) -> Iterator[World]:
    """Run an application over a fresh data directory until the block ends."""
    defaults = {"body_bytes_max": 100_000, "admin_bytes_max": 10_000, "baseline_bytes_max": 200_000}
    slow = {"refresh_seconds": 60.0, "figures_seconds": 60.0}
    secret = {"data_dir": data_dir, "secret_key": SecretStr("5a" * 32)}
    with pytest.MonkeyPatch.context() as patched:
        # On a busy disk a commit takes longer than people wait for an answer; here nobody is in a hurry.
        patched.setattr(engine, "READ_TIMEOUT_SECONDS", PATIENCE_SECONDS)
        runtime = build_runtime(Settings.model_validate({**defaults, **slow, **secret, **changed}))
    app = create_app(runtime)
    with start_blocking_portal() as portal:
        runtime.start()
        yield World(runtime, app, Client(app, portal))
        portal.call(runtime.close)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with living(tmp_path_factory.mktemp("data")) as running:
        yield running
