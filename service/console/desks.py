"""The pages beside the fleet and its incidents, each with its own addresses."""

from fastapi import APIRouter

from service.console.access import Access
from service.console.alert_quality import add_quality
from service.console.audit import add_audit
from service.console.deps import ConsoleDeps
from service.console.drafts import add_drafts
from service.console.maintenance import add_maintenance
from service.console.red_team_page import add_red_team
from service.console.reviews import add_reviews
from service.console.settings_page import add_settings


def add_desks(router: APIRouter, deps: ConsoleDeps, access: Access) -> None:
    """Add them; a page that has nothing to read from is left out."""
    for add in (add_reviews, add_drafts, add_maintenance, add_quality, add_red_team, add_audit, add_settings):
        add(router, deps, access)
