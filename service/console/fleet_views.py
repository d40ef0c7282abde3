"""The pages of the fleet and of one model."""

from collections.abc import Mapping
from dataclasses import dataclass

from fastapi import APIRouter, Request, Response

from service.console.access import Access, Viewer
from service.console.addresses import model_url
from service.console.deps import ConsoleDeps
from service.console.fleet import PATH, Wanted, fleet_page
from service.console.pages import empty, render
from service.console.policy_words import policy_in_words
from service.console.read_models import When
from service.console.roll import Entry, Roll
from service.console.tags import tag_of
from service.domain.errors import NotFound
from service.domain.records import Model

FRESH_US = 5_000_000
"""How long an unchanged page stays the same page: evidence moves all the time somewhere in a fleet."""


@dataclass(frozen=True, slots=True)
class FleetViews:
    """Makes them."""

    deps: ConsoleDeps
    roll: Roll

    def fleet(self, viewer: Viewer, query: Mapping[str, str], known: str | None) -> Response:
        """Render the list of all versions, or say that it is still the one that the browser has."""
        return self._list(viewer, self.roll.entries(viewer.identity), query, known, None)

    def model(self, viewer: Viewer, name: str, query: Mapping[str, str], known: str | None) -> Response:
        """Render the page of one model: its versions, and its policy in words.

        Raises
        ------
        NotFound
            When there is no such model, or none that the key may see.
        """
        found = self.deps.read.model(name) if viewer.identity.sees(name) else None
        if found is None:
            raise NotFound(f"There is no model '{name[:100]}', or your key may not see it.")
        entries = [entry for entry in self.roll.entries(viewer.identity) if entry.version.model == name]
        return self._list(viewer, entries, query, known, found)

    def _list(
        self, viewer: Viewer, entries: list[Entry], query: Mapping[str, str], known: str | None, model: Model | None
    ) -> Response:
        wanted, now_us = Wanted.of(query), self.deps.clock.now_us()
        standing = self.deps.standing()
        path = PATH if model is None else model_url(model.name)
        tag = tag_of(viewer.session.token, path, wanted, standing.revision, now_us // FRESH_US)
        if known == tag:
            return empty(304, {"etag": tag})
        return render(
            "fleet.html" if model is None else "model.html",
            headers={"etag": tag},
            viewer=viewer,
            page=fleet_page(entries, wanted, now_us, self.deps.stale_seconds, path),
            as_of=When.of(standing.read_us, now_us),
            model=model,
            policy=() if model is None else policy_in_words(model.policy),
        )


def add_fleet(router: APIRouter, access: Access, views: FleetViews) -> None:
    """Add the addresses."""

    @router.get("/fleet")
    def fleet(request: Request) -> Response:
        return views.fleet(access.viewer(request), request.query_params, request.headers.get("if-none-match"))

    @router.get("/models/{model}")
    def model_page(request: Request, model: str) -> Response:
        viewer = access.viewer(request)
        return views.model(viewer, model, request.query_params, request.headers.get("if-none-match"))
