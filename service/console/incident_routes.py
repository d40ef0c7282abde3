"""The addresses of incidents: their list, their pages, and what is done about one."""

from fastapi import APIRouter, Request, Response
from fastapi.concurrency import run_in_threadpool

from service.console import actions
from service.console.access import Access, read_form
from service.console.deps import ConsoleDeps
from service.console.incident_acts import act
from service.console.incident_list import incident_list
from service.console.incident_views import IncidentAsked, IncidentViews
from service.console.lists import number_of
from service.console.pages import empty, render
from service.console.runbooks import RUNBOOKS
from service.console.typed import Typed
from service.console.views import Views
from service.domain.errors import LazarettoError, NotFound
from service.domain.policy import Cause


def add_incidents(router: APIRouter, deps: ConsoleDeps, access: Access, views: Views) -> None:
    """Add the addresses of incidents."""
    pages = IncidentViews(deps)
    _add_pages(router, deps, access, pages)
    _add_actions(router, deps, access, views, pages)


def _add_pages(router: APIRouter, deps: ConsoleDeps, access: Access, pages: IncidentViews) -> None:
    @router.get("/incidents")
    def incidents(request: Request) -> Response:
        viewer = access.viewer(request)
        return incident_list(deps, viewer, request.query_params, request.headers.get("if-none-match"))

    @router.get("/incidents/{incident_id}")
    def incident_page(request: Request, incident_id: str) -> Response:
        viewer = access.viewer(request)
        done = actions.DONE.get(request.query_params.get("done", ""))
        try:
            asked = IncidentAsked(request.headers.get("if-none-match"), number_of(request.query_params, "entries"))
            return pages.page(viewer, incident_id, notice=done, asked=asked)
        except NotFound as error:
            return pages.missing(viewer, error)

    @router.get("/runbooks/{cause}")
    def runbook(request: Request, cause: str) -> Response:
        viewer = access.viewer(request)
        if cause not in set(Cause):
            named = ", ".join(Cause)
            raise NotFound(f"There is no runbook '{cause[:100]}'; there is one for each cause: {named}.")
        return render("runbook.html", viewer=viewer, book=RUNBOOKS[Cause(cause)], others=list(RUNBOOKS.values()))


def _add_actions(router: APIRouter, deps: ConsoleDeps, access: Access, views: Views, pages: IncidentViews) -> None:
    @router.post("/incidents/{incident_id}/{action}")
    async def incident(request: Request, incident_id: str, action: str) -> Response:
        form = await read_form(request)

        def answer() -> Response:
            viewer = access.viewer(request)
            access.check_form(request, viewer.session.token, form)
            about = actions.incident_of(deps, viewer.identity, incident_id)
            own_page = form.get("back") == "incident"
            try:
                whose, done = act(deps, viewer.identity, about, action, form)
            except LazarettoError as error:
                if own_page:
                    return pages.page(viewer, about.id, problem=error, typed=Typed(action, form))
                return views.version(viewer, about.model, about.version, problem=error)
            after = pages.url(whose, done) if own_page else views.url(about.model, about.version, done)
            return empty(303, {"location": after})

        return await run_in_threadpool(answer)
