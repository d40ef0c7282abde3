"""From a request for a page to the page: read, decide, render."""

from dataclasses import dataclass

from fastapi import Response

from service.console.access import Viewer
from service.console.addresses import page_url
from service.console.adversarial import use_section
from service.console.deps import ConsoleDeps
from service.console.facts import Chosen, Sources, gather
from service.console.history import FIRST, Span
from service.console.overview import OVERVIEW_ROWS, overview
from service.console.pages import empty, render
from service.console.read_models import When, version_page
from service.console.redteam import redteam_section, schedule_line
from service.console.requests import request_section
from service.console.roll import Roll
from service.console.tags import FRESH_US, tag_of
from service.console.together import together_section
from service.console.typed import sentence
from service.console.window_reports import reports_section
from service.domain.errors import LazarettoError, NotFound
from service.domain.records import Verdict


@dataclass(frozen=True, slots=True)
class Asked:
    """What a request says beside the address of a page."""

    known: str | None = None
    """The tag of the page that the browser has."""
    window: str | None = None
    """The rolling window to show; ``None`` for what the page shows by itself."""
    span: Span = FIRST
    """Of the timeline."""
    column: str | None = None
    """The column to show first."""


PLAIN = Asked()


@dataclass(frozen=True, slots=True)
class Views:
    """Makes the console's pages."""

    deps: ConsoleDeps
    roll: Roll

    def first(self, viewer: Viewer) -> tuple[str, str] | None:
        """Return model and version of what needs attention most, ``None`` when there is nothing yet."""
        entries = self.roll.entries(viewer.identity)
        return (entries[0].version.model, entries[0].version.version) if entries else None

    def version(
        self,
        viewer: Viewer,
        model: str,
        version: str,
        *,
        notice: str | None = None,
        problem: LazarettoError | None = None,
        asked: Asked = PLAIN,
    ) -> Response:
        """Render the page of one version, or say that it is still the one that the browser has.

        Raises
        ------
        NotFound
            When there is no such version, or none that the key may see.
        """
        read, now_us = self.deps.read, self.deps.clock.now_us()
        revision = read.revision()
        found = read.version(model, version) if viewer.identity.sees(model) else None
        owner = read.model(model) if found else None
        if found is None or owner is None:
            raise NotFound(f"There is no version '{version}' of model '{model}', or your key may not see it.")
        standing = self.deps.standing()
        snapshot = standing.snapshots.get(found.id)
        seen = (asked.window, asked.span.name, asked.column, snapshot and snapshot.position, now_us // FRESH_US)
        tag = tag_of(viewer.session.token, model, version, revision, seen)
        if asked.known == tag and problem is None:
            return empty(304, {"etag": tag})
        entries = self.roll.entries(viewer.identity)
        sources = Sources(read, self.deps.looking, self.roll.versions)
        chosen = Chosen(asked.window, asked.span, asked.column)
        facts = gather(sources, owner, found, now_us, self.deps.stale_seconds, chosen)
        return render(
            "version.html",
            problem.status if problem else 200,
            {"etag": tag},
            viewer=viewer,
            page=version_page(facts, viewer.identity),
            use=use_section(facts, viewer.identity),
            together=None
            if self.deps.review is None
            else together_section(self.deps.review.store, facts, viewer.identity),
            requests=request_section(facts),
            redteam=redteam_section(facts),
            as_of=When.of(standing.read_us, now_us),
            reports=reports_section(self.deps, viewer.identity, found, now_us),
            schedule=schedule_line(self.deps.schedule(), now_us),
            rows=overview(entries),
            rows_left=max(0, len(entries) - OVERVIEW_ROWS),
            verdicts=[str(verdict) for verdict in Verdict],
            notice=notice,
            problem=sentence(problem) if problem else None,
        )

    @staticmethod
    def url(model: str, version: str, done: str) -> str:
        """Return where to go after an action."""
        return f"{page_url(model, version)}?done={done}"
