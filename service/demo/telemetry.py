"""Telemetry from a model server: never slower than the model, and bounded whatever the monitor does.

``record`` only puts a batch of events into a bounded queue. One background task joins what is waiting into requests
and posts them; each request carries an idempotency key, so a retry is never counted twice. When the monitor is away for
longer than the queue lasts, the newest events are dropped and counted: a monitor must not take the model down.
"""

import asyncio
import logging
import uuid
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

import httpx
import msgspec

_logger = logging.getLogger(__name__)

ROWS_PER_REQUEST = 1_000
QUEUED_ROWS_MAX = 50_000
WAIT_SECONDS = 0.1
"""How long to wait for more rows, so that small batches travel together."""
TIMEOUT_SECONDS = 5.0
ATTEMPTS = 5
BACKOFF_SECONDS = 0.2
TOO_MANY_REQUESTS, SERVER_ERROR = 429, 500


@dataclass(slots=True)
class Sent:
    """What became of the events so far; they add up to what was recorded."""

    acknowledged: int = 0
    refused: int = 0
    dropped: int = 0
    waiting: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Events:
    """Some events as columns, all of one length."""

    rows: int
    features: Mapping[str, Sequence[float]]
    prediction: Sequence[str]
    probabilities: Mapping[str, Sequence[float]]
    latency_ms: Sequence[float]


@dataclass(slots=True)
class TelemetryClient:
    """Posts events to one model version; use as an async context manager."""

    http: httpx.AsyncClient
    """With the monitor's address and the key in its headers."""
    path: str
    """``/v1/models/{model}/versions/{version}/events``."""
    sent: Sent = field(default_factory=Sent)
    _queue: deque[Events] = field(default_factory=deque)
    _wake: asyncio.Event = field(default_factory=asyncio.Event)
    _closing: bool = False
    _task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        """Start the background task."""
        self._task = asyncio.create_task(self._run(), name="telemetry")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Post what is waiting, then stop."""
        self._closing = True
        self._wake.set()
        if self._task is not None:
            await self._task

    def record(self, events: Events) -> None:
        """Queue events for posting; returns at once."""
        if self.sent.waiting + events.rows > QUEUED_ROWS_MAX:
            self.sent.dropped += events.rows
            return
        self.sent.waiting += events.rows
        self._queue.append(events)
        self._wake.set()

    async def _run(self) -> None:
        while self._queue or not self._closing:
            if not self._queue:
                self._wake.clear()
                await self._wake.wait()
            if not self._closing:
                await asyncio.sleep(WAIT_SECONDS)
            while self._queue:
                await self._post(self._next_request())

    def _next_request(self) -> list[Events]:
        parts = [self._queue.popleft()]
        rows = parts[0].rows
        while self._queue and rows + self._queue[0].rows <= ROWS_PER_REQUEST:
            parts.append(self._queue.popleft())
            rows += parts[-1].rows
        return parts

    async def _post(self, parts: Sequence[Events]) -> None:
        rows = sum(part.rows for part in parts)
        body = msgspec.json.encode({"columns": _join(parts)})
        headers = {"content-type": "application/json", "idempotency-key": uuid.uuid4().hex}
        detail = ""
        for attempt in range(ATTEMPTS):
            try:
                answer = await self.http.post(self.path, content=body, headers=headers, timeout=TIMEOUT_SECONDS)
            except httpx.TransportError as error:
                detail = repr(error)
            else:
                if answer.is_success:
                    self.sent.acknowledged += rows
                    break
                detail = f"{answer.status_code} {answer.text[:300]}"
                if answer.status_code < SERVER_ERROR and answer.status_code != TOO_MANY_REQUESTS:
                    self.sent.refused += rows
                    _logger.warning("the monitor refused %d events: %s", rows, detail)
                    break
            await asyncio.sleep(BACKOFF_SECONDS * 2**attempt)
        else:
            self.sent.dropped += rows
            _logger.warning("gave up %d events after %d attempts: %s", rows, ATTEMPTS, detail)
        self.sent.waiting -= rows


def _join(parts: Sequence[Events]) -> dict[str, object]:
    first = parts[0]
    return {
        "features": {name: [v for part in parts for v in part.features[name]] for name in first.features},
        "prediction": [label for part in parts for label in part.prediction],
        "probabilities": {
            name: [v for part in parts for v in part.probabilities[name]] for name in first.probabilities
        },
        "latency_ms": [v for part in parts for v in part.latency_ms],
    }
