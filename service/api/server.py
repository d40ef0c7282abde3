"""uvicorn, with the limits that it lacks: size and time of the head, pace of the body, number of connections."""

import contextlib
import logging
import signal
import socket
import threading
from asyncio import TimerHandle, Transport
from collections.abc import Callable, Generator, Mapping
from enum import Enum, auto
from types import FrameType
from typing import Any, NoReturn

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from service.api.asgi import Application, Receive, Scope, Send, respond
from service.api.gate import PREFIX as GATE
from service.api.problems import render_error, render_status
from service.domain.errors import Unavailable
from service.settings import Settings

logger = logging.getLogger(__name__)

BACKLOG = 2_048
HARD_FACTOR = 2
"""Times ``connections_max`` at which a new connection is closed without an answer."""
ALWAYS_SERVED = (GATE.encode(), b"/healthz", b"/readyz", b"/metrics")
BODY_AT_ONCE_BYTES = 512 * 1024
"""How much of a body is gathered before the application is woken. A request without a good key is answered without
waiting for any of it."""
HEADER_OVERHEAD = 4
"""``: `` and the line's end."""


class Phase(Enum):
    """Where a connection is within a request."""

    IDLE = auto()
    HEAD = auto()
    BODY = auto()


class HeadTooLarge(Exception):
    """The request line and headers are over the limit."""


