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
import json
import logging
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Literal, ParamSpec, Self, TypeVar
from urllib.parse import quote, urlsplit

logger = logging.getLogger("lazaretto.guard")

OK, FORBIDDEN = 200, 403
BODY_BYTES_MAX = 65_536
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


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """The gate never sends anybody anywhere else."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        """Follow nothing."""


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
        # No proxy of the environment: the question goes where the operator said, or nowhere.
        self._http = urllib.request.build_opener(urllib.request.ProxyHandler({}), _NoRedirect)
        self._known: tuple[float, Decision] | None = None
        self._trouble = "the gate has not been asked yet"
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> Self:
        """Ask once, waiting ``deadline_seconds`` at most, and go on asking in the background."""
        if self._thread is None:
            self.refresh()
            self._thread = threading.Thread(target=self._run, name="lazaretto-guard", daemon=True)
            self._thread.start()
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
        request = urllib.request.Request(self._address, headers={"user-agent": "lazaretto-guard"})  # noqa: S310 - the scheme was checked
        try:
            with self._http.open(request, timeout=self._deadline_seconds) as answer:
                answer.read(BODY_BYTES_MAX)
                return answer.status, {name.lower(): value for name, value in answer.headers.items()}
        except urllib.error.HTTPError as refused:
            with refused:
                return refused.code, {name.lower(): value for name, value in refused.headers.items()}

    def _note_trouble(self, text: str) -> bool:
        if self._trouble != text:
            logger.warning("%s; the last answer counts for %g s", text, self._max_age_seconds)
        self._trouble = text
        return False

    def _run(self) -> None:
        while not self._stop.wait(self._refresh_seconds):
            try:
                self.refresh()
            except Exception:
                logger.exception("a bug in the guard; the last answer counts for %g s", self._max_age_seconds)


def _decision_of(status: int, state: str, headers: dict[str, str]) -> Decision:
    seconds = headers.get("retry-after", "")
    return Decision(
        allowed=status == OK,
        state=state,
        route=headers.get("x-gate-route"),
        fallback=headers.get("x-gate-fallback"),
        decision_id=headers.get("x-gate-decision-id"),
        retry_after=int(seconds) if seconds.isdigit() else RETRY_SECONDS,
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
