"""What every ordinary request passes through: its id, one line in the log, and the last resort against bugs."""

import logging
import time

from service.api.asgi import (
    REQUEST_ID_HEADER,
    Application,
    Message,
    Receive,
    Scope,
    Send,
    request_id_of,
    respond,
)
from service.api.problems import render_bug
from service.observability import Counters, request_id

logger = logging.getLogger("lazaretto.access")

QUIET = frozenset({"/healthz", "/readyz", "/metrics"})
"""Asked every few seconds by machines: counted, not logged."""
PATH_SHOWN = 500


class Entry:
    """Wraps an application; pure ASGI, so that it costs no task and no buffering.

    Parameters
    ----------
    application
        What answers.
    counters
        Counts answers by class of status.
    """

    def __init__(self, application: Application, counters: Counters) -> None:
        self._application = application
        self._counters = counters.requests

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        own_id = request_id_of(scope)
        token = request_id.set(own_id)
        started = time.perf_counter()
        status = 0

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message = {**message, "headers": [*message.get("headers", ()), (REQUEST_ID_HEADER, own_id.encode())]}
            await send(message)

        try:
            await self._application(scope, receive, send_with_id)
        except Exception:
            logger.exception("a bug: %s", scope["path"][:PATH_SHOWN])
            if not status:
                await respond(send_with_id, *render_bug(own_id))
        finally:
            self._note(scope, status, time.perf_counter() - started)
            request_id.reset(token)

    def _note(self, scope: Scope, status: int, seconds: float) -> None:
        """Count and log a request; its query stays out of the log, because it may hold anything."""
        label = f"{status // 100}xx"
        if label in self._counters:
            self._counters[label].inc()
        if scope["path"] in QUIET:
            return
        client = scope.get("client")
        extra = {
            "method": scope["method"],
            "path": scope["path"][:PATH_SHOWN],
            "status": status,
            "milliseconds": round(seconds * 1e3, 2),
            "client": client[0] if client else None,
        }
        logger.info("request", extra=extra)


async def answer_bug(send: Send, own_id: str) -> None:
    """Answer a bug on the hot path, which has no wrapper."""
    status, headers, body = render_bug(own_id)
    await respond(send, status, [*headers, (REQUEST_ID_HEADER, own_id.encode())], body)
