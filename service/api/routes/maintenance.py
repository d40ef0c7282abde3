"""Maintenance: times in which drift of a model pages nobody."""

from fastapi import APIRouter, Response

from service.api.bodies import PlanMaintenance, decode_body
from service.api.deps import ApiDep, Limit, Operator, Reader, SmallBody, answer, documented_answer, documented_body
from service.api.times import time_at
from service.api.views_incidents import MaintenanceView, of_maintenance
from service.domain.incidents import Maintenance

router = APIRouter(prefix="/v1/models/{model}/maintenance", tags=["incidents"])
CREATED, GONE = 201, 204


@router.get("", responses=documented_answer(dict[str, list[MaintenanceView]], "Windows that are not over."))
def list_maintenance(api: ApiDep, who: Reader, model: str, limit: Limit = 100) -> Response:  # noqa: ARG001 - the scope
    """List windows of maintenance that are not over, by their start."""
    api.model(model)
    found = api.incidents.maintenance(model, api.clock.now_us(), min(limit, api.settings.list_max))
    return answer({"maintenance": [of_maintenance(one) for one in found]})


@router.post(
    "",
    status_code=CREATED,
    openapi_extra=documented_body(PlanMaintenance),
    responses=documented_answer(MaintenanceView, "The window.", CREATED),
)
def plan_maintenance(api: ApiDep, who: Operator, model: str, content: SmallBody) -> Response:
    """Plan a window of at most seven days. Evidence goes on in it; drift pages nobody until it is over."""
    body = decode_body(content, PlanMaintenance)
    api.model(model)
    now_us = api.clock.now_us()
    window = Maintenance(
        id="",
        model=model,
        start_us=now_us if body.start is None else time_at("start", body.start),
        end_us=time_at("end", body.end),
        quarantine=body.quarantine,
        reason=body.reason,
        created_us=now_us,
        created_by=who.actor,
    )
    return answer(of_maintenance(api.triage.plan(who.actor, window)), CREATED)


@router.delete("/{window_id}", status_code=GONE)
def cancel_maintenance(api: ApiDep, who: Operator, model: str, window_id: str) -> Response:
    """End a window before its time; what was hushed in it and is still there is told."""
    api.triage.cancel(who.actor, model, window_id)
    return Response(status_code=GONE)
