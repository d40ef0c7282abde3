"""Baselines."""

from pathlib import Path
from typing import Annotated, Any

import anyio.to_thread
import msgspec
from fastapi import APIRouter, Query, Request, Response

from service.api.asgi import Most, header
from service.api.calibrations import calibration_of
from service.api.compile import Upload, check_encoding, spool
from service.api.deps import Admin, Api, ApiDep, Reader, answer, documented_answer
from service.api.digests import check_digest, wanted_digests
from service.api.drafting import keep_rows
from service.api.explained import BaselineView, of_baseline, of_column
from service.detect.baselines import describe, verify
from service.detect.reference import CompiledReference
from service.domain.calibration import Calibration
from service.domain.errors import Conflict, NotFound
from service.domain.keys import Identity
from service.domain.policy import Policy
from service.domain.records import BaselineRecord, Version
from service.ingest.media import REFERENCE, format_of
from service.ingest.reference_label import check_label
from service.review.baselines import Offered, offer_baseline

router = APIRouter(prefix="/v1/models/{model}/versions/{version}/baseline", tags=["baselines"])

LabelColumn = Annotated[str | None, Query(description="The column of the file that holds the true labels.")]
PUT_AGAIN = "it was changed in the store, and no evidence is made with it; put it again"
PROPOSED = 202
"""It waits for another person: the baseline in force stays until then."""
BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {kind: {"schema": {"type": "string", "format": "binary"}} for kind in REFERENCE},
    }
}


@router.put(
    "",
    openapi_extra=BODY,
    responses=documented_answer(BaselineView, "The baseline now in force.")
    | documented_answer(BaselineView, "Proposed: another person must accept it.", PROPOSED),
)
async def put(
    request: Request, api: ApiDep, who: Admin, model: str, version: str, label: LabelColumn = None
) -> Response:
    """Compile reference data into a baseline and put it in force, or propose it; the rows themselves are not kept."""
    if label is not None:
        check_label(label)
    found = await anyio.to_thread.run_sync(api.version, model, version)
    content_type = (header(request.scope, b"content-type") or b"").decode("latin-1")
    format_of(content_type, REFERENCE)
    check_encoding((header(request.scope, b"content-encoding") or b"").decode("latin-1"))
    digest = (header(request.scope, b"content-digest") or b"").decode("latin-1")
    if digest:
        wanted_digests(digest)  # before the body is read
    folder = api.settings.uploads_dir
    owner = await anyio.to_thread.run_sync(api.model, model)
    policy = owner.policy
    before = await anyio.to_thread.run_sync(api.read.baseline, found.id)
    most = Most("baseline_bytes_max", api.settings.baseline_bytes_max)
    async with spool(request.scope, request.receive, folder, most) as path:
        if digest:
            await anyio.to_thread.run_sync(check_digest, digest, Path(path))
        upload = Upload(
            path=path,
            content_type=content_type,
            schema=found.schema,
            limits=api.accept.limits,
            pseudonym_key=api.secrets.pseudonyms,
            tuning=policy.tuning,
            budget_ticks=policy.ticks_per_false_alarm,
            before=None if before is None else before.artefact,
            reports=policy.reports,
            label=label,
        )
        compiled = await api.compiler.compile(upload)
    compared = None if before is None else before.id
    offered = await anyio.to_thread.run_sync(_put, api, who, found, compiled, compared)
    if compiled.sample:
        await anyio.to_thread.run_sync(keep_rows, api, offered.record, owner, compiled.sample)
    view = of_baseline(offered.record, compiled.calibration)
    if offered.need is None:
        return answer(view)
    return answer(msgspec.structs.replace(view, status="proposed", need=offered.need), PROPOSED)


def _put(api: Api, who: Identity, version: Version, compiled: CompiledReference, compared: str | None) -> Offered:
    offered = offer_baseline(api.review, who.actor, version, compiled, compared)
    api.changed()
    return offered


@router.get("", responses=documented_answer(BaselineView, "The baseline in force: bins, tolerances, self-test."))
async def show(api: ApiDep, who: Reader, model: str, version: str) -> Response:  # noqa: ARG001 - asks for a key
    """Show the baseline in force: its bins, what it tolerates and why, and what its self-test saw."""
    policy, record = await anyio.to_thread.run_sync(_find, api, model, version)
    calibration = await calibration_of(api, record, policy)
    return answer(await anyio.to_thread.run_sync(_view, record, calibration, policy))


def _find(api: Api, model: str, version: str) -> tuple[Policy, BaselineRecord]:
    found = api.version(model, version)
    record = api.read.baseline(found.id)
    if record is None:
        raise NotFound(f"version '{version}' of model '{model}' has no baseline yet")
    if not verify(api.secrets.signing, record.artefact, record.signature):
        raise Conflict(
            f"the baseline of version '{version}' of model '{model}' does not have its signature: {PUT_AGAIN}"
        )
    return api.model(model).policy, record


def _view(record: BaselineRecord, calibration: Calibration | None, policy: Policy) -> BaselineView:
    explained = {column.name: column for column in calibration.columns} if calibration else {}
    details = [of_column(column, explained.get(column.name)) for column in describe(record.artefact).columns]
    outdated = None if calibration is None else not calibration.holds_under(policy)
    return msgspec.structs.replace(of_baseline(record, calibration), details=details, outdated=outdated)
