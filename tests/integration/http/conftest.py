"""``lazaretto serve`` as people run it: a process, a port, a data directory."""

import io
import json
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import httpx
import psutil
import pytest

from service.cli import main
from service.clock import SystemClock
from service.domain.ids import Actor
from service.domain.records import Scope
from service.office import KeyRequest, issue_key
from service.settings import Secrets, Settings
from service.store import open_store

PATIENCE_SECONDS = 120.0

SCHEMA = {
    "features": [{"name": "age", "kind": "numeric"}, {"name": "country", "kind": "categorical"}],
    "prediction": {"kind": "class", "classes": ["fraud", "ok"]},
}


def environment(**settings: str) -> dict[str, str]:
    """Return this environment without settings of its own, plus those given."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("LAZARETTO_")}
    return {
        **clean,
        "PYTHONUNBUFFERED": "1",
        **{f"LAZARETTO_{name.upper()}": value for name, value in settings.items()},
    }


def run(*words: str, data_dir: Path | None = None, expect: int = 0) -> str:
    """Run a command to its end within this process, whose imports are paid for, and return what it printed."""
    where = [] if data_dir is None else ["--data-dir", str(data_dir)]
    root, out, code = logging.getLogger(), io.StringIO(), 0
    handlers, level = root.handlers[:], root.level
    signals = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    with (
        patch.object(sys, "argv", ["lazaretto", *words, *where]),
        patch.dict(os.environ, environment(), clear=True),
        # A worker steps back behind others, for good: all tests after it would.
        patch.object(os, "nice"),
        redirect_stdout(out),
        redirect_stderr(out),
    ):
        try:
            main()
        except SystemExit as ended:
            code = int(ended.code or 0)
        finally:
            root.handlers[:] = handlers
            root.setLevel(level)
            for number, handler in signals.items():
                signal.signal(number, handler)
    assert code == expect, out.getvalue()
    return out.getvalue()


def make_key(data_dir: Path, *scopes: str, name: str = "ada") -> dict[str, str]:
    """Make a key beside a running service, as the command line does, and return it as headers."""
    settings = Settings(data_dir=data_dir)
    store = open_store(settings.state_url, timeout_seconds=PATIENCE_SECONDS)
    try:
        request = KeyRequest(name=name, scopes=frozenset(Scope(scope) for scope in scopes))
        parts = issue_key(store.control, SystemClock(), Secrets.of(settings).pepper, Actor("test"), request)
    finally:
        store.close()
    return {"authorization": f"Bearer {parts.text}"}


def eventually(check: Callable[[], Any], what: str, patience_seconds: float = PATIENCE_SECONDS) -> Any:
    """Return the first true answer of ``check``."""
    deadline = time.monotonic() + patience_seconds
    while time.monotonic() < deadline:
        found = check()
        if found:
            return found
        time.sleep(0.05)
    pytest.fail(f"never: {what}")


@dataclass
class Served:
    """A running service."""

    url: str
    process: "subprocess.Popen[str]"
    data_dir: Path
    log: Path

    def worker_pid(self) -> int | None:
        """Return the worker's process id."""
        children = psutil.Process(self.process.pid).children()
        workers = [child.pid for child in children if "worker" in child.cmdline()]
        return workers[0] if workers else None

    def lines(self) -> list[dict[str, Any]]:
        """Return the log so far."""
        return [json.loads(line) for line in self.log.read_text().splitlines()]

    def end(self) -> int:
        """End it in order and return its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(PATIENCE_SECONDS)


@contextmanager
def serving(data_dir: Path, **settings: str) -> Iterator[Served]:
    """Serve on a free port until the block ends."""
    data_dir.mkdir(parents=True, exist_ok=True)
    log = data_dir / "serve.log"
    with (
        log.open("w") as errors,
        subprocess.Popen(
            [sys.executable, "-m", "service", "serve", "--port", "0", "--data-dir", str(data_dir)],
            env=environment(**settings),
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        ) as process,
    ):
        assert process.stdout is not None
        first = process.stdout.readline()
        assert "listens on http://" in first, log.read_text()
        try:
            yield Served(first.split()[-1], process, data_dir, log)
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
                try:
                    process.wait(PATIENCE_SECONDS)
                except subprocess.TimeoutExpired:
                    process.kill()


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """One service for the tests of a module that do not break it."""
    with serving(tmp_path_factory.mktemp("served")) as running:
        yield running


@pytest.fixture(scope="module")
def client(served: Served) -> Iterator[httpx.Client]:
    """Ask the service with a key that may do all."""
    headers = make_key(served.data_dir, "ingest", "read", "operate", "admin")
    with httpx.Client(base_url=served.url, headers=headers, timeout=PATIENCE_SECONDS) as asking:
        yield asking


def register(client: httpx.Client, model: str) -> str:
    """Register a model with version 1 and return the version's path."""
    body = {"name": model, "owner": "risk", "policy": {"tick_seconds": 0.1}}
    assert client.post("/v1/models", json=body).status_code == 201
    body = {"version": "1", "schema": SCHEMA}
    assert client.post(f"/v1/models/{model}/versions", json=body).status_code == 201
    return f"/v1/models/{model}/versions/1"
