"""Ask the gate from inside a Python model server, where no gateway stands in front. Standard library only.

The version's state is fetched in the background; a request never waits for it. As ASGI middleware::

    guard = Guard("http://lazaretto:8080", "fraud", "2026-11-02").start()
    app = GuardMiddleware(app, guard, paths=("/predict",))

or around a function::

    @guard.protects
    def predict(features): ...

What the guard cannot know (Lazaretto does not answer, or has not for ``max_age_seconds``) is decided by ``fail``.
"""

import functools
import http.client
import inspect
import io
import json
import logging
import re
import socket
import ssl
import threading
import time
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Literal, ParamSpec, Self, TypeVar
from urllib.parse import quote, urlsplit

logger = logging.getLogger("lazaretto.guard")

OK, FORBIDDEN = 200, 403
HEAD_BYTES_MAX = 65_536
READ_BYTES = 16_384
HEAD_END = b"\r\n\r\n"
STATUS = re.compile(rb"HTTP/1\.[01] (\d{3})(?: |$)")
SECONDS = re.compile("[0-9]{1,9}")
UNKNOWN = "unknown"
RETRY_SECONDS = 30

P = ParamSpec("P")
R = TypeVar("R")
Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """Whether the model may answer."""

    allowed: bool
    state: str
    """As the gate says it, or ``unknown``."""
    route: str | None = None
    """``fallback`` or ``review``, when the gate refuses."""
    fallback: str | None = None
    decision_id: str | None = None
    retry_after: int = RETRY_SECONDS
    reason: str = ""


class GateClosed(Exception):
    """The model must not answer now; ``decision`` says what the gate said."""

    def __init__(self, decision: Decision) -> None:
        super().__init__(decision.reason or f"the model is {decision.state}")
        self.decision = decision


