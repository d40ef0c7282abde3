"""Windows of maintenance: which there are, a form for a new one, and an end before the time."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from fastapi import APIRouter, Request, Response
from fastapi.concurrency import run_in_threadpool

from service.console.access import Access, Viewer, read_form
from service.console.deps import ConsoleDeps
from service.console.lists import number_of, pager, rows_of
from service.console.pages import empty, render
from service.console.read_models import When
from service.console.typed import NOTHING, Typed, sentence
from service.domain.errors import LazarettoError, NotFound, Place, Unprocessable
from service.domain.ids import Micros
from service.domain.incidents import Maintenance
from service.domain.records import Scope
from service.incident_office import IncidentOffice
from service.ports_incidents import IncidentDesk

WINDOWS_READ = 20_000
"""As many as a thousand models may plan."""
MODELS_OFFERED = 200
DAY_US = 86_400_000_000
DONE = {"planned": "The window is planned.", "ended": "The window is over."}
FORM = "plan"


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowRow:
    """One window."""

    id: str
    model: str
    start: When
    end: When
    now: bool
    quarantine: bool
    reason: str
    by: str


@dataclass(frozen=True, slots=True)
class MaintenanceViews:
    """Makes the page."""

    deps: ConsoleDeps
    desk: IncidentDesk
    triage: IncidentOffice

    def page(
        self,
        viewer: Viewer,
        *,
        notice: str | None = None,
        problem: LazarettoError | None = None,
        typed: Typed = NOTHING,
        query: Mapping[str, str] | None = None,
    ) -> Response:
        """Render the page."""
        now_us = self.deps.clock.now_us()
        windows = [one for one in self.desk.maintenance(None, now_us, WINDOWS_READ) if viewer.identity.sees(one.model)]
        part = pager("/maintenance", {}, number_of(query or {}), len(windows))
        names = sorted(name for name in self.deps.standing().models if viewer.identity.sees(name))
        return render(
            "maintenance.html",
            problem.status if problem else 200,
            viewer=viewer,
            rows=[_row(one, now_us) for one in rows_of(windows, part)],
            part=part,
            models=names[:MODELS_OFFERED],
            may=viewer.identity.may(Scope.OPERATE),
            now_text=_field(now_us),
            notice=notice,
            problem=sentence(problem) if problem else None,
            typed=typed,
        )

    def plan(self, viewer: Viewer, form: dict[str, str]) -> None:
        """Plan a window as a form asks for. Raises as the office does, and Unprocessable naming a time that is none."""
        who, now_us = viewer.identity, self.deps.clock.now_us()
        who.require(Scope.OPERATE)
        model = form.get("model", "").strip()
        who.require_model(model)
        start = form.get("start", "").strip()
        window = Maintenance(
            id="",
            model=model,
            start_us=time_in("start", start) if start else now_us,
            end_us=time_in("end", form.get("end", "").strip()),
            quarantine=form.get("quarantine") == "yes",
            reason=form.get("reason", ""),
            created_us=now_us,
            created_by=who.actor,
        )
        self.triage.plan(who.actor, window)

    def end(self, viewer: Viewer, model: str, window_id: str) -> None:
        """End a window before its time."""
        viewer.identity.require(Scope.OPERATE)
        viewer.identity.require_model(model)
        self.triage.cancel(viewer.identity.actor, model, window_id)


def _row(one: Maintenance, now_us: Micros) -> WindowRow:
    return WindowRow(
        id=one.id,
        model=one.model,
        start=When.of(one.start_us, now_us),
        end=When.of(one.over_us, now_us),
        now=one.covers(now_us),
        quarantine=one.quarantine,
        reason=one.reason,
        by=str(one.created_by),
    )


def _field(at_us: Micros) -> str:
    """Write a time as a field of a form takes it."""
    return datetime.fromtimestamp(at_us // 1_000_000, UTC).strftime("%Y-%m-%dT%H:%M")


def time_in(place: str, text: str) -> Micros:
    """Return the time that a field of a form says, in UTC.

    Raises
    ------
    Unprocessable
        When it is none, or of a year that nobody plans for.
    """
    reason = f"must be a time in UTC such as 2026-11-27T03:00, not '{text[:40]}'"
    try:
        said = datetime.fromisoformat(text.removesuffix("Z"))
    except ValueError:
        raise Unprocessable("the time cannot be read", places=[Place(place, reason)]) from None
    if said.tzinfo is not None or not 1971 <= said.year <= 9000:  # noqa: PLR2004 - what the store can hold, and means
        raise Unprocessable("the time cannot be read", places=[Place(place, reason)])
    return Micros(round(said.replace(tzinfo=UTC).timestamp() * 1e6))


def add_maintenance(router: APIRouter, deps: ConsoleDeps, access: Access) -> None:
    """Add the page, where windows can be planned."""
    if deps.incidents is None or deps.triage is None:
        return
    views = MaintenanceViews(deps, deps.incidents, deps.triage)

    @router.get("/maintenance")
    def maintenance(request: Request) -> Response:
        query = request.query_params
        return views.page(access.viewer(request), notice=DONE.get(query.get("done", "")), query=query)

    @router.post("/maintenance")
    async def plan(request: Request) -> Response:
        form = await read_form(request)

        def answer() -> Response:
            viewer = access.viewer(request)
            access.check_form(request, viewer.session.token, form)
            try:
                views.plan(viewer, form)
            except LazarettoError as error:
                return views.page(viewer, problem=error, typed=Typed(FORM, form))
            return empty(303, {"location": "/maintenance?done=planned"})

        return await run_in_threadpool(answer)

    @router.post("/maintenance/{model}/{window_id}/end")
    async def end(request: Request, model: str, window_id: str) -> Response:
        form = await read_form(request)

        def answer() -> Response:
            viewer = access.viewer(request)
            access.check_form(request, viewer.session.token, form)
            try:
                views.end(viewer, model, window_id)
            except NotFound as error:
                return views.page(viewer, problem=error)
            return empty(303, {"location": "/maintenance?done=ended"})

        return await run_in_threadpool(answer)
