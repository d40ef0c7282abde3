"""The connection's limits, over real sockets."""

import socket
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import msgspec
import pytest

from service.api.asgi import Most, Receive, Scope, Send, read_body, respond
from service.api.problems import render_error
from service.api.server import Server, bounded_protocol, listen
from service.domain.errors import TooLarge
from service.settings import Settings

LIMITS = Settings(
    header_bytes_max=2_048,
    header_seconds_max=0.3,
    body_seconds_max=0.3,
    body_rate_min=1_000_000,
    connections_max=4,
    keep_alive_seconds=1,
)
BODY_MAX = 10_000_000
PATIENCE_SECONDS = 10.0
"""How long a test waits for the server to act; far beyond every limit above."""


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    try:
        body = await read_body(scope, receive, Most("body_bytes_max", BODY_MAX))
    except TooLarge as error:
        await respond(send, *render_error(error))
        return
    text = f"{scope['path']} {len(body)}".encode()
    await respond(send, 200, [(b"content-length", str(len(text)).encode())], text)


@dataclass
class Running:
    port: int
    counted: dict[str, int] = field(default_factory=dict)

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE_SECONDS)

    @contextmanager
    def sending(self, data: bytes) -> Iterator[socket.socket]:
        with self.connect() as connection:
            connection.sendall(data)
            yield connection

    def answer(self, data: bytes) -> bytes:
        """Return everything that comes back until the server closes."""
        with self.sending(data) as connection:
            return read_all(connection)


def read_all(connection: socket.socket) -> bytes:
    received = b""
    while True:
        try:
            chunk = connection.recv(65_536)
        except ConnectionResetError:
            return received
        if not chunk:
            return received
        received += chunk


@pytest.fixture(scope="module")
def server() -> Iterator[Running]:
    with serving(LIMITS) as running:
        yield running


@pytest.fixture(scope="module")
def patient() -> Iterator[Running]:
    """A server that gives a body all the time that a test may take, and reads 20 MB behind an answer."""
    with serving(LIMITS.model_copy(update={"body_seconds_max": PATIENCE_SECONDS, "drain_bytes_max": 20_000_000})) as it:
        yield it


@contextmanager
def serving(limits: Settings) -> Iterator[Running]:
    import uvicorn

    counted: dict[str, int] = {}

    def counter(reason: str) -> Callable[[], None]:
        def count() -> None:
            counted[reason] = counted.get(reason, 0) + 1

        return count

    reasons = ("too_many", "slow_head", "slow_body", "large_head", "malformed")
    protocol = bounded_protocol(limits, {reason: counter(reason) for reason in reasons})
    config = uvicorn.Config(
        app,
        http=protocol,
        ws="none",
        lifespan="off",
        log_config=None,
        timeout_keep_alive=limits.keep_alive_seconds,
        timeout_graceful_shutdown=2,
    )
    running = Server(config)
    with listen("127.0.0.1", 0) as listener:
        thread = threading.Thread(target=running.run, args=([listener],))
        thread.start()
        while not running.started:
            time.sleep(0.01)
        yield Running(listener.getsockname()[1], counted)
        running.should_exit = True
        thread.join(PATIENCE_SECONDS)


def test_a_usual_request_is_answered(server: Running) -> None:
    answer = server.answer(b"POST /x HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\nconnection: close\r\n\r\nabc")
    assert answer.startswith(b"HTTP/1.1 200")
    assert answer.endswith(b"/x 3")


def test_two_requests_sent_at_once_are_both_answered(server: Running) -> None:
    one = b"GET /1 HTTP/1.1\r\nhost: a\r\n\r\n"
    last = b"GET /2 HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n"
    answer = server.answer(one + last)
    assert answer.count(b"HTTP/1.1 200") == 2


def test_a_giant_header_is_refused(server: Running) -> None:
    answer = server.answer(b"GET / HTTP/1.1\r\nhost: a\r\nx: " + b"y" * 4_000 + b"\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 431")
    assert b"application/problem+json" in answer
    assert server.counted["large_head"] >= 1


def test_many_small_headers_are_refused_too(server: Running) -> None:
    headers = b"".join(b"x-%d: 1\r\n" % n for n in range(500))
    assert server.answer(b"GET / HTTP/1.1\r\nhost: a\r\n" + headers + b"\r\n").startswith(b"HTTP/1.1 431")


def test_a_header_that_never_ends_is_refused(server: Running) -> None:
    with server.sending(b"GET / HTTP/1.1\r\nhost: a\r\nx: ") as connection:
        for _ in range(40):
            try:
                connection.sendall(b"y" * 256)
            except (BrokenPipeError, ConnectionResetError):
                break
        answer = read_all(connection)
    assert answer == b"" or answer.startswith(b"HTTP/1.1 431")
    assert server.counted["large_head"] >= 1


