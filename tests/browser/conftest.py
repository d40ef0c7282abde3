"""A real service with a quarantined model, and browsers that fail the test when a page misbehaves."""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pyarrow as pa
import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, Request, expect, sync_playwright

ROOT = Path(__file__).parents[2]
ARTEFACTS = ROOT / "tests" / "artefacts"
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]
FEATURES = ("sharpness", "grain", "brightness")
START_SECONDS, QUARANTINE_SECONDS = 120.0, 180.0
expect.set_options(timeout=60_000)
"""A busy machine takes its time; what is expected never comes if it is broken."""
HOSTILE = "<img src=/x onerror=alert(1)>"
POLICY = {"tick_seconds": 0.2, "minimum_effect": 0.1}


@dataclass
class Service:
    """A running service, and keys to it."""

    url: str
    data_dir: Path
    keys: dict[str, str] = field(default_factory=dict)

    def make_key(self, name: str, scopes: str) -> str:
        arguments = [sys.executable, "-m", "service", "keys", "create", "--name", name, "--scopes", scopes, "--json"]
        environment = os.environ | {"LAZARETTO_DATA_DIR": str(self.data_dir)}
        printed = subprocess.run(
            arguments, env=environment, cwd=ROOT, check=True, capture_output=True, timeout=60
        ).stdout
        self.keys[name] = json.loads(printed)["key"]
        return self.keys[name]

    def ask(self, method: str, path: str, *, key: str = "root", **content: Any) -> httpx.Response:
        headers = {"authorization": f"Bearer {self.keys[key]}", **content.pop("headers", {})}
        answer = httpx.request(method, self.url + path, headers=headers, timeout=120.0, **content)
        assert answer.is_success, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer

    def add_model(self, model: str, **fields: str) -> str:
        """Register a model with one version and a baseline; return the path of the version."""
        body = {"name": model, "owner": "imaging", "description": "Reads digits", "policy": POLICY, **fields}
        self.ask("POST", "/v1/models", json=body)
        features = [{"name": name, "kind": "numeric"} for name in FEATURES]
        schema = {"features": features, "prediction": {"kind": "class", "classes": ["a", "b"]}}
        self.ask("POST", f"/v1/models/{model}/versions", json={"version": "1", "schema": schema, "deployed_by": "mira"})
        path = f"/v1/models/{model}/versions/1"
        columns = {f"features.{name}": values for name, values in drawn(np.random.default_rng(1), 4_000, 0.0).items()}
        table = pa.table(columns)
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table)
        stream = {"content-type": "application/vnd.apache.arrow.stream"}
        self.ask("PUT", f"{path}/baseline", content=sink.getvalue().to_pybytes(), headers=stream)
        return path

    def post_events(self, path: str, wear: float, seed: int) -> None:
        values = drawn(np.random.default_rng(seed), 300, wear)
        features = {name: values[name].tolist() for name in FEATURES}
        self.ask("POST", f"{path}/events", json={"columns": {"features": features}})

    def quarantine_by_evidence(self, path: str) -> None:
        """Send good events, then worn ones until the policy has closed the gate."""
        for seed in range(8):
            self.post_events(path, 0.0, 100 + seed)
            time.sleep(0.2)
        deadline, seed = time.monotonic() + QUARANTINE_SECONDS, 1_000
        while self.ask("GET", f"{path}/status").json()["state"] != "quarantined":
            assert time.monotonic() < deadline, self.ask("GET", f"{path}/status").text
            self.post_events(path, 0.4, seed)
            seed += 1
            time.sleep(0.2)


def drawn(rng: np.random.Generator, rows: int, wear: float) -> dict[str, np.ndarray[Any, np.dtype[np.float64]]]:
    return {name: rng.normal(wear * (2 - place), 1.0, rows) for place, name in enumerate(FEATURES)}


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    folder = tmp_path_factory.mktemp("service")
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    running = Service(f"http://127.0.0.1:{port}", folder / "data")
    running.make_key("root", "ingest,read,operate,admin")
    arguments = [sys.executable, "-m", "service", "serve", "--port", str(port), "--data-dir", str(running.data_dir)]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(arguments, cwd=ROOT, stdout=log, stderr=log)
    try:
        _wait_until_ready(running.url, process, folder / "log")
        for name in ("ada", "grace"):
            running.make_key(name, "read,operate")
        running.make_key("rita", "read")
        yield running
    finally:
        process.terminate()
        process.wait(timeout=30)


def _wait_until_ready(url: str, process: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        assert process.poll() is None, log.read_text(errors="replace")[-3_000:]
        assert time.monotonic() < deadline, log.read_text(errors="replace")[-3_000:]
        try:
            if httpx.get(f"{url}/readyz", timeout=2.0).is_success:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.1)


@pytest.fixture(scope="module")
def quarantined(service: Service) -> str:
    """Return the page of a model that evidence has quarantined."""
    path = service.add_model("digits", description=HOSTILE)
    service.quarantine_by_evidence(path)
    return "/models/digits/versions/1"


@pytest.fixture(scope="module")
def chromium(program: Callable[[str], str]) -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program("chromium"), args=ARGUMENTS)
        yield browser
        browser.close()


@dataclass
class Watch:
    """What a page must not do: break its policy, fail, or ask anybody else."""

    url: str
    offences: list[str] = field(default_factory=list)

    def follow(self, page: Page) -> None:
        page.on("console", self._said)
        page.on("pageerror", lambda error: self.offences.append(f"script error: {error}"))
        page.on("request", self._asked)
        page.on("dialog", lambda dialog: self.offences.append(f"dialog: {dialog.message}"))

    def _said(self, message: ConsoleMessage) -> None:
        # Chromium also logs each answer of 4xx: those are what some tests are about.
        if message.type in {"error", "warning"} and "Failed to load resource" not in message.text:
            self.offences.append(f"{message.type}: {message.text}")

    def _asked(self, request: Request) -> None:
        if not request.url.startswith(self.url):
            self.offences.append(f"asked another host: {request.url}")


OpenPage = Callable[..., Page]


@pytest.fixture
def open_page(chromium: Browser, service: Service) -> Iterator[OpenPage]:
    """Open a page in a fresh profile, signed in as ``name`` unless that is None."""
    contexts: list[BrowserContext] = []
    watch = Watch(service.url)

    def open_one(name: str | None = "ada", **options: Any) -> Page:
        context = chromium.new_context(base_url=service.url, **options)
        contexts.append(context)
        context.set_default_timeout(60_000)
        page = context.new_page()
        watch.follow(page)
        if name is not None:
            page.goto("/login")
            page.get_by_label("API key").fill(service.keys[name])
            page.get_by_role("button", name="Sign in").click()
            page.wait_for_url(lambda url: "/login" not in url)
        return page

    yield open_one
    for context in contexts:
        context.close()
    assert watch.offences == []
