"""The guard inside a model server: it never waits, obeys the gate, and does what it was told when nobody answers."""

import asyncio
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal
from urllib.parse import urlsplit

import pytest

from service import guard as module
from service.guard import Decision, GateClosed, Guard, GuardMiddleware, Message

QUARANTINED = {
    "x-gate-state": "quarantined",
    "x-gate-route": "fallback",
    "x-gate-fallback": "rules",
    "x-gate-decision-id": "d-1",
    "retry-after": "30",
}


@dataclass
class Gate:
    """A gate that answers what a test wants."""

    url: str = ""
    status: int = 200
    headers: dict[str, str] = field(default_factory=lambda: {"x-gate-state": "active"})
    asked: list[str] = field(default_factory=list)
    free: threading.Event = field(default_factory=threading.Event)

    def closes(self) -> None:
        self.status, self.headers = 403, dict(QUARANTINED)


@pytest.fixture
def gate() -> Iterator[Gate]:
    gate = Gate()
    gate.free.set()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            gate.asked.append(self.path)
            gate.free.wait(30)
            self.send_response(gate.status)
            for name, value in gate.headers.items():
                self.send_header(name, value)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Be quiet."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        gate.url = f"http://127.0.0.1:{server.server_port}"
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield gate
        gate.free.set()
        server.shutdown()


