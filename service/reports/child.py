"""A process that does one piece of work within limits, and is ended when it passes one.

What it reads and writes never lies in a file with a name: the memory of the machine, and pipes.
"""

import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Event

POLL_SECONDS = 0.1
ERRORS_BYTES = 64 * 1024
"""What a process says of its errors is cut at its beginning beyond this."""
FILES_MAX = 512
NICENESS = 19
MIB = 1024 * 1024
OUT_OF_MEMORY = ("MemoryError", "Cannot allocate memory", "failed to map segment", "unable to allocate")
"""What a process says of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a process may take."""

    seconds: float
    """Of the clock; as many of a processor."""
    memory_bytes: int
    output_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How a process ended."""

    output: bytes
    failure: str
    """Why it did not do what it should; empty when it did."""
    seconds: float


def run(
    command: Sequence[str], payload: bytes, limits: Limits, *, environment: Mapping[str, str], ending: Event, cwd: Path
) -> Outcome:
    """Run a command on a payload, and return what it wrote.

    It reads the payload from its standard input, writes the result to its standard output and one sentence for people
    as the last line of its errors when it fails. ``ending`` ends it early.
    """
    started = time.monotonic()
    pipes = _memory(payload), _memory(b""), _memory(b"")
    try:
        code, ended = _run(command, pipes, limits, environment, ending, cwd)
        written = _content(pipes[1], limits.output_bytes + 1)
        said = _content(pipes[2], ERRORS_BYTES).decode(errors="replace")
    except (OSError, ValueError) as error:
        failure = f"the program cannot be started: {error}"
        return Outcome(output=b"", failure=failure, seconds=time.monotonic() - started)
    finally:
        for descriptor in pipes:
            os.close(descriptor)
    failure = _failure(code, ended, len(written), said, limits)
    return Outcome(output=written, failure=failure, seconds=time.monotonic() - started)


def _run(
    command: Sequence[str],
    pipes: tuple[int, int, int],
    limits: Limits,
    environment: Mapping[str, str],
    ending: Event,
    cwd: Path,
) -> tuple[int, str]:
    """Return the exit code, and why the process was ended if it was."""
    given, output, errors = pipes
    process = subprocess.Popen(  # noqa: S603 - our own programs, with nothing of a request on the command line
        command, stdin=given, stdout=output, stderr=errors, env=dict(environment), cwd=cwd, start_new_session=True
    )
    try:
        _limit(process.pid, limits)
    except (OSError, ValueError):
        _end(process)
        raise
    ended = _wait(process, limits.seconds, ending)
    return process.returncode, ended


def own_environment(folder: Path) -> dict[str, str]:
    """Return the environment of a process: nothing of ours but where programs are, and how many threads to use."""
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "LC_ALL", "LD_LIBRARY_PATH") if name in os.environ}
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"), "1")
    home = str(folder)
    return kept | threads | {"HOME": home, "TMPDIR": home, "DO_NOT_TRACK": "1", "PYTHONDONTWRITEBYTECODE": "1"}


def with_service(environment: Mapping[str, str]) -> dict[str, str]:
    """Return an environment in which a process finds this package."""
    return {**environment, "PYTHONPATH": os.pathsep.join(path or os.getcwd() for path in sys.path)}  # noqa: PTH109 - an empty entry means the folder of now


def _memory(content: bytes) -> int:
    descriptor = os.memfd_create("lazaretto-report", os.MFD_CLOEXEC)
    view = memoryview(content)
    while view:
        view = view[os.write(descriptor, view) :]
    os.lseek(descriptor, 0, os.SEEK_SET)
    return descriptor


def _content(descriptor: int, most: int) -> bytes:
    """Return the end of what was written."""
    size = os.fstat(descriptor).st_size
    return os.pread(descriptor, most, max(0, size - most))


def _limit(pid: int, limits: Limits) -> None:
    """Put limits on a process from outside, so that they hold whatever it runs."""
    seconds = max(1, round(limits.seconds) + 1)
    size = max(limits.output_bytes + 1, ERRORS_BYTES)
    wanted = {
        resource.RLIMIT_AS: limits.memory_bytes,
        resource.RLIMIT_CPU: seconds,
        resource.RLIMIT_FSIZE: size,
        resource.RLIMIT_NOFILE: FILES_MAX,
        resource.RLIMIT_CORE: 0,
    }
    with suppress(ProcessLookupError):
        for kind, most in wanted.items():
            _, hard = resource.prlimit(pid, kind)
            # What is lower already cannot be raised, and need not be.
            allowed = most if hard == resource.RLIM_INFINITY else min(most, hard)
            resource.prlimit(pid, kind, (allowed, allowed))
        os.setpriority(os.PRIO_PROCESS, pid, NICENESS)


def _wait(process: "subprocess.Popen[bytes]", seconds: float, ending: Event) -> str:
    """Wait for the end of a process and end its whole group; return why it was ended, if it was."""
    deadline = time.monotonic() + seconds
    reason = ""
    while not reason:
        try:
            process.wait(POLL_SECONDS)
        except subprocess.TimeoutExpired:
            if ending.is_set():
                reason = "the service ended meanwhile"
            elif time.monotonic() > deadline:
                reason = f"it took longer than {seconds:g} seconds"
        else:
            break
    _end(process)
    return reason


def _end(process: "subprocess.Popen[bytes]") -> None:
    """End the whole group of a process."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _failure(code: int, ended: str, written: int, said: str, limits: Limits) -> str:
    if ended:
        return ended
    if written > limits.output_bytes:
        return f"its result is larger than {limits.output_bytes} bytes"
    if code == -signal.SIGXCPU:
        return f"it took longer than {limits.seconds:g} seconds of a processor"
    return "" if code == 0 else _last_words(code, said, limits)


def _last_words(code: int, said: str, limits: Limits) -> str:
    last = next((line for line in reversed(said.splitlines()) if line.strip()), "")
    memory = f"it needed more than {limits.memory_bytes // MIB} MiB of memory"
    if any(sign in said for sign in OUT_OF_MEMORY):
        return memory
    if code < 0:
        name = signal.Signals(-code).name if -code in set(signal.Signals) else str(-code)
        return f"the process was ended by {name}: perhaps {memory}"
    return last.strip() or f"the process ended with code {code}"
