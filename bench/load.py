"""Two ways to load a server.

``saturate``: wrk with 16 connections, each sending as fast as it is answered. ``pace``: an own open-loop client that
sends at a fixed rate and measures each answer from the moment its request was *due*, so that a stalled server cannot
hide behind a client that waited for it.
"""

import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np

CONNECTIONS = 16
_SCRIPT = Path(__file__).with_name("rotate.lua")
_TIMEOUT_SECONDS = 10.0


class LoadFailed(Exception):
    """The load did not run as meant, so that its figures would mean nothing."""


class Load(msgspec.Struct, frozen=True):
    """What a load saw."""

    requests: int
    seconds: float
    refused: int
    broken: int
    p50_ms: float
    p99_ms: float

    @property
    def rate(self) -> float:
        """Answered requests per second."""
        return self.requests / self.seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Where bodies go."""

    port: int
    path: str
    key: str
    content_type: str


def write_bodies(folder: Path, bodies: Sequence[bytes]) -> None:
    """Write the bodies where ``rotate.lua`` looks for them."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for number, body in enumerate(bodies):
        (folder / f"{number:05d}").write_bytes(body)


def start_saturation(target: Target, folder: Path, seconds: float, core: int) -> subprocess.Popen[str]:
    """Start wrk on its own core."""
    command = ["taskset", "-c", str(core), "wrk", "-t1", f"-c{CONNECTIONS}", f"-d{max(1, round(seconds))}s"]
    command += [
        f"--timeout={_TIMEOUT_SECONDS:.0f}s",
        "-s",
        str(_SCRIPT),
        f"http://127.0.0.1:{target.port}{target.path}",
    ]
    command += ["--", str(folder), target.content_type, target.key]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def finish_saturation(process: subprocess.Popen[str], *, strict: bool = True) -> Load:
    """Wait for wrk and read its figures; refused or broken requests make them worthless when ``strict``."""
    output, _ = process.communicate(timeout=300)
    lines = [line for line in output.splitlines() if line.startswith("{")]
    if process.returncode != 0 or not lines:
        raise LoadFailed(f"wrk ended with {process.returncode}: {output[-500:]}")
    load = msgspec.json.decode(lines[-1], type=Load)
    if strict and (load.refused or load.broken or not load.requests):
        raise LoadFailed(f"not every request was answered with success: {load}")
    return load


def saturate(target: Target, folder: Path, seconds: float, core: int) -> Load:
    """Send the bodies of ``folder`` in turn over 16 connections, as fast as they are answered."""
    return finish_saturation(start_saturation(target, folder, seconds, core))


def post(target: Target, body: bytes) -> bytes:
    """Write one POST request."""
    head = (
        f"POST {target.path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {target.key}\r\n"
        f"Content-Type: {target.content_type}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def get(target: Target) -> bytes:
    """Write one GET request."""
    return f"GET {target.path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {target.key}\r\n\r\n".encode()


def _read_answer(connection: socket.socket, pending: bytes) -> tuple[int, bytes]:
    """Read one answer; return its status and what was read beyond it."""
    while (end := pending.find(b"\r\n\r\n")) < 0:
        pending += _receive(connection)
    head = pending[:end].lower()
    at = head.find(b"content-length:")
    length = int(head[at + 15 :].split(b"\r\n", 1)[0]) if at >= 0 else 0
    while len(pending) < end + 4 + length:
        pending += _receive(connection)
    return int(head[9:12]), pending[end + 4 + length :]


def _receive(connection: socket.socket) -> bytes:
    data = connection.recv(65_536)
    if not data:
        raise LoadFailed("the server closed a connection")
    return data


class _Sender(threading.Thread):
    """One connection with its own share of the schedule."""

    def __init__(self, port: int, requests: Sequence[bytes], due: Sequence[float]) -> None:
        super().__init__(daemon=True)
        self._port, self._requests, self._due = port, requests, due
        self.seconds: list[float] = []
        self.refused = 0
        self.failure: str | None = None

    def run(self) -> None:
        try:
            with socket.create_connection(("127.0.0.1", self._port), _TIMEOUT_SECONDS) as connection:
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self._send_all(connection)
        except (OSError, LoadFailed) as error:
            self.failure = str(error)

    def _send_all(self, connection: socket.socket) -> None:
        pending = b""
        for number, due in enumerate(self._due):
            wait = due - time.perf_counter()
            if wait > 0:
                time.sleep(wait)
            connection.sendall(self._requests[number % len(self._requests)])
            status, pending = _read_answer(connection, pending)
            self.seconds.append(time.perf_counter() - due)
            self.refused += status >= 400


def pace(port: int, requests: Sequence[bytes], *, rate: float, seconds: float, connections: int = CONNECTIONS) -> Load:
    """Send ``rate`` requests per second, spread evenly over the connections and over time."""
    start = time.perf_counter() + 0.1
    due = start + np.arange(round(rate * seconds)) / rate
    senders = [
        _Sender(port, requests[i::connections] or requests, due[i::connections].tolist()) for i in range(connections)
    ]
    for sender in senders:
        sender.start()
    for sender in senders:
        sender.join(seconds + 60)
    failures = [sender.failure for sender in senders if sender.failure]
    if failures:
        raise LoadFailed(failures[0])
    elapsed = time.perf_counter() - start
    answers = np.concatenate([np.asarray(sender.seconds) for sender in senders]) * 1e3
    p50, p99 = np.percentile(answers, [50, 99]).tolist()
    return Load(len(answers), elapsed, sum(sender.refused for sender in senders), 0, p50, p99)
