"""The queue of what waits for people, and a proposed baseline beside the one in force."""

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import quote

from fastapi import APIRouter, Request, Response
from fastapi.concurrency import run_in_threadpool

from service.console import actions
from service.console.access import Access, Viewer, read_form
from service.console.compare import ComparedColumn, compared_columns, compared_names
from service.console.deps import ConsoleDeps
from service.console.incident_acts import UNRESOLVED
from service.console.lists import NO_PARTS, address, number_of, pager, rows_of
from service.console.pages import empty, render
from service.console.read_models import When
from service.console.review_rows import QueueFacts, proposals_of, queue_of
from service.console.tags import FRESH_US, tag_of
from service.console.typed import NOTHING, Typed, sentence
from service.detect.baselines import RefusedBaseline, describe
from service.domain.errors import LazarettoError, NotFound
from service.domain.ids import VersionId
from service.domain.records import Incident
from service.domain.reviews import ProposalStatus
from service.domain.states import HELD
from service.ports_pages import IncidentsWanted, PageStore
from service.quarantine.proposals import MOVED
from service.review.stages import ReviewStages

PROPOSALS_READ = 5_000
INCIDENTS_READ = 500
PATH = "/reviews"


@dataclass(frozen=True, slots=True)
class ReviewViews:
    """Makes both pages."""

    deps: ConsoleDeps
    pages: PageStore
    review: ReviewStages

    def facts(self) -> QueueFacts:
        """Read all that the queue is decided from."""
        read, store = self.deps.read, self.review.store
        standing = self.deps.standing()
        versions = standing.versions
        held = frozenset(version.id for version in versions if version.state in HELD)
        worst: dict[VersionId, Incident] = {}
        if held:
            wanted = IncidentsWanted(statuses=UNRESOLVED, versions=held)
            for incident in self.pages.incidents(wanted, INCIDENTS_READ, 0).rows:
                worst.setdefault(incident.version_id, incident)
        return QueueFacts(
            now_us=self.deps.clock.now_us(),
            models=standing.models,
            versions=versions,
            keys=read.keys(),
            reviews=store.reviews(),
            glasses={glass.version_id: glass for glass in store.glasses_open()},
            approvals=self.pages.approvals(),
            proposals=self.pages.proposals(PROPOSALS_READ),
            incidents=worst,
        )

    def queue(
        self,
        viewer: Viewer,
        query: Mapping[str, str],
        *,
        known: str | None = None,
        problem: LazarettoError | None = None,
        typed: Typed = NOTHING,
    ) -> Response:
        """Render the queue, or say that it is still the one that the browser has."""
        now_us = self.deps.clock.now_us()
        mine = query.get("mine") == "yes"
        held_page, proposals_page = number_of(query, "held"), number_of(query, "proposals")
        known_at = self.deps.read.revision(), self.deps.standing().revision
        tag = tag_of(viewer.session.token, mine, held_page, proposals_page, known_at, now_us // FRESH_US)
        if known == tag and problem is None:
            return empty(304, {"etag": tag})
        facts = self.facts()
        rows, proposals = queue_of(facts, viewer.identity), proposals_of(facts, viewer.identity)
        waiting = sum(row.mine for row in rows) + sum(row.mine for row in proposals)
        rows_asked = [row for row in rows if row.mine or not mine]
        proposals_asked = [row for row in proposals if row.mine or not mine]
        said: dict[str, object] = {"mine": "yes" if mine else None}
        numbers: dict[str, object] = {
            "held": held_page if held_page > 1 else None,
            "proposals": proposals_page if proposals_page > 1 else None,
        }
        held = pager(PATH, said | numbers, held_page, len(rows_asked), name="held")
        proposed = pager(PATH, said | numbers, proposals_page, len(proposals_asked), name="proposals")
        return render(
            "reviews.html",
            problem.status if problem else 200,
            {"etag": tag},
            viewer=viewer,
            rows=rows_of(rows_asked, held),
            held=held,
            address=address(PATH, said | numbers),
            rows_total=len(rows),
            proposals=rows_of(proposals_asked, proposed),
            proposed=proposed,
            proposals_total=len(proposals),
            waiting=waiting,
            mine=mine,
            overdue=sum(row.overdue for row in rows),
            broken=sum(bool(row.glass_by) for row in rows),
            as_of=When.of(now_us, now_us),
            notice=actions.DONE.get(query.get("done", "")),
            problem=sentence(problem) if problem else None,
            typed=typed,
        )

    def proposal(
        self,
        viewer: Viewer,
        proposal_id: str,
        *,
        number: int = 1,
        problem: LazarettoError | None = None,
        typed: Typed = NOTHING,
    ) -> Response:
        """Render a baseline beside the one that it would replace.

        Raises
        ------
        NotFound
            When there is no such baseline, or none that the key may see.
        """
        facts = self.facts()
        found = self.pages.proposal(proposal_id)
        owners = {version.id: version for version in facts.versions}
        version = owners.get(found.version_id) if found else None
        if found is None or version is None or not viewer.identity.sees(version.model):
            raise NotFound(f"There is no proposed baseline '{proposal_id[:100]}', or your key may not see it.")
        row = next((one for one in proposals_of(facts, viewer.identity) if one.id == found.id), None)
        said = {one["column"]: one["text"] for one in found.warnings if one["code"] == MOVED and one["column"]}
        loose = tuple(one["text"] for one in found.warnings if one["code"] == MOVED and not one["column"])
        before = self.deps.read.baseline(version.id)
        columns: tuple[ComparedColumn, ...] = ()
        unreadable, part = "", NO_PARTS
        if found.artefact and before is not None:
            try:
                views = describe(before.artefact), describe(found.artefact)
                names = compared_names(*views, said)
                part = pager(f"{PATH}/baselines/{quote(found.id, safe='')}", {}, number, len(names), name="columns")
                columns = compared_columns(*views, said, rows_of(names, part))
            except RefusedBaseline as error:
                unreadable = str(error)
        return render(
            "proposal.html",
            problem.status if problem else 200,
            viewer=viewer,
            one=found,
            row=row,
            version=version,
            waits=found.status is ProposalStatus.PROPOSED,
            before=before,
            columns=columns,
            part=part,
            loose=loose,
            unreadable=unreadable,
            problem=sentence(problem) if problem else None,
            typed=typed,
        )


def add_reviews(router: APIRouter, deps: ConsoleDeps, access: Access) -> None:
    """Add the queue, where there is anything to put into it."""
    if deps.pages is None or deps.review is None:
        return
    views = ReviewViews(deps, deps.pages, deps.review)

    @router.get("/reviews")
    def queue(request: Request) -> Response:
        viewer = access.viewer(request)
        return views.queue(viewer, request.query_params, known=request.headers.get("if-none-match"))

    @router.get("/reviews/baselines/{proposal_id}")
    def proposal(request: Request, proposal_id: str) -> Response:
        return views.proposal(access.viewer(request), proposal_id, number=number_of(request.query_params, "columns"))

    @router.post("/reviews/models/{model}/versions/{version}/{action}")
    async def decide(request: Request, model: str, version: str, action: str) -> Response:
        form = await read_form(request)

        def answer() -> Response:
            viewer = access.viewer(request)
            access.check_form(request, viewer.session.token, form)
            try:
                done = _do(deps, viewer, (model, version), action, form)
            except LazarettoError as error:
                typed = Typed(f"{model}/{version}", form)
                if action in {"accept", "refuse"} and form.get("baseline_id"):
                    return views.proposal(viewer, form["baseline_id"], problem=error, typed=typed)
                return views.queue(viewer, {}, problem=error, typed=typed)
            return empty(303, {"location": f"/reviews?done={done}"})

        return await run_in_threadpool(answer)


def _do(deps: ConsoleDeps, viewer: Viewer, which: tuple[str, str], action: str, form: dict[str, str]) -> str:
    if action == "decide":
        return actions.transition(deps, viewer.identity, *which, form)
    return actions.decide_together(deps, viewer.identity, *which, action, form)
