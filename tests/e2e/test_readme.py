"""What the README tells a newcomer to type, typed into a real shell against a real server."""

import os
import re
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
URL = "http://127.0.0.1:8080"
READY_SECONDS = 30


def _environment(data: Path, port: int) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("LAZARETTO_")}
    kept["PATH"] = f"{Path(sys.executable).parent}:{kept['PATH']}"
    return kept | {"LAZARETTO_DATA_DIR": str(data), "LAZARETTO_PORT": str(port)}


def _wait_until_ready(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline:
        assert process.poll() is None, "the server ended"
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5):
                return
        except (urllib.error.URLError, ConnectionError):
            time.sleep(0.05)
    pytest.fail("the server did not become ready")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    """Run the service as ``make serve`` does, in a fresh data directory on a free port."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    environment = _environment(tmp_path / "data", port)
    with (tmp_path / "server.log").open("wb") as log:
        command = [str(Path(sys.executable).with_name("lazaretto")), "serve"]
        process = subprocess.Popen(command, env=environment, cwd=tmp_path, stdout=log, stderr=log)
        try:
            _wait_until_ready(port, process)
            yield port, environment
        finally:
            process.terminate()
            process.wait(20)


def test_the_commands_to_try_work_as_written(
    server: tuple[int, dict[str, str]], tmp_path: Path, program: Callable[[str], str]
) -> None:
    port, environment = server
    blocks = re.findall(r"^```sh\n(.*?)^```$", README, flags=re.DOTALL | re.MULTILINE)
    assert len(blocks) == 4
    script = "set -euo pipefail\n" + "\n".join(blocks)
    assert URL in script
    script = script.replace(URL, f"http://127.0.0.1:{port}")
    program("curl")
    result = subprocess.run(
        ["bash", "-c", script], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    log = (tmp_path / "server.log").read_text()[-2_000:]
    assert result.returncode == 0, f"{result.stdout}\n{result.stderr}\n{log}"
    assert re.findall(r"gate: (\d+)", result.stdout) == ["200", "403"], f"{result.stdout}\n{log}"
    assert "data_drift" in result.stdout or "data_quality" in result.stdout


def test_the_commands_that_the_readme_names_exist() -> None:
    targets = set(re.findall(r"`?make (\w+)", README))
    makefile = (ROOT / "Makefile").read_text()
    assert {"demo", "test"} <= targets
    assert {target for target in targets if not re.search(rf"^{target}:", makefile, flags=re.MULTILINE)} == set()
