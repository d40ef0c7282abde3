"""Contained principals: who they are, and how to let one go."""

from functools import partial
from typing import Literal

from fastapi import APIRouter, Response

from service.adversarial import lift_containment
from service.api.bodies import Check, Lift, decode_body
from service.api.deps import (
    ApiDep,
    Limit,
    Operator,
    Reader,
    SmallBody,
    answer,
    documented_answer,
    documented_body,
)
from service.api.views import ContainmentView, of_containment
from service.domain.texts import bad_text

router = APIRouter(prefix="/v1/models/{model}/versions/{version}/principals", tags=["principals"])
LIFT_CHECKS: dict[str, Check] = {"reason": partial(bad_text, least=1)}


@router.get("", responses=documented_answer(dict[str, list[ContainmentView]], "Contained principals, newest first."))
def list_contained(
    api: ApiDep,
    who: Reader,  # noqa: ARG001 - asks for a key
    model: str,
    version: str,
    state: Literal["contained", "all"] = "contained",
    limit: Limit = 100,
) -> Response:
    """List the principals of a version that are contained now; with `state=all` also those that were."""
    found, now_us = api.version(model, version), api.clock.now_us()
    at_most = min(limit, api.settings.list_max)
    holding_us = now_us if state == "contained" else None
    held = api.read.containments(version_id=found.id, holding_us=holding_us, limit=at_most)
    return answer({"principals": [of_containment(one, now_us) for one in held]})


@router.post(
    "/{principal}/lift",
    openapi_extra=documented_body(Lift),
    responses=documented_answer(ContainmentView, "The containment, lifted."),
)
def lift(api: ApiDep, who: Operator, model: str, version: str, principal: str, content: SmallBody) -> Response:
    """Let a contained principal go, with a reason that goes on record."""
    api.version(model, version)
    body = decode_body(content, Lift, LIFT_CHECKS)
    lifted = lift_containment(api.control, api.clock, who.actor, model, version, principal, body.reason)
    api.changed()
    return answer(of_containment(lifted, api.clock.now_us()))
