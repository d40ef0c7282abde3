"""Setting the stage: the service, keys for people and machines, the trained model, its baseline, the model server."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from service.demo.gateway import Gateway
from service.demo.monitor import INFER_PATH, MODEL, VERSION, Monitor
from service.demo.processes import LAZARETTO, Children, free_port

KEYS = {
    "mira": "read,operate,admin",
    "ada": "read,operate",
    "grace": "read,operate",
    "model-server": "ingest",
    "gateway": "read",
}
"""Who takes part: mira deploys the model, ada and grace are on call; two machines."""

ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
"""Matrices of this size gain nothing from threads, and on a busy machine they wait for one another."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """Everything that runs while the story is told."""

    url: str
    """The monitor's address."""
    model_url: str
    keys: dict[str, str]
    mira: Monitor
    ada: Monitor
    grace: Monitor
    gateway: Gateway
    model_http: httpx.AsyncClient
    warnings: int
    """Of the baseline."""

    def login_link(self, name: str) -> str:
        """Return a link that signs a person in; the part after '#' never leaves the browser."""
        return f"{self.url}/login#key={self.keys[name]}"


@asynccontextmanager
async def set_stage(folder: Path, data_dir: Path, port: int | None, seed: int) -> AsyncIterator[Stage]:
    """Start everything, and stop it at the end."""
    children = Children(folder)
    environment = {"LAZARETTO_DATA_DIR": str(data_dir)}
    training = asyncio.create_task(
        children.run("training", ["-m", "service.demo.training", str(folder), "--seed", str(seed)], ONE_THREAD)
    )
    try:
        keys = await _make_keys(children, environment)
        port = port or free_port()
        url = f"http://127.0.0.1:{port}"
        serve = [*LAZARETTO, "serve", "--host", "127.0.0.1", "--port", str(port)]
        await children.start("service", serve, environment, f"{url}/readyz")
        await training
        async with _opened(url, keys, children, folder) as stage:
            yield stage
    finally:
        training.cancel()
        await asyncio.gather(training, return_exceptions=True)
        await children.stop()


async def _make_keys(children: Children, environment: dict[str, str]) -> dict[str, str]:
    """Make the keys one after the other: the first one creates the store."""
    keys = {}
    for name, scopes in KEYS.items():
        arguments = [*LAZARETTO, "keys", "create", "--name", name, "--scopes", scopes, "--json"]
        printed = await children.run(f"keys-{name}", arguments, environment)
        keys[name] = json.loads(printed)["key"]
    return keys


@asynccontextmanager
async def _opened(url: str, keys: dict[str, str], children: Children, folder: Path) -> AsyncIterator[Stage]:
    mira, ada, grace, gate = (Monitor.of(url, keys[name]) for name in ("mira", "ada", "grace", "gateway"))
    model_url = f"http://127.0.0.1:{free_port()}"
    async with mira.http, ada.http, grace.http, gate.http, httpx.AsyncClient(base_url=model_url) as model_http:
        await mira.register(deployed_by="mira")
        baseline = await mira.push_baseline(await asyncio.to_thread((folder / "reference.arrow").read_bytes))
        environment = ONE_THREAD | {
            "MODEL_PATH": str(folder / "model.joblib"),
            "MODEL_NAME": MODEL,
            "MODEL_VERSION": VERSION,
            "MONITOR_URL": url,
            "MONITOR_KEY": keys["model-server"],
        }
        arguments = ["-m", "service.demo.model_server", "--port", model_url.rpartition(":")[2]]
        await children.start("model-server", arguments, environment, f"{model_url}/v2/health/ready")
        yield Stage(
            url=url,
            model_url=model_url,
            keys=keys,
            mira=mira,
            ada=ada,
            grace=grace,
            gateway=Gateway(gate=gate.http, model_server=model_http, path=INFER_PATH),
            model_http=model_http,
            warnings=len(baseline["warnings"]),
        )
