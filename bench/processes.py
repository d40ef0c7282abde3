"""Start what is measured, each on a named core, and look at it from outside."""

import http.client
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec
import psutil

from bench.load import Target
from bench.work import ARROW, MODEL, VERSION, Format, Stream, schema

READY_SECONDS = 30.0
_CLI = [sys.executable, "-c", "from service.cli import main; main()"]
_ROOT = Path(__file__).parents[1]


class SetupFailed(Exception):
    """The service did not start or did not take the model."""


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


def call(port: int, method: str, path: str, *, key: str = "", body: bytes = b"", content_type: str = "") -> bytes:
    """Send one request and return the body of its answer, which must be a success."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
    try:
        headers = {"Authorization": f"Bearer {key}", "Content-Type": content_type or "application/json"}
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        data = answer.read()
    finally:
        connection.close()
    if answer.status >= 400:
        raise SetupFailed(f"{method} {path}: {answer.status} {data[:500].decode(errors='replace')}")
    return data


def _environment(data: Path, port: int) -> dict[str, str]:
    settings = {"LAZARETTO_DATA_DIR": str(data), "LAZARETTO_PORT": str(port), "LAZARETTO_LOG_LEVEL": "WARNING"}
    single = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("LAZARETTO_")}
    return inherited | single | settings


def wait_ready(port: int, path: str, process: subprocess.Popen[bytes]) -> None:
    """Ask until the answer is a success."""
    deadline = time.perf_counter() + READY_SECONDS
    while time.perf_counter() < deadline:
        if process.poll() is not None:
            raise SetupFailed(f"the server ended with {process.returncode}")
        try:
            call(port, "GET", path)
        except (OSError, http.client.HTTPException, SetupFailed):
            time.sleep(0.01)
        else:
            return
    raise SetupFailed(f"GET {path} gave no success within {READY_SECONDS:.0f} s")


@contextmanager
def _running(command: list[str], core: int, env: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(["taskset", "-c", str(core), *command], env=env, cwd=_ROOT, stdout=subprocess.DEVNULL)
    family = [psutil.Process(process.pid)]
    try:
        yield process
    finally:
        family += family[0].children(recursive=True) if process.poll() is None else []
        process.terminate()
        _, stubborn = psutil.wait_procs(family, timeout=15)
        for member in stubborn:
            member.kill()
        process.wait(15)


@contextmanager
def bare_server(core: int) -> Iterator[int]:
    """Run the bare ASGI endpoint and give its port."""
    port = free_port()
    command = [sys.executable, "-m", "uvicorn", "bench.bare:app", "--port", str(port), "--no-access-log"]
    command += ["--log-level", "warning", "--loop", "uvloop", "--http", "httptools", "--lifespan", "off"]
    with _running(command, core, _environment(Path(), port)) as process:
        wait_ready(port, "/", process)
        yield port


@dataclass(frozen=True, slots=True)
class Service:
    """A running service with the model of the work registered."""

    port: int
    key: str
    process: psutil.Process
    ready_seconds: float

    def target(self, form: Format) -> Target:
        """Return where bodies of one format go."""
        path = f"/v1/models/{MODEL}/versions/{VERSION}/events"
        return Target(port=self.port, path=path, key=self.key, content_type=form.content_type)

    def gate(self) -> Target:
        """Return the question that a gateway asks."""
        return Target(port=self.port, path=f"/v1/gate/{MODEL}/{VERSION}", key=self.key, content_type="")

    def events(self) -> int:
        """Return how many events the worker has committed."""
        answer = call(self.port, "GET", f"/v1/models/{MODEL}/versions/{VERSION}/status", key=self.key)
        total: int = msgspec.json.decode(answer)["events_total"]
        return total

    def worker(self) -> psutil.Process | None:
        """Return the worker's process, if there is one."""
        named = [child for child in self.process.children(recursive=True) if "worker" in " ".join(child.cmdline())]
        return named[0] if named else None

    def resident_mb(self) -> tuple[float, float]:
        """Return the resident memory of the API process and of the worker, in MB."""
        worker = self.worker()
        return self.process.memory_info().rss / 1e6, (worker.memory_info().rss / 1e6 if worker else 0.0)

    def cpu_seconds(self) -> tuple[float, float]:
        """Return the CPU time that the API process and the worker have used."""
        worker = self.worker()
        spent = [sum(process.cpu_times()[:2]) if process else 0.0 for process in (self.process, worker)]
        return spent[0], spent[1]

    def move_worker(self, core: int) -> None:
        """Put the worker, with all its threads, on another core."""
        worker = self.worker()
        if worker is None:
            raise SetupFailed("the service runs no worker process")
        for thread in worker.threads():
            os.sched_setaffinity(thread.id, {core})


def _register(port: int, key: str, reference: Stream) -> None:
    actions = dict.fromkeys(("data_drift", "prediction_drift", "data_quality", "latency"), "record")
    model = {"name": MODEL, "owner": "bench", "policy": {"actions": actions}}
    call(port, "POST", "/v1/models", key=key, body=msgspec.json.encode(model))
    version = {"version": VERSION, "schema": schema()}
    call(port, "POST", f"/v1/models/{MODEL}/versions", key=key, body=msgspec.json.encode(version))
    body = ARROW.write(reference, slice(0, len(reference.principal)))
    path = f"/v1/models/{MODEL}/versions/{VERSION}/baseline"
    call(port, "PUT", path, key=key, body=body, content_type=ARROW.content_type)


@contextmanager
def service(
    data: Path, reference: Stream, *, core: int, role: str = "serve", settings: Mapping[str, str] | None = None
) -> Iterator[Service]:
    """Run the service in a fresh data directory: ``serve`` (API and worker) or ``api`` (detectors off)."""
    shutil.rmtree(data, ignore_errors=True)
    data.mkdir(parents=True)
    port = free_port()
    env = _environment(data, port) | dict(settings or {})
    create = [*_CLI, "keys", "create", "--name", "bench", "--scopes", "ingest,read,operate,admin", "--json"]
    made = subprocess.run(create, env=env, cwd=_ROOT, capture_output=True, check=False)
    if made.returncode != 0:
        raise SetupFailed(f"lazaretto keys create: {made.stderr.decode(errors='replace')[-500:]}")
    key: str = msgspec.json.decode(made.stdout)["key"]
    start = time.perf_counter()
    try:
        with _running([*_CLI, role], core, env) as process:
            wait_ready(port, "/readyz" if role == "serve" else "/healthz", process)
            ready = time.perf_counter() - start
            _register(port, key, reference)
            yield Service(port, key, psutil.Process(process.pid), ready)
    finally:
        shutil.rmtree(data, ignore_errors=True)
