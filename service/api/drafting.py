"""A new normal, drafted from the traffic itself, for others to sign: for the API and the console alike."""

import logging
from dataclasses import dataclass
from functools import partial

import anyio.to_thread

from service.api.compile import Wanted, compile_frame
from service.api.deps import Api
from service.detect.drafts import Stretch, draft_of
from service.detect.reference import CompiledReference
from service.domain.errors import Conflict, Place, Unavailable, Unprocessable
from service.domain.ids import Actor, Micros
from service.domain.policy import Cause
from service.domain.records import BaselineRecord, Model, Version
from service.domain.texts import bad_text
from service.log import open_reader
from service.quarantine.proposals import check_draft
from service.review.baselines import Offered, offer_baseline

CONTAINED_MAX = 10_000
_logger = logging.getLogger("lazaretto.api")


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


@dataclass(frozen=True, slots=True, kw_only=True)
class DraftAsked:
    """What a person wants to be normal."""

    start_us: Micros | None
    """``None``: since the change that is alerted."""
    end_us: Micros | None
    """``None``: until now."""
    reason: str


async def draft_baseline(
    api: Api, actor: Actor, model: str, version: str, asked: DraftAsked
) -> tuple[Offered, CompiledReference]:
    """Draft a baseline from a stretch of traffic that the log still has, and propose it; never in force by itself.

    Raises
    ------
    NotFound
        When there is no such version.
    Unprocessable
        When there is no reason, no stretch, or no baseline can be made of what was sent in it.
    Conflict
        When the version has no baseline yet or is retired, or too many wait already.
    Unavailable
        When other baselines are being compiled.
    """
    places = bad_text("reason", asked.reason.strip(), least=1)
    if places:
        raise Unprocessable(f"reason: {places[0].reason}", places=places)
    found = await anyio.to_thread.run_sync(api.version, model, version)
    job, before, owner = await anyio.to_thread.run_sync(_job, api, found, asked)
    compiled = await api.compiler.work(partial(compile_draft, job))
    offer = partial(offer_baseline, api.review, actor, found, compiled, before.id, asked.reason.strip())
    offered = await anyio.to_thread.run_sync(offer)
    if compiled.sample:
        await anyio.to_thread.run_sync(keep_rows, api, offered.record, owner, compiled.sample)
    await anyio.to_thread.run_sync(api.changed)
    return offered, compiled


def keep_rows(api: Api, record: BaselineRecord, owner: Model, packed: bytes) -> None:
    """Keep rows of a reference for reports. Its baseline stands: a store that is away now must not make it look undone.

    Whoever is told that nothing came of it asks again, and then there are two.
    """
    try:
        api.reports.keep_reference(record, owner, packed)
    except Unavailable as away:
        _logger.warning("no rows of a reference kept", extra={"baseline": record.id, "reason": away.detail})


def _job(api: Api, version: Version, asked: DraftAsked) -> tuple[Job, BaselineRecord, Model]:
    """Return what is to be done, the baseline in force, which it is compared with, and the model."""
    check_draft(version)
    name = f"{version.model}/{version.version}"
    before = api.read.baseline(version.id)
    if before is None:
        raise Conflict(f"{name} has no baseline that a draft could stand in place of: put the first one")
    stretch = _stretch(api, version, asked)
    now_us = api.clock.now_us()
    held = api.read.containments(version_id=version.id, holding_us=now_us, limit=CONTAINED_MAX)
    owner = api.model(version.model)
    policy = owner.policy
    wanted = Wanted(
        schema=version.schema,
        tuning=policy.tuning,
        budget_ticks=policy.ticks_per_false_alarm,
        before=before.artefact,
        reports=policy.reports,
    )
    contained = frozenset(one.principal for one in held)
    return Job(log_url=api.settings.telemetry_url, stretch=stretch, contained=contained, wanted=wanted), before, owner


def _stretch(api: Api, version: Version, asked: DraftAsked) -> Stretch:
    now_us = api.clock.now_us()
    end_us = now_us if asked.end_us is None else asked.end_us
    start_us = asked.start_us
    if start_us is None:
        alerts = api.read.alerts(version_id=version.id, status="open", limit=len(Cause), adversarial=False)
        if not alerts:
            reason = "is required: no alert is open that would say since when"
            raise Unprocessable("the stretch is not known", places=[Place("start", reason)])
        start_us = min(alert.since_us for alert in alerts)
    if not start_us < end_us <= now_us:
        reason = "must be after the start and not in the future"
        raise Unprocessable("the stretch has no traffic", places=[Place("end", reason)])
    return Stretch(version_id=version.id, from_us=start_us, to_us=end_us)


async def drafted(  # noqa: PLR0913, PLR0917 - what a form of the console says
    api: Api, actor: Actor, model: str, version: str, start_us: Micros | None, end_us: Micros | None, reason: str
) -> str:
    """Draft one and return its id; raises as ``draft_baseline``."""
    asked = DraftAsked(start_us=start_us, end_us=end_us, reason=reason)
    offered, _ = await draft_baseline(api, actor, model, version, asked)
    return offered.record.id