class Time:
    """Stands for the clock of the guard."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Time:
    stand_in = Time()
    monkeypatch.setattr(module, "time", stand_in)
    return stand_in


def test_it_asks_for_its_version_and_says_what_the_gate_says(gate: Gate) -> None:
    guard = Guard(gate.url + "/", "fraud", "1")
    assert guard.refresh()
    assert guard.check() == Decision(allowed=True, state="active")
    gate.closes()
    assert guard.refresh()
    decision = guard.decision()
    assert (decision.allowed, decision.state, decision.route) == (False, "quarantined", "fallback")
    assert (decision.fallback, decision.decision_id, decision.retry_after) == ("rules", "d-1", 30)
    with pytest.raises(GateClosed, match="quarantined") as raised:
        guard.check()
    assert raised.value.decision is decision
    assert gate.asked == ["/v1/gate/v2/models/fraud/versions/1/infer"] * 2


def test_without_a_version_the_gate_chooses_and_names_are_escaped(gate: Gate) -> None:
    assert Guard(gate.url, "a b/c").refresh()
    assert gate.asked == ["/v1/gate/v2/models/a%20b%2Fc/infer"]


@pytest.mark.parametrize(("fail", "allowed"), [("open", True), ("closed", False)])
def test_when_nobody_ever_answered_the_fail_policy_decides(fail: Literal["open", "closed"], allowed: bool) -> None:
    guard = Guard("http://127.0.0.1:1", "fraud", fail=fail)
    assert not guard.refresh()
    decision = guard.decision()
    assert (decision.allowed, decision.state) == (allowed, "unknown")
    assert f"failing {fail}" in decision.reason


def test_the_last_answer_counts_until_it_is_too_old(gate: Gate, clock: Time) -> None:
    gate.closes()
    guard = Guard(gate.url, "fraud", fail="open", max_age_seconds=30)
    assert guard.refresh()
    gate.status = 500
    clock.now += 29
    assert not guard.refresh()
    assert not guard.decision().allowed, "a gate that is away opens nothing that it closed"
    clock.now += 2
    assert guard.decision().allowed
    assert "answered 500" in guard.decision().reason


@pytest.mark.parametrize("status", [200, 403])
def test_an_answer_without_a_state_is_not_the_gate_s(gate: Gate, status: int) -> None:
    gate.status, gate.headers = status, {}
    guard = Guard(gate.url, "fraud", fail="closed")
    assert not guard.refresh()
    assert guard.decision().state == "unknown"


def test_a_redirect_is_not_followed(gate: Gate) -> None:
    gate.status, gate.headers = 302, {"location": gate.url + "/elsewhere", "x-gate-state": "active"}
    assert not Guard(gate.url, "fraud").refresh()
    assert gate.asked == ["/v1/gate/v2/models/fraud/infer"]


def test_a_gate_that_hangs_holds_up_neither_the_start_nor_a_request(gate: Gate) -> None:
    gate.free.clear()
    with Guard(gate.url, "fraud", fail="closed", deadline_seconds=0.1) as guard:
        assert guard.decision().state == "unknown"


def test_it_follows_the_gate_in_the_background(gate: Gate) -> None:
    with Guard(gate.url, "fraud", refresh_seconds=0.02) as guard:
        assert guard.decision().allowed
        gate.closes()
        for _ in range(1_000):
            if not guard.decision().allowed:
                break
            threading.Event().wait(0.01)
        assert guard.decision().state == "quarantined"


def test_functions_are_protected_plain_and_async(gate: Gate) -> None:
    guard = Guard(gate.url, "fraud")
    guard.refresh()

    @guard.protects
    def double(x: int) -> int:
        return 2 * x

    @guard.protects
    async def triple(x: int) -> int:
        return 3 * x

    assert double(2) == 4
    assert asyncio.run(triple(2)) == 6
    gate.closes()
    guard.refresh()
    with pytest.raises(GateClosed):
        double(2)
    with pytest.raises(GateClosed):
        asyncio.run(triple(2))


def call(app: GuardMiddleware, path: str, kind: str = "http") -> tuple[int, dict[bytes, bytes], bytes]:
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    async def receive() -> Message:
        return {"type": "http.disconnect"}

    asyncio.run(app({"type": kind, "path": path}, receive, send))
    return sent[0]["status"], dict(sent[0]["headers"]), sent[1]["body"]


def test_the_middleware_refuses_inference_and_nothing_else(gate: Gate) -> None:
    async def model(_scope: Any, _receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"answer"})

    guard = Guard(gate.url, "fraud")
    app = GuardMiddleware(model, guard, paths=("/predict",))
    guard.refresh()
    assert call(app, "/predict")[0] == 200
    gate.closes()
    guard.refresh()
    status, headers, body = call(app, "/predict/now")
    assert (status, headers[b"content-type"]) == (403, b"application/problem+json")
    assert (headers[b"retry-after"], headers[b"x-gate-state"]) == (b"30", b"quarantined")
    assert b"urn:lazaretto:problem:gate-closed" in body
    assert call(app, "/healthz")[0] == 200
    assert call(app, "/predict", "lifespan")[0] == 200


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"url": "file:///etc/passwd"}, "url: must begin with http"),
        ({"fail": "ajar"}, "fail: must be 'open' or 'closed'"),
        ({"refresh_seconds": 60.0}, "max_age_seconds: at least refresh_seconds"),
        ({"deadline_seconds": 0.0}, "must be above 0"),
        ({"url": "http://"}, "must name a host"),
        ({"url": "http://gate:99999"}, "ort"),
    ],
)
def test_what_makes_no_sense_is_refused_at_once(wrong: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Guard(**{"url": "http://gate", "model": "fraud", **wrong})


def test_it_needs_nothing_but_the_standard_library() -> None:
    code = (
        "import sys; before = set(sys.modules); import service.guard; "
        "new = {name.partition('.')[0] for name in set(sys.modules) - before} - {'service'}; "
        "print(sorted(name for name in new if name not in sys.stdlib_module_names))"
    )
    command = [sys.executable, "-c", code]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip() == "[]"


Answering = Callable[[socket.socket], None]


@contextmanager
def answering(answer: Answering) -> Iterator[str]:
    """Listen on a socket of our own, and give each connection to ``answer``."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def accept() -> None:
            with suppress(OSError):
                while True:
                    line, _ = listener.accept()
                    threading.Thread(target=serve, args=(line,), daemon=True).start()

        def serve(line: socket.socket) -> None:
            with line, suppress(OSError):
                line.recv(65_536)
                answer(line)

        threading.Thread(target=accept, daemon=True).start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        listener.shutdown(socket.SHUT_RDWR)


