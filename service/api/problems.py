"""Every error as ``application/problem+json`` (RFC 9457), with the places that were refused."""

import traceback
from collections.abc import Mapping

import msgspec

from service.domain.errors import LazarettoError, Unauthenticated, Unavailable

PROBLEM_JSON = b"application/problem+json"
Headers = list[tuple[bytes, bytes]]

RESERVED = frozenset({"type", "title", "status", "detail", "errors"})


def problem_type(slug: str) -> str:
    """Return the identifier of a kind of problem."""
    return f"urn:lazaretto:problem:{slug}"


def render_error(error: LazarettoError) -> tuple[int, Headers, bytes]:
    """Return status, headers and body of an expected error."""
    body: dict[str, object] = {
        "type": problem_type(error.slug),
        "title": error.title,
        "status": error.status,
        "detail": error.detail,
        "errors": [{"at": place.at, "reason": place.reason} for place in error.places],
    }
    body.update((name, value) for name, value in error.extra.items() if name not in RESERVED)
    headers: Headers = []
    if isinstance(error, Unauthenticated):
        headers.append((b"www-authenticate", b'Bearer realm="lazaretto"'))
    if isinstance(error, Unavailable):
        headers.append((b"retry-after", str(error.retry_after_seconds).encode()))
    return _finish(error.status, headers, body)


def render_status(
    status: int, slug: str, title: str, detail: str, headers: Mapping[str, str] | None = None
) -> tuple[int, Headers, bytes]:
    """Return status, headers and body of a problem that has no exception of its own."""
    body = {"type": problem_type(slug), "title": title, "status": status, "detail": detail, "errors": []}
    own = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in (headers or {}).items()]
    return _finish(status, own, body)


def render_bug(request_id: str) -> tuple[int, Headers, bytes]:
    """Return the answer to an unexpected exception: nothing about its inside, only the id to find it in the log."""
    detail = f"this is a bug; the log has it under request id {request_id}"
    return render_status(500, "internal", "Internal error", detail)


def _finish(status: int, headers: Headers, body: Mapping[str, object]) -> tuple[int, Headers, bytes]:
    content = msgspec.json.encode(_legal(body))
    headers += [(b"content-type", PROBLEM_JSON), (b"content-length", str(len(content)).encode())]
    return status, headers, content


def _legal(value: object) -> object:
    """Escape lone surrogates: a client's text may be repeated in a detail, and UTF-8 cannot carry them."""
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, Mapping):
        return {str(_legal(name)): _legal(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_legal(item) for item in value]
    return value


def let_go(error: LazarettoError) -> None:
    """Free at once what the calls that ended in an error were working on.

    An error that came out of a thread holds, through its traceback, the future that delivered it, which holds the
    error: a circle around a whole inflated body, which waits for the collector while the next bomb arrives.
    """
    traceback.clear_frames(error.__traceback__)
