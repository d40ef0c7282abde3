"""What people decide together: named reviewers, broken glass, proposed baselines."""

from functools import partial

import msgspec
from fastapi import APIRouter, Response

from service.api.bodies import Because, BreakGlass, Check, NameReviewers, decode_body
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
from service.api.views_review import (
    GlassView,
    ProposalView,
    ReviewView,
    of_glass,
    of_proposal,
    of_record,
    of_review,
)
from service.domain.errors import NotFound
from service.domain.texts import bad_text
from service.review.baselines import settle_baseline
from service.review.changed import explained
from service.review.deadline import ReviewRequest, name_reviewers
from service.review.glass import GlassRequest, break_glass, end_glass

router = APIRouter(prefix="/v1/models/{model}/versions/{version}", tags=["reviews"])
CREATED = 201
REASON: dict[str, Check] = {"reason": partial(bad_text, least=1)}


@router.post(
    "/break-glass",
    status_code=CREATED,
    openapi_extra=documented_body(BreakGlass),
    responses=documented_answer(GlassView, "Until when the version serves.", CREATED),
)
def broken(api: ApiDep, who: Operator, model: str, version: str, content: SmallBody) -> Response:
    """Let a held version serve for some minutes, alone and loudly; it ends by itself."""
    api.version(model, version)
    body = decode_body(content, BreakGlass, REASON)
    request = GlassRequest(minutes=body.minutes, reason=body.reason, seen=body.change)
    do = partial(break_glass, api.review, who.actor, model, version, request)
    glass = explained(api.read, model, version, body.change, do)
    api.changed()
    return answer(of_glass(glass, api.clock.now_us()), CREATED)


@router.post(
    "/break-glass/end",
    openapi_extra=documented_body(Because),
    responses=documented_answer(GlassView, "The glass, ended."),
)
def whole_again(api: ApiDep, who: Operator, model: str, version: str, content: SmallBody) -> Response:
    """Close the gate again before the time."""
    api.version(model, version)
    body = decode_body(content, Because, REASON)
    do = partial(end_glass, api.review, who.actor, model, version, body.reason)
    glass = explained(api.read, model, version, None, do)
    api.changed()
    return answer(of_glass(glass, api.clock.now_us()))


@router.get(
    "/break-glass", responses=documented_answer(dict[str, list[GlassView]], "Each breaking of the glass, newest first.")
)
def list_broken(api: ApiDep, who: Reader, model: str, version: str, limit: Limit = 100) -> Response:  # noqa: ARG001 - asks for a key
    """List how often somebody let the version serve while it was held."""
    found, now_us = api.version(model, version), api.clock.now_us()
    known = api.review.store.glasses(found.id, min(limit, api.settings.list_max))
    return answer({"break_glass": [of_glass(one, now_us) for one in known]})


@router.put(
    "/review",
    openapi_extra=documented_body(NameReviewers),
    responses=documented_answer(ReviewView, "The review."),
)
def name(api: ApiDep, who: Operator, model: str, version: str, content: SmallBody) -> Response:
    """Give the review to people by the names of their keys, with a deadline."""
    api.version(model, version)
    body = decode_body(content, NameReviewers, REASON)
    request = ReviewRequest(reviewers=body.reviewers, hours=body.hours, reason=body.reason, seen=body.change)
    do = partial(name_reviewers, api.review, who.actor, model, version, request)
    row = explained(api.read, model, version, body.change, do)
    api.changed()
    view = of_review(api.version(model, version), api.model(model).policy, row, api.clock.now_us())
    return answer(view)


@router.get("/review", responses=documented_answer(ReviewView, "The review."))
def show(api: ApiDep, who: Reader, model: str, version: str) -> Response:  # noqa: ARG001 - asks for a key
    """Show whose review it is, and until when."""
    found, policy = api.version(model, version), api.model(model).policy
    view = of_review(found, policy, api.review.store.reviews().get(found.id), api.clock.now_us())
    if view is None:
        raise NotFound(f"version '{version}' of model '{model}' is not under review: it is '{found.state}'")
    return answer(view)


@router.get(
    "/baselines", responses=documented_answer(dict[str, list[ProposalView]], "Those that wait first, then the newest.")
)
def list_baselines(api: ApiDep, who: Reader, model: str, version: str, limit: Limit = 100) -> Response:  # noqa: ARG001 - asks for a key
    """List the baseline in force, those that wait for people, and what became of the latest ones that did."""
    found, policy = api.version(model, version), api.model(model).policy
    known = api.review.store.proposals(found.id, min(limit, api.settings.list_max))
    views = [of_proposal(one, policy, found.baseline_id) for one in known]
    if found.baseline_id is not None and all(view.baseline_id != found.baseline_id for view in views):
        record = api.read.baseline(found.id)
        views += [] if record is None else [of_record(record, policy)]
    return answer({"baselines": views})


@router.post(
    "/baselines/{baseline_id}/accept",
    openapi_extra=documented_body(Because),
    responses=documented_answer(ProposalView, "In force, or still proposed when more people must sign it."),
)
def accept(api: ApiDep, who: Operator, model: str, version: str, baseline_id: str, content: SmallBody) -> Response:
    """Sign a proposed baseline; never one's own."""
    return _settle(api, who, model, version, baseline_id, content, accept=True)


@router.post(
    "/baselines/{baseline_id}/refuse",
    openapi_extra=documented_body(Because),
    responses=documented_answer(ProposalView, "Refused; the baseline in force stays."),
)
def refuse(api: ApiDep, who: Operator, model: str, version: str, baseline_id: str, content: SmallBody) -> Response:
    """Refuse a proposed baseline; who put it may take it back like this."""
    return _settle(api, who, model, version, baseline_id, content, accept=False)


def _settle(  # noqa: PLR0913 - the path, word for word
    api: ApiDep, who: Operator, model: str, version: str, baseline_id: str, content: bytes, *, accept: bool
) -> Response:
    api.version(model, version)
    body = decode_body(content, Because, REASON)
    settled = settle_baseline(api.review, who.actor, model, version, baseline_id, body.reason, accept=accept)
    api.changed()
    view = of_proposal(settled.proposal, api.model(model).policy, api.version(model, version).baseline_id)
    return answer(msgspec.structs.replace(view, need=settled.need))