def trickle(line: socket.socket) -> None:
    """Answer as slowly as it gets without ever being silent for long."""
    line.sendall(b"HTTP/1.1 200 OK\r\nx-gate-state: active\r\n")
    for number in range(3_000):
        line.sendall(b"x-more-%d: 1\r\n" % number)
        threading.Event().wait(0.01)


def test_a_gate_that_trickles_is_given_up_at_the_deadline_all_the_same() -> None:
    with answering(trickle) as url:
        guard = Guard(url, "fraud", fail="closed", deadline_seconds=0.2)
        started = time.monotonic()
        assert not guard.refresh()
        # Every single byte is in time; all of them together take half a minute.
        assert time.monotonic() - started < 10
        assert guard.decision().state == "unknown"
        assert "timed out" in guard.decision().reason


def test_a_start_waits_no_longer_than_the_deadline() -> None:
    with answering(trickle) as url:
        started = time.monotonic()
        with Guard(url, "fraud", deadline_seconds=0.2) as guard:
            assert time.monotonic() - started < 10
            assert guard.decision().state == "unknown"


@contextmanager
def names(monkeypatch: pytest.MonkeyPatch, look_up: Callable[..., Any]) -> Iterator[None]:
    with monkeypatch.context() as changed:
        changed.setattr(socket, "getaddrinfo", look_up)
        yield


def test_a_name_server_that_hangs_costs_no_more_than_the_deadline_and_known_addresses_go_on(
    gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    free, asked = threading.Event(), list[object]()

    def hangs(_: object, port: object, **__: object) -> Any:
        asked.append(port)
        free.wait(60)
        raise socket.gaierror(socket.EAI_NONAME, "no such name")

    fresh = Guard(gate.url, "m", deadline_seconds=0.2)
    known = Guard(gate.url, "m", deadline_seconds=2.0)
    assert known.refresh()
    gate.closes()
    with names(monkeypatch, hangs):
        began = time.monotonic()
        assert not fresh.refresh()
        assert not fresh.refresh()
        assert time.monotonic() - began < 5.0
        assert "was not looked up in time" in fresh.decision().reason
        # Threads that other tests of this process have left may look something up as well.
        assert asked.count(urlsplit(gate.url).port) == 1, "of one name one look-up at a time"
        assert known.refresh(), "the address was known"
        assert not known.decision().allowed
        free.set()
        for guard in (fresh, known):
            thread = guard._name._thread
            assert thread is not None
            thread.join(10)
        assert not fresh.refresh()
        assert "no such name" in fresh.decision().reason


def test_a_name_server_that_is_away_for_a_while_does_not_stop_who_knows_the_address(
    gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: object, **__: object) -> Any:
        raise socket.gaierror(socket.EAI_AGAIN, "try again")

    def gone(*_: object, **__: object) -> Any:
        raise socket.gaierror(socket.EAI_NONAME, "no such name")

    guard = Guard(gate.url, "m")
    with names(monkeypatch, away):
        assert not guard.refresh()
        assert "try again" in guard.decision().reason
    assert guard.refresh()
    with names(monkeypatch, away):
        assert guard.refresh()
    with names(monkeypatch, gone):
        assert not guard.refresh(), "what has no address any more is asked no more"


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (b"ICY 200 OK\r\n\r\n", "is not HTTP"),
        (b"HTTP/1.1 200\r\n\r\n", "is not the gate's word"),
        (b"HTTP/1.1 20", "was closed before"),
        (b"HTTP/1.1 200 OK\r\n" + b"a: " + b"b" * 200_000, "over 65536 bytes"),
        (b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 200 + b"\r\n", "got more than 100 headers"),
    ],
)
def test_what_is_no_answer_is_named(said: bytes, words: str) -> None:
    with answering(lambda line: line.sendall(said)) as url:
        guard = Guard(url, "fraud", deadline_seconds=10)
        assert not guard.refresh()
        assert words in guard.decision().reason


def test_an_odd_time_to_wait_is_not_believed(gate: Gate) -> None:
    gate.closes()
    gate.headers["retry-after"] = "\N{SUPERSCRIPT TWO}"
    guard = Guard(gate.url, "fraud")
    assert guard.refresh()
    assert guard.decision().retry_after == 30
