"""Four real gateways, each as it is shipped and once more with its switches turned, before one real Lazaretto."""

import json
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

from service.clock import SystemClock
from service.ingest.deidentify import Deidentifier
from service.settings import Secrets, Settings
from service.store import tables
from service.store.changes import bump
from service.store.engine import Database
from tests.gateways.doubles import GateLine, ModelServer, model_server
from tests.gateways.programs import AUTHENTICATED, FAIL_OPEN, NAMES, PASSWORD, PRINCIPALS, Around, Gateway, running
from tests.integration.http.conftest import SCHEMA, Served, eventually, make_key, serving

PATIENCE_SECONDS = 30.0
CONTAINED = "ann"
MODELS: dict[str, dict[str, Any]] = {
    "fraud": {},
    "held": {},
    "rerouted": {"fallback": "rules"},
    "advised": {},
    "enforced": {"adversarial": {"enforce_containment": True, "enforce_after_seconds": 0}, "fallback": "rules"},
}


@dataclass
class Hall:
    """Everything together."""

    served: Served
    api: httpx.Client
    line: GateLine
    models: ModelServer
    fallback: ModelServer
    closed: Mapping[str, Gateway]
    """As shipped."""
    opened: Mapping[str, Gateway]
    """Failing open, and naming principals."""

    def ask(
        self, gateway: Gateway, model: str, *, who: str | None = None, path: str = "infer?x=1", **headers: str
    ) -> httpx.Response:
        """Send an inference request through a gateway, as a client that lies in its headers would."""
        lies = {
            "x-gate-state": "active",
            "x-gate-route": "fallback",
            "x-gate-principal-state": "normal",
            "x-principal": "somebody-else",
        }
        sent = lies | {name.replace("_", "-"): value for name, value in headers.items()}
        if who is not None:
            sent[AUTHENTICATED] = who
        known = httpx.BasicAuth(who or "bob", PASSWORD)
        body = json.dumps({"inputs": [1, 2, 3]})
        url = f"{gateway.url}/v2/models/{model}/{path}"
        with httpx.Client(timeout=PATIENCE_SECONDS, trust_env=False) as client:
            return client.post(url, content=body, headers=sent, auth=known)

    def reached(self, marker: str) -> bool:
        """Tell whether a request has come to any model server."""
        return any(marker in path for server in (self.models, self.fallback) for path in server.seen)


def contain(data_dir: Path, model: str, principal: str) -> None:
    """Contain a principal at version 1 of a model, as the worker would."""
    settings = Settings(data_dir=data_dir)
    pseudonym = Deidentifier(Secrets.of(settings).pseudonyms).pseudonym(principal)
    now_us = SystemClock().now_us()
    database = Database(settings.state_url, timeout_seconds=PATIENCE_SECONDS)
    t = tables.versions
    try:
        with database.write() as connection:
            owner = tables.models
            wanted = t.join(owner, owner.c.id == t.c.model_id).select().where(owner.c.name == model)
            version_id = connection.execute(wanted).mappings().first()
            assert version_id is not None
            times = {"since_us": now_us, "renewed_us": now_us, "until_us": now_us + 3_600_000_000}
            row = {"version_id": version_id["id"], "principal": pseudonym, "state": "contained", "tier": "intent"}
            connection.execute(tables.containments.insert().values(**row, **times, reason="of a test"))
            bump(connection)
    finally:
        database.close()


def prepare(api: httpx.Client, data_dir: Path) -> None:
    """Register the models, and bring each into its state."""
    for name, policy in MODELS.items():
        body = {"name": name, "owner": "risk", "policy": policy}
        assert api.post("/v1/models", json=body).status_code == 201
        assert api.post(f"/v1/models/{name}/versions", json={"version": "1", "schema": SCHEMA}).status_code == 201
    for name in ("held", "rerouted"):
        body = {"event": "quarantine", "reason": "of a test"}
        assert api.post(f"/v1/models/{name}/versions/1/transitions", json=body).status_code == 200
    for name in ("advised", "enforced"):
        contain(data_dir, name, CONTAINED)


def _is_ready(hall: Hall, gateway: Gateway) -> bool:
    return hall.ask(gateway, "fraud").status_code == 200


@pytest.fixture(scope="module")
def hall(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hall]:
    folder = tmp_path_factory.mktemp("gateways")
    with ExitStack() as stack:
        served = stack.enter_context(serving(folder / "lazaretto", enforcement_seconds="2"))
        headers = make_key(served.data_dir, "ingest", "read", "operate", "admin")
        api = stack.enter_context(httpx.Client(base_url=served.url, headers=headers, timeout=PATIENCE_SECONDS))
        prepare(api, served.data_dir)
        host, _, port = served.url.removeprefix("http://").partition(":")
        line = GateLine((host, int(port)))
        stack.callback(line.close)
        models, fallback = (stack.enter_context(model_server(name)) for name in ("models", "fallback"))
        around = Around(f"127.0.0.1:{line.port}", models.url, fallback.url)
        closed = {name: stack.enter_context(running(name, folder / f"{name}-closed", around)) for name in NAMES}
        opened = {
            name: stack.enter_context(
                running(name, folder / f"{name}-open", around, [*FAIL_OPEN[name], *PRINCIPALS[name]])
            )
            for name in NAMES
        }
        whole = Hall(served, api, line, models, fallback, closed, opened)
        for gateway in (*closed.values(), *opened.values()):
            eventually(partial(_is_ready, whole, gateway), f"{gateway.name} is ready")
        yield whole
