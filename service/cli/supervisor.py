"""Keeps one worker process alive beside the API, and ends it in order."""

import logging
import os
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Self

logger = logging.getLogger("lazaretto.supervisor")

FIRST_PAUSE_SECONDS = 0.2
PAUSE_SECONDS_MAX = 30.0
STEADY_SECONDS = 30.0
"""A worker that ran for so long has shown that it can: the next pause is short again."""
END_SECONDS = 15.0


class Supervisor:
    """Starts a command, starts it again when it dies, and ends it by closing its standard input.

    Parameters
    ----------
    command
        What to run; it must end when its standard input closes.
    environment
        For the child.
    """

    def __init__(self, command: Sequence[str], environment: Mapping[str, str]) -> None:
        self._command = list(command)
        self._environment = dict(environment)
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._child: subprocess.Popen[bytes] | None = None
        self._thread = threading.Thread(target=self._run, name="supervisor", daemon=True)

    def start(self) -> None:
        """Start the child and the thread that watches it."""
        self._spawn()
        self._thread.start()

    def stop(self) -> None:
        """End the child: politely, then less so."""
        self._stop.set()
        with self._lock:
            child = self._child
        if child is not None:
            _end(child)
        self._thread.join(END_SECONDS)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def pid(self) -> int | None:
        """The child's process id."""
        with self._lock:
            return None if self._child is None else self._child.pid

    def _spawn(self) -> None:
        with self._lock:
            if not self._stop.is_set():
                # In a group of its own: Ctrl-C reaches the parent only, and the child ends after it.
                self._child = subprocess.Popen(  # noqa: S603 - this program itself
                    self._command, stdin=subprocess.PIPE, env=self._environment, process_group=0
                )

    def _run(self) -> None:
        pause = FIRST_PAUSE_SECONDS
        while self._child is not None:
            began = time.monotonic()
            code = self._child.wait()
            if self._stop.is_set():
                return
            if time.monotonic() - began > STEADY_SECONDS:
                pause = FIRST_PAUSE_SECONDS
            logger.error("the worker ended", extra={"exit_code": code, "restart_in_seconds": pause})
            if self._child.stdin is not None:
                self._child.stdin.close()
            if self._stop.wait(pause):
                return
            pause = min(2 * pause, PAUSE_SECONDS_MAX)
            self._spawn()


def _end(child: subprocess.Popen[bytes]) -> None:
    """Close the child's standard input, then ask, then force."""
    if child.stdin is not None:
        child.stdin.close()
    for harder in (child.terminate, child.kill):
        try:
            child.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            logger.warning("the worker takes its time to end")
            harder()
    child.wait()


def worker_command() -> list[str]:
    """Return the command of a worker that ends with its parent."""
    return [sys.executable, "-m", "service", "worker", "--until-stdin-closes"]


def worker_environment(data_dir: str) -> dict[str, str]:
    """Return the environment of the worker: this one's, with the data directory that was chosen here."""
    return {**os.environ, "LAZARETTO_DATA_DIR": data_dir}
