"""Drills: a quarantine on purpose, on record as one."""

from collections.abc import Iterable
from typing import Annotated, Literal

import msgspec
from fastapi import APIRouter, Response

from service.api.bodies import decode_body
from service.api.deps import ApiDep, Limit, Operator, Reader, SmallBody, answer, documented_answer, documented_body
from service.api.views import View, iso
from service.domain.records import AuditEntry

router = APIRouter(prefix="/v1/models/{model}/versions/{version}/drills", tags=["drills"])

Seconds = Annotated[float, msgspec.Meta(ge=0, le=1e6)]
Step = Annotated[str, msgspec.Meta(min_length=1, max_length=100)]
REFUSED = "refused at the gateway"
"""The step that a drill is about."""


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


class DrillView(View, frozen=True, kw_only=True):
    """One drill, as it is on record."""

    drill_id: str
    by: str
    begun_at: str | None = None
    ended_at: str | None = None
    """``null`` of one that goes on, or was killed: ``lazaretto drill --bring-back`` ends it."""
    through: str = ""
    seconds_to_refusal: float | None = None
    """From the first bad event; ``null`` when the gateway did not refuse."""
    steps: dict[str, float] = msgspec.field(default_factory=dict)
    outcome: str = ""


@router.get("", responses=documented_answer(dict[str, list[DrillView]], "Drills on record, newest first."))
def list_drills(api: ApiDep, who: Reader, model: str, version: str, limit: Limit = 100) -> Response:  # noqa: ARG001 - asks for a key
    """List the drills of a version: when, by whom, how long the gateway took to refuse."""
    found = api.version(model, version)
    at_most = min(limit, api.settings.list_max)
    links = api.enforcements.drills(f"{found.model}/{found.version}", 2 * at_most)
    return answer({"drills": _drills(links)[:at_most]})


def _drills(links: Iterable[AuditEntry]) -> list[DrillView]:
    """Return one view for each drill; of links that are newest first, its end comes before its beginning."""
    known: dict[str, DrillView] = {}
    for link in links:
        try:
            note = msgspec.json.decode(link.detail, type=DrillNote)
        except msgspec.MsgspecError:  # another release has written it
            continue
        before = known.get(note.drill_id, DrillView(drill_id=note.drill_id, by=link.actor, through=note.through))
        if note.phase == "begin":
            known[note.drill_id] = msgspec.structs.replace(before, begun_at=iso(link.at_us), by=link.actor)
            continue
        known[note.drill_id] = msgspec.structs.replace(
            before,
            ended_at=before.ended_at or iso(link.at_us),
            seconds_to_refusal=note.steps.get(REFUSED),
            steps=note.steps,
            outcome=note.outcome,
        )
    return list(known.values())
