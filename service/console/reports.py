"""The drift report of an incident: how it stands, the page itself in a frame of its own, and what can be downloaded."""

from collections.abc import Callable

from fastapi import APIRouter, Request, Response
from fastapi.concurrency import run_in_threadpool

from service.console.access import Access, Viewer, read_form
from service.console.actions import incident_of
from service.console.addresses import incident_url
from service.console.deps import ConsoleDeps
from service.console.pages import SECURITY_HEADERS, empty, render
from service.console.report_cards import ReportCard, Subject, incident_card, incident_subject
from service.domain.errors import LazarettoError, NotFound
from service.domain.records import Incident, Scope
from service.domain.reports import Part, ReportRecord
from service.reports.desk import ReportDesk
from service.reports.samples import ndjson

FRAME_HEADERS = {
    "content-security-policy": (
        "sandbox allow-scripts; default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; "
        "img-src data:; font-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
    ),
    "cache-control": "no-store",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-frame-options": "SAMEORIGIN",
}
"""The report runs scripts, so it gets an origin of its own: it reaches neither our pages nor anybody else."""
PAGE_POLICY = SECURITY_HEADERS["content-security-policy"] + "; frame-src 'self'"
Find = Callable[[Request, str, Part], ReportRecord]
"""Returns the report with a part that an address names, to who may see it."""


def report_card(deps: ConsoleDeps, viewer: Viewer, incident: Incident) -> ReportCard | None:
    """Return what is shown of the newest report about an incident; ``None`` where there are no reports."""
    desk = deps.reports
    if desk is None:
        return None
    return incident_card(desk, viewer, incident, deps.clock.now_us())


def report_page(viewer: Viewer, about: Subject, card: ReportCard, problem: LazarettoError | None = None) -> Response:
    """Render the page of a report."""
    return render(
        "report.html",
        problem.status if problem else 200,
        {"content-security-policy": PAGE_POLICY},
        viewer=viewer,
        about=about,
        report=card,
        problem=problem.detail if problem else None,
    )


def add_reports(router: APIRouter, deps: ConsoleDeps, access: Access) -> None:
    """Add the pages, where there are reports."""
    desk = deps.reports
    if desk is None:
        return
    _add_pages(router, deps, access, desk)
    _add_bundle(router, deps, access)

    def found(request: Request, incident_id: str, part: Part) -> ReportRecord:
        return desk.having(incident_of(deps, access.viewer(request).identity, incident_id), part)

    add_parts(router, "/incidents/{identity}/report", access, desk, found)


def _add_pages(router: APIRouter, deps: ConsoleDeps, access: Access, desk: ReportDesk) -> None:
    def shown(viewer: Viewer, about: Incident, problem: LazarettoError | None = None) -> Response:
        may_bundle = deps.bundler is not None and viewer.identity.may(Scope.OPERATE)
        card = incident_card(desk, viewer, about, deps.clock.now_us())
        return report_page(viewer, incident_subject(about, may_bundle=may_bundle), card, problem)

    @router.get("/incidents/{incident_id}/report")
    def page(request: Request, incident_id: str) -> Response:
        viewer = access.viewer(request)
        return shown(viewer, incident_of(deps, viewer.identity, incident_id))

    @router.post("/incidents/{incident_id}/report")
    async def ask(request: Request, incident_id: str) -> Response:
        form = await read_form(request)

        def act() -> Response:
            viewer = access.viewer(request)
            access.check_form(request, viewer.session.token, form)
            about = incident_of(deps, viewer.identity, incident_id)
            viewer.identity.require(Scope.OPERATE)
            try:
                desk.ask_about(viewer.identity.actor, about)
            except LazarettoError as error:
                return shown(viewer, about, error)
            return empty(303, {"location": f"{incident_url(about.id)}/report"})

        return await run_in_threadpool(act)


def _add_bundle(router: APIRouter, deps: ConsoleDeps, access: Access) -> None:
    @router.get("/incidents/{incident_id}/bundle")
    def bundle(request: Request, incident_id: str) -> Response:
        who = access.viewer(request).identity
        who.require(Scope.OPERATE)
        about = incident_of(deps, who, incident_id)
        if deps.bundler is None:
            raise NotFound("This console makes no bundles.")
        return attached(deps.bundler.bundle(about, who.actor), "application/zip", f"incident-{about.id}.zip")


def attached(content: bytes, media_type: str, name: str) -> Response:
    """Answer with a file to be saved, which is harmless when it is opened all the same."""
    headers = FRAME_HEADERS | {"content-disposition": f'attachment; filename="{name}"'}
    return Response(content, media_type=media_type, headers=headers)


def add_parts(router: APIRouter, below: str, access: Access, desk: ReportDesk, find: Find) -> None:
    """Add the frame and the downloads of a report below the address of its page."""

    @router.get(f"{below}/frame")
    def frame(request: Request, identity: str) -> Response:
        try:
            record = find(request, identity, Part.HTML)
            content = desk.part(record, Part.HTML)
        except LazarettoError as error:
            # A page of ours would not show in a frame: why there is none does.
            return Response(error.detail, error.status, media_type="text/plain", headers=FRAME_HEADERS)
        return Response(content, media_type="text/html", headers=FRAME_HEADERS)

    @router.get(f"{below}/report.html")
    def page(request: Request, identity: str) -> Response:
        record = find(request, identity, Part.HTML)
        return attached(desk.part(record, Part.HTML), "text/html", f"report-{record.id}.html")

    @router.get(f"{below}/report.json")
    def as_json(request: Request, identity: str) -> Response:
        record = find(request, identity, Part.JSON)
        return attached(desk.part(record, Part.JSON), "application/json", f"report-{record.id}.json")

    @router.get(f"{below}/samples.ndjson")
    def rows(request: Request, identity: str) -> Response:
        who = access.viewer(request).identity
        who.require(Scope.OPERATE)
        record = find(request, identity, Part.ROWS)
        lines = ndjson(*desk.rows(record, who.actor))
        return attached(lines, "application/x-ndjson", f"samples-{record.id}.ndjson")