async def overloaded(scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG001 - ASGI
    """Answer everything but the gate and the health pages when there are too many connections."""
    status, headers, body = render_error(Unavailable("too many connections", retry_after_seconds=1))
    await respond(send, status, [*headers, (b"connection", b"close")], body)


class BoundedProtocol(HttpToolsProtocol):
    """One connection with its limits. A request that comes in one piece costs no timer.

    ``bounded_protocol`` makes the class that uvicorn instantiates, with the attributes below.
    """

    settings: Settings
    refused: Mapping[str, Callable[[], None]]
    """Counts a connection that a limit ended, by reason."""

    def __init__(self, config: uvicorn.Config, server_state: Any, app_state: dict[str, Any], _loop: Any = None) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._served = self.app
        self._phase = Phase.IDLE
        self._timer: TimerHandle | None = None
        self._head_parsed = 0
        self._head_unparsed = 0
        self._body_bytes = 0
        self._body_seen = 0
        self._drained_at: int | None = None
        """Bytes of the body at which the connection ends, once there is an answer to a request that is still coming."""
        self._closes = False
        self._problem: tuple[int, str, str, str] | None = None

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]  # as in uvicorn
        """Begin, unless there are far too many connections already."""
        super().connection_made(transport)
        if len(self.connections) > HARD_FACTOR * self.settings.connections_max:
            self.refused["too_many"]()
            transport.abort()
            return
        self._arm(self.settings.header_seconds_max, self._head_too_slow)

    def connection_lost(self, exc: Exception | None) -> None:
        """End."""
        self._disarm()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take bytes, watching the head's size and arming a deadline while a request is incomplete."""
        before = self._phase
        if before is Phase.BODY:
            self._body_bytes += len(data)
        super().data_received(data)
        if self.transport.is_closing():
            return
        if self._drained_at is not None and self._phase is Phase.BODY and self._body_bytes > self._drained_at:
            self.transport.close()
            return
        if self._phase is Phase.HEAD and before is Phase.HEAD:
            # A header that does not end stays inside the parser: count what it was given.
            self._head_unparsed += len(data)
            if self._head_unparsed > self.settings.header_bytes_max:
                self._refuse_head()
                self.send_400_response("")
                return
        self._watch(before)

    def _watch(self, before: Phase) -> None:
        """Arm the deadline of the phase that the connection is in now."""
        if self._phase is Phase.IDLE:
            if self._waits_unwatched():
                self._arm(self.settings.header_seconds_max, self._head_too_slow)
            else:
                self._disarm()
        elif self._phase is Phase.HEAD and (before is not Phase.HEAD or self._timer is None):
            self._arm(self.settings.header_seconds_max, self._head_too_slow)
        elif self._phase is Phase.BODY and before is not Phase.BODY:
            self._body_bytes = self._body_seen = 0
            self._arm(self.settings.body_seconds_max, self._body_too_slow)

    def on_message_begin(self) -> None:
        """Start counting a head."""
        self._phase = Phase.HEAD
        self._head_parsed = self._head_unparsed = 0
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        """Take a piece of the request line."""
        self._head_parsed += len(url)
        if self._head_parsed > self.settings.header_bytes_max:
            self._end_head()
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take one header, of the head or behind a chunked body, as uvicorn does: there are several in each request."""
        self._head_parsed += len(name) + len(value) + HEADER_OVERHEAD
        if self._head_parsed > self.settings.header_bytes_max:
            self._end_head()
        name = name.lower()
        if name == b"expect" and value.lower() == b"100-continue":
            self.expect_100_continue = True
        self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        """Choose who answers: beyond the connection limit, only what must always be served."""
        self._phase = Phase.BODY
        crowded = len(self.connections) > self.settings.connections_max
        self.app = overloaded if crowded and not self.url.startswith(ALWAYS_SERVED) else self._served
        if self.app is overloaded:
            self.refused["too_many"]()
        super().on_headers_complete()
        if not self.cycle.keep_alive:
            self.cycle.transport = Patient(self)  # type: ignore[assignment]  # as much of one as an answer needs

    def on_body(self, body: bytes) -> None:
        """Take a piece of the body, and wake the application once there is all of it, or a good deal.

        uvicorn wakes it for every piece and stops reading after 64 KiB: for the batches that arrive here, that is three
        copies and several turns of the event loop where one will do.
        """
        if self.parser.should_upgrade():
            super().on_body(body)
            return
        cycle = self.cycle
        if cycle.response_complete:
            return
        cycle.body += body
        if len(cycle.body) > BODY_AT_ONCE_BYTES:
            self.flow.pause_reading()
            cycle.message_event.set()

    def on_message_complete(self) -> None:
        """Go back to waiting for the next request."""
        self._phase = Phase.IDLE
        self._drained_at = None
        super().on_message_complete()
        if self._closes:
            self.transport.close()

    def on_response_complete(self) -> None:
        """Read on, within bounds, when the answer came before the end of the request.

        A client that writes all before it reads would else meet a connection reset, and never see the answer.
        """
        if self._phase is Phase.BODY and self.cycle.response_complete:
            self._drained_at = self._body_bytes + self.settings.drain_bytes_max
        super().on_response_complete()

    def close_after_body(self) -> None:
        """Close once all of the request has come: at once if it has, else as soon as it has or a bound is met."""
        if self._phase is Phase.BODY:
            self._closes = True
        else:
            self.transport.close()

    def send_400_response(self, msg: str) -> None:
        """Answer what cannot be a request, as a problem."""
        if self._problem is None:
            self.refused["malformed"]()
            self._problem = (400, "bad-request", "Bad request", msg or "this is not HTTP")
        self._end_with(*self._problem)

    def _end_head(self) -> NoReturn:
        self._refuse_head()
        raise HeadTooLarge  # ends the parser, which lets uvicorn call send_400_response

    def _refuse_head(self) -> None:
        self.refused["large_head"]()
        limit = self.settings.header_bytes_max
        self._problem = (431, "head-too-large", "Request header fields too large", f"the head is over {limit} bytes")

    def _current(self) -> RequestResponseCycle | None:
        """Return the request being answered or answered last; uvicorn's type hides that there may be none."""
        return self.cycle

    def _may_answer(self) -> bool:
        """Tell whether a problem can be written without running into another answer."""
        cycle = self._current()
        if self._phase is Phase.BODY:
            return cycle is not None and not cycle.response_started
        return cycle is None or cycle.response_complete

    def _waits_unwatched(self) -> bool:
        """Tell whether nothing is being answered and uvicorn's own timer is off: line ends alone stop it."""
        cycle = self._current()
        return (cycle is None or cycle.response_complete) and self.timeout_keep_alive_task is None

    def _arm(self, seconds: float, then: Callable[[], None]) -> None:
        self._disarm()
        self._timer = self.loop.call_later(seconds, then)

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _head_too_slow(self) -> None:
        if self._phase is Phase.IDLE:  # connected and said nothing: there is no request to answer
            self.transport.close()
            return
        self.refused["slow_head"]()
        seconds = self.settings.header_seconds_max
        self._end_with(408, "request-timeout", "Request timeout", f"the head did not arrive within {seconds:g} seconds")

    def _body_too_slow(self) -> None:
        """End a body that neither was short nor keeps up the pace; time in which we did not read does not count."""
        seconds = self.settings.body_seconds_max
        cycle = self._current()
        answered = cycle is None or cycle.response_complete
        arrived, self._body_seen = self._body_bytes - self._body_seen, self._body_bytes
        if not answered and (self.flow.read_paused or arrived >= seconds * self.settings.body_rate_min):
            self._arm(seconds, self._body_too_slow)
            return
        self.refused["slow_body"]()
        self._end_with(408, "request-timeout", "Request timeout", f"the body did not arrive within {seconds:g} seconds")

    def _end_with(self, status: int, slug: str, title: str, detail: str) -> None:
        """Answer if nothing was answered yet, and close."""
        if self.transport.is_closing():
            return
        if self._may_answer():
            code, headers, body = render_status(status, slug, title, detail)
            head = [b"HTTP/1.1 %d %s\r\n" % (code, title.encode()), b"connection: close\r\n"]
            head += [name + b": " + value + b"\r\n" for name, value in headers]
            self.transport.write(b"".join([*head, b"\r\n", body]))
        self.transport.close()


