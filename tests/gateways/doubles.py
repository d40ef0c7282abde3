"""What stands around a gateway in these tests: model servers that tell what reached them, and a line to the gate."""

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from enum import StrEnum
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

CHUNK = 65_536
BROKEN = b"HTTP/1.1 500 Internal Server Error\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"


@dataclass
class ModelServer:
    """Answers with what it got."""

    name: str
    url: str = ""
    seen: list[str] = field(default_factory=list)
    """Paths, with their queries."""


@contextmanager
def model_server(name: str) -> Iterator[ModelServer]:
    """Serve until the block ends."""
    double = ModelServer(name)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            body = self._body()
            double.seen.append(self.path)
            if "/fails" in self.path:
                self.close_connection = True
                return
            told = {name.lower(): value for name, value in self.headers.items()}
            got = {"server": double.name, "method": self.command, "path": self.path, "body": body, "headers": told}
            content = json.dumps(got).encode()
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(content)))
            # As a server that repeats whatever it is told.
            self.send_header("x-gate-principal-state", "leaked")
            self.end_headers()
            self.wfile.write(content)

        do_GET = answer  # noqa: N815 - the standard library's own name
        do_POST = answer  # noqa: N815 - as above

        def _body(self) -> str:
            if self.headers.get("transfer-encoding", "").lower() != "chunked":
                return self.rfile.read(int(self.headers.get("content-length") or 0)).decode()
            parts = []
            while size := int(self.rfile.readline(), 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(parts).decode()

        def log_message(self, *_: Any) -> None:
            """Be quiet."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        double.url = f"127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield double
        finally:
            server.shutdown()
            thread.join()


class Mode(StrEnum):
    """How the line to the gate is."""

    FINE = "fine"
    SLOW = "slow"
    """What gateways ask is held back until the line is fine again."""
    DOWN = "down"
    """Nobody listens, and what was connected is cut."""
    BROKEN = "broken"
    """Every question is answered 500."""


class GateLine:
    """Everything between the gateways and the gate goes through here.

    Parameters
    ----------
    target
        Where the gate listens.
    """

    def __init__(self, target: tuple[str, int]) -> None:
        self._target = target
        self._fine = threading.Event()
        self._fine.set()
        self._mode = Mode.FINE
        self._open: set[socket.socket] = set()
        self._listener = self._listen(0)
        self.port: int = self._listener.getsockname()[1]

    def set(self, mode: Mode) -> None:
        """Change how the line is, for what comes and for what is connected."""
        before, self._mode = self._mode, mode
        if mode is Mode.SLOW:
            self._fine.clear()
        else:
            self._fine.set()
        if mode is Mode.DOWN:
            self._shut(self._listener)
        elif before is Mode.DOWN:
            self._listener = self._listen(self.port)
        if mode is not Mode.FINE:
            for one in tuple(self._open) if mode is not Mode.SLOW else ():
                self._shut(one)

    def close(self) -> None:
        """End."""
        self.set(Mode.DOWN)

    def _listen(self, port: int) -> socket.socket:
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", port))
        listener.listen(64)
        threading.Thread(target=self._accept, args=(listener,), daemon=True).start()
        return listener

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        if self._mode is Mode.BROKEN:
            with suppress(OSError):
                client.recv(CHUNK)
                client.sendall(BROKEN)
            self._shut(client)
            return
        try:
            gate = socket.create_connection(self._target)
        except OSError:
            self._shut(client)
            return
        self._open |= {client, gate}
        threading.Thread(target=self._pump, args=(gate, client), daemon=True).start()
        self._pump(client, gate, held=True)

    def _pump(self, source: socket.socket, sink: socket.socket, *, held: bool = False) -> None:
        with suppress(OSError):
            while data := source.recv(CHUNK):
                if held:
                    self._fine.wait()
                sink.sendall(data)
        self._shut(source)
        self._shut(sink)

    def _shut(self, one: socket.socket) -> None:
        self._open.discard(one)
        with suppress(OSError):
            one.shutdown(socket.SHUT_RDWR)
        one.close()
