"""Incidents: snooze and wake, merge, and the evidence that was frozen with them."""

from typing import Any

from fastapi import APIRouter, Response

from service.api.acting import IfMatch, expected_of
from service.api.bodies import Acknowledge, Merge, SnoozeBody, decode_body
from service.api.deps import ApiDep, Operator, Reader, SmallBody, answer, documented_answer, documented_body
from service.api.routes.incidents import find_incident
from service.api.times import time_at
from service.api.views import IncidentView, SnoozeView, of_incident
from service.api.views_incidents import of_snooze
from service.domain.errors import NotFound
from service.domain.incidents import Frozen

router = APIRouter(prefix="/v1/incidents/{incident_id}", tags=["incidents"])


def _documented(kind: Any, found: Any, description: str) -> dict[str, Any]:
    return {"openapi_extra": documented_body(kind), "responses": documented_answer(found, description)}


@router.post("/snooze", **_documented(SnoozeBody, SnoozeView, "Until when people hear no more of it."))
def snooze(api: ApiDep, who: Operator, incident_id: str, content: SmallBody, seen: IfMatch = None) -> Response:
    """Hear no more of an incident until a time, or until it is worse. Quarantine and its notifications go on."""
    body = decode_body(content, SnoozeBody)
    incident = find_incident(api, who, incident_id)
    until_us = None if body.until is None else time_at("until", body.until)
    expected = expected_of(seen)
    done = api.triage.snooze(who.actor, incident_id, until_us, body.until_worse, body.note, expected)
    api.changed()
    return answer(of_snooze(done, incident, api.clock.now_us()))


@router.post("/wake", **_documented(Acknowledge, IncidentView, "The incident afterwards."))
def wake(api: ApiDep, who: Operator, incident_id: str, content: SmallBody, seen: IfMatch = None) -> Response:
    """End a snooze before its time."""
    body = decode_body(content or b"{}", Acknowledge)
    find_incident(api, who, incident_id)
    api.triage.wake(who.actor, incident_id, body.note, expected_of(seen))
    api.changed()
    return answer(of_incident(find_incident(api, who, incident_id)))


@router.post("/merge", **_documented(Merge, IncidentView, "The incident that is part of the other one now."))
def merge(api: ApiDep, who: Operator, incident_id: str, content: SmallBody, seen: IfMatch = None) -> Response:
    """Let an incident become part of another one of the same model, with its alerts and what people were told."""
    body = decode_body(content, Merge)
    find_incident(api, who, incident_id)
    find_incident(api, who, body.into)
    done = api.triage.merge(who.actor, incident_id, body.into, body.note, expected_of(seen))
    api.changed()
    return answer(of_incident(done))


@router.get("/evidence", responses=documented_answer(Frozen, "As it was when the incident was opened."))
def show_evidence(api: ApiDep, who: Reader, incident_id: str) -> Response:
    """Show the evidence frozen with an incident, byte for byte what the digest in the audit chain is of."""
    find_incident(api, who, incident_id)
    found = api.incidents.evidence(incident_id)
    if found is None:
        raise NotFound(f"incident '{incident_id}' has no frozen evidence: an earlier release has opened it")
    digest, body = found
    headers = {"etag": f'"{digest}"', "x-content-sha256": digest}
    return Response(body, media_type="application/json", headers=headers)