class Guard:
    """Knows whether one version may answer; the answer is always at hand.

    Parameters
    ----------
    url
        Of Lazaretto, ``http`` or ``https``.
    model, version
        As registered. Without a version the gate chooses, as it does for the model's name alone.
    fail
        What to say when it is not known: ``open`` lets the model answer, ``closed`` does not.
    refresh_seconds
        How often the gate is asked.
    deadline_seconds
        How long one question may take.
    max_age_seconds
        How long the last answer counts while no new one comes.
    """

    def __init__(  # noqa: PLR0913 - each has a name and a default
        self,
        url: str,
        model: str,
        version: str | None = None,
        *,
        fail: Literal["open", "closed"] = "open",
        refresh_seconds: float = 1.0,
        deadline_seconds: float = 0.5,
        max_age_seconds: float = 30.0,
    ) -> None:
        if urlsplit(url).scheme not in {"http", "https"}:
            raise ValueError(f"url: must begin with http:// or https://, not {url!r}")
        if fail not in {"open", "closed"}:
            raise ValueError(f"fail: must be 'open' or 'closed', not {fail!r}")
        if not 0 < refresh_seconds <= max_age_seconds or deadline_seconds <= 0:
            raise ValueError(
                "refresh_seconds, deadline_seconds: must be above 0; max_age_seconds: at least refresh_seconds"
            )
        versioned = "" if version is None else f"/versions/{quote(version, safe='')}"
        self._address = f"{url.rstrip('/')}/v1/gate/v2/models/{quote(model, safe='')}{versioned}/infer"
        self._open = fail == "open"
        self._refresh_seconds = refresh_seconds
        self._deadline_seconds = deadline_seconds
        self._max_age_seconds = max_age_seconds
        self._where, self._tls, self._request = _question(self._address)
        self._name = _Name(*self._where)
        self._known: tuple[float, Decision] | None = None
        self._trouble = "the gate has not been asked yet"
        self._asked = threading.Event()
        """Set once the first question has been answered, or was not."""
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> Self:
        """Ask once, waiting ``deadline_seconds`` at most, and go on asking in the background."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="lazaretto-guard", daemon=True)
            self._thread.start()
            self._asked.wait(self._deadline_seconds)
        return self

    def stop(self) -> None:
        """Ask no more; the last answer ages."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(self._deadline_seconds + 1.0)

    def __enter__(self) -> Self:
        """Start."""
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Stop."""
        self.stop()

    def decision(self) -> Decision:
        """Return what counts now, without waiting for anything."""
        known = self._known
        if known is not None and time.monotonic() - known[0] <= self._max_age_seconds:
            return known[1]
        way = "open" if self._open else "closed"
        return Decision(allowed=self._open, state=UNKNOWN, reason=f"failing {way}: {self._trouble}")

    def check(self) -> Decision:
        """Return what counts now; raise GateClosed when the model must not answer."""
        decision = self.decision()
        if not decision.allowed:
            raise GateClosed(decision)
        return decision

    def protects(self, function: Callable[P, R]) -> Callable[P, R]:
        """Wrap a function, plain or async: it raises GateClosed instead of running while the gate is closed."""
        if inspect.iscoroutinefunction(function):

            @functools.wraps(function)
            async def guarded(*args: P.args, **kwargs: P.kwargs) -> Any:
                self.check()
                return await function(*args, **kwargs)

            return guarded  # type: ignore[return-value]  # a coroutine function for a coroutine function

        @functools.wraps(function)
        def guarded_plainly(*args: P.args, **kwargs: P.kwargs) -> R:
            self.check()
            return function(*args, **kwargs)

        return guarded_plainly

    def refresh(self) -> bool:
        """Ask the gate now; return whether it answered. Only what says 200 or 403 and a state is the gate."""
        try:
            status, headers = self._ask()
        except (OSError, ValueError, http.client.HTTPException) as error:  # unreachable, too slow, or not HTTP
            return self._note_trouble(f"no answer from {self._address}: {error}")
        state = headers.get("x-gate-state")
        if status not in {OK, FORBIDDEN} or state is None:
            return self._note_trouble(f"{self._address} answered {status}, which is not the gate's word")
        decision = _decision_of(status, state, headers)
        before = self._known
        if before is None or before[1].state != state:
            logger.info("the gate says %s: %s", "yes" if decision.allowed else "no", state)
        self._known = (time.monotonic(), decision)
        self._trouble = ""
        return True

    def _ask(self) -> tuple[int, dict[str, str]]:
        """Ask once. All of it together, whatever the other side or a name server does, ends by the deadline."""
        ends = time.monotonic() + self._deadline_seconds
        with closing(self._connect(ends)) as line:
            line.settimeout(_left(ends))
            line.sendall(self._request)
            return _heard(line, ends)

    def _connect(self, ends: float) -> socket.socket:
        found = self._name.addresses(ends)
        trouble: OSError = OSError("the name has no address")
        for number, (family, kind, protocol, _, address) in enumerate(found):
            line = socket.socket(family, kind, protocol)
            try:
                line.settimeout(_left(ends) / (len(found) - number))  # the next address has its turn, too
                line.connect(address)
                if self._tls is None:
                    return line
                line.settimeout(_left(ends))
                return self._tls.wrap_socket(line, server_hostname=self._where[0])
            except OSError as error:
                line.close()
                trouble = error
        raise trouble

    def _note_trouble(self, text: str) -> bool:
        if self._trouble != text:
            logger.warning("%s; the last answer counts for %g s", text, self._max_age_seconds)
        self._trouble = text
        return False

    def _run(self) -> None:
        while True:
            try:
                self.refresh()
            except Exception:
                logger.exception("a bug in the guard; the last answer counts for %g s", self._max_age_seconds)
            self._asked.set()
            if self._stop.wait(self._refresh_seconds):
                return


Found = list[tuple[Any, Any, int, str, Any]]
"""What ``getaddrinfo`` returns."""


class _Name:
    """Looks a name up in a thread of its own, as nothing else ends that in time; only one look-up runs at once."""

    def __init__(self, host: str, port: int) -> None:
        self._host, self._port = host, port
        self._known: Found = []
        self._trouble: OSError | None = None
        self._thread: threading.Thread | None = None

    def addresses(self, ends: float) -> Found:
        """Return the addresses; those known before while a look-up takes longer than half of what is left."""
        thread = self._thread
        if thread is None or not thread.is_alive():
            thread = threading.Thread(target=self._look_up, name="lazaretto-guard-name", daemon=True)
            thread.start()
            self._thread = thread
        thread.join(_left(ends) / (2 if self._known else 1))
        trouble = None if thread.is_alive() else self._trouble
        if trouble is not None and not (self._known and trouble.errno == socket.EAI_AGAIN):
            raise trouble
        if not self._known:
            raise TimeoutError(f"the name {self._host} was not looked up in time")
        return self._known

    def _look_up(self) -> None:
        try:
            self._known, self._trouble = socket.getaddrinfo(self._host, self._port, type=socket.SOCK_STREAM), None
        except OSError as error:
            self._trouble = error


def _question(address: str) -> tuple[tuple[str, int], ssl.SSLContext | None, bytes]:
    """Return where to connect, with which TLS, and what to say there. No proxy of the environment has a part in it."""
    parts = urlsplit(address)
    tls = ssl.create_default_context() if parts.scheme == "https" else None
    if not parts.hostname:
        raise ValueError(f"url: must name a host: {address!r}")
    host = parts.hostname.encode("idna").decode()
    port = parts.port or (80 if tls is None else 443)
    shown = f"[{host}]" if ":" in host else host
    lines = (
        f"GET {parts.path} HTTP/1.1",
        f"host: {shown}:{port}",
        "user-agent: lazaretto-guard",
        "accept: */*",
        "connection: close",
        "\r\n",
    )
    return (host, port), tls, "\r\n".join(lines).encode("ascii")


def _left(ends: float) -> float:
    """Return how long one more operation may take."""
    left = ends - time.monotonic()
    if left <= 0:
        raise TimeoutError("timed out")
    return left


def _heard(line: socket.socket, ends: float) -> tuple[int, dict[str, str]]:
    """Read status and headers; the body says nothing more."""
    heard = bytearray()
    while (end := heard.find(HEAD_END)) < 0:
        if len(heard) > HEAD_BYTES_MAX:
            raise ValueError(f"the answer's headers are over {HEAD_BYTES_MAX} bytes")
        line.settimeout(_left(ends))
        part = line.recv(READ_BYTES)
        if not part:
            raise ConnectionError("the connection was closed before the answer was there")
        heard += part
    first, _, rest = bytes(heard[: end + len(HEAD_END)]).partition(b"\r\n")
    found = STATUS.match(first)
    if found is None:
        raise ValueError("the answer is not HTTP")
    headers = http.client.parse_headers(io.BytesIO(rest))
    return int(found[1]), {name.lower(): value for name, value in headers.items()}


def _decision_of(status: int, state: str, headers: dict[str, str]) -> Decision:
    seconds = headers.get("retry-after", "")
    return Decision(
        allowed=status == OK,
        state=state,
        route=headers.get("x-gate-route"),
        fallback=headers.get("x-gate-fallback"),
        decision_id=headers.get("x-gate-decision-id"),
        retry_after=int(seconds) if SECONDS.fullmatch(seconds) else RETRY_SECONDS,
        reason="" if status == OK else f"the gate is closed: the model is {state}",
    )


WEBSOCKET_REFUSED = 1008
"""Against the policy (RFC 6455)."""


class GuardMiddleware:
    """ASGI middleware: answers 403 in the model's place while the gate is closed.

    Parameters
    ----------
    app
        What answers otherwise.
    guard
        Started by whoever makes it.
    paths
        Prefixes of the paths that are inference; by default every path. Health pages should stay outside.
    """

    def __init__(self, app: Application, guard: Guard, paths: Sequence[str] = ("/",)) -> None:
        self._app = app
        self._guard = guard
        self._paths = tuple(paths)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or let the application do it."""
        guarded = scope["type"] in {"http", "websocket"} and scope["path"].startswith(self._paths)
        decision = self._guard.decision() if guarded else None
        if decision is None or decision.allowed:
            await self._app(scope, receive, send)
            return
        if scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": WEBSOCKET_REFUSED})  # before it is accepted: a 403
            return
        body = json.dumps(
            {
                "type": "urn:lazaretto:problem:gate-closed",
                "title": "The gate is closed",
                "status": FORBIDDEN,
                "detail": "this model does not answer for now",
                "state": decision.state,
                "decision_id": decision.decision_id,
            }
        ).encode()
        headers = [
            (b"content-type", b"application/problem+json"),
            (b"content-length", str(len(body)).encode()),
            (b"retry-after", str(decision.retry_after).encode()),
            (b"x-gate-state", decision.state.encode("latin-1", "replace")),
            (b"cache-control", b"no-store"),
        ]
        await send({"type": "http.response.start", "status": FORBIDDEN, "headers": headers})
        await send({"type": "http.response.body", "body": body})
