"""Rendering and serving: templates, static files, and the headers that go with every page."""

import hashlib
import mimetypes
from dataclasses import dataclass
from functools import cache
from importlib import resources
from urllib.parse import quote

import jinja2
from fastapi import Response
from fastapi.responses import HTMLResponse

from service.console.addresses import incident_url, model_url, page_url

SECURITY_HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
    "referrer-policy": "same-origin",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
}
_PAGE_HEADERS = SECURITY_HEADERS | {"cache-control": "no-store", "vary": "Cookie"}
_YEAR_SECONDS = 31_536_000


@dataclass(frozen=True, slots=True)
class StaticFile:
    """A file of the package, held in memory."""

    body: bytes
    media_type: str
    digest: str

    def response(self, digest: str | None, known: str | None) -> Response:
        """Answer a request for it: for ever when the address names the digest, else to be asked again."""
        lasting = f"public, max-age={_YEAR_SECONDS}, immutable"
        headers = SECURITY_HEADERS | {
            "cache-control": lasting if digest == self.digest else "no-cache",
            "etag": f'"{self.digest}"',
        }
        if known == headers["etag"]:
            return Response(status_code=304, headers=headers)
        return Response(self.body, media_type=self.media_type, headers=headers)


@cache
def static_files() -> dict[str, StaticFile]:
    """Read every static file of the package, once."""
    files = {}
    for entry in resources.files("service.console").joinpath("static").iterdir():
        body = entry.read_bytes()
        media_type = mimetypes.guess_type(entry.name)[0] or "application/octet-stream"
        files[entry.name] = StaticFile(body, media_type, hashlib.sha256(body).hexdigest()[:16])
    return files


def static_url(name: str) -> str:
    """Return the address of a static file, which changes when its content does."""
    return f"/static/{name}?v={static_files()[name].digest}"


@cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("service.console"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    addresses = {"page_url": page_url, "incident_url": incident_url, "model_url": model_url}
    environment.globals |= {"static_url": static_url, **addresses}
    environment.filters["percent"] = _percent
    environment.filters["segment"] = lambda text: quote(text, safe="")
    return environment


def _percent(share: float | None) -> str:
    if share is None:
        return ""
    if 0 < share < 0.001:  # noqa: PLR2004 - less than the last digit shown
        return "<0.1%"
    return f"{100 * share:.1f}%"


def render(template: str, status: int = 200, headers: dict[str, str] | None = None, **context: object) -> HTMLResponse:
    """Render a page with its security headers; ``tag`` in the template is the page's own tag, empty without one."""
    tag = (headers or {}).get("etag", "")
    body = _environment().get_template(template).render(tag=tag, **context)
    return HTMLResponse(body, status_code=status, headers=_PAGE_HEADERS | (headers or {}))


def empty(status: int, headers: dict[str, str]) -> Response:
    """Answer without a page: a redirect, or that nothing has changed."""
    return Response(status_code=status, headers=_PAGE_HEADERS | headers)
