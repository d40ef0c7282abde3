"""A form to draft a new baseline from the traffic of a version, for others to sign."""

from dataclasses import dataclass

from fastapi import APIRouter, Request, Response
from fastapi.concurrency import run_in_threadpool

from service.console.access import Access, Viewer, read_form
from service.console.addresses import page_url
from service.console.deps import ConsoleDeps, Drafts
from service.console.maintenance import time_in
from service.console.pages import empty, render
from service.console.read_models import When
from service.console.typed import NOTHING, Typed, sentence
from service.domain.errors import LazarettoError, NotFound, Unprocessable
from service.domain.ids import Micros
from service.domain.policy import Cause, Policy
from service.domain.records import Scope, Version
from service.domain.reviews import ProposalStatus
from service.domain.states import State
from service.domain.texts import bad_text
from service.quarantine.proposals import PROPOSALS_MAX, signatures_needed
from service.review.stages import ReviewStages

FORM = "draft"
CONTAINED_READ = 1_000
PROPOSALS_READ = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class DraftForm:
    """What the form asks for."""

    start_us: Micros | None
    end_us: Micros | None
    reason: str


@dataclass(frozen=True, slots=True)
class DraftViews:
    """Makes the page."""

    deps: ConsoleDeps
    review: ReviewStages

    def page(
        self,
        viewer: Viewer,
        which: tuple[str, str],
        *,
        problem: LazarettoError | None = None,
        typed: Typed = NOTHING,
    ) -> Response:
        """Render the form with what it would take, or why there is nothing to draft.

        Raises
        ------
        NotFound
            When there is no such version, or none that the key may see.
        """
        read, now_us = self.deps.read, self.deps.clock.now_us()
        version, policy = self._find(viewer, *which)
        alerts = read.alerts(version_id=version.id, status="open", limit=len(Cause), adversarial=False)
        since_us = min((alert.since_us for alert in alerts), default=None)
        held = read.containments(version_id=version.id, holding_us=now_us, limit=CONTAINED_READ)
        proposals = self.review.store.proposals(version.id, PROPOSALS_READ)
        waiting = sum(one.status is ProposalStatus.PROPOSED for one in proposals)
        settings = self.deps.settings
        return render(
            "draft.html",
            problem.status if problem else 200,
            viewer=viewer,
            version=version,
            blocked=_blocked(viewer, version, waiting),
            since=None if since_us is None else When.of(since_us, now_us),
            now=When.of(now_us, now_us),
            contained=len(held),
            hours=None if settings is None else settings.log_retention_hours,
            waiting=waiting,
            others=signatures_needed(policy) - 1,
            problem=sentence(problem) if problem else None,
            typed=typed,
        )

    def _find(self, viewer: Viewer, model: str, version: str) -> tuple[Version, Policy]:
        found = self.deps.read.version(model, version) if viewer.identity.sees(model) else None
        owner = None if found is None else self.deps.read.model(model)
        if found is None or owner is None:
            raise NotFound(f"There is no version '{version[:100]}' of '{model[:100]}', or your key may not see it.")
        return found, owner.policy


def _blocked(viewer: Viewer, version: Version, waiting: int) -> str | None:
    """Return why this viewer gets no form."""
    if not viewer.identity.may(Scope.OPERATE):
        return "Your key may read but not act: this needs a key with scope 'operate'."
    if version.baseline_id is None:
        return "It has no baseline yet that a draft could stand in place of: put reference data first."
    if version.state is State.RETIRED:
        return "It is retired, and nothing judges it any more."
    if waiting >= PROPOSALS_MAX:
        return f"{waiting} baselines of it wait already: accept or refuse one of them first."
    return None


def form_of(form: dict[str, str]) -> DraftForm:
    """Return what a form asks for; raise Unprocessable with the place of what is wrong."""
    start, end = form.get("start", "").strip(), form.get("end", "").strip()
    reason = form.get("reason", "").strip()
    places = bad_text("reason", reason, least=1)
    if places:
        raise Unprocessable("the draft needs a reason", places=places)
    return DraftForm(
        start_us=time_in("start", start) if start else None,
        end_us=time_in("end", end) if end else None,
        reason=reason,
    )


def add_drafts(router: APIRouter, deps: ConsoleDeps, access: Access) -> None:
    """Add the form, where drafts can be made."""
    if deps.review is None or deps.draft is None:
        return
    views, make = DraftViews(deps, deps.review), deps.draft

    @router.get("/models/{model}/versions/{version}/draft")
    def draft_page(request: Request, model: str, version: str) -> Response:
        return views.page(access.viewer(request), (model, version))

    @router.post("/models/{model}/versions/{version}/draft")
    async def draft(request: Request, model: str, version: str) -> Response:
        form = await read_form(request)

        def checked() -> Viewer:
            viewer = access.viewer(request)
            access.check_form(request, viewer.session.token, form)
            return viewer

        viewer = await run_in_threadpool(checked)
        try:
            return await _draft(make, viewer, (model, version), form)
        except LazarettoError as error:
            problem, typed = error, Typed(FORM, form)
            return await run_in_threadpool(lambda: views.page(viewer, (model, version), problem=problem, typed=typed))


async def _draft(make: Drafts, viewer: Viewer, which: tuple[str, str], form: dict[str, str]) -> Response:
    viewer.identity.require(Scope.OPERATE)
    viewer.identity.require_model(which[0])
    asked = form_of(form)
    baseline_id = await make(viewer.identity.actor, *which, asked.start_us, asked.end_us, asked.reason)
    return empty(303, {"location": f"/reviews/baselines/{baseline_id}"})


def draft_url(model: str, version: str) -> str:
    """Return the address of the form."""
    return f"{page_url(model, version)}/draft"
