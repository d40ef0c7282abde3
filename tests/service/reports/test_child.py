"""A process that does too much is ended, and what is said of it."""

import os
import resource
import sys
import time
from pathlib import Path
from threading import Event, Timer

import pytest

from service.reports.child import Limits, Outcome, own_environment, run, with_service

LIMITS = Limits(seconds=300.0, memory_bytes=512 * 1024 * 1024, output_bytes=1024 * 1024)


def python(
    program: str, folder: Path, payload: bytes = b"", limits: Limits = LIMITS, ending: Event | None = None
) -> Outcome:
    command = [sys.executable, "-I", "-B", "-c", program]
    return run(command, payload, limits, environment=own_environment(folder), ending=ending or Event(), cwd=folder)


def test_what_it_writes_is_the_result(tmp_path: Path) -> None:
    outcome = python("import sys; sys.stdout.write(sys.stdin.read()[::-1])", tmp_path, b"abc")
    assert (outcome.output, outcome.failure) == (b"cba", "")


def test_who_hangs_is_ended_with_all_its_children(tmp_path: Path) -> None:
    mark = tmp_path / "alive"
    child = f"import time, pathlib; time.sleep(4); pathlib.Path({str(mark)!r}).touch()"
    program = f"import subprocess, sys, time; subprocess.Popen([sys.executable, '-c', {child!r}]); time.sleep(60)"
    outcome = python(program, tmp_path, limits=Limits(seconds=1.5, memory_bytes=2**29, output_bytes=100))
    assert outcome.failure == "it took longer than 1.5 seconds"
    time.sleep(4.5)
    assert not mark.exists()


def test_who_eats_memory_is_stopped_and_told(tmp_path: Path) -> None:
    outcome = python("held = [bytearray(64 * 2**20) for _ in range(100)]", tmp_path)
    assert outcome.failure == "it needed more than 512 MiB of memory"


def test_who_computes_for_ever_is_stopped_by_the_time_of_its_processor(tmp_path: Path) -> None:
    limits = Limits(seconds=1.0, memory_bytes=2**29, output_bytes=100)
    ends = ("it took longer than 1 seconds", "it took longer than 1 seconds of a processor")
    assert python("while True: pass", tmp_path, limits=limits).failure in ends


def test_who_writes_too_much_is_stopped(tmp_path: Path) -> None:
    program = "import sys\nwhile True: sys.stdout.buffer.write(b'x' * 65536)"
    assert python(program, tmp_path).failure == "its result is larger than 1048576 bytes"


def test_who_fails_says_why_in_its_last_line(tmp_path: Path) -> None:
    assert (
        python("import sys; print('much\\nno such thing', file=sys.stderr); sys.exit(3)", tmp_path).failure
        == "no such thing"
    )
    assert python("import sys; sys.exit(3)", tmp_path).failure == "the process ended with code 3"
    assert "SIGKILL" in python("import os; os.kill(os.getpid(), 9)", tmp_path).failure


def test_a_lower_limit_of_the_service_itself_holds(tmp_path: Path) -> None:
    inner = "import resource; print(resource.getrlimit(resource.RLIMIT_NOFILE), end='')"
    program = (
        "import resource, sys; from pathlib import Path; from threading import Event\n"
        "from service.reports.child import Limits, own_environment, run\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (100, 100))\n"
        "limits = Limits(seconds=300.0, memory_bytes=2**29, output_bytes=2**20)\n"
        f"command, folder = [sys.executable, '-I', '-c', {inner!r}], Path.cwd()\n"
        "made = run(command, b'', limits, environment=own_environment(folder), ending=Event(), cwd=folder)\n"
        "sys.stdout.write(made.failure + made.output.decode())\n"
    )
    command = [sys.executable, "-B", "-c", program]
    environment = with_service(own_environment(tmp_path))
    outcome = run(command, b"", LIMITS, environment=environment, ending=Event(), cwd=tmp_path)
    assert (outcome.output, outcome.failure) == (b"(100, 100)", "")


@pytest.mark.parametrize("error", [PermissionError("not permitted"), ValueError("not allowed")])
def test_who_cannot_be_limited_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    seen: list[int] = []

    def refuse(pid: int, *_: object) -> None:
        seen.append(pid)
        raise error

    monkeypatch.setattr(resource, "prlimit", refuse)
    outcome = python("import time; time.sleep(60)", tmp_path)
    assert outcome.failure == f"the program cannot be started: {error}"
    with pytest.raises(ProcessLookupError):
        os.kill(seen[0], 0)


def test_it_ends_with_the_service(tmp_path: Path) -> None:
    ending = Event()
    Timer(0.5, ending.set).start()
    assert python("import time; time.sleep(60)", tmp_path, ending=ending).failure == "the service ended meanwhile"


def test_it_learns_nothing_of_the_service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAZARETTO_SECRET_KEY", "5a" * 32)
    monkeypatch.setenv("LAZARETTO_DATABASE_URL", "postgresql://root:pw@host/db")
    program = "import os; print(dict(os.environ), len(os.listdir('/proc/self/fd')))"
    outcome = python(program, tmp_path)
    assert b"LAZARETTO" not in outcome.output
    assert b"pw@host" not in outcome.output
    # Its own three, and the one that lists them: no connection of ours goes along.
    assert int(outcome.output.split()[-1]) == 4


def test_another_program_of_ours_finds_the_package(tmp_path: Path) -> None:
    environment = with_service(own_environment(tmp_path))
    command = [sys.executable, "-B", "-c", "import service, sys; sys.stdout.write(service.__version__)"]
    outcome = run(command, b"", LIMITS, environment=environment, ending=Event(), cwd=tmp_path)
    assert outcome.failure == ""
    assert outcome.output
