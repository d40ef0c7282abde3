"""Alerts and incidents."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, Any, Literal

import msgspec
from fastapi import APIRouter, Query, Response

from service.alert.triage import Act, IncidentAction
from service.api.acting import IfMatch, expected_of
from service.api.bodies import Acknowledge, Assign, Comment, Resolve, decode_body
from service.api.deps import (
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
from service.api.views import AlertView, IncidentView, of_alert, of_incident, of_kill_chain, of_timeline
from service.api.views_incidents import of_link, of_snooze, with_changes
from service.domain.errors import BadRequest
from service.domain.ids import VersionId
from service.domain.keys import Identity
from service.domain.records import Alert, Incident, Version
from service.gate.fleet import unknown

router = APIRouter(prefix="/v1", tags=["incidents"])

ModelFilter = Annotated[str | None, Query(description="Only of this model.")]
VersionFilter = Annotated[str | None, Query(description="Only of this version; needs `model`.")]


@router.get("/alerts", responses=documented_answer(dict[str, list[AlertView]], "Alerts, newest first."))
def list_alerts(
    api: ApiDep,
    who: Reader,
    model: ModelFilter = None,
    version: VersionFilter = None,
    status: Literal["open", "closed"] | None = None,
    limit: Limit = 100,
) -> Response:
    """List alerts."""
    at_most = min(limit, api.settings.list_max)
    alerts: list[Alert] = []
    for version_id in _wanted(api, who, model, version):
        alerts += api.read.alerts(version_id=version_id, status=status, limit=at_most)
    alerts.sort(key=lambda alert: -alert.opened_us)
    names = _names(api)
    return answer({"alerts": [of_alert(alert, names.get(alert.version_id)) for alert in alerts[:at_most]]})


@router.get("/incidents", responses=documented_answer(dict[str, list[IncidentView]], "Incidents, newest first."))
def list_incidents(
    api: ApiDep,
    who: Reader,
    model: ModelFilter = None,
    version: VersionFilter = None,
    status: Literal["open", "acknowledged", "resolved"] | None = None,
    limit: Limit = 100,
) -> Response:
    """List incidents."""
    at_most = min(limit, api.settings.list_max)
    incidents: list[Incident] = []
    for version_id in _wanted(api, who, model, version):
        incidents += api.read.incidents(version_id=version_id, status=status, limit=at_most)
    incidents.sort(key=lambda incident: -incident.opened_us)
    return answer({"incidents": [of_incident(incident) for incident in incidents[:at_most]]})


@router.get("/incidents/{incident_id}", responses=documented_answer(IncidentView, "With its timeline and alerts."))
def show_incident(api: ApiDep, who: Reader, incident_id: str) -> Response:
    """Show one incident with everything that was said and done about it."""
    incident = find_incident(api, who, incident_id)
    names = _names(api)
    alerts = api.read.alerts_of(incident.id, api.settings.list_max)
    frozen = api.incidents.evidence(incident.id)
    changes = api.read.transitions(incident.version_id, api.settings.list_max)
    view = msgspec.structs.replace(
        of_incident(incident),
        timeline=of_timeline(with_changes(api.read.timeline(incident.id), changes, incident.id)),
        alerts=[of_alert(alert, names.get(alert.version_id)) for alert in alerts],
        kill_chain=of_kill_chain(alerts),
        snooze=of_snooze(api.incidents.snooze(incident.id), incident, api.clock.now_us()),
        links=[of_link(link) for link in api.incidents.links(incident.id)],
        evidence_digest=None if frozen is None else frozen[0],
    )
    shown = answer(view)
    shown.headers["etag"] = f'"{incident.lock}"'
    return shown


def _documented(kind: Any) -> dict[str, Any]:
    return {
        "openapi_extra": documented_body(kind),
        "responses": documented_answer(IncidentView, "The incident afterwards."),
    }


@router.post("/incidents/{incident_id}/ack", **_documented(Acknowledge))
def acknowledge(api: ApiDep, who: Operator, incident_id: str, content: SmallBody, seen: IfMatch = None) -> Response:
    """Say that somebody is looking."""
    body = decode_body(content or b"{}", Acknowledge)
    return _act(api, who, incident_id, Act(action=IncidentAction.ACK, note=body.note), seen)


@router.post("/incidents/{incident_id}/assign", **_documented(Assign))
def assign(api: ApiDep, who: Operator, incident_id: str, content: SmallBody, seen: IfMatch = None) -> Response:
    """Give an incident to somebody."""
    body = decode_body(content, Assign)
    return _act(api, who, incident_id, Act(action=IncidentAction.ASSIGN, assignee=body.assignee, note=body.note), seen)


@router.post("/incidents/{incident_id}/comment", **_documented(Comment))
def comment(api: ApiDep, who: Operator, incident_id: str, content: SmallBody, seen: IfMatch = None) -> Response:
    """Add a note to the timeline."""
    body = decode_body(content, Comment)
    return _act(api, who, incident_id, Act(action=IncidentAction.COMMENT, note=body.note), seen)


@router.post("/incidents/{incident_id}/resolve", **_documented(Resolve))
def resolve(api: ApiDep, who: Operator, incident_id: str, content: SmallBody, seen: IfMatch = None) -> Response:
    """Close an incident with a verdict."""
    body = decode_body(content, Resolve)
    return _act(api, who, incident_id, Act(action=IncidentAction.RESOLVE, verdict=body.verdict, note=body.note), seen)


def _act(api: Api, who: Identity, incident_id: str, act: Act, seen: str | None) -> Response:
    find_incident(api, who, incident_id)
    act = replace(act, expected=expected_of(seen))
    incident = api.triage.act(api.office, who.actor, incident_id, act)
    api.changed()
    return answer(of_incident(incident))


def find_incident(api: Api, who: Identity, incident_id: str) -> Incident:
    """Return an incident that the key reaches."""
    found = api.read.incident(incident_id)
    if found is None:
        known = [incident.id for incident in api.read.incidents(version_id=None, status=None, limit=100)]
        raise unknown(f"incident '{incident_id[:100]}'", incident_id, known if who.models is None else [])
    who.require_model(found.model)
    return found


def _wanted(api: Api, who: Identity, model: str | None, version: str | None) -> Sequence[VersionId | None]:
    """Return the versions to list for; one ``None`` means all of them."""
    if model is None:
        if version is not None:
            raise BadRequest("the parameter 'version' needs the parameter 'model'")
        if who.models is None:
            return (None,)
        return [v.id for v in api.read.versions() if who.sees(v.model)]
    who.require_model(model)
    if version is not None:
        return [api.version(model, version).id]
    api.model(model)
    return [v.id for v in api.read.versions(model)]


def _names(api: Api) -> dict[VersionId, Version]:
    return {version.id: version for version in api.read.versions()}
