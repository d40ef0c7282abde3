"""Models, versions and policies."""

from functools import partial

import msgspec
from fastapi import APIRouter, Response
from starlette.background import BackgroundTask

from service.api.acting import IfUnchanged, marks_of
from service.api.bodies import Check, NewModel, NewVersion, Transition, decode_body
from service.api.calibrations import explain_anew
from service.api.deps import (
    Admin,
    ApiDep,
    Limit,
    Operator,
    Reader,
    SmallBody,
    answer,
    documented_answer,
    documented_body,
)
from service.api.views import (
    ApprovalsView,
    ModelView,
    TransitionAnswerView,
    TransitionView,
    VersionView,
    of_model,
    of_transition,
    of_version,
)
from service.detect.choices import bad_choices
from service.domain.ids import Actor
from service.domain.marks import mark_of
from service.domain.policy import Policy
from service.domain.texts import NAME_LENGTH_MAX, bad_name, bad_text
from service.ingest.schema import bad_schema, parse_schema
from service.office import register_model, register_version, request_transition, set_policy
from service.review.changed import explained
from service.review.replaced import POLICY_SET, replacing

router = APIRouter(prefix="/v1/models", tags=["models"])
CREATED = 201
MODEL_CHECKS: dict[str, Check] = {
    "name": bad_name,
    "owner": partial(bad_text, least=1),
    "description": bad_text,
    "policy": lambda at, value: bad_choices(msgspec.convert(value, Policy), f"{at}."),
}
VERSION_CHECKS: dict[str, Check] = {"version": bad_name, "deployed_by": partial(bad_text, most=NAME_LENGTH_MAX)}
TRANSITION_CHECKS: dict[str, Check] = {"reason": partial(bad_text, least=1)}
"""The office checks this too, for those who do not come this way; here, so that it is told together with the rest."""


@router.post(
    "",
    status_code=CREATED,
    openapi_extra=documented_body(NewModel),
    responses=documented_answer(ModelView, "The new model.", CREATED),
)
def create_model(api: ApiDep, who: Admin, content: SmallBody) -> Response:
    """Register a model."""
    body = decode_body(content, NewModel, MODEL_CHECKS)
    who.require_model(body.name)
    model = register_model(api.office, who.actor, body.name, body.owner, body.description, body.policy)
    api.changed()
    return answer(of_model(model, []), CREATED)


@router.get("", responses=documented_answer(dict[str, list[ModelView]], "The models that the key reaches, by name."))
def list_models(api: ApiDep, who: Reader, limit: Limit = 100) -> Response:
    """List models."""
    models = [model for model in api.read.models() if who.sees(model.name)]
    shown = models[: min(limit, api.settings.list_max)]
    versions = api.read.versions()
    views = [of_model(model, [v for v in versions if v.model == model.name]) for model in shown]
    return answer({"models": views})


@router.get("/{model}", responses=documented_answer(ModelView, "The model."))
def show_model(api: ApiDep, who: Reader, model: str) -> Response:  # noqa: ARG001 - asks for a key
    """Show one model with its versions."""
    found = api.model(model)
    return answer(of_model(found, list(api.read.versions(model))))


@router.put(
    "/{model}/policy",
    openapi_extra=documented_body(Policy),
    responses=documented_answer(ModelView, "The model with its new policy."),
)
def put_policy(api: ApiDep, who: Admin, model: str, content: SmallBody, seen: IfUnchanged = None) -> Response:
    """Replace what an operator decided about a model; what is left out gets its default."""
    api.model(model)
    policy, marks = decode_body(content, Policy), marks_of(seen)
    do = partial(set_policy, api.office, who.actor, model, policy, marks)
    found = replacing(api.pages, POLICY_SET, model, marks, do)
    api.changed()
    answered = answer(of_model(found, list(api.read.versions(model))))
    answered.headers["etag"] = f'"{mark_of(found.policy)}"'
    answered.background = BackgroundTask(explain_anew, api, model)
    return answered


@router.get("/{model}/policy", responses=documented_answer(Policy, "The policy."))
def show_policy(api: ApiDep, who: Reader, model: str) -> Response:  # noqa: ARG001 - asks for a key
    """Show what an operator decided about a model."""
    policy = api.model(model).policy
    shown = answer(policy)
    shown.headers["etag"] = f'"{mark_of(policy)}"'
    return shown


@router.post(
    "/{model}/versions",
    status_code=CREATED,
    openapi_extra=documented_body(NewVersion),
    responses=documented_answer(VersionView, "The version.", CREATED),
)
def create_version(api: ApiDep, who: Admin, model: str, content: SmallBody) -> Response:
    """Register a version; the same one again is answered alike, another schema is a conflict."""
    api.model(model)
    limits = api.accept.limits
    body = decode_body(content, NewVersion, {**VERSION_CHECKS, "schema": lambda _, value: bad_schema(value, limits)})
    schema = parse_schema(body.schema, limits)
    deployed_by = None if body.deployed_by is None else Actor(body.deployed_by)
    version = register_version(api.office, who.actor, model, body.version, schema, deployed_by)
    api.changed()
    return answer(of_version(version), CREATED)


@router.get("/{model}/versions", responses=documented_answer(dict[str, list[VersionView]], "Versions, newest first."))
def list_versions(api: ApiDep, who: Reader, model: str, limit: Limit = 100) -> Response:  # noqa: ARG001 - asks for a key
    """List the versions of a model."""
    api.model(model)
    newest = list(reversed(api.read.versions(model)))[: min(limit, api.settings.list_max)]
    return answer({"versions": [of_version(version) for version in newest]})


@router.get("/{model}/versions/{version}", responses=documented_answer(VersionView, "The version."))
def show_version(api: ApiDep, who: Reader, model: str, version: str) -> Response:  # noqa: ARG001 - asks for a key
    """Show one version with its schema and state."""
    return answer(of_version(api.version(model, version)))


@router.post(
    "/{model}/versions/{version}/transitions",
    openapi_extra=documented_body(Transition),
    responses=documented_answer(TransitionAnswerView, "Where the version stands now."),
)
def transition(api: ApiDep, who: Operator, model: str, version: str, content: SmallBody) -> Response:
    """Ask for a state change; a release waits until enough different people have asked."""
    api.version(model, version)
    body = decode_body(content, Transition, TRANSITION_CHECKS)
    do = partial(
        request_transition,
        api.office,
        who.actor,
        model,
        version,
        body.event,
        body.reason,
        body.incident_id,
        seen=body.change,
    )
    outcome = explained(api.read, model, version, body.change, do)
    api.changed()
    given = outcome.approvals
    approvals = ApprovalsView() if given is None else ApprovalsView(have=given.have, need=given.need, by=list(given.by))
    return answer(TransitionAnswerView(state=outcome.state, version=outcome.version, approvals=approvals))


@router.get(
    "/{model}/versions/{version}/transitions",
    responses=documented_answer(dict[str, list[TransitionView]], "State changes, newest first."),
)
def list_transitions(api: ApiDep, who: Reader, model: str, version: str, limit: Limit = 100) -> Response:  # noqa: ARG001 - asks for a key
    """List the state changes of a version."""
    found = api.version(model, version)
    records = api.read.transitions(found.id, min(limit, api.settings.list_max))
    return answer({"transitions": [of_transition(record) for record in records]})
