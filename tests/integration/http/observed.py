"""A real Prometheus and a real Alertmanager with the configuration that is shipped, only faster, and who they tell."""

import contextlib
import json
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx

from tests.integration.crash.plant import free_port
from tests.integration.http.conftest import PATIENCE_SECONDS, eventually

DEPLOY = Path(__file__).parents[3] / "deploy"


@dataclass
class Hook:
    """Who is told: what came, by path."""

    url: str
    came: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    def alerts(self, path: str, status: str) -> list[dict[str, Any]]:
        """Return the alerts of one status that came at a path."""
        found = [each for where, told in list(self.came) if where == path for each in told.get("alerts", [])]
        return [each for each in found if each["status"] == status]


@contextmanager
def listening() -> Iterator[Hook]:
    """Take whatever is posted."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            told = json.loads(self.rfile.read(int(self.headers["content-length"])))
            hook.came.append((self.path, told))
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        hook = Hook(f"http://127.0.0.1:{server.server_port}")
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield hook
        finally:
            server.shutdown()


def shipped(name: str, *changes: tuple[str, str]) -> str:
    """Return a shipped file with some places changed; a place that is not there is an error."""
    text = (DEPLOY / name).read_text()
    for before, after in changes:
        assert before in text, f"{name} has no {before!r}"
        text = text.replace(before, after)
    return text


@contextmanager
def running(command: list[str], folder: Path, ready: str) -> Iterator[None]:
    """Run a program until the block ends."""
    with (
        (folder / "log").open("w") as log,
        subprocess.Popen(command, cwd=folder, stdout=log, stderr=log) as process,
    ):

        def up() -> bool:
            assert process.poll() is None, (folder / "log").read_text()[-2_000:]
            with contextlib.suppress(httpx.TransportError):
                return httpx.get(ready, trust_env=False).status_code == 200
            return False

        try:
            eventually(up, f"{command[0]} is ready")
            yield
        finally:
            process.terminate()
            try:
                process.wait(PATIENCE_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()


@contextmanager
def alerting(program: Callable[[str], str], folder: Path, hook: Hook) -> Iterator[str]:
    """Run Alertmanager and return where it listens."""
    folder.mkdir()
    text = shipped(
        "alertmanager/alertmanager.yml",
        ("http://127.0.0.1:9095", hook.url),
        ("group_wait: 30s", "group_wait: 100ms"),
        ("group_wait: 10s", "group_wait: 100ms"),
        ("group_interval: 5m", "group_interval: 300ms"),
    )
    (folder / "alertmanager.yml").write_text(text)
    address = f"127.0.0.1:{free_port()}"
    command = [
        program("prometheus-alertmanager"),
        f"--config.file={folder / 'alertmanager.yml'}",
        f"--storage.path={folder / 'data'}",
        f"--web.listen-address={address}",
        "--cluster.listen-address=",
    ]
    with running(command, folder, f"http://{address}/-/ready"):
        yield address


@contextmanager
def scraping(
    program: Callable[[str], str], folder: Path, service_url: str, alertmanager: str
) -> Iterator[httpx.Client]:
    """Run Prometheus and ask it."""
    folder.mkdir()
    text = shipped(
        "prometheus/prometheus.yml",
        ("127.0.0.1:8080", service_url.removeprefix("http://")),
        ("127.0.0.1:9093", alertmanager),
        ("rules.yml", str(DEPLOY / "prometheus" / "rules.yml")),
        ("scrape_interval: 15s", "scrape_interval: 2s"),
        ("evaluation_interval: 15s", "evaluation_interval: 500ms"),
    )
    (folder / "prometheus.yml").write_text(text)
    address = f"127.0.0.1:{free_port()}"
    command = [
        program("prometheus"),
        f"--config.file={folder / 'prometheus.yml'}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address={address}",
        # What was raised before Alertmanager was found is not sent again for a minute otherwise.
        "--rules.alert.resend-delay=1s",
    ]
    with (
        running(command, folder, f"http://{address}/-/ready"),
        httpx.Client(base_url=f"http://{address}/api/v1", timeout=PATIENCE_SECONDS, trust_env=False) as client,
    ):
        yield client


def ask(prometheus: httpx.Client, address: str, **parameters: str) -> Any:
    """Ask Prometheus, and take no error for an answer."""
    answer = prometheus.get(address, params=parameters).json()
    assert answer["status"] == "success", (parameters, answer)
    return answer["data"]


def query(prometheus: httpx.Client, expression: str) -> list[tuple[dict[str, str], float]]:
    """Return labels and value of every series that an expression has now."""
    found = ask(prometheus, "/query", query=expression)["result"]
    return [(each["metric"], float(each["value"][1])) for each in found]
