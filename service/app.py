"""The application: FastAPI, with two hot paths that are answered before its middleware."""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI
from fastapi.concurrency import run_in_threadpool
from fastapi.openapi.utils import get_openapi
from starlette.routing import Route

import service
from service.api import errors
from service.api.asgi import Application, Receive, Scope, Send, request_id_of
from service.api.deps import components
from service.api.entry import PATH_SHOWN, Entry, answer_bug
from service.api.events import EventsEndpoint
from service.api.flag_desk import FlagDesk
from service.api.gate import GateEndpoint, Principals, is_gate
from service.api.routes import (
    alert_quality,
    audit,
    baselines,
    drafts,
    drills,
    flags,
    incidents,
    keys,
    maintenance,
    models,
    notifications,
    principals,
    redteam,
    reports,
    requests,
    reviews,
    rollouts,
    status,
    system,
    telemetry,
    transcripts,
    triage,
    vouched,
)
from service.console.routes import build_router
from service.domain.policy import FailMode
from service.gate.jitter import Jitter
from service.wiring import Runtime

ROUTERS = tuple(
    part.router
    for part in (
        models,
        baselines,
        telemetry,
        status,
        incidents,
        transcripts,
        reports,
        triage,
        maintenance,
        alert_quality,
        audit,
        principals,
        requests,
        redteam,
        vouched,
        drafts,
        drills,
        flags,
        rollouts,
        reviews,
        notifications,
        keys,
        system,
    )
)
"""The API; the console comes beside it."""
logger = logging.getLogger("lazaretto.access")
EVENTS_PREFIX = "/v1/models/"
EVENTS_SUFFIX = "/events"
DESCRIPTION = "Telemetry in, evidence of drift and misuse out, quarantine enforced at the gate. See docs/api.md."


class Lazaretto(FastAPI):
    """Events and gate go to plain ASGI callables; all else through FastAPI, each request with an id and a log line."""

    events: Application
    gate: Application
    ordinary: Application

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer."""
        if scope["type"] != "http":
            await super().__call__(scope, receive, send)
            return
        path: str = scope["path"]
        if is_gate(path):
            await self.gate(scope, receive, send)
        elif path.endswith(EVENTS_SUFFIX) and scope["method"] == "POST" and path.startswith(EVENTS_PREFIX):
            try:
                await self.events(scope, receive, send)
            except Exception:
                # The last resort of a path without a wrapper: logged with its id, answered without its inside.
                own_id = request_id_of(scope)
                logger.exception("a bug: %s", path[:PATH_SHOWN], extra={"request_id": own_id})
                await answer_bug(send, own_id)
        else:
            await self.ordinary(scope, receive, send)

    def openapi(self) -> dict[str, Any]:
        """Return the document of the API, with the schemas of msgspec's types and the ways to present a key."""
        if not self.openapi_schema:
            document = get_openapi(
                title=self.title, version=self.version, description=self.description, routes=self.routes
            )
            parts = document.setdefault("components", {})
            parts.setdefault("schemas", {}).update(components())
            parts["securitySchemes"] = {
                "bearer": {"type": "http", "scheme": "bearer", "description": "An API key: lzk_..."},
                "header": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
            }
            document["security"] = [{"bearer": []}, {"header": []}]
            self.openapi_schema = document
        return self.openapi_schema


def create_app(runtime: Runtime) -> Lazaretto:
    """Compose the application over a runtime, which starts and ends with it."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        await run_in_threadpool(runtime.start)
        try:
            yield
        finally:
            await runtime.close()

    app = Lazaretto(
        title="Lazaretto",
        version=service.__version__,
        description=DESCRIPTION,
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    api = runtime.api
    app.events = EventsEndpoint(api)
    header = api.settings.gate_principal_header
    jitter = Jitter(api.secrets.jitter)
    asking = Principals(header, api.office.deidentifier.pseudonym, api.clock, jitter) if header else None
    app.gate = GateEndpoint(api.fleet, api.counters, FailMode(api.settings.gate_unknown), asking, api.heard)
    app.ordinary = Entry(super(Lazaretto, app).__call__, api.counters)
    app.state.api = api
    app.state.metrics = runtime.metrics
    app.state.events = app.events
    app.state.gate = app.gate
    app.state.flag_desk = FlagDesk(api.fleet)
    errors.install(app, [route for router in ROUTERS for route in router.routes if isinstance(route, Route)])
    for router in ROUTERS:
        app.include_router(router)
    app.include_router(build_router(runtime.console))
    return app
