"""The worker's sign of life, and the command that looks at it."""

import os
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from service.cli import app, health
from service.cli.failures import Failure
from service.worker.pulse import PULSE_SECONDS, Pulse


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    clock = [100.0]
    monkeypatch.setattr("service.worker.pulse.time.monotonic", lambda: clock[0])
    return clock


def test_it_touches_the_file_once_a_second_and_not_more_often(tmp_path: Path, now: list[float]) -> None:
    path = tmp_path / "pulse"
    pulse = Pulse(path)
    pulse()
    os.utime(path, (0, 0))
    now[0] += PULSE_SECONDS / 2
    pulse()
    assert path.stat().st_mtime == 0
    now[0] += PULSE_SECONDS / 2
    pulse()
    assert path.stat().st_mtime > 0


def test_a_folder_that_cannot_be_written_is_told_at_the_start_and_ends_no_worker_later(
    tmp_path: Path, now: list[float], caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "there"
    with pytest.raises(FileNotFoundError):
        Pulse(folder / "pulse")()
    folder.mkdir()
    pulse = Pulse(folder / "pulse")
    pulse()
    (folder / "pulse").unlink()
    folder.rmdir()
    for _ in range(3):
        now[0] += PULSE_SECONDS
        pulse()
    assert [record.message for record in caplog.records] == ["no pulse"]
    folder.mkdir()
    now[0] += PULSE_SECONDS
    pulse()
    assert (folder / "pulse").exists()


def _ask(*words: str, **settings: str) -> tuple[int, str]:
    variables = {f"LAZARETTO_{name.upper()}": value for name, value in settings.items()}
    result = CliRunner().invoke(app, ["health", *words], env=variables)
    assert result.exception is None or isinstance(result.exception, Failure), result.exception
    return result.exit_code, str(result.exception) if result.exception else result.output


def test_health_looks_at_the_age_of_the_pulse(tmp_path: Path) -> None:
    path = tmp_path / "pulse"
    code, text = _ask("--worker", worker_pulse_file=str(path))
    assert code != 0
    assert "no worker has begun" in text
    path.touch()
    assert _ask("--worker", worker_pulse_file=str(path))[0] == 0
    old = path.stat().st_mtime - health.PULSE_SECONDS_MAX - 5
    os.utime(path, (old, old))
    code, text = _ask("--worker", worker_pulse_file=str(path))
    assert code != 0
    assert re.search(r"has not gone round for \d+ s", text)


def test_health_says_what_is_missing_or_contradictory(unused_port: int) -> None:
    assert "no worker_pulse_file is set" in _ask("--worker")[1]
    assert "one of them" in _ask("--worker", "--ready")[1]
    assert "a free one" in _ask(port="0")[1]
    code, text = _ask(host="0.0.0.0", port=str(unused_port))
    assert code != 0
    assert f"127.0.0.1:{unused_port}/healthz does not answer" in text


@pytest.fixture
def unused_port() -> int:
    import socket

    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port
