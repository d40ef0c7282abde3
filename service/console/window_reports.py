"""Drift reports about a time that somebody chose: asked for on the page of a version, listed, and shown."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from fastapi import APIRouter, Request, Response
from fastapi.concurrency import run_in_threadpool

from service.console import words
from service.console.access import Access, Viewer, read_form
from service.console.addresses import address, page_url, report_url, reports_url
from service.console.deps import ConsoleDeps
from service.console.lists import number_of, pager, rows_of
from service.console.maintenance import time_in
from service.console.pages import empty, render
from service.console.read_models import When
from service.console.report_cards import Subject, incident_subject, window_card
from service.console.reports import add_parts, report_page
from service.console.typed import NOTHING, Typed, sentence
from service.domain.errors import LazarettoError, NotFound
from service.domain.ids import Micros
from service.domain.keys import Identity
from service.domain.records import Scope, Version
from service.domain.reports import WAITING, Part, ReportRecord, ReportStatus
from service.reports.desk import ReportDesk

READ = 10_000
"""Reports that are kept in all, at most (``reports_kept_max``)."""
SIZE = 25
DRIFTED_SHOWN = 4
HOUR_US = 3_600_000_000
LENGTHS = {"1h": ("hour", 1), "6h": ("6 hours", 6), "1d": ("day", 24), "7d": ("7 days", 168)}
"""Times that are asked for by one button, by name: as it is called, and its hours."""
FORM = "report"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportRow:
    """One report in a list."""

    url: str
    start: When
    end: When
    length: str
    about: str
    """The page of the incident that it is about; empty where somebody chose the time."""
    status: str
    tone: str
    found: str
    asked: When
    by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportsSection:
    """What the page of a version says of its reports."""

    address: str
    newest: ReportRow | None
    may_ask: bool
    lengths: tuple[tuple[str, str], ...]


def reports_section(deps: ConsoleDeps, who: Identity, version: Version, now_us: Micros) -> ReportsSection | None:
    """Return what the page of a version says of its reports; ``None`` where there are none to be had."""
    if deps.reports is None:
        return None
    newest = deps.reports.of_version(version, 1)
    return ReportsSection(
        address=reports_url(version.model, version.version),
        newest=row_of(newest[0], now_us) if newest else None,
        may_ask=who.may(Scope.OPERATE),
        lengths=_lengths(),
    )


def _lengths() -> tuple[tuple[str, str], ...]:
    return tuple((name, text) for name, (text, _) in LENGTHS.items())


def row_of(one: ReportRecord, now_us: Micros) -> ReportRow:
    """Write one report as a row."""
    tones = {ReportStatus.DONE: "good", ReportStatus.FAILED: "bad"}
    return ReportRow(
        url=report_url(one.id),
        start=When.of(one.from_us, now_us),
        end=When.of(one.to_us, now_us),
        length=words.duration((one.to_us - one.from_us) / 1e6),
        about="" if one.incident_id is None else f"/incidents/{one.incident_id}",
        status=str(one.status),
        tone=tones.get(one.status, "plain"),
        found=_found(one),
        asked=When.of(one.requested_us, now_us),
        by=str(one.requested_by),
    )


def _found(one: ReportRecord) -> str:
    if one.status is ReportStatus.FAILED:
        return one.detail
    if one.status in WAITING or one.facts is None:
        return "it is not there yet"
    drifted = one.facts.drifted
    more = f" and {len(drifted) - DRIFTED_SHOWN} more" if len(drifted) > DRIFTED_SHOWN else ""
    return f"drifted: {', '.join(drifted[:DRIFTED_SHOWN])}{more}" if drifted else "no column drifted for sure"


def span_of(form: Mapping[str, str], now_us: Micros) -> tuple[Micros, Micros]:
    """Return the time that a form asks for: by a button, or from one time to another; without an end, until now.

    Raises
    ------
    Unprocessable
        Naming the time that is none.
    """
    length = LENGTHS.get(form.get("length", ""))
    if length is not None:
        return Micros(now_us - length[1] * HOUR_US), now_us
    end = form.get("to", "").strip()
    return time_in("from", form.get("from", "").strip()), time_in("to", end) if end else now_us


def _exact(at_us: Micros) -> str:
    """Write a time so that a form brings it back to the microsecond."""
    whole, rest = divmod(at_us, 1_000_000)
    return datetime.fromtimestamp(whole, UTC).replace(microsecond=rest, tzinfo=None).isoformat()


@dataclass(frozen=True, slots=True)
class WindowViews:
    """Makes the pages."""

    deps: ConsoleDeps
    desk: ReportDesk

    def version(self, who: Identity, model: str, version: str) -> Version:
        """Return a version, or raise NotFound to who may not see it."""
        found = self.deps.read.version(model, version) if who.sees(model) else None
        if found is None:
            raise NotFound(
                f"There is no version '{version[:100]}' of model '{model[:100]}', or your key may not see it."
            )
        return found

    def report(self, who: Identity, report_id: str) -> ReportRecord:
        """Return a report, or raise NotFound to who may not see it."""
        found = self.desk.one(report_id)
        if not who.sees(found.model):
            raise NotFound(f"there is no report '{report_id[:100]}', or it is over")
        return found

    def about(self, who: Identity, record: ReportRecord) -> Subject:
        """Return what a report is about."""
        incident = self.deps.read.incident(record.incident_id) if record.incident_id else None
        if incident is not None:
            return incident_subject(incident, may_bundle=self.deps.bundler is not None and who.may(Scope.OPERATE))
        where = reports_url(record.model, record.version)
        now_us = self.deps.clock.now_us()
        start, end = When.of(record.from_us, now_us), When.of(record.to_us, now_us)
        return Subject(
            title=f"{start.text} to {end.text}",
            address=page_url(record.model, record.version),
            model=record.model,
            version=record.version,
            ask=where,
            fields=(("from", _exact(record.from_us)), ("to", _exact(record.to_us))),
            reports=where,
        )

    def listed(
        self,
        viewer: Viewer,
        version: Version,
        query: Mapping[str, str],
        problem: LazarettoError | None = None,
        typed: Typed = NOTHING,
    ) -> Response:
        """Render the reports about a version, newest first, and the form for another one."""
        now_us = self.deps.clock.now_us()
        found = self.desk.of_version(version, READ)
        where = reports_url(version.model, version.version)
        part = pager(where, {}, number_of(query), len(found), SIZE)
        model = self.deps.read.model(version.model)
        return render(
            "reports.html",
            problem.status if problem else 200,
            viewer=viewer,
            version=version,
            address=where,
            here_address=address(where, {"page": number_of(query) if number_of(query) > 1 else None}),
            rows=[row_of(one, now_us) for one in rows_of(found, part)],
            part=part,
            waiting=any(one.status in WAITING for one in found),
            kept=None if model is None else model.policy.reports,
            may_ask=viewer.identity.may(Scope.OPERATE),
            lengths=_lengths(),
            now_text=words.moment(now_us),
            typed=typed,
            problem=sentence(problem) if problem else None,
        )

    def ask(self, viewer: Viewer, version: Version, form: Mapping[str, str]) -> ReportRecord:
        """Let a report be made as a form asks for. Raises as the desk does."""
        viewer.identity.require(Scope.OPERATE)
        return self.desk.ask_for(viewer.identity.actor, version, *span_of(form, self.deps.clock.now_us()))


def add_window_reports(router: APIRouter, deps: ConsoleDeps, access: Access) -> None:
    """Add the pages, where there are reports."""
    if deps.reports is None:
        return
    views = WindowViews(deps, deps.reports)

    @router.get("/models/{model}/versions/{version}/reports")
    def listed(request: Request, model: str, version: str) -> Response:
        viewer = access.viewer(request)
        return views.listed(viewer, views.version(viewer.identity, model, version), request.query_params)

    @router.post("/models/{model}/versions/{version}/reports")
    async def ask(request: Request, model: str, version: str) -> Response:
        form = await read_form(request)

        def act() -> Response:
            viewer = access.viewer(request)
            access.check_form(request, viewer.session.token, form)
            found = views.version(viewer.identity, model, version)
            try:
                asked = views.ask(viewer, found, form)
            except LazarettoError as error:
                return views.listed(viewer, found, {}, error, Typed(FORM, form))
            return empty(303, {"location": report_url(asked.id)})

        return await run_in_threadpool(act)

    @router.get("/reports/{report_id}")
    def page(request: Request, report_id: str) -> Response:
        viewer = access.viewer(request)
        record = views.report(viewer.identity, report_id)
        about = views.about(viewer.identity, record)
        return report_page(viewer, about, window_card(viewer, record, about, deps.clock.now_us()))

    def found(request: Request, report_id: str, part: Part) -> ReportRecord:  # noqa: ARG001 - the desk says what it lacks
        return views.report(access.viewer(request).identity, report_id)

    add_parts(router, "/reports/{identity}", access, views.desk, found)
