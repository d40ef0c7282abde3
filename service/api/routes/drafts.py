"""A new normal, drafted from the traffic itself, for others to sign."""

from functools import partial

import msgspec
from fastapi import APIRouter, Response

from service.api.bodies import Check, DraftBaseline, decode_body
from service.api.deps import ApiDep, Operator, SmallBody, answer, documented_answer, documented_body
from service.api.drafting import DraftAsked, draft_baseline
from service.api.explained import BaselineView, of_baseline
from service.api.times import time_at
from service.domain.texts import bad_text

router = APIRouter(prefix="/v1/models/{model}/versions/{version}/baselines", tags=["reviews"])
PROPOSED = 202
REASON: dict[str, Check] = {"reason": partial(bad_text, least=1)}


@router.post(
    "/draft",
    status_code=PROPOSED,
    openapi_extra=documented_body(DraftBaseline),
    responses=documented_answer(BaselineView, "Proposed: other people must accept it.", PROPOSED),
)
async def draft(api: ApiDep, who: Operator, model: str, version: str, content: SmallBody) -> Response:
    """Draft a baseline from a stretch of traffic that the log still has, and propose it; never in force by itself."""
    body = decode_body(content, DraftBaseline, REASON)
    asked = DraftAsked(
        start_us=None if body.start is None else time_at("start", body.start),
        end_us=None if body.end is None else time_at("end", body.end),
        reason=body.reason,
    )
    offered, compiled = await draft_baseline(api, who.actor, model, version, asked)
    view = of_baseline(offered.record, compiled.calibration)
    return answer(msgspec.structs.replace(view, status="proposed", need=offered.need), PROPOSED)
