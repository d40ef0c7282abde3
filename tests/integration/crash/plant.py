"""A running Lazaretto whose two processes can be killed and started again at will."""

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx

START_SECONDS = 60.0


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Plant:
    """The API and the worker over one data directory, as two processes of their own."""

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.kills = {"api": 0, "worker": 0}
        self._log = (data_dir.parent / "plant.log").open("ab")

    def command(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run one lazaretto command to its end."""
        return subprocess.run(
            [sys.executable, "-m", "service", *words],
            env=self._environment(),
            capture_output=True,
            text=True,
            timeout=START_SECONDS,
            check=True,
        )

    def key(self, name: str, scopes: str) -> str:
        """Create a key and return it."""
        answer = json.loads(self.command("keys", "create", "--name", name, "--scopes", scopes, "--json").stdout)
        key: str = answer["key"]
        return key

    def start(self, role: str) -> None:
        """Start one of the two processes; returns before it is ready."""
        words = ["api", "--port", str(self.port)] if role == "api" else ["worker"]
        self.processes[role] = subprocess.Popen(
            [sys.executable, "-m", "service", *words],
            env=self._environment(),
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=self._log,
        )

    def kill(self, role: str) -> None:
        """SIGKILL: no clean-up, no last word."""
        process = self.processes.pop(role)
        process.send_signal(signal.SIGKILL)
        process.wait()
        self.kills[role] += 1

    def stop(self) -> None:
        """End everything in order."""
        for process in self.processes.values():
            process.terminate()
        for process in self.processes.values():
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(timeout=20)
            if process.poll() is None:
                process.kill()
                process.wait()
        self.processes.clear()
        self._log.close()

    def wait_alive(self) -> None:
        """Wait until the API answers."""
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            with contextlib.suppress(httpx.TransportError):
                if httpx.get(f"{self.url}/healthz", timeout=2).status_code == httpx.codes.OK:
                    return
            time.sleep(0.05)
        message = (
            f"the API did not come up in {START_SECONDS} s: {(self.data_dir.parent / 'plant.log').read_text()[-2000:]}"
        )
        raise TimeoutError(message)

    def copy_to(self, target: Path) -> None:
        """Copy the data directory while nothing runs."""
        shutil.copytree(self.data_dir, target)

    def _environment(self) -> dict[str, str]:
        return os.environ | {"LAZARETTO_DATA_DIR": str(self.data_dir), "OMP_NUM_THREADS": "1"}
