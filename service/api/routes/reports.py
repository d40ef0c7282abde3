"""Reports about drift and evidence bundles: asked for, looked at, downloaded, erased."""

from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Query, Response

from service.api.bodies import decode_body
from service.api.deps import (
    Admin,
    Api,
    ApiDep,
    Limit,
    Operator,
    Reader,
    SmallBody,
    answer,
    documented_answer,
    documented_body,
)
from service.api.routes.incidents import find_incident
from service.api.times import time_at
from service.api.views import View
from service.api.views_reports import ReportErasedView, ReportView, of_report
from service.domain.errors import Unprocessable
from service.domain.ids import Actor
from service.domain.keys import Identity
from service.domain.reports import WAITING, Part, ReportRecord
from service.domain.texts import bad_text
from service.reports.bundle import key_id_of, public_key
from service.reports.samples import ndjson

router = APIRouter(prefix="/v1", tags=["reports"])

ACCEPTED = 202
OK = 200
FRAME_POLICY = (
    "sandbox allow-scripts; default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data:; "
    "font-src data:; base-uri 'none'; form-action 'none'"
)
"""Of a report's page, wherever it is opened: an origin of its own that may ask nobody."""
Reason = Annotated[str, Query(description="For the record.")]


class SpanBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Of ``POST .../reports``: the time that the report is about."""

    start: str = msgspec.field(name="from")
    end: str = msgspec.field(name="to")


class BundleKeyView(View, frozen=True, kw_only=True):
    """Of ``GET /v1/bundle-key``: what bundles are signed with."""

    key_id: str
    algorithm: str
    public_key: str
    """64 hexadecimal digits."""


def _asked(kind: Any = None) -> dict[str, Any]:
    extra = {} if kind is None else {"openapi_extra": documented_body(kind)}
    return {**extra, "responses": documented_answer(ReportView, "It waits for its turn.", ACCEPTED)}


@router.post("/incidents/{incident_id}/report", **_asked())
def ask_about(api: ApiDep, who: Operator, incident_id: str) -> Response:
    """Let a report be made of the events since the change behind an incident."""
    incident = find_incident(api, who, incident_id)
    return answer(of_report(api.reports.ask_about(who.actor, incident)), ACCEPTED)


@router.get("/incidents/{incident_id}/report", responses=documented_answer(ReportView, "How the newest one stands."))
def show_about(api: ApiDep, who: Reader, incident_id: str) -> Response:
    """Show how the newest report about an incident stands, and what it found."""
    return _told(api.reports.newest(find_incident(api, who, incident_id)))


@router.delete("/incidents/{incident_id}/report", responses=documented_answer(ReportErasedView, "How many there were."))
def erase_about(api: ApiDep, who: Admin, incident_id: str, reason: Reason = "") -> Response:
    """Erase the reports about an incident and the rows kept for it; none are drawn of it any more."""
    incident = find_incident(api, who, incident_id)
    _check(reason)
    return answer(ReportErasedView(erased=api.reports.erase_incident(incident, who.actor, reason)))


@router.get("/incidents/{incident_id}/report.html", responses={OK: {"content": {"text/html": {}}}})
def page_about(api: ApiDep, who: Reader, incident_id: str) -> Response:
    """Return the newest report about an incident that is done as a page that loads nothing."""
    return page_response(api, api.reports.having(find_incident(api, who, incident_id), Part.HTML))


@router.get("/incidents/{incident_id}/report.json", responses={OK: {"content": {"application/json": {}}}})
def json_about(api: ApiDep, who: Reader, incident_id: str) -> Response:
    """Return the newest report about an incident that is done as JSON."""
    return _json(api, api.reports.having(find_incident(api, who, incident_id), Part.JSON))


@router.get("/incidents/{incident_id}/samples.ndjson", responses={OK: {"content": {"application/x-ndjson": {}}}})
def rows_about(api: ApiDep, who: Operator, incident_id: str) -> Response:
    """Return the rows behind the newest report about an incident that has any, also of one that failed; on record."""
    return rows_response(api, who.actor, api.reports.having(find_incident(api, who, incident_id), Part.ROWS))


@router.get("/incidents/{incident_id}/bundle", responses={OK: {"content": {"application/zip": {}}}})
def bundle(api: ApiDep, who: Operator, incident_id: str) -> Response:
    """Return the signed evidence of an incident as a ZIP file; that it was made stands in the audit chain."""
    incident = find_incident(api, who, incident_id)
    headers = {"content-disposition": f'attachment; filename="incident-{incident.id}.zip"', "cache-control": "no-store"}
    return Response(api.bundler.bundle(incident, who.actor), media_type="application/zip", headers=headers)


@router.get("/bundle-key", responses=documented_answer(BundleKeyView, "What bundles are signed with."))
def bundle_key(api: ApiDep, who: Reader) -> Response:  # noqa: ARG001 - asks for a key
    """Return the public key that evidence bundles are verified with."""
    public = public_key(api.secrets.bundles)
    return answer(BundleKeyView(key_id=key_id_of(public), algorithm="Ed25519", public_key=public.hex()))


@router.post("/models/{model}/versions/{version}/reports", **_asked(SpanBody))
def ask_for(api: ApiDep, who: Operator, model: str, version: str, content: SmallBody) -> Response:
    """Let a report be made of the events of a time."""
    found = api.version(model, version)
    body = decode_body(content, SpanBody)
    asked = api.reports.ask_for(who.actor, found, time_at("from", body.start), time_at("to", body.end))
    return answer(of_report(asked), ACCEPTED)


@router.get(
    "/models/{model}/versions/{version}/reports",
    responses=documented_answer(dict[str, list[ReportView]], "Newest first."),
)
def list_of(
    api: ApiDep,
    who: Reader,  # noqa: ARG001 - asks for a key
    model: str,
    version: str,
    limit: Limit = 100,
) -> Response:
    """List the reports about a version, newest first."""
    found = api.reports.of_version(api.version(model, version), min(limit, api.settings.list_max))
    return answer({"reports": [of_report(one) for one in found]})


@router.get("/reports/{report_id}", responses=documented_answer(ReportView, "How it stands."))
def show(api: ApiDep, who: Reader, report_id: str) -> Response:
    """Show how a report stands, and what it found."""
    return _told(_reached(api, who, report_id))


@router.delete("/reports/{report_id}", responses=documented_answer(ReportErasedView, "How many there were."))
def erase(api: ApiDep, who: Admin, report_id: str, reason: Reason = "") -> Response:
    """Erase a report and the rows behind it."""
    record = _reached(api, who, report_id)
    _check(reason)
    return answer(ReportErasedView(erased=int(api.reports.erase(record, who.actor, reason))))


@router.get("/reports/{report_id}/report.html", responses={OK: {"content": {"text/html": {}}}})
def page(api: ApiDep, who: Reader, report_id: str) -> Response:
    """Return a report as a page that loads nothing."""
    return page_response(api, _reached(api, who, report_id))


@router.get("/reports/{report_id}/report.json", responses={OK: {"content": {"application/json": {}}}})
def as_json(api: ApiDep, who: Reader, report_id: str) -> Response:
    """Return a report as JSON."""
    return _json(api, _reached(api, who, report_id))


@router.get("/reports/{report_id}/samples.ndjson", responses={OK: {"content": {"application/x-ndjson": {}}}})
def rows(api: ApiDep, who: Operator, report_id: str) -> Response:
    """Return the rows behind a report, also of one that failed; on record."""
    return rows_response(api, who.actor, _reached(api, who, report_id))


def page_response(api: Api, record: ReportRecord) -> Response:
    """Return the page of a report, in a sandbox of its own."""
    headers = {
        "content-security-policy": FRAME_POLICY,
        "cache-control": "no-store",
        "x-content-type-options": "nosniff",
        "referrer-policy": "no-referrer",
        "content-disposition": f'attachment; filename="report-{record.id}.html"',
    }
    return Response(api.reports.part(record, Part.HTML), media_type="text/html", headers=headers)


def rows_response(api: Api, actor: Actor, record: ReportRecord) -> Response:
    """Return the rows behind a report, one a line with the side that it stands on."""
    lines = ndjson(*api.reports.rows(record, actor))
    headers = {
        "cache-control": "no-store",
        "content-disposition": f'attachment; filename="samples-{record.id}.ndjson"',
    }
    return Response(lines, media_type="application/x-ndjson", headers=headers)


def _json(api: Api, record: ReportRecord) -> Response:
    return Response(
        api.reports.part(record, Part.JSON), media_type="application/json", headers={"cache-control": "no-store"}
    )


def _told(record: ReportRecord) -> Response:
    shown = answer(of_report(record))
    if record.status in WAITING:
        shown.headers["retry-after"] = "2"
    return shown


def _reached(api: Api, who: Identity, report_id: str) -> ReportRecord:
    record = api.reports.one(report_id)
    who.require_model(record.model)
    return record


def _check(reason: str) -> None:
    places = bad_text("reason", reason)
    if places:
        raise Unprocessable("the report cannot be erased", places=places)
