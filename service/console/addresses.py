"""The addresses of pages."""

from collections.abc import Mapping
from urllib.parse import quote, urlencode


def address(path: str, query: Mapping[str, object]) -> str:
    """Return an address with those parts of a query that say something."""
    said = {name: value for name, value in query.items() if value not in {None, "", False}}
    return f"{path}?{urlencode(said)}" if said else path


def page_url(
    model: str, version: str, window: str | None = None, span: str | None = None, column: str | None = None
) -> str:
    """Return the address of a version's page, with what is chosen on it or as it shows by itself."""
    page = f"{model_url(model)}/versions/{quote(version, safe='')}"
    return address(page, {"window": window, "span": span, "column": column})


def model_url(model: str) -> str:
    """Return the address of a model's page."""
    return f"/models/{quote(model, safe='')}"


def incident_url(incident_id: str) -> str:
    """Return the address of an incident's page."""
    return f"/incidents/{quote(incident_id, safe='')}"


def reports_url(model: str, version: str) -> str:
    """Return the address of the reports about a version."""
    return f"{page_url(model, version)}/reports"


def report_url(report_id: str) -> str:
    """Return the address of a report's page."""
    return f"/reports/{quote(report_id, safe='')}"
