"""A Lazaretto of the run's own: on a free loopback port, with a data directory that is gone afterwards."""

import os
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from queue import Empty, Queue
from threading import Thread
from typing import NamedTuple

import msgspec

from redteam.problems import Stopped

START_SECONDS = 60.0
STOP_SECONDS = 30.0
LOG_TAIL = 1_500
SCOPES = "ingest,read,operate,admin"
PREFIX = "LAZARETTO_"


class Own(NamedTuple):
    """One that was started."""

    url: str
    key: str
    """With every scope."""
    folder: Path
    """Its data directory."""


@contextmanager
def own_lazaretto(command: Sequence[str]) -> Iterator[Own]:
    """Start one, and yield where it is.

    Parameters
    ----------
    command : sequence of str
        What the command line of Lazaretto is run with.

    Raises
    ------
    Stopped
        When it does not start; the text ends with what it logged.
    """
    with tempfile.TemporaryDirectory(prefix="lazaretto-redteam-") as folder:
        # Settings of this environment belong to another instance.
        environment = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
        environment |= {"LAZARETTO_DATA_DIR": folder, "PYTHONUNBUFFERED": "1"}
        made = _run([*command, "keys", "create", "--name", "red-team", "--scopes", SCOPES, "--json"], environment)
        key: str = msgspec.json.decode(made)["key"]
        log = Path(folder, "serve.log")
        with log.open("wb") as errors:
            serving = [*command, "serve", "--host", "127.0.0.1", "--port", "0"]
            # In a session of its own: Ctrl-C reaches the run only, which ends it in order.
            process = subprocess.Popen(  # noqa: S603 - Lazaretto's own command line
                serving, env=environment, stdout=subprocess.PIPE, stderr=errors, start_new_session=True, text=True
            )
        try:
            yield Own(_url(process, log), key, Path(folder))
        finally:
            _end(process)


def _run(command: Sequence[str], environment: dict[str, str]) -> str:
    try:
        done = subprocess.run(  # noqa: S603 - Lazaretto's own command line
            command, env=environment, capture_output=True, text=True, timeout=START_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        raise Stopped(f"Lazaretto made no key within {START_SECONDS:g} s") from None
    if done.returncode != 0:
        raise Stopped(f"Lazaretto made no key: {(done.stderr or done.stdout)[-LOG_TAIL:].strip()}")
    return done.stdout


def _url(process: "subprocess.Popen[str]", log: Path) -> str:
    """Return the address that a server prints first."""
    lines: Queue[str] = Queue()
    out = process.stdout
    if out is not None:
        Thread(target=lambda: lines.put(out.readline()), daemon=True).start()
    try:
        line = lines.get(timeout=START_SECONDS)
    except Empty:
        line = ""
    if "listens on http://" not in line:
        tail = log.read_bytes()[-LOG_TAIL:].decode(errors="replace").strip()
        raise Stopped(f"Lazaretto did not start: {tail or 'it said nothing'}")
    return line.split()[-1]


def _end(process: "subprocess.Popen[str]") -> None:
    for end in (process.terminate, process.kill):
        if process.poll() is None:
            end()
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                continue
    if process.stdout is not None:
        process.stdout.close()
