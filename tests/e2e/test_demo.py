"""The one command that shows everything, run unattended as a newcomer would run it."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Timer

import pytest

PATIENCE_SECONDS = 240
"""The demo gives itself 85 seconds; a machine too busy even to say so is told from one that hangs."""
TARGET_SECONDS = 90


@contextmanager
def killed_after(seconds: float, process: "subprocess.Popen[bytes]") -> Iterator[Timer]:
    timer = Timer(seconds, process.kill)
    timer.start()
    try:
        yield timer
    finally:
        timer.cancel()
        timer.join()


@pytest.mark.slow
def test_the_demo_quarantines_a_worn_model_and_releases_it(tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("LAZARETTO_")}
    environment["TMPDIR"] = str(tmp_path)
    combined, out = tmp_path / "combined.txt", []
    command = [str(Path(sys.executable).with_name("lazaretto")), "demo", "--check"]
    with (
        combined.open("ab", buffering=0) as both,
        subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=both) as demo,
        killed_after(PATIENCE_SECONDS, demo) as timer,
    ):
        assert demo.stdout is not None
        for line in demo.stdout:
            out.append(line)
            both.write(line)
        code = demo.wait()
        assert timer.is_alive(), f"not finished after {PATIENCE_SECONDS} s:\n{combined.read_text()[-2_000:]}"
    told = combined.read_text()
    assert code == 0, told[-2_000:]

    figures = json.loads(out[-1])
    assert json.loads(told.splitlines()[-1]) == figures
    assert figures["events"] >= 20_000
    assert figures["seconds"] < TARGET_SECONDS
    gate = figures["gate"]
    assert (gate["before"], gate["after"], gate["after_one_approval"], gate["after_release"]) == (200, 403, 403, 200)
    assert figures["evidence"] >= figures["threshold"] > 1
    assert figures["benign_alerts"] == 0
    assert not list(tmp_path.glob("lazaretto-demo-*")), "it leaves nothing behind"