class Patient:
    """Where the answer to a client goes that wants the connection closed behind it."""

    def __init__(self, protocol: BoundedProtocol) -> None:
        self._protocol = protocol

    def write(self, data: bytes) -> None:
        """Send."""
        self._protocol.transport.write(data)

    def is_closing(self) -> bool:
        """Tell whether nothing more is sent."""
        return self._protocol.transport.is_closing()

    def close(self) -> None:
        """Close, but not on a request that is still coming."""
        self._protocol.close_after_body()


def bounded_protocol(limits: Settings, refused: Mapping[str, Callable[[], None]]) -> type[BoundedProtocol]:
    """Return the protocol class for these settings."""

    class Protocol(BoundedProtocol):
        """With its limits."""

        settings = limits

    Protocol.refused = refused
    return Protocol


class Server(uvicorn.Server):
    """Ends in order on SIGTERM and SIGINT, and returns: the supervisor around it has something to do afterwards."""

    def __init__(self, config: uvicorn.Config, ending: threading.Event | None = None) -> None:
        super().__init__(config)
        self._ending = ending or threading.Event()

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Handle signals while serving; unlike uvicorn's, do not raise them again."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.signal(number, self._ask_to_end) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _ask_to_end(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002 - signal handlers get both
        self.force_exit = self.should_exit and number == signal.SIGINT
        self.should_exit = True
        self._ending.set()


def listen(host: str, port: int) -> socket.socket:
    """Return a listening socket; raise OSError when the address is taken or not ours."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(BACKLOG)
        listener.setblocking(False)  # noqa: FBT003 - the standard library takes it by position
    except OSError:
        listener.close()
        raise
    return listener


def run_server(
    app: Application,
    settings: Settings,
    refused: Mapping[str, Callable[[], None]],
    listener: socket.socket,
    ending: threading.Event | None = None,
) -> bool:
    """Serve until asked to end; what is being answered is finished first. Return False when it could not start.

    ``ending`` is set as soon as it is asked to end.
    """
    config = uvicorn.Config(
        app,
        http=bounded_protocol(settings, refused),
        ws="none",
        loop="uvloop",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=settings.keep_alive_seconds,
        timeout_graceful_shutdown=settings.shutdown_seconds,
    )
    server = Server(config, ending)
    server.run(sockets=[listener])
    return server.started
