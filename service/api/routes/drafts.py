"""A new normal, drafted from the traffic itself, for others to sign."""

from dataclasses import dataclass
from functools import partial

import anyio.to_thread
import msgspec
from fastapi import APIRouter, Response

from service.api.bodies import Check, DraftBaseline, decode_body
from service.api.compile import Wanted, compile_frame
from service.api.deps import Api, ApiDep, Operator, SmallBody, answer, documented_answer, documented_body
from service.api.explained import BaselineView, of_baseline
from service.api.times import time_at
from service.detect.drafts import Stretch, draft_of
from service.detect.reference import CompiledReference
from service.domain.errors import Conflict, Place, Unprocessable
from service.domain.policy import Cause
from service.domain.records import BaselineRecord, Version
from service.domain.texts import bad_text
from service.log import open_reader
from service.review.baselines import offer_baseline

router = APIRouter(prefix="/v1/models/{model}/versions/{version}/baselines", tags=["reviews"])
PROPOSED = 202
CONTAINED_MAX = 10_000
REASON: dict[str, Check] = {"reason": partial(bad_text, least=1)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What the compiling process needs."""

    log_url: str
    stretch: Stretch
    contained: frozenset[str]
    wanted: Wanted


def compile_draft(job: Job) -> CompiledReference:
    """Read the rows from the log and compile them; both take a while."""
    reader = open_reader(job.log_url)
    try:
        draft = draft_of(reader, job.wanted.schema, job.stretch, job.contained)
    finally:
        reader.close()
    return compile_frame(draft.frame, job.wanted, draft.warnings)


@router.post(
    "/draft",
    status_code=PROPOSED,
    openapi_extra=documented_body(DraftBaseline),
    responses=documented_answer(BaselineView, "Proposed: other people must accept it.", PROPOSED),
)
async def draft(api: ApiDep, who: Operator, model: str, version: str, content: SmallBody) -> Response:
    """Draft a baseline from a stretch of traffic that the log still has, and propose it; never in force by itself."""
    body = decode_body(content, DraftBaseline, REASON)
    found = await anyio.to_thread.run_sync(api.version, model, version)
    job, before = await anyio.to_thread.run_sync(_job, api, found, body)
    compiled = await api.compiler.work(partial(compile_draft, job))
    offer = partial(offer_baseline, api.review, who.actor, found, compiled, before.id, body.reason.strip())
    offered = await anyio.to_thread.run_sync(offer)
    if compiled.sample:
        owner = await anyio.to_thread.run_sync(api.model, found.model)
        await anyio.to_thread.run_sync(api.reports.keep_reference, offered.record, owner, compiled.sample)
    await anyio.to_thread.run_sync(api.changed)
    view = of_baseline(offered.record, compiled.calibration)
    return answer(msgspec.structs.replace(view, status="proposed", need=offered.need), PROPOSED)


def _job(api: Api, version: Version, body: DraftBaseline) -> tuple[Job, BaselineRecord]:
    """Return what is to be done, and the baseline in force, which it is compared with."""
    name = f"{version.model}/{version.version}"
    before = api.read.baseline(version.id)
    if before is None:
        raise Conflict(f"{name} has no baseline that a draft could stand in place of: put the first one")
    stretch = _stretch(api, version, body)
    now_us = api.clock.now_us()
    held = api.read.containments(version_id=version.id, holding_us=now_us, limit=CONTAINED_MAX)
    policy = api.model(version.model).policy
    wanted = Wanted(
        schema=version.schema,
        tuning=policy.tuning,
        budget_ticks=policy.ticks_per_false_alarm,
        before=before.artefact,
        reports=policy.reports,
    )
    contained = frozenset(one.principal for one in held)
    return Job(log_url=api.settings.telemetry_url, stretch=stretch, contained=contained, wanted=wanted), before


def _stretch(api: Api, version: Version, body: DraftBaseline) -> Stretch:
    now_us = api.clock.now_us()
    end_us = now_us if body.end is None else time_at("end", body.end)
    if body.start is None:
        alerts = api.read.alerts(version_id=version.id, status="open", limit=len(Cause), adversarial=False)
        if not alerts:
            reason = "is required: no alert is open that would say since when"
            raise Unprocessable("the stretch is not known", places=[Place("start", reason)])
        start_us = min(alert.since_us for alert in alerts)
    else:
        start_us = time_at("start", body.start)
    if not start_us < end_us <= now_us:
        reason = "must be after the start and not in the future"
        raise Unprocessable("the stretch has no traffic", places=[Place("end", reason)])
    return Stretch(version_id=version.id, from_us=start_us, to_us=end_us)
