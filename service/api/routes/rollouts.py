"""Go or stop, for the controllers that shift traffic to a new version: Flagger and Argo Rollouts."""

import math
from typing import Any

import msgspec
from fastapi import APIRouter, Response

from service.api.bodies import decode_body, decode_json
from service.api.deps import Api, ApiDep, Reader, SmallBody, answer, documented_answer, documented_body
from service.api.views import View
from service.api.watch import log10, watch_of
from service.domain.errors import Conflict, NotFound
from service.domain.keys import Identity
from service.domain.records import Version
from service.domain.states import SERVING, State

router = APIRouter(prefix="/v1/rollouts", tags=["rollouts"])


NAMES = ("model", "version")


class Names(msgspec.Struct, frozen=True, kw_only=True):
    """What a canary's ``metadata`` must say."""

    model: str
    version: str


class FlaggerHook(msgspec.Struct, frozen=True, kw_only=True):
    """What Flagger posts; the rest of it does not matter here."""

    metadata: Names


class HookAnswer(View, frozen=True, kw_only=True):
    """Why."""

    model: str
    version: str
    state: str
    reason: str


class Measured(View, frozen=True, kw_only=True):
    """Of one version, for a condition: nothing nested, no null."""

    ok: bool
    """Whether the rollout may go on: the version is active."""
    state: str
    serving: bool
    evidence_log10: float
    """-300 before the first evaluation."""
    threshold_log10: float


class Measurement(View, frozen=True, kw_only=True):
    """Of ``GET /v1/rollouts/argo/{model}/{version}``."""

    data: Measured


def _documented(description: str) -> dict[str, Any]:
    return {
        "openapi_extra": documented_body(FlaggerHook),
        "responses": {**documented_answer(HookAnswer, description), 409: {"description": "No; the detail says why."}},
    }


@router.post("/flagger/confirm", **_documented("Go on."))
def confirm(api: ApiDep, who: Reader, content: SmallBody) -> Response:
    """Let a rollout go on while the version is active: 200, else 409. For every hook but ``rollback``."""
    version = _of_hook(api, who, content)
    if version.state is not State.ACTIVE:
        raise Conflict(f"do not go on: {version.model}/{version.version} is {version.state}: {version.reason}")
    return answer(_hook(version))


@router.post("/flagger/rollback", **_documented("Roll back."))
def rollback(api: ApiDep, who: Reader, content: SmallBody) -> Response:
    """Ask for the way back once the gate is closed: 200 means roll back, 409 that there is no reason to."""
    version = _of_hook(api, who, content)
    if version.state in SERVING or api.fleet.view.lets_through(version):
        raise Conflict(f"no reason to roll back: {version.model}/{version.version} is {version.state}")
    return answer(_hook(version))


@router.get("/argo/{model}/{version}", responses=documented_answer(Measurement, "For a web metric."))
def measure(api: ApiDep, who: Reader, model: str, version: str) -> Response:  # noqa: ARG001 - asks for a key
    """Measure a version for an analysis."""
    found = api.fleet.view.find(model, version)
    picture = api.figures.picture
    snapshot = next((one for one in picture.snapshots if one.version_id == found.id), None) if picture else None
    evidence = log10(watch_of(snapshot).log_evidence)
    policy = api.fleet.view.models[found.model].policy
    threshold = log10(snapshot.threshold_log) if snapshot else None
    measured = Measured(
        ok=found.state is State.ACTIVE,
        state=found.state.value,
        serving=found.state in SERVING or api.fleet.view.lets_through(found),
        evidence_log10=-300.0 if evidence is None else evidence,
        threshold_log10=math.log10(policy.ticks_per_false_alarm) if threshold is None else threshold,
    )
    return answer(Measurement(data=measured))


def _of_hook(api: Api, who: Identity, content: bytes) -> Version:
    """Return the version that a hook is about, from memory: the store may be away."""
    hook = decode_body(_what_matters(content), FlaggerHook)
    if not who.sees(hook.metadata.model):
        raise NotFound(f"the key does not reach model '{hook.metadata.model[:100]}'")
    return api.fleet.view.find(hook.metadata.model, hook.metadata.version)


def _what_matters(content: bytes) -> bytes:
    """Leave out the members that say nothing here, of which there may be more in another release of Flagger."""
    raw = decode_json(content)
    metadata = raw.get("metadata") if isinstance(raw, dict) else None
    if not isinstance(metadata, dict):
        return content
    return msgspec.json.encode({"metadata": {name: metadata[name] for name in NAMES if name in metadata}})


def _hook(version: Version) -> HookAnswer:
    return HookAnswer(model=version.model, version=version.version, state=version.state.value, reason=version.reason)
