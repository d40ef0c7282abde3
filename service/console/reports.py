"""The drift report of an incident: how it stands, the page itself in a frame of its own, and what can be downloaded."""

from dataclasses import dataclass

from fastapi import APIRouter, Request, Response
from fastapi.concurrency import run_in_threadpool

from service.console import words
from service.console.access import Access, Viewer, read_form
from service.console.actions import incident_of
from service.console.addresses import incident_url
from service.console.deps import ConsoleDeps
from service.console.pages import SECURITY_HEADERS, empty, render
from service.console.read_models import When
from service.domain.errors import LazarettoError, NotFound
from service.domain.ids import Micros
from service.domain.records import Incident, Scope
from service.domain.reports import WAITING, Part, ReportRecord, ReportStatus
from service.reports.desk import ReportDesk
from service.reports.samples import ndjson

DRIFTED_SHOWN = 12
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


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportCard:
    """What is shown of the newest report about an incident."""

    url: str
    exists: bool
    status: str
    waiting: bool
    done: bool
    failed: bool
    detail: str
    lines: tuple[str, ...]
    drifted: tuple[str, ...]
    drifted_more: int
    left_out: tuple[tuple[str, str], ...]
    ended: When | None
    shown: bool
    """Whether there is a page to show."""
    earlier: When | None
    """When that ended, where it is an earlier one."""
    has_rows: bool
    may_ask: bool
    may_rows: bool
    digest: str


def report_card(deps: ConsoleDeps, viewer: Viewer, incident: Incident) -> ReportCard | None:
    """Return what is shown of the newest report about an incident; ``None`` where there are no reports."""
    desk = deps.reports
    if desk is None:
        return None
    return card_of(desk, viewer, incident, deps.clock.now_us())


def card_of(desk: ReportDesk, viewer: Viewer, incident: Incident, now_us: Micros) -> ReportCard:
    """Write the newest report for people; while it is made, or where it failed, an earlier one can still be seen."""
    record, shown = desk.found(incident), desk.found(incident, Part.HTML)
    facts = None if record is None else record.facts
    status = None if record is None else record.status
    drifted = () if facts is None else facts.drifted
    return ReportCard(
        url=f"{incident_url(incident.id)}/report",
        exists=record is not None,
        status="" if status is None else str(status),
        waiting=status in WAITING,
        done=status is ReportStatus.DONE,
        failed=status is ReportStatus.FAILED,
        detail="" if record is None else record.detail,
        lines=() if record is None else _lines(record),
        drifted=drifted[:DRIFTED_SHOWN],
        drifted_more=max(0, len(drifted) - DRIFTED_SHOWN),
        left_out=() if facts is None else tuple(sorted(facts.left_out.items())),
        ended=None if record is None or record.ended_us is None else When.of(record.ended_us, now_us),
        shown=shown is not None,
        earlier=None if shown is None or record == shown or shown.ended_us is None else When.of(shown.ended_us, now_us),
        has_rows=desk.found(incident, Part.ROWS) is not None,
        may_ask=viewer.identity.may(Scope.OPERATE) and status not in WAITING,
        may_rows=viewer.identity.may(Scope.OPERATE),
        digest="" if shown is None or shown.facts is None else shown.facts.html_sha256,
    )


def _lines(record: ReportRecord) -> tuple[str, ...]:
    facts = record.facts
    if facts is None:
        return ()
    against = "rows of the reference that were kept" if facts.reference == "reference" else "events of the time before"
    length = words.duration((facts.to_us - facts.from_us) / 1e6)
    lines = [
        f"{facts.current_rows:,} of {facts.current_seen:,} events since the change, in {length}",
        f"compared with {facts.reference_rows:,} {against}",
    ]
    if facts.cut:
        lines.append("the log has more than is read for a report: parts of it, evenly spread, were looked at")
    if facts.frozen:
        lines.append("the log has the events no more: these are the rows kept when the incident was opened")
    return tuple(lines)


def add_reports(router: APIRouter, deps: ConsoleDeps, access: Access) -> None:
    """Add the pages, where there are reports."""
    desk = deps.reports
    if desk is None:
        return
    _add_pages(router, deps, access, desk)
    _add_downloads(router, deps, access, desk)


def _add_pages(router: APIRouter, deps: ConsoleDeps, access: Access, desk: ReportDesk) -> None:
    @router.get("/incidents/{incident_id}/report")
    def report_page(request: Request, incident_id: str) -> Response:
        viewer = access.viewer(request)
        about = incident_of(deps, viewer.identity, incident_id)
        card = card_of(desk, viewer, about, deps.clock.now_us())
        return render(
            "report.html",
            headers={"content-security-policy": PAGE_POLICY},
            viewer=viewer,
            incident=about,
            report=card,
            may_bundle=deps.bundler is not None and viewer.identity.may(Scope.OPERATE),
            problem=None,
        )

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
                card = card_of(desk, viewer, about, deps.clock.now_us())
                headers = {"content-security-policy": PAGE_POLICY}
                shown = {"viewer": viewer, "incident": about, "report": card, "problem": error.detail}
                return render("report.html", error.status, headers, **shown, may_bundle=False)
            return empty(303, {"location": f"{incident_url(about.id)}/report"})

        return await run_in_threadpool(act)

    @router.get("/incidents/{incident_id}/report/frame")
    def frame(request: Request, incident_id: str) -> Response:
        viewer = access.viewer(request)
        record = desk.having(incident_of(deps, viewer.identity, incident_id), Part.HTML)
        return Response(desk.part(record, Part.HTML), media_type="text/html", headers=FRAME_HEADERS)


def _add_downloads(router: APIRouter, deps: ConsoleDeps, access: Access, desk: ReportDesk) -> None:
    def attached(content: bytes, media_type: str, name: str) -> Response:
        headers = FRAME_HEADERS | {"content-disposition": f'attachment; filename="{name}"'}
        return Response(content, media_type=media_type, headers=headers)

    @router.get("/incidents/{incident_id}/report/report.html")
    def page(request: Request, incident_id: str) -> Response:
        record = desk.having(incident_of(deps, access.viewer(request).identity, incident_id), Part.HTML)
        return attached(desk.part(record, Part.HTML), "text/html", f"report-{record.id}.html")

    @router.get("/incidents/{incident_id}/report/report.json")
    def as_json(request: Request, incident_id: str) -> Response:
        record = desk.having(incident_of(deps, access.viewer(request).identity, incident_id), Part.JSON)
        return attached(desk.part(record, Part.JSON), "application/json", f"report-{record.id}.json")

    @router.get("/incidents/{incident_id}/report/samples.ndjson")
    def rows(request: Request, incident_id: str) -> Response:
        who = access.viewer(request).identity
        who.require(Scope.OPERATE)
        record = desk.having(incident_of(deps, who, incident_id), Part.ROWS)
        lines = ndjson(*desk.rows(record, who.actor))
        return attached(lines, "application/x-ndjson", f"samples-{record.id}.ndjson")

    @router.get("/incidents/{incident_id}/bundle")
    def bundle(request: Request, incident_id: str) -> Response:
        who = access.viewer(request).identity
        who.require(Scope.OPERATE)
        about = incident_of(deps, who, incident_id)
        if deps.bundler is None:
            raise NotFound("This console makes no bundles.")
        return attached(deps.bundler.bundle(about, who.actor), "application/zip", f"incident-{about.id}.zip")
