"""What the endpoints work with, and the small steps that all of them share."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from threading import Event
from typing import Annotated, Any

import anyio.to_thread
import msgspec
from fastapi import Depends, Query, Request, Response

from service.api.asgi import Most, header, read_body
from service.api.auth import KeyRing
from service.api.compile import Compiler
from service.api.figures import Figures
from service.api.holders import TOLD, refused
from service.domain.errors import LazarettoError
from service.domain.keys import Identity
from service.domain.records import Model, Scope, Version
from service.enforcement import EnforcementLedger
from service.gate.acknowledge import Acknowledgements
from service.gate.fleet import FleetView, unknown
from service.gate.refresh import Fleet
from service.incident_office import IncidentOffice
from service.ingest.media import ADMIN, format_of
from service.log.figures import LogFigures
from service.observability import Counters
from service.office import OfficeStages
from service.pipeline import AcceptStages
from service.ports import Clock, ControlStore, KeyStore, ReadStore
from service.ports_incidents import IncidentDesk
from service.ports_notify import NotificationDesk
from service.ports_pages import KeyUses, PageStore
from service.reports.desk import ReportDesk
from service.reports.evidence import Bundler
from service.review.stages import ReviewStages
from service.settings import Secrets, Settings
from service.transcripts import Reading


@dataclass(frozen=True, slots=True, kw_only=True)
class Api:
    """Everything behind the endpoints; composed in ``service/wiring.py``."""

    settings: Settings
    secrets: Secrets
    clock: Clock
    read: ReadStore
    control: ControlStore
    desk: NotificationDesk
    incidents: IncidentDesk
    triage: IncidentOffice
    channel_names: tuple[str, ...]
    keys: KeyStore
    accept: AcceptStages
    office: OfficeStages
    fleet: Fleet
    keyring: KeyRing
    heard: Acknowledgements
    enforcements: EnforcementLedger
    review: ReviewStages
    counters: Counters
    figures: Figures
    log_figures: Callable[[], LogFigures]
    compiler: Compiler
    transcripts: Reading
    pages: PageStore
    uses: KeyUses
    reports: ReportDesk
    bundler: Bundler
    ending: Event = field(default_factory=Event)
    """Set when the process has been asked to end: streams end by themselves."""

    def model(self, name: str) -> Model:
        """Return a model as the store has it, or raise NotFound with the nearest names."""
        found = self.read.model(name)
        if found is None:
            raise unknown(f"model '{name[:100]}'", name, [model.name for model in self.read.models()])
        return found

    def version(self, model: str, version: str) -> Version:
        """Return a version as the store has it, or raise NotFound with the nearest names."""
        found = self.read.version(model, version)
        if found is None:
            return FleetView.of(0, self.read.models(), self.read.versions()).find(model, version)
        return found

    def changed(self) -> None:
        """Let the gate see what this process has just committed, before its request is answered."""
        with suppress(LazarettoError):  # the change stands; the poller brings the picture when the store is back
            self.fleet.refresh()


async def the_api(request: Request) -> Api:
    """Return what ``create_app`` put into the application's state."""
    api: Api = request.app.state.api
    return api


ApiDep = Annotated[Api, Depends(the_api)]


class Require:
    """Dependency: a key with this scope that reaches the model in the path; who lacks it is told who has it."""

    def __init__(self, scope: Scope) -> None:
        self.scope = scope

    async def __call__(self, request: Request, api: ApiDep) -> Identity:
        """Return who is asking."""
        identity = await api.keyring.identify(request.scope["headers"])
        model = request.path_params.get("model")
        if self.scope in TOLD and not identity.may(self.scope):
            # The gate is answered from this loop: it waits for no store.
            raise await anyio.to_thread.run_sync(refused, api.read, api.clock, identity, self.scope, model)
        identity.require(self.scope)
        if model is not None:
            identity.require_model(model)
        return identity


Ingester = Annotated[Identity, Depends(Require(Scope.INGEST))]
Reader = Annotated[Identity, Depends(Require(Scope.READ))]
Operator = Annotated[Identity, Depends(Require(Scope.OPERATE))]
Admin = Annotated[Identity, Depends(Require(Scope.ADMIN))]


async def small_body(request: Request, api: ApiDep) -> bytes:
    """Return the body of anything that is not telemetry: JSON, which clients like curl call a form unless told."""
    content_type = (header(request.scope, b"content-type") or b"").decode("latin-1")
    if content_type.partition(";")[0].strip().lower() not in {"", "application/x-www-form-urlencoded"}:
        format_of(content_type, ADMIN)
    return await read_body(request.scope, request.receive, Most("admin_bytes_max", api.settings.admin_bytes_max))


SmallBody = Annotated[bytes, Depends(small_body)]
Limit = Annotated[int, Query(ge=1, le=10_000, description="Longest list to return; the service has its own maximum.")]


def answer(content: Any, status: int = 200) -> Response:
    """Return a view as JSON. Not-a-number and infinity become null."""
    return Response(msgspec.json.encode(content), status, media_type="application/json")


def documented_body(kind: Any) -> dict[str, Any]:
    """Return the part of the OpenAPI document that describes a JSON body."""
    schema, _ = _schema(kind)
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}


def documented_answer(kind: Any, description: str, status: int = 200) -> dict[int | str, dict[str, Any]]:
    """Return the part of the OpenAPI document that describes an answer."""
    schema, _ = _schema(kind)
    return {status: {"description": description, "content": {"application/json": {"schema": schema}}}}


_components: dict[str, Any] = {}


def components() -> dict[str, Any]:
    """Return the schemas that the described bodies and answers refer to."""
    return dict(_components)


def _schema(kind: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    (schema,), found = msgspec.json.schema_components((kind,), ref_template="#/components/schemas/{name}")
    _components.update(found)
    return schema, found
