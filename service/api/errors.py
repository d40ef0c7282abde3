"""Every exception that FastAPI meets becomes one problem."""

import difflib
from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.routing import Route

from service.api.asgi import ClientGone
from service.api.problems import Headers, let_go, render_bug, render_error, render_status
from service.domain.errors import LazarettoError, NotFound, Place, Unauthenticated, Unprocessable
from service.domain.misfits import BOUNDS, WORDS, shown
from service.observability import request_id

NOT_FOUND = 404
METHOD_NOT_ALLOWED = 405
CLIENT_GONE = 499
SHOWN = 200
COMPARISONS = {"greater_than_equal": (">=", "ge"), "less_than_equal": ("<=", "le")}
"""Of a parameter with its bound: what the framework calls them."""
QUOTES = "'"


def install(app: FastAPI, routes: Sequence[Route]) -> None:
    """Register the handlers; ``routes`` name what is possible instead of what was asked for."""
    app.state.known = routes
    app.add_exception_handler(LazarettoError, _expected)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(ClientGone, _gone)
    app.add_exception_handler(Exception, _bug)


def _response(rendered: tuple[int, Headers, bytes]) -> Response:
    status, headers, body = rendered
    response = Response(body, status)
    response.raw_headers = headers
    return response


async def _expected(request: Request, error: Exception) -> Response:
    if not isinstance(error, LazarettoError):
        raise TypeError from error
    if isinstance(error, Unauthenticated):
        request.app.state.api.counters.authentication_failures.inc()
    let_go(error)
    return _response(render_error(error))


async def _invalid(request: Request, error: Exception) -> Response:  # noqa: ARG001 - handlers get both
    if not isinstance(error, RequestValidationError):
        raise TypeError from error
    places = [Place(".".join(str(part) for part in one["loc"]), _in_words(one)) for one in error.errors()]
    return _response(render_error(Unprocessable(f"{len(places)} bad parameter(s)", places=places)))


def _in_words(one: Mapping[str, Any]) -> str:
    """Say why a parameter is refused, with its value, as it is said of a body's member."""
    kind, context, value = str(one["type"]), one.get("ctx", {}), one.get("input")
    if kind == "missing":
        return "is required"
    if kind in COMPARISONS:
        sign, limit = COMPARISONS[kind]
        # A parameter is text as it comes; a number is shown as one.
        return f"must be {BOUNDS[sign]} {context[limit]}, not {shown(value).strip(QUOTES)}"
    if kind in {"literal_error", "enum"}:
        choices = str(context["expected"]).replace("'", "").replace(" or ", ", ")
        return f"must be one of {choices}, not {shown(value)}"
    wanted = WORDS.get(kind.partition("_")[0])
    return f"{one['msg']}, not {shown(value)}" if wanted is None else f"must be {wanted}, not {shown(value)}"


async def _http(request: Request, error: Exception) -> Response:
    if not isinstance(error, HTTPException):
        raise TypeError from error
    path, method = request.url.path[:SHOWN], request.method
    if error.status_code == NOT_FOUND:
        return _response(render_error(_nothing_at(request, path)))
    if error.status_code == METHOD_NOT_ALLOWED:
        allowed = _methods_of(request)
        detail = f"{method} is not possible at '{path}'; possible: {allowed}"
        rendered = render_status(
            error.status_code, "method-not-allowed", "Method not allowed", detail, {"allow": allowed}
        )
        return _response(rendered)
    return _response(render_status(error.status_code, "http", "HTTP error", str(error.detail), error.headers))


def _methods_of(request: Request) -> str:
    """Return every method of a path; each route knows only its own."""
    path = request.scope["path"]
    fitting = (route.methods or set() for route in request.app.state.known if route.path_regex.match(path))
    return ", ".join(sorted(set().union(*fitting)))


async def _gone(request: Request, error: Exception) -> Response:  # noqa: ARG001 - handlers get both
    """Nobody reads this; it keeps a client that went away from looking like a bug."""
    return Response(status_code=CLIENT_GONE)


async def _bug(request: Request, error: Exception) -> Response:  # noqa: ARG001 - handlers get both
    """Answer without a word of its inside; ``Entry`` logs the exception, which Starlette raises again."""
    return _response(render_bug(request_id.get() or "unknown"))


def _nothing_at(request: Request, path: str) -> NotFound:
    known = sorted({route.path for route in request.app.state.known})
    near = difflib.get_close_matches(path, known, n=3, cutoff=0.4)
    hint = f"; nearest: {', '.join(near)}" if near else ""
    return NotFound(f"there is nothing at '{path}'{hint}", extra={"nearest": near})
