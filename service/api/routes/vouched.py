"""What is vouched for about a version: its artefact, and inputs whose answers are known."""

from functools import partial
from typing import Annotated

import msgspec
from fastapi import APIRouter, Response

from service.api.acting import IfUnchanged, marks_of
from service.api.bodies import Body, decode_body
from service.api.deps import Admin, ApiDep, Reader, SmallBody, answer, documented_answer, documented_body
from service.api.views import View
from service.domain.marks import mark_of
from service.domain.vouched import CANARIES_MAX, Canary, Vouched
from service.review.replaced import VOUCHED, replacing
from service.vouching import vouch

router = APIRouter(prefix="/v1/models/{model}/versions/{version}/vouched", tags=["models"])


class NewVouched(Body, frozen=True, kw_only=True):
    """Of ``PUT /v1/models/{model}/versions/{version}/vouched``."""

    artefact: str | None = None
    """SHA-256 of the model's file; `null`: any may answer."""
    canaries: Annotated[tuple[Canary, ...], msgspec.Meta(max_length=CANARIES_MAX)] = ()


class VouchedView(View, frozen=True, kw_only=True):
    """What is vouched for."""

    artefact: str | None
    canaries: list[Canary]
    from_position: int
    """It holds for every event after this position of the log."""


@router.put(
    "",
    openapi_extra=documented_body(NewVouched),
    responses=documented_answer(VouchedView, "What is vouched for from now on."),
)
def put_vouched(
    api: ApiDep, who: Admin, model: str, version: str, content: SmallBody, seen: IfUnchanged = None
) -> Response:
    """Replace which artefact answers, and what it answers to canaries; what is left out is not checked."""
    api.version(model, version)
    body = decode_body(content, NewVouched)
    wanted = Vouched(artefact=body.artefact, canaries=body.canaries)
    marks = marks_of(seen)
    do = partial(vouch, api.office, who.actor, model, version, wanted, marks)
    found = replacing(api.pages, VOUCHED, f"{model}/{version}", marks, do)
    api.changed()
    return _shown(found.vouched)


@router.get("", responses=documented_answer(VouchedView, "What is vouched for."))
def show_vouched(api: ApiDep, who: Reader, model: str, version: str) -> Response:  # noqa: ARG001 - asks for a key
    """Show which artefact answers, and what it answers to canaries."""
    return _shown(api.version(model, version).vouched)


def _shown(vouched: Vouched | None) -> Response:
    told = Vouched() if vouched is None else vouched
    view = VouchedView(artefact=told.artefact, canaries=list(told.canaries), from_position=told.from_position)
    shown = answer(view)
    shown.headers["etag"] = f'"{mark_of(vouched)}"'
    return shown
