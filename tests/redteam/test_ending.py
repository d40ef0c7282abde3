"""Runs that somebody ends, and what killed ones have left."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from service.cli.redteam import _heeding
from tests.integration.http.conftest import environment, eventually, make_key, run, serving

ROOT = Path(__file__).parents[2]


@pytest.fixture
def heeded() -> Iterator[None]:
    """Let programs heed Ctrl-C, though the tests may run in the background of a shell, where nobody does."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("heeded")
@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_whoever_ends_a_run_ends_it_in_order(tmp_path: Path, number: signal.Signals) -> None:
    plan, output = tmp_path / "plan.toml", tmp_path / "out"
    plan.write_text('victims = ["digits"]\nattacks = ["hopskipjump-l2"]\nsessions = 300\nqueries_max = 60\n')
    command = [sys.executable, "-m", "service", "redteam", "run", "--plan", str(plan), "--output", str(output)]
    with subprocess.Popen(command, cwd=ROOT, env=environment(), stderr=subprocess.PIPE, text=True) as process:
        lines = output / "sessions.jsonl"
        for _ in range(1_200):
            if lines.exists() or process.poll() is not None:
                break
            threading.Event().wait(0.05)
        os.kill(process.pid, number)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert "Broken off" in errors
    assert "Traceback" not in errors
    assert "goes on" in run("redteam", "report", str(output))


@pytest.mark.usefixtures("heeded")
@pytest.mark.parametrize("numbers", [(signal.SIGINT, signal.SIGINT), (signal.SIGTERM, signal.SIGINT)])
def test_a_signal_that_comes_twice_does_not_break_off_the_end(numbers: tuple[signal.Signals, signal.Signals]) -> None:
    with _heeding():
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(numbers[0])
        signal.raise_signal(numbers[1])
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(numbers[1])
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.slow
def test_what_a_killed_run_has_left_is_retired(tmp_path: Path) -> None:
    plan, output = tmp_path / "plan.toml", tmp_path / "out"
    plan.write_text(
        'victims = ["digits"]\nattacks = ["hopskipjump-l2"]\nsessions = 300\nqueries_max = 60\nseconds_max = 600\n'
    )
    with serving(tmp_path / "data") as running:
        headers = make_key(running.data_dir, "ingest", "read", "operate", "admin")
        words = ["--url", running.url, "--key", headers["authorization"].removeprefix("Bearer ")]
        command = [sys.executable, "-m", "service", "redteam", "run", "--plan", str(plan), "--output", str(output)]
        with subprocess.Popen([*command, *words], cwd=ROOT, env=environment(), stderr=subprocess.DEVNULL) as process:
            eventually((output / "sessions.jsonl").exists, "a session is done", 120)
            process.kill()
        with httpx.Client(base_url=running.url, headers=headers, timeout=60.0) as client:

            def states() -> list[str]:
                models = client.get("/v1/models").json()["models"]
                return [version["state"] for one in models for version in one["versions"]]

            assert states() == ["active"]
            # For all that is known the run may be at work.
            assert json.loads(run("redteam", "clean", *words, "--json")) == {"retired": [], "failed": [], "cut": False}
            assert states() == ["active"]
            [name] = json.loads(run("redteam", "clean", *words, "--all", "--json"))["retired"]
            assert name.startswith("redteam-digits-")
            assert states() == ["retired"]
            assert client.get("/v1/incidents", params={"status": "open"}).json()["incidents"] == []
    assert "is not this machine" in run("redteam", "clean", "--url", "http://models.example", "--key", "k", expect=1)
