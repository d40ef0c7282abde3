"""Drills: a quarantine on purpose, on record as one."""

from typing import Annotated, Literal

import msgspec
from fastapi import APIRouter, Response

from service.api.bodies import decode_body
from service.api.deps import ApiDep, Operator, SmallBody, answer, documented_answer, documented_body

router = APIRouter(prefix="/v1/models/{model}/versions/{version}/drills", tags=["drills"])

Seconds = Annotated[float, msgspec.Meta(ge=0, le=1e6)]
Step = Annotated[str, msgspec.Meta(min_length=1, max_length=100)]


class DrillNote(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a drill wants on record."""

    phase: Literal["begin", "end"]
    drill_id: Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
    through: Annotated[str, msgspec.Meta(max_length=2_000)] = ""
    steps: Annotated[dict[Step, Seconds], msgspec.Meta(max_length=32)] = {}
    """Seconds since the first bad event, by what happened then."""
    outcome: Annotated[str, msgspec.Meta(max_length=2_000)] = ""


@router.post(
    "",
    openapi_extra=documented_body(DrillNote),
    responses=documented_answer(dict[str, str], "It is in the audit chain."),
)
def note_drill(api: ApiDep, who: Operator, model: str, version: str, content: SmallBody) -> Response:
    """Put the beginning or the end of a drill on record."""
    found = api.version(model, version)
    note = decode_body(content, DrillNote)
    detail = msgspec.json.encode(note, order="sorted").decode()
    subject = f"{found.model}/{found.version}"
    api.enforcements.audit(who.actor, f"drill.{note.phase}", subject, detail, api.clock.now_us())
    return answer({"drill_id": note.drill_id, "phase": note.phase})