def test_a_giant_url_is_refused(server: Running) -> None:
    answer = server.answer(b"GET /" + b"a" * 4_000 + b" HTTP/1.1\r\nhost: a\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 431")


def test_a_slow_head_is_ended(server: Running) -> None:
    answer = server.answer(b"GET / HTTP/1.1\r\nhost: a\r\n")
    assert answer.startswith(b"HTTP/1.1 408")
    assert server.counted["slow_head"] >= 1


def test_a_head_sent_byte_by_byte_does_not_extend_its_time(server: Running) -> None:
    with server.connect() as connection:
        for byte in b"GET / HTTP/1.1\r\nhost: a\r\nx-very-slow-header: 1234567890":
            try:
                connection.sendall(bytes([byte]))
            except (BrokenPipeError, ConnectionResetError):
                break
            time.sleep(0.02)
        assert read_all(connection).startswith((b"HTTP/1.1 408", b""))
    assert server.counted["slow_head"] >= 1


def test_a_connection_that_says_nothing_is_closed_without_an_answer(server: Running) -> None:
    assert server.answer(b"") == b""


def test_line_ends_alone_do_not_keep_a_connection(server: Running) -> None:
    assert server.answer(b"\r\n\r\n") == b""


def test_a_slow_body_is_ended(server: Running) -> None:
    answer = server.answer(b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 100\r\n\r\nabc")
    assert answer.startswith(b"HTTP/1.1 408")
    assert server.counted["slow_body"] >= 1


def test_what_is_not_http_is_a_400_problem(server: Running) -> None:
    answer = server.answer(b"\x16\x03\x01\x02\x00nonsense\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 400")
    assert b"application/problem+json" in answer


def test_an_idle_connection_is_closed_after_its_answer(server: Running) -> None:
    answer = server.answer(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 200")


def test_when_crowded_only_the_gate_and_health_are_served(server: Running) -> None:
    held = [server.connect() for _ in range(5)]
    try:
        refused = server.answer(b"GET /v1/models HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")
        assert refused.startswith(b"HTTP/1.1 503")
        assert b"retry-after: " in refused
        gate = server.answer(b"GET /v1/gate/m HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")
        assert gate.startswith(b"HTTP/1.1 200")
    finally:
        for connection in held:
            connection.close()


def test_far_too_many_connections_are_closed_at_once(server: Running) -> None:
    before = server.counted.get("too_many", 0)
    held = [server.connect() for _ in range(20)]
    try:
        for connection in held:
            read_all(connection)
        assert server.counted["too_many"] > before
    finally:
        for connection in held:
            connection.close()


def head(length: int) -> bytes:
    return b"POST /early HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: %d\r\n\r\n" % length


def test_a_client_that_writes_all_before_it_reads_sees_why_its_body_was_refused(patient: Running) -> None:
    length = BODY_MAX + 5_000_000
    request = urllib.request.Request(f"http://127.0.0.1:{patient.port}/early", bytes(length), method="POST")
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(request, timeout=PATIENCE_SECONDS)
    with refused.value as answer:
        assert answer.status == 413
        problem = msgspec.json.decode(answer.read())
    assert (problem["limit"], problem["value"]) == (BODY_MAX, length)
    assert f"has {length} bytes; limit body_bytes_max: {BODY_MAX}" in problem["detail"]
    for _ in range(3):  # the same over plain sockets, and the connection ends as it was asked to
        with patient.sending(head(length) + bytes(length)) as connection:
            assert read_all(connection).startswith(b"HTTP/1.1 413")


def test_no_more_is_read_behind_an_answer_than_the_bound(patient: Running) -> None:
    piece = bytes(1_000_000)

    def pieces_taken(connection: socket.socket) -> int:
        for taken in range(1_000):
            try:
                connection.sendall(piece)
            except OSError:
                return taken
        return 1_000

    with patient.sending(head(1_000 * len(piece))) as connection:
        assert 20 <= pieces_taken(connection) < 100


def test_an_answered_client_that_stops_sending_is_shown_out(server: Running) -> None:
    with server.sending(head(2 * BODY_MAX) + b"some") as connection:
        assert read_all(connection).startswith(b"HTTP/1.1 413")


def test_a_body_that_does_not_say_its_length_is_refused_with_the_limit_alone(patient: Running) -> None:
    chunk = b"%x\r\n%s\r\n" % (1_000_000, bytes(1_000_000))
    opening = b"POST /early HTTP/1.1\r\nhost: a\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n"
    answer = patient.answer(opening + 12 * chunk + b"0\r\n\r\n")
    problem = msgspec.json.decode(answer.partition(b"\r\n\r\n")[2])
    assert problem["detail"] == f"the body has more than {BODY_MAX} bytes; limit body_bytes_max: {BODY_MAX}"
    assert problem["limit"] == BODY_MAX
    assert "value" not in problem
